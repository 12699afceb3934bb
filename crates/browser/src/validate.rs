//! Checks line protocol while the user types, with the parser of the write path.

use tidemark_engine::batch::from_lines::from_lines;
use tidemark_line_protocol::{Options, TimestampUnit};
use tidemark_model::time::Precision;

/// Timestamps that are recent times in a coarser unit, but are more likely made-up times in 1970.
const MADE_UP: [i64; 3] = [1_000_000_000, 1_000_000_000_000, 1_000_000_000_000_000];

/// The result of checking a text without a schema: the numbers of accepted and rejected lines, and
/// the errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validation {
    /// The number of lines that a write would accept.
    pub good: u32,
    /// The number of lines that a write would reject.
    pub bad: u32,
    /// The first `REJECTED_LINES_NAMED_MAX` rejected lines, ascending.
    pub errors: Vec<LineError>,
    /// The accepted lines with times in 1970, if these times were probably meant in another unit.
    pub mistaken: Option<SuspectUnit>,
}

/// Accepted times that were probably meant in a coarser unit than the requested one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuspectUnit {
    /// The probable unit.
    pub unit: &'static str,
    /// The number of lines with such a time.
    pub lines: u32,
}

/// A line that a write would reject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The physical line, starting at 1.
    pub line: u32,
    /// The character in the line, starting at 1.
    pub column: u32,
    /// The error message, which also describes the expected input.
    pub reason: String,
}

/// The error for a unit that writes do not support.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision \"{0}\": use ns, us, ms, s or auto")]
pub struct UnknownPrecision(String);

impl Validation {
    /// Parses `text`. `precision` is a unit, `auto`, or empty for nanoseconds. `now_ns` is the time
    /// of points without a timestamp.
    ///
    /// # Errors
    /// [`UnknownPrecision`]
    pub fn new(text: &[u8], precision: &str, now_ns: i64) -> Result<Self, UnknownPrecision> {
        let unit = match precision {
            "auto" => TimestampUnit::Auto,
            "" => TimestampUnit::Fixed(Precision::Nanosecond),
            unit => match Precision::parse(unit) {
                Some(precision) => TimestampUnit::Fixed(precision),
                None => return Err(UnknownPrecision(unit.to_owned())),
            },
        };
        // Hash collisions can only slow down the page's own user, so the seed can be constant.
        let (batch, rejected) = match from_lines(text, Options::new(unit, now_ns), 0) {
            Ok(read) => read,
            Err(error) => {
                let error = LineError { line: error.line, column: 1, reason: error.to_string() };
                return Ok(Self { bad: 1, errors: vec![error], ..Self::default() });
            }
        };
        let errors = rejected.named.iter().map(|error| {
            let (line, column) = (error.line, error.column);
            LineError { line, column, reason: error.cause.to_string() }
        });
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let rows: usize = batch.measurements.iter().map(|of| of.block.rows()).sum();
        let (good, bad) = (number(rows as u64), number(rejected.count));
        let times_ns = batch.measurements.iter().flat_map(|of| of.block.times_ns.iter().copied());
        let mistaken = match unit {
            TimestampUnit::Fixed(precision) => SuspectUnit::among(times_ns, precision),
            TimestampUnit::Auto => None,
        };
        Ok(Self { good, bad, errors: errors.collect(), mistaken })
    }
}

impl SuspectUnit {
    /// Counts the times that were probably meant in a coarser unit than `given`, the unit in which
    /// they were parsed. The first such time determines the coarser unit.
    fn among(times_ns: impl Iterator<Item = i64>, given: Precision) -> Option<Self> {
        let mut found: Option<Self> = None;
        for time_ns in times_ns {
            let count = time_ns / given.unit_ns();
            let unit = Precision::of_magnitude(count)
                .filter(|unit| unit.unit_ns() > given.unit_ns() && !MADE_UP.contains(&count));
            let Some(unit) = unit.map(Precision::parameter) else { continue };
            let known = found.get_or_insert(Self { unit, lines: 0 });
            known.lines = known.lines.saturating_add(u32::from(known.unit == unit));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_lists_bad_lines() {
        let text = "cpu,host=a v=1 1\n\n# no line\ncpu v=\ncpu,host=é v=1x 2\nmem v=2i\n";
        let validation = Validation::new(text.as_bytes(), "s", 0).unwrap();
        let places: Vec<_> = validation.errors.iter().map(|e| (e.line, e.column)).collect();
        assert_eq!((validation.good, validation.bad, places), (2, 2, vec![(4, 7), (5, 14)]));
        assert!(
            validation.errors[1].reason.starts_with("invalid field value '1x'"),
            "{validation:?}"
        );
    }

    #[test]
    fn precision_decides_valid_timestamps() {
        let far = b"cpu v=1 9000000000000000000";
        assert_eq!(Validation::new(far, "", 0).unwrap().good, 1);
        assert_eq!(Validation::new(far, "s", 0).unwrap().bad, 1);
        assert_eq!(Validation::new(far, "auto", 0).unwrap().good, 1);
        assert_eq!(Validation::new(far, "x", 0), Err(UnknownPrecision("x".to_owned())));
    }

    #[test]
    fn coarser_timestamp_unit_is_reported() {
        let of = |text: &str, precision: &str| {
            let mistaken = Validation::new(text.as_bytes(), precision, 0).unwrap().mistaken;
            mistaken.map(|SuspectUnit { unit, lines }| (unit, lines))
        };
        let seconds = "m v=1 1700000000\nm v=2 1700000001\nm v=3\nm v=4 1700000000000000000";
        assert_eq!(of(seconds, ""), Some(("s", 2)));
        assert_eq!(of("m v=1 1700000000\nm v=2", "us"), Some(("s", 1)));
        assert_eq!(of("m v=1 1700000000", "ms"), Some(("s", 1)));
        assert_eq!(of("m v=1 1700000000", "s"), None);
        assert_eq!(of("m v=1 1700000000", "auto"), None);
        assert_eq!(of("m v=1 1700000000000", "ns"), Some(("ms", 1)));
        assert_eq!(of("m v=1 1700000000000", "us"), Some(("ms", 1)));
        assert_eq!(of("m v=1 1700000000000000", "ns"), Some(("us", 1)));
        assert_eq!(of("m v=1 4102444799", "ms"), Some(("s", 1)));
        // Test values of users, and real times of 1970.
        for time in ["0", "1", "1000000000", "1000000000000000", "-1700000000"] {
            assert_eq!(of(&format!("m v=1 {time}"), "ns"), None, "{time}");
        }
    }

    #[test]
    fn invalid_utf8_is_one_validation_error() {
        let validation = Validation::new(b"a v=1\nb v=\xff", "", 0).unwrap();
        assert_eq!((validation.good, validation.bad, validation.errors[0].line), (0, 1, 2));
    }
}
