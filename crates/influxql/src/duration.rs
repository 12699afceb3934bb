//! Parses and prints durations in InfluxQL's form (`1h30m`, `4w`) and in Go's form (`168h0m0s`).

use tidemark_model::time::{D_NS, H_NS, MINUTE_NS, MS_NS, S_NS, US_NS, W_NS};

/// The reason why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// The text does not consist of digits and units.
    #[error("invalid duration")]
    Syntax,
    /// The duration does not fit into an `i64` of nanoseconds. As in 1.x, the error contains only
    /// the last number and unit of the text.
    #[error("overflowed duration {number}{unit}: choose a smaller duration or INF")]
    Overflow {
        /// The last number of the text.
        number: i64,
        /// The last unit of the text.
        unit: &'static str,
    },
}

/// Parses a duration and returns nanoseconds. A duration consists of an optional `-` and one or
/// more pairs of digits and a unit (`ns`, `u`, `µ`, `ms`, `s`, `m`, `h`, `d`, `w`).
///
/// # Errors
/// Returns [`InvalidDuration`]. 1.x does not detect some overflows.
pub fn parse(text: &str) -> Result<i64, InvalidDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return Err(InvalidDuration::Syntax);
    }
    let mut sum_ns: i128 = 0;
    let mut last = (0, "");
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let number: i64 = number.parse().map_err(|_| InvalidDuration::Syntax)?;
        let (unit, unit_ns) = unit(after).ok_or(InvalidDuration::Syntax)?;
        sum_ns += i128::from(number) * i128::from(unit_ns);
        last = (number, unit);
        rest = after.get(unit.len()..).unwrap_or_default();
    }
    if negative {
        sum_ns = -sum_ns;
    }
    i64::try_from(sum_ns).map_err(|_| InvalidDuration::Overflow { number: last.0, unit: last.1 })
}

/// The units, in descending order. `format` uses the first spelling of a unit.
const UNITS: [(&str, i64); 9] = [
    ("w", W_NS),
    ("d", D_NS),
    ("h", H_NS),
    ("m", MINUTE_NS),
    ("s", S_NS),
    ("ms", MS_NS),
    ("u", US_NS),
    ("µ", US_NS),
    ("ns", 1),
];

fn unit(text: &str) -> Option<(&'static str, i64)> {
    let matching = UNITS.into_iter().filter(|(spelling, _)| text.starts_with(spelling));
    matching.max_by_key(|(spelling, _)| spelling.len())
}

/// Formats a duration in its largest exact unit, as InfluxQL does: `1w`, `90m`, `0s`.
pub fn format(duration_ns: i64) -> String {
    if duration_ns == 0 {
        return "0s".to_owned();
    }
    let exact = UNITS.into_iter().find(|(_, unit_ns)| duration_ns % unit_ns == 0);
    let (unit, unit_ns) = exact.unwrap_or(("ns", 1));
    format!("{}{unit}", duration_ns / unit_ns)
}

/// Formats a duration as Go's `time.Duration.String` does: `168h0m0s`, `1.5s`, `10µs`, `0s`.
pub fn format_go(duration_ns: i64) -> String {
    let sign = if duration_ns < 0 { "-" } else { "" };
    let magnitude = duration_ns.unsigned_abs();
    let (s_ns, us_ns, ms_ns) = (S_NS.unsigned_abs(), US_NS.unsigned_abs(), MS_NS.unsigned_abs());
    if magnitude == 0 {
        return "0s".to_owned();
    } else if magnitude < us_ns {
        return format!("{sign}{magnitude}ns");
    } else if magnitude < ms_ns {
        return format!("{sign}{}µs", decimal(magnitude, us_ns));
    } else if magnitude < s_ns {
        return format!("{sign}{}ms", decimal(magnitude, ms_ns));
    }
    let minutes = magnitude / (60 * s_ns);
    let seconds = decimal(magnitude % (60 * s_ns), s_ns);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// Formats `count / unit` without trailing zeros. `unit` is a power of ten.
fn decimal(count: u64, unit: u64) -> String {
    let fraction = count % unit;
    if fraction == 0 {
        return (count / unit).to_string();
    }
    // Adding the unit keeps the fraction's leading zeros, but also adds a 1 before them.
    let digits = (unit + fraction).to_string();
    let digits = digits.get(1..).unwrap_or_default();
    format!("{}.{}", count / unit, digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_several_units_add_up() {
        for (text, ns) in [
            ("10ns", 10),
            ("10u", 10_000),
            ("10µ", 10_000),
            ("15ms", 15_000_000),
            ("1h30m", 90 * MINUTE_NS),
            ("30ms3000u", 33 * MS_NS),
            ("-5m30s", -330 * S_NS),
            ("2w3d", 17 * D_NS),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775807ns", -i64::MAX),
            ("0s", 0),
        ] {
            assert_eq!(parse(text).ok(), Some(ns), "{text}");
        }
    }

    #[test]
    fn duration_errors_distinguish_overflow() {
        for text in ["", "-", "3", "1000", "w", "ms", "1.2w", "10x", "10n", "1s-", "1e3", "5ss"] {
            assert_eq!(parse(text), Err(InvalidDuration::Syntax), "{text}");
        }
        let error = parse("1s15251w").unwrap_err();
        let expected = "overflowed duration 15251w: choose a smaller duration or INF";
        assert_eq!(error.to_string(), expected);
        assert!(parse("9223372036854775807w").is_err());
    }

    #[test]
    fn durations_print_largest_exact_unit() {
        for (ns, influxql, go) in [
            (0, "0s", "0s"),
            (3_000, "3u", "3µs"),
            (1_001_000, "1001u", "1.001ms"),
            (1_500_000_000, "1500ms", "1.5s"),
            (100 * S_NS, "100s", "1m40s"),
            (2 * MINUTE_NS, "2m", "2m0s"),
            (D_NS, "1d", "24h0m0s"),
            (W_NS, "1w", "168h0m0s"),
            (-10, "-10ns", "-10ns"),
            (H_NS + 1, "3600000000001ns", "1h0m0.000000001s"),
            (-90 * MINUTE_NS, "-90m", "-1h30m0s"),
            (-i64::MAX, "-9223372036854775807ns", "-2562047h47m16.854775807s"),
        ] {
            assert_eq!(format(ns), influxql);
            assert_eq!(format_go(ns), go);
            assert_eq!(parse(influxql).ok(), Some(ns));
        }
    }
}
