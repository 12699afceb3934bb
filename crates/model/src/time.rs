//! Times in nanoseconds since the Unix epoch, half-open ranges, and the precision of timestamps.

use serde::{Deserialize, Serialize};

/// The earliest time of a point. InfluxDB reserves the two lowest values.
pub const MIN_TIME_NS: i64 = i64::MIN + 2;
/// The latest time of a point.
pub const MAX_TIME_NS: i64 = i64::MAX - 1;

/// The nanoseconds in a microsecond.
pub const US_NS: i64 = 1_000;
/// The nanoseconds in a millisecond.
pub const MS_NS: i64 = 1_000_000;
/// The nanoseconds in a second.
pub const S_NS: i64 = 1_000_000_000;
/// The nanoseconds in a minute.
pub const MINUTE_NS: i64 = 60 * S_NS;
/// The nanoseconds in an hour.
pub const H_NS: i64 = 60 * MINUTE_NS;
/// The nanoseconds in a day.
pub const D_NS: i64 = 24 * H_NS;
/// The nanoseconds in a week.
pub const W_NS: i64 = 7 * D_NS;

/// Returns the time from the last multiple of `width_ns` to `time_ns`, as Go's `Time.Truncate`
/// counts multiples: from Monday, 1 January of year 1. Returns 0 for a width of 0 or less.
pub fn past_truncated_ns(time_ns: i64, width_ns: i64) -> i64 {
    const ZERO_TIME_S: i64 = -62_135_596_800;
    if width_ns <= 0 {
        return 0;
    }
    let since_zero_ns = i128::from(time_ns) - i128::from(ZERO_TIME_S) * i128::from(S_NS);
    // The remainder is less than `width_ns`.
    since_zero_ns.rem_euclid(width_ns.into()) as i64
}

/// The times `t` with `start_ns <= t < end_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeRange {
    /// The first time inside the range, in nanoseconds.
    pub start_ns: i64,
    /// The first time after the range, in nanoseconds.
    pub end_ns: i64,
}

impl TimeRange {
    /// The range that contains every valid time. `MAX_TIME_NS` is below the exclusive end.
    pub const ALL: Self = Self { start_ns: i64::MIN, end_ns: i64::MAX };

    /// Creates a range from `start_ns` (inclusive) to `end_ns` (exclusive).
    pub const fn new(start_ns: i64, end_ns: i64) -> Self {
        Self { start_ns, end_ns }
    }

    /// Whether the range contains `time_ns`.
    pub const fn contains(&self, time_ns: i64) -> bool {
        self.start_ns <= time_ns && time_ns < self.end_ns
    }

    /// Whether the range contains no time.
    pub const fn is_empty(&self) -> bool {
        self.start_ns >= self.end_ns
    }

    /// Returns the length in nanoseconds, negative if the range ends before it begins.
    pub fn length_ns(&self) -> i128 {
        i128::from(self.end_ns) - i128::from(self.start_ns)
    }

    /// Whether the ranges have a common time.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start_ns < other.end_ns && other.start_ns < self.end_ns
    }

    /// Returns the times in both ranges.
    pub fn intersect(&self, other: &Self) -> Self {
        Self { start_ns: self.start_ns.max(other.start_ns), end_ns: self.end_ns.min(other.end_ns) }
    }

    /// Returns the smallest range that contains both ranges. An empty range adds nothing.
    pub fn hull(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self::new(self.start_ns.min(other.start_ns), self.end_ns.max(other.end_ns)),
        }
    }
}

/// The unit of the timestamps in a write or in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// `ns`, `n`
    #[default]
    Nanosecond,
    /// `us`, `u`, `µ`
    Microsecond,
    /// `ms`
    Millisecond,
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
}

impl Precision {
    /// Parses the spellings of all clients. Case matters, as in 1.x.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ns" | "n" => Self::Nanosecond,
            "us" | "u" | "µ" | "μ" => Self::Microsecond,
            "ms" => Self::Millisecond,
            "s" => Self::Second,
            "m" => Self::Minute,
            "h" => Self::Hour,
            _ => return None,
        })
    }

    /// Returns the nanoseconds in one unit, the unit's name in the plural, and the value of the
    /// parameter `precision` that all write routes accept.
    #[inline(always)]
    const fn row(self) -> (i64, &'static str, &'static str) {
        match self {
            Self::Nanosecond => (1, "nanoseconds", "ns"),
            Self::Microsecond => (US_NS, "microseconds", "us"),
            Self::Millisecond => (MS_NS, "milliseconds", "ms"),
            Self::Second => (S_NS, "seconds", "s"),
            Self::Minute => (MINUTE_NS, "minutes", "m"),
            Self::Hour => (H_NS, "hours", "h"),
        }
    }

    /// Returns the number of nanoseconds in one unit.
    pub const fn unit_ns(self) -> i64 {
        self.row().0
    }

    /// Returns the unit in which `count` is a time between 2001 and 2286, if any.
    pub const fn of_magnitude(count: i64) -> Option<Self> {
        match count {
            1_000_000_000..10_000_000_000 => Some(Self::Second),
            1_000_000_000_000..10_000_000_000_000 => Some(Self::Millisecond),
            1_000_000_000_000_000..10_000_000_000_000_000 => Some(Self::Microsecond),
            1_000_000_000_000_000_000.. => Some(Self::Nanosecond),
            _ => None,
        }
    }

    /// Returns the unit's name in the plural.
    pub const fn plural(self) -> &'static str {
        self.row().1
    }

    /// Returns the value of the parameter `precision` that all write routes accept.
    pub const fn parameter(self) -> &'static str {
        self.row().2
    }

    /// Converts `count` units to nanoseconds. Returns `None` outside `MIN_TIME_NS..=MAX_TIME_NS`.
    pub fn to_ns(self, count: i64) -> Option<i64> {
        count
            .checked_mul(self.unit_ns())
            .filter(|time_ns| (MIN_TIME_NS..=MAX_TIME_NS).contains(time_ns))
    }
}

/// Returns the days from 1970-01-01 to a date, or `None` if the date does not exist.
pub fn days_from_civil(year: i32, month: u8, day: u8) -> Option<i64> {
    let date = tz::UtcDateTime::new(year, month, day, 0, 0, 0, 0).ok()?;
    Some(date.unix_time().div_euclid(D_NS / S_NS))
}

/// Converts days since 1970-01-01 to year, month and day (Howard Hinnant's `civil_from_days`).
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_scales_and_rejects_overflow() {
        assert_eq!(Precision::Second.to_ns(2), Some(2 * S_NS));
        assert_eq!(Precision::Nanosecond.to_ns(MAX_TIME_NS), Some(MAX_TIME_NS));
        assert_eq!(Precision::Nanosecond.to_ns(i64::MAX), None);
        assert_eq!(Precision::Nanosecond.to_ns(i64::MIN + 1), None);
        assert_eq!(Precision::Hour.to_ns(i64::MAX / 2), None);
    }

    #[test]
    fn timestamp_magnitude_reveals_precision() {
        let now_s = 1_700_000_000_i64;
        for unit in [
            Precision::Second,
            Precision::Millisecond,
            Precision::Microsecond,
            Precision::Nanosecond,
        ] {
            let count = now_s * (S_NS / unit.unit_ns());
            assert_eq!(Precision::of_magnitude(count), Some(unit));
            assert_eq!(Precision::parse(unit.parameter()), Some(unit));
        }
        for none in [0, -now_s, now_s / 10, now_s * 100, i64::MIN] {
            assert_eq!(Precision::of_magnitude(none), None, "{none}");
        }
    }

    #[test]
    fn ranges_are_half_open() {
        let range = TimeRange::new(10, 20);
        assert!(range.contains(10) && !range.contains(20));
        assert!(!range.overlaps(&TimeRange::new(20, 30)));
        assert!(TimeRange::ALL.contains(MAX_TIME_NS) && TimeRange::ALL.contains(MIN_TIME_NS));
    }
}
