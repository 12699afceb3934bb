//! Parses a string as a time, and prints a time as a string.
//!
//! As in 1.x (`ast.go`, `StringLiteral.ToTimeLiteral`), the formats are `2006-01-02`, `2006-01-02
//! 15:04:05[.f]` and RFC 3339.

use tidemark_model::time::{MAX_TIME_NS, MIN_TIME_NS, S_NS, civil_from_days, days_from_civil};

const DAY_S: i64 = 86_400;

/// The reason why a string is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// The text matches none of the formats.
    #[error("invalid timestamp string")]
    Syntax,
    /// The time is later than [`MAX_TIME_NS`].
    #[error("time {0} overflows time literal")]
    Overflow(String),
    /// The time is [`MIN_TIME_NS`], which 1.x reserves, or an earlier time.
    #[error("time {0} underflows time literal")]
    Underflow(String),
}

/// Whether 1.x treats this string as a time in comparisons: whether it begins with a date.
pub fn is_time(text: &str) -> bool {
    const DATE: &[u8; 10] = b"dddd-dd-dd";
    let date = text.as_bytes().get(..DATE.len()).is_some_and(|found| {
        found.iter().zip(DATE).all(|(found, want)| match want {
            b'd' => found.is_ascii_digit(),
            want => found == want,
        })
    });
    // After the date, 1.x requires the end of the text or a character other than a newline.
    let after = text.get(DATE.len()..).unwrap_or_default();
    date && !after.starts_with('\n')
}

/// Parses a time and returns nanoseconds. A text without a zone is in local time.
///
/// `local_offset_s(s)` returns the offset from UTC, in seconds. `s` is the local time in seconds
/// since the epoch, calculated as if the local time were UTC.
///
/// # Errors
/// Returns [`InvalidTime::Syntax`] for every text for which [`is_time`] is false.
pub fn parse(text: &str, local_offset_s: impl FnOnce(i64) -> i64) -> Result<i64, InvalidTime> {
    let TimeParts { local_s, subsecond_ns, zone_s } = parts(text).ok_or(InvalidTime::Syntax)?;
    let offset_s = zone_s.unwrap_or_else(|| local_offset_s(local_s));
    let time_ns = i128::from(local_s - offset_s) * i128::from(S_NS) + i128::from(subsecond_ns);
    let printed = || format!("{}{}", format_seconds(local_s), format_zone(offset_s));
    if time_ns > i128::from(MAX_TIME_NS) {
        return Err(InvalidTime::Overflow(printed()));
    } else if time_ns <= i128::from(MIN_TIME_NS) {
        return Err(InvalidTime::Underflow(printed()));
    }
    i64::try_from(time_ns).map_err(|_| InvalidTime::Overflow(printed()))
}

/// Formats a time as RFC 3339 in UTC without trailing zeros: `2000-01-01T00:00:00Z`.
pub fn format_utc(time_ns: impl Into<i128>) -> String {
    let (time_ns, second_ns) = (time_ns.into(), i128::from(S_NS));
    let fraction = time_ns.rem_euclid(second_ns);
    let mut out = format_seconds(time_ns.div_euclid(second_ns) as i64);
    if fraction != 0 {
        out.push_str(format!(".{fraction:09}").trim_end_matches('0'));
    }
    out.push('Z');
    out
}

struct TimeParts {
    /// The time in seconds, calculated as if the text were in UTC.
    local_s: i64,
    subsecond_ns: i64,
    /// The offset in seconds, if the text has a zone.
    zone_s: Option<i64>,
}

fn parts(text: &str) -> Option<TimeParts> {
    let mut rest = UnreadText(text);
    let year = rest.digits(4)?;
    rest.char('-')?;
    let month = rest.digits(2)?;
    rest.char('-')?;
    let day = rest.digits(2)?;
    let date_s = days_from_civil(year as i32, month as u8, day as u8)? * DAY_S;
    if rest.0.is_empty() {
        return Some(TimeParts { local_s: date_s, subsecond_ns: 0, zone_s: None });
    }
    let zoned = rest.char('T').is_some();
    if !zoned {
        rest.char(' ')?;
        rest.0 = rest.0.trim_start_matches(' ');
    }
    // Like Go, this parser accepts several blanks, one-digit hours and a comma before the fraction.
    let hour = rest.digits(2).or_else(|| rest.digits(1)).filter(|&hour| hour < 24)?;
    rest.char(':')?;
    let minute = rest.digits(2).filter(|&minute| minute < 60)?;
    rest.char(':')?;
    let second = rest.digits(2).filter(|&second| second < 60)?;
    let subsecond_ns = rest.fraction_ns();
    let zone_s = if zoned { Some(rest.zone_s()?) } else { None };
    let local_s = date_s + hour * 3600 + minute * 60 + second;
    rest.0.is_empty().then_some(TimeParts { local_s, subsecond_ns, zone_s })
}

struct UnreadText<'a>(&'a str);

impl UnreadText<'_> {
    fn char(&mut self, wanted: char) -> Option<()> {
        self.0 = self.0.strip_prefix(wanted)?;
        Some(())
    }

    fn digits(&mut self, n: usize) -> Option<i64> {
        let digits = self.0.get(..n).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        self.0 = self.0.get(n..)?;
        digits.parse().ok()
    }

    /// Reads `.` or `,` and up to nine digits, or returns 0.
    fn fraction_ns(&mut self) -> i64 {
        const DIGITS_MAX: usize = 9;
        let Some(after) = self.0.strip_prefix(['.', ',']) else { return 0 };
        let n = after.bytes().take(DIGITS_MAX).take_while(u8::is_ascii_digit).count();
        if n == 0 {
            return 0;
        }
        let mut rest = Self(after);
        let value = rest.digits(n).unwrap_or(0);
        self.0 = after.get(n..).unwrap_or_default();
        value * 10_i64.pow((DIGITS_MAX - n) as u32)
    }

    /// Reads `Z`, `+hh:mm` or `-hh:mm`. Returns seconds east of UTC.
    fn zone_s(&mut self) -> Option<i64> {
        if self.char('Z').is_some() {
            return Some(0);
        }
        let sign = match (self.char('+'), self.char('-')) {
            (Some(()), _) => 1,
            (None, Some(())) => -1,
            (None, None) => return None,
        };
        let hour = self.digits(2).filter(|&hour| hour <= 24)?;
        self.char(':')?;
        let minute = self.digits(2).filter(|&minute| minute <= 60)?;
        Some(sign * (hour * 3600 + minute * 60))
    }
}

fn format_seconds(seconds: i64) -> String {
    let (year, month, day) = civil_from_days(seconds.div_euclid(DAY_S));
    let of_day = seconds.rem_euclid(DAY_S);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

fn format_zone(offset_s: i64) -> String {
    if offset_s == 0 {
        return "Z".to_owned();
    }
    let sign = if offset_s < 0 { '-' } else { '+' };
    let minutes = offset_s.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Result<i64, String> {
        parse(text, |_| 0).map_err(|error| error.to_string())
    }

    #[test]
    fn time_literals_accept_three_formats() {
        for (text, ns) in [
            ("1970-01-01", 0),
            ("1970-01-02", DAY_S * S_NS),
            ("2000-02-29", 951_782_400 * S_NS),
            ("2000-01-01 00:00:00", 946_684_800 * S_NS),
            ("1970-01-01 5:04:05", (5 * 3600 + 4 * 60 + 5) * S_NS),
            ("1970-01-01 00:00:01.5", 1_500_000_000),
            ("1970-01-01   00:00:01,5", 1_500_000_000),
            ("1970-01-01 00:00:00.123456789", 123_456_789),
            ("1969-12-31T23:59:59.999Z", -1_000_000),
            ("1970-01-01T00:00:00+01:00", -3600 * S_NS),
            ("1970-01-01T00:00:00.000000001-00:30", 1800 * S_NS + 1),
            ("2262-04-11T23:47:16.854775806Z", MAX_TIME_NS),
            ("1677-09-21T00:12:43.145224195Z", MIN_TIME_NS + 1),
        ] {
            assert_eq!(utc(text), Ok(ns), "{text}");
            assert!(is_time(text), "{text}");
        }
    }

    #[test]
    fn malformed_date_literals_are_errors() {
        for text in [
            "2000-13-01",
            "2001-02-29",
            "1900-02-29",
            "2000-01-00",
            "2000-01-01T00:00:00",
            "2000-01-01 00:00",
            "2000-01-01 24:00:00",
            "2000-01-01 00:60:00",
            "2000-01-01 00:00:60",
            "2000-01-01 00:00:00.",
            "2000-01-01 00:00:00.1234567890",
            "2000-01-01 00:00:00Z",
            "2000-01-01T00:00:00z",
            "2000-01-01T00:00:00+0100",
            "2000-01-01x",
            "2000-01-01 ",
        ] {
            assert_eq!(utc(text), Err("invalid timestamp string".to_owned()), "{text}");
            assert!(is_time(text), "{text}");
        }
        for text in ["", "2000-1-01", "now", "2000-01", "20000-01-01", "2000-01-01\n"] {
            assert!(!is_time(text), "{text}");
        }
    }

    #[test]
    fn out_of_range_times_are_reported() {
        let overflow = "time 2300-01-01T00:00:00Z overflows time literal";
        assert_eq!(utc("2300-01-01"), Err(overflow.to_owned()));
        let underflow = "time 1600-01-01T00:00:00+02:30 underflows time literal";
        assert_eq!(utc("1600-01-01T00:00:00.5+02:30"), Err(underflow.to_owned()));
        assert!(utc("1677-09-21T00:12:43.145224194Z").is_err());
        assert!(utc("2262-04-11T23:47:16.854775807Z").is_err());
    }

    #[test]
    fn local_times_subtract_zone_offset() {
        let offset = |local_s| {
            assert_eq!(local_s, 3600);
            7200
        };
        assert_eq!(parse("1970-01-01 01:00:00", offset), Ok(-3600 * S_NS));
        assert_eq!(parse("1970-01-01T01:00:00Z", |_| 7200), Ok(3600 * S_NS));
    }

    #[test]
    fn times_round_trip_as_rfc_3339() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (1_500_000_000, "1970-01-01T00:00:01.5Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400 * S_NS, "2000-02-29T00:00:00Z"),
            (MAX_TIME_NS, "2262-04-11T23:47:16.854775806Z"),
            (MIN_TIME_NS + 1, "1677-09-21T00:12:43.145224195Z"),
        ] {
            assert_eq!(format_utc(ns), text);
            assert_eq!(utc(text), Ok(ns));
        }
    }
}
