//! Counts the field values and the time range of each measurement in a file, and compares the
//! counts with the database.

use std::collections::HashMap;

use serde_json::Value;
use tidemark_line_protocol::unescape_name;
use tidemark_model::time::Precision;

use super::destination::{Destination, query};
use crate::Failure;
use crate::commands::http_client::Server;
use crate::commands::quoted;

/// The maximum number of measurements with separate counts. All other measurements share one count,
/// and are not compared.
const MEASUREMENTS_MAX: usize = 10_000;
/// The maximum size of a point, in bytes. The values of a larger point are not counted.
const POINT_BYTES_MAX: usize = 64 << 20;

/// A point: its measurement, its number of values, and its optional timestamp.
#[derive(Debug, PartialEq)]
struct Point {
    measurement: String,
    values: u64,
    timestamp: Option<i64>,
}

/// Returns the position of the first unescaped delimiter at or after `start`, or the length of
/// `text` if none exists.
fn unescaped(text: &[u8], delimiters: &[u8], start: usize) -> usize {
    let is_end = |at: &usize| {
        text.get(*at).is_some_and(|byte| delimiters.contains(byte)) && !is_escaped(text, *at)
    };
    (start..text.len()).find(is_end).unwrap_or(text.len())
}

/// Whether a backslash precedes the byte at `at`. As in the server, the backslash escapes the byte
/// even if another backslash precedes the backslash.
fn is_escaped(text: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'\\')
}

/// Returns the point in a line, or `None` if the text is not a point.
fn point_of(text: &[u8]) -> Option<Point> {
    let named = unescaped(text, b", ", 0);
    let mut at = unescaped(text, b" ", named);
    text.get(at)?;
    let (mut values, mut in_string) = (1, false);
    at += 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' if in_string => in_string = false,
            _ if in_string => {}
            // A quote begins a string only directly after the unescaped `=` that ends a field key.
            b'"' => in_string = text.get(at - 1) == Some(&b'=') && !is_escaped(text, at - 1),
            b',' if !is_escaped(text, at) => values += 1,
            b' ' if !is_escaped(text, at) => break,
            _ => {}
        }
        at += 1;
    }
    let time = str::from_utf8(text.get(at..).unwrap_or_default()).ok()?.trim();
    let timestamp = match time {
        "" => None,
        _ => Some(time.parse().ok()?),
    };
    let name = String::from_utf8_lossy(text.get(..named)?);
    let measurement = unescape_name(&name).into_owned();
    Some(Point { measurement, values, timestamp })
}

/// The number of values and the time range of one measurement.
#[derive(Debug, PartialEq)]
pub struct MeasurementCount {
    pub destination: Destination,
    pub measurement: String,
    pub values: u64,
    /// The first and last time, in nanoseconds. The range is `None` if a line has no time, because
    /// the server assigned the time.
    pub range_ns: Option<(i128, i128)>,
}

/// The counts of the measurements in a file.
pub struct Tally {
    unit_ns: i128,
    counts: Vec<MeasurementCount>,
    positions: HashMap<(Destination, String), usize>,
    /// The lines of the last point, and their destination.
    open: (Vec<u8>, Destination),
    /// The number of values in measurements beyond the first [`MEASUREMENTS_MAX`].
    pub others: u64,
}

impl Tally {
    /// Creates the empty counts of a file whose timestamps have this precision.
    pub fn new(precision: Precision) -> Self {
        Self {
            unit_ns: precision.unit_ns().into(),
            counts: Vec::new(),
            positions: HashMap::new(),
            open: (Vec::new(), Destination::default()),
            others: 0,
        }
    }

    /// Adds a line. `begins` must be true if a point starts with this line.
    pub fn add_line(&mut self, text: &[u8], begins: bool, destination: &Destination) {
        if begins {
            self.close();
        }
        let newline: &[u8] = if begins { b"" } else { b"\n" };
        if self.open.0.len() + newline.len() + text.len() <= POINT_BYTES_MAX {
            self.open.0.extend_from_slice(newline);
            self.open.0.extend_from_slice(text);
        }
        self.open.1.clone_from(destination);
    }

    fn close(&mut self) {
        let point = point_of(&self.open.0);
        self.open.0.clear();
        let Some(Point { measurement, values, timestamp }) = point else { return };
        let time_ns = timestamp.map(|timestamp| i128::from(timestamp) * self.unit_ns);
        let range_ns = time_ns.map(|time_ns| (time_ns, time_ns));
        let key = (self.open.1.clone(), measurement);
        let found = self.positions.get(&key).and_then(|position| self.counts.get_mut(*position));
        if let Some(known) = found {
            known.values += values;
            known.range_ns = known
                .range_ns
                .zip(time_ns)
                .map(|((first, last), time)| (first.min(time), last.max(time)));
        } else if self.counts.len() == MEASUREMENTS_MAX {
            self.others += values;
        } else {
            let (destination, measurement) = key.clone();
            self.positions.insert(key, self.counts.len());
            self.counts.push(MeasurementCount { destination, measurement, values, range_ns });
        }
    }

    pub fn counts(&mut self) -> &[MeasurementCount] {
        self.close();
        &self.counts
    }
}

fn source_of(MeasurementCount { destination, measurement, .. }: &MeasurementCount) -> String {
    let policy =
        if destination.policy.is_empty() { String::new() } else { quoted(&destination.policy) };
    format!("{}.{policy}.{}", quoted(&destination.database), quoted(measurement))
}

/// Returns the number of values that the database contains for a measurement in the time range of
/// the file.
pub fn count(server: &Server, in_file: &MeasurementCount) -> Result<u64, String> {
    let range =
        in_file.range_ns.map(|(first, last)| format!(" WHERE time >= {first} AND time <= {last}"));
    let q = format!("SELECT count(*) FROM {}{}", source_of(in_file), range.unwrap_or_default());
    let response = query(server, &q).map_err(|Failure(reason)| reason)?;
    if let Some(error) = response.error {
        return Err(error);
    }
    let row = response.rows.first().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    Ok(row.iter().skip(1).filter_map(Value::as_u64).sum())
}

/// Compares the counts of a file with the database. Reports each measurement whose counts differ,
/// and finally a summary. If the first count fails, for example because the token has no read
/// permission, compares no measurements.
pub fn compare(
    counts: &[MeasurementCount],
    others: u64,
    count: impl Fn(&MeasurementCount) -> Result<u64, String>,
    mut report: impl FnMut(String),
) {
    let (mut counted, mut in_file, mut in_database, mut different) = (0, 0, 0, 0);
    for expected in counts {
        let (source, values) = (source_of(expected), expected.values);
        let found = match count(expected) {
            Ok(found) => found,
            Err(reason) if counted == 0 => {
                return report(format!("not compared with the database: {reason}"));
            }
            Err(reason) => {
                report(format!(
                    "{source}: {values} values in the file; the values in the database could not \
                     be counted: {reason}"
                ));
                continue;
            }
        };
        counted += 1;
        in_file += values;
        in_database += found;
        if found != values {
            different += 1;
            report(format!(
                "{source}: {values} values in the file, {found} in the database in the same time \
                 range"
            ));
        }
    }
    let plural = if counted == 1 { "" } else { "s" };
    let equal = if different == 0 { ", with equal counts for each measurement" } else { "" };
    report(format!(
        "compared {counted} measurement{plural}: {in_file} values in the file, {in_database} in \
         the database{equal}"
    ));
    if others > 0 {
        report(format!("{others} values of further measurements were not compared"));
    }
    if different > 0 {
        report(
            "The database has fewer values if lines were rejected or if the file repeats points. \
             The database has more values if it contained points before the import."
                .to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncountable_measurement_does_not_stop_comparison() {
        let destination = Destination { database: "d".to_owned(), policy: "p".to_owned() };
        let mut tally = Tally::new(Precision::Nanosecond);
        for name in ["a", "b", "c"] {
            tally.add_line(format!("{name} v=1 1").as_bytes(), true, &destination);
        }
        let mut said_without = |refused: &str| {
            let mut lines = Vec::new();
            let count = |in_file: &MeasurementCount| match in_file.measurement == refused {
                true => Err("too many".to_owned()),
                false => Ok(1),
            };
            compare(tally.counts(), 0, count, |line| lines.push(line));
            lines
        };
        let expected = [
            "\"d\".\"p\".\"b\": 1 values in the file; the values in the database could not be \
             counted: too many",
            "compared 2 measurements: 2 values in the file, 2 in the database, with equal counts \
             for each measurement",
        ];
        assert_eq!(said_without("b"), expected);
        assert_eq!(said_without("a"), ["not compared with the database: too many"]);
    }

    #[test]
    fn tally_parses_points_like_server() {
        let point = |measurement: &str, values, timestamp| {
            Some(Point { measurement: measurement.to_owned(), values, timestamp })
        };
        let line = br#"a\,b\ c,k=\ =1 f=1,g="x, y=1 \" z",h=t 5"#;
        assert_eq!(point_of(line), point("a,b c", 3, Some(5)));
        assert_eq!(point_of(br#"a\=b\"c\\d v=1"#), point(r#"a=b"c\\d"#, 1, None));
        assert_eq!(point_of(br#"m f\\"g=1,h=2 7"#), point("m", 2, Some(7)));
        assert_eq!(point_of(br#"m a"b=1,c=2 5"#), point("m", 2, Some(5)));
        assert_eq!(point_of(br#"a\\,b v=1 5"#), point(r"a\,b", 1, Some(5)));
        assert_eq!(point_of(br#"m a\="b=1,c="x,\" y" 5"#), point("m", 2, Some(5)));
        assert_eq!(point_of(b"m v=1"), point("m", 1, None));
        assert_eq!(point_of(b"m"), None);
        assert_eq!(point_of(b"m v=1 x"), None);
    }

    #[test]
    fn tally_sums_per_measurement() {
        let destination = Destination { database: "d".to_owned(), policy: String::new() };
        let mut tally = Tally::new(Precision::Millisecond);
        for (text, begins) in [
            ("m s=\"a", true),
            ("b\",v=1 7", false),
            ("m v=2 -3", true),
            ("n v=1", true),
            ("n v=2 9", true),
        ] {
            tally.add_line(text.as_bytes(), begins, &destination);
        }
        let counted = |measurement: &str, values, range_ns| MeasurementCount {
            destination: destination.clone(),
            measurement: measurement.to_owned(),
            values,
            range_ns,
        };
        let expected = [counted("m", 3, Some((-3_000_000, 7_000_000))), counted("n", 2, None)];
        assert_eq!(tally.counts(), expected);
    }

    #[test]
    fn tally_limits_open_point_size() {
        let mut tally = Tally::new(Precision::Nanosecond);
        tally.add_line(&vec![b'a'; POINT_BYTES_MAX], true, &Destination::default());
        tally.add_line(b"", false, &Destination::default());
        assert_eq!(tally.open.0.len(), POINT_BYTES_MAX);
    }

    #[test]
    fn tally_only_counts_excess_measurements() {
        let mut tally = Tally::new(Precision::Nanosecond);
        for number in 0..MEASUREMENTS_MAX + 2 {
            tally.add_line(
                format!("m{number} v=1,w=2 1").as_bytes(),
                true,
                &Destination::default(),
            );
        }
        assert_eq!(tally.counts().len(), MEASUREMENTS_MAX);
        assert_eq!(tally.others, 4);
    }
}
