//! Checks line protocol while it is being typed, with the parser that will take it.

use std::ops::Range;

use crate::batch::from_lines::from_lines;
use crate::line_protocol::{Options, TimestampUnit};
use crate::model::time::{D_NS, Precision, S_NS};

/// A time so soon after 1970 may be a count of a coarser unit than the one it is read in: those of
/// [`LIKELY_S`] are, read in the next finer unit, within 48 days.
const TOO_EARLY_NS: Range<i64> = 1..50 * D_NS;

/// Seconds since 1970 that people measure at: the years 2002 to 2099. A round 10^9 is a second of
/// 1970 that somebody made up.
const LIKELY_S: Range<i64> = 1_009_843_200..4_102_444_800;

/// What a write of a text would take and refuse, as far as that can be told without a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Lines that would be taken.
    pub good: u32,
    /// Lines that would be refused.
    pub bad: u32,
    /// The first `REJECTED_LINES_NAMED_MAX` of the bad ones, ascending.
    pub errors: Vec<LineError>,
    /// Lines that would be taken and stored in 1970, though another unit was likely meant.
    pub mistaken: Option<Mistaken>,
}

/// Times that are likely counts of a coarser unit than the one they are read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistaken {
    /// What they look like.
    pub unit: &'static str,
    /// Lines with such a time.
    pub lines: u32,
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
    pub fn new(text: &[u8], precision: &str, now_ns: i64) -> Result<Self, UnknownPrecision> {
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
            TimestampUnit::Fixed(precision) => Mistaken::among(times_ns, precision),
            TimestampUnit::Auto => None,
        };
        Ok(Self { good, bad, errors: errors.collect(), mistaken })
    }
}

impl Mistaken {
    /// The times among `times_ns` that are likely counts of a coarser unit than `precision`, in
    /// which they were read: those of the unit that the first of them looks like.
    fn among(times_ns: impl Iterator<Item = i64>, precision: Precision) -> Option<Self> {
        let coarser = [("s", Precision::Second), ("ms", Precision::Millisecond)];
        let coarser = coarser.into_iter().chain([("us", Precision::Microsecond)]);
        let coarser: Vec<_> =
            coarser.filter(|(_, other)| other.unit_ns() > precision.unit_ns()).collect();
        let mut found: Option<Self> = None;
        for time_ns in times_ns.filter(|time_ns| TOO_EARLY_NS.contains(time_ns)) {
            let count = time_ns / precision.unit_ns();
            let is_likely = |unit: Precision| LIKELY_S.contains(&(count / (S_NS / unit.unit_ns())));
            let unit = coarser.iter().find(|(_, unit)| is_likely(*unit)).map(|(name, _)| *name);
            let Some(unit) = unit else { continue };
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
    fn each_bad_line_is_named_and_the_good_ones_are_counted() {
        let text = "cpu,host=a v=1 1\n\n# no line\ncpu v=\ncpu,host=é v=1x 2\nmem v=2i\n";
        let verdict = Verdict::new(text.as_bytes(), "s", 0).unwrap();
        let places: Vec<_> = verdict.errors.iter().map(|e| (e.line, e.column)).collect();
        assert_eq!((verdict.good, verdict.bad, places), (2, 2, vec![(4, 7), (5, 14)]));
        assert!(verdict.errors[1].reason.starts_with("invalid field value '1x'"), "{verdict:?}");
    }

    #[test]
    fn a_precision_decides_which_times_fit() {
        let far = b"cpu v=1 9000000000000000000";
        assert_eq!(Verdict::new(far, "", 0).unwrap().good, 1);
        assert_eq!(Verdict::new(far, "s", 0).unwrap().bad, 1);
        assert_eq!(Verdict::new(far, "auto", 0).unwrap().good, 1);
        assert_eq!(Verdict::new(far, "x", 0), Err(UnknownPrecision("x".to_owned())));
    }

    #[test]
    fn times_in_a_coarser_unit_than_said_are_told() {
        let of = |text: &str, precision: &str| {
            let mistaken = Verdict::new(text.as_bytes(), precision, 0).unwrap().mistaken;
            mistaken.map(|Mistaken { unit, lines }| (unit, lines))
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
        // What a person types to try, and what is of 1970 indeed.
        for time in ["0", "1", "1000000000", "1000000000000000", "-1700000000"] {
            assert_eq!(of(&format!("m v=1 {time}"), "ns"), None, "{time}");
        }
    }

    #[test]
    fn what_is_no_text_is_one_error() {
        let verdict = Verdict::new(b"a v=1\nb v=\xff", "", 0).unwrap();
        assert_eq!((verdict.good, verdict.bad, verdict.errors[0].line), (0, 1, 2));
    }
}
