//! Converts the names of OpenTelemetry to the names that Prometheus uses.
//!
//! The rules are those of
//! [OpenTelemetry's specification](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/)
//! with the units of Prometheus' translator.

use std::borrow::Cow;

/// The words for units of the Unified Code for Units of Measure.
const UNITS: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// The words for units after a slash.
const UNITS_PER: &[(&str, &str)] = &[
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The kind of a metric, as far as its name depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    /// A cumulative, monotonic sum.
    Counter,
    Other,
}

/// Returns Prometheus' name of a metric: only letters, digits, colons and single underscores, with
/// the unit and `_total`.
pub(super) fn metric_name(name: &str, unit: &str, kind: Kind) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let words = name.split(|c| !is_allowed(c)).filter(|word| !word.is_empty());
    let mut words: Vec<Cow<'_, str>> = words.map(Cow::Borrowed).collect();
    let add = |words: &mut Vec<Cow<'_, str>>, added: &[String]| {
        for word in added {
            if !word.is_empty() && !words.iter().any(|known| known == word.as_str()) {
                words.push(word.clone().into());
            }
        }
    };
    add(&mut words, &unit_words(unit));
    if kind == Kind::Gauge && unit == "1" {
        words.retain(|word| word != "ratio");
        words.push("ratio".into());
    }
    if kind == Kind::Counter {
        words.retain(|word| word != "total");
        words.push("total".into());
    }
    let joined = words.join("_");
    let starts_with_digit = joined.starts_with(|c: char| c.is_ascii_digit());
    if starts_with_digit { format!("_{joined}") } else { joined }
}

/// Returns the words of a unit, such as `bytes`, `per` and `second` for `By/s`. A unit in braces is
/// a comment.
fn unit_words(unit: &str) -> Vec<String> {
    let word = |text: &str, known: &[(&str, &str)]| {
        let text = text.trim();
        if text.contains(['{', '}']) || text == "1" {
            return String::new();
        }
        let found = known.iter().find(|(symbol, _)| *symbol == text);
        let word = found.map_or(text, |(_, word)| word);
        let parts =
            word.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("_")
    };
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (word(main, UNITS), word(per, UNITS_PER));
    match (main.is_empty(), per.is_empty()) {
        (_, true) => vec![main],
        (true, false) => vec![format!("per_{per}")],
        (false, false) => vec![main, format!("per_{per}")],
    }
}

/// Returns Prometheus' name of a label: only letters, digits and underscores, and no digit first.
pub(super) fn label_name(key: &str) -> Cow<'_, str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts_with_digit = key.starts_with(|c: char| c.is_ascii_digit());
    if !starts_with_digit && key.chars().all(is_allowed) {
        return Cow::Borrowed(key);
    }
    let mut name = String::with_capacity(key.len() + 4);
    if starts_with_digit {
        name.push_str("key_");
    }
    name.extend(key.chars().map(|c| if is_allowed(c) { c } else { '_' }));
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_are_those_of_prometheus() {
        for (name, unit, kind, expected) in [
            ("http.server.duration", "s", Kind::Other, "http_server_duration_seconds"),
            ("system.cpu.time", "s", Kind::Counter, "system_cpu_time_seconds_total"),
            ("system.network.io", "By", Kind::Counter, "system_network_io_bytes_total"),
            ("requests_total", "1", Kind::Counter, "requests_total"),
            ("system.cpu.utilization", "1", Kind::Gauge, "system_cpu_utilization_ratio"),
            ("queue.size", "{items}", Kind::Gauge, "queue_size"),
            ("disk.rate", "By/s", Kind::Gauge, "disk_rate_bytes_per_second"),
            ("memory_bytes", "By", Kind::Gauge, "memory_bytes"),
            ("events", "{event}/s", Kind::Gauge, "events_per_second"),
            ("2nd..try", "", Kind::Gauge, "_2nd_try"),
            ("temperature", "Cel", Kind::Gauge, "temperature_celsius"),
            ("a:b", "", Kind::Other, "a:b"),
        ] {
            assert_eq!(metric_name(name, unit, kind), expected);
        }
    }

    #[test]
    fn label_names_are_those_of_prometheus() {
        for (key, expected) in
            [("http.method", "http_method"), ("a_b", "a_b"), ("1st", "key_1st"), ("ü", "_")]
        {
            assert_eq!(label_name(key), expected);
        }
    }
}
