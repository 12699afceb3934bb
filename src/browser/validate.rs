//! Line protocol as it is being typed, judged by the parser that will take it.

use crate::batch::from_lines::from_lines;
use crate::line_protocol::{Options, TimestampUnit};
use crate::model::time::Precision;

/// What a write of a text would take and refuse, as far as that can be told without a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Lines that would be taken.
    pub good: u32,
    /// Lines that would be refused.
    pub bad: u32,
    /// The first `REJECTED_LINES_NAMED_MAX` of the bad ones, ascending.
    pub errors: Vec<LineError>,
}

/// A line that would be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// 1-based physical line.
    pub line: u32,
    /// 1-based character of it.
    pub column: u32,
    /// What is wrong, and what was expected.
    pub reason: String,
}

/// A unit that no write has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no precision \"{0}\": use ns, us, ms, s or auto")]
pub struct UnknownPrecision(String);

impl Verdict {
    /// Reads `text`. `precision` is a unit, `auto`, or empty for nanoseconds; `now_ns` is the time
    /// of points without one.
    ///
    /// # Errors
    /// [`UnknownPrecision`]
    pub fn of(text: &[u8], precision: &str, now_ns: i64) -> Result<Self, UnknownPrecision> {
        let unit = match precision {
            "auto" => TimestampUnit::Auto,
            "" => TimestampUnit::Fixed(Precision::Nanosecond),
            unit => match Precision::parse(unit) {
                Some(precision) => TimestampUnit::Fixed(precision),
                None => return Err(UnknownPrecision(unit.to_owned())),
            },
        };
        // Whoever types keys that collide slows only themselves.
        let (batch, rejected) = match from_lines(text, Options::new(unit, now_ns), 0) {
            Ok(read) => read,
            Err(error) => {
                let error = LineError { line: error.line, column: 1, reason: error.to_string() };
                return Ok(Self { good: 0, bad: 1, errors: vec![error] });
            }
        };
        let errors = rejected.named.iter().map(|error| {
            let (line, column) = (error.line, error.column);
            LineError { line, column, reason: error.cause.to_string() }
        });
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let rows: usize = batch.measurements.iter().map(|of| of.block.rows()).sum();
        let (good, bad) = (number(rows as u64), number(rejected.count));
        Ok(Self { good, bad, errors: errors.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_line_is_named_and_the_good_ones_are_counted() {
        let text = "cpu,host=a v=1 1\n\n# no line\ncpu v=\ncpu,host=é v=1x 2\nmem v=2i\n";
        let verdict = Verdict::of(text.as_bytes(), "s", 0).unwrap();
        let places: Vec<_> = verdict.errors.iter().map(|e| (e.line, e.column)).collect();
        assert_eq!((verdict.good, verdict.bad, places), (2, 2, vec![(4, 7), (5, 14)]));
        assert!(verdict.errors[1].reason.starts_with("invalid field value '1x'"), "{verdict:?}");
    }

    #[test]
    fn a_precision_decides_which_times_fit() {
        let far = b"cpu v=1 9000000000000000000";
        assert_eq!(Verdict::of(far, "", 0).unwrap().good, 1);
        assert_eq!(Verdict::of(far, "s", 0).unwrap().bad, 1);
        assert_eq!(Verdict::of(far, "auto", 0).unwrap().good, 1);
        assert_eq!(Verdict::of(far, "x", 0), Err(UnknownPrecision("x".to_owned())));
    }

    #[test]
    fn what_is_no_text_is_one_error() {
        let verdict = Verdict::of(b"a v=1\nb v=\xff", "", 0).unwrap();
        assert_eq!((verdict.good, verdict.bad, verdict.errors[0].line), (0, 1, 2));
    }
}
