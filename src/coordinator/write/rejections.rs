//! Rejected lines: the first are named, the rest counted.

use crate::model::limits::REJECTED_LINES_NAMED_MAX;
use crate::model::shard_map::Policy;
use crate::protocol::database::RegisterRefusal;
use crate::protocol::quota::{OverSeries, OverStored};

/// Rejected lines: the first are named, the rest counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejections {
    /// The `REJECTED_LINES_NAMED_MAX` lowest lines, ascending.
    pub named: Vec<RejectedLine>,
    /// All rejected lines.
    pub total: u64,
    /// Of them, those outside retention.
    pub outside_retention: u64,
    /// The retention that they are outside of.
    pub retention: Option<Retention>,
}

/// The policy outside of which lines lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Its name.
    pub policy: String,
    /// How long it keeps points, nanoseconds.
    pub duration_ns: i64,
    /// Oldest accepted time, nanoseconds.
    pub oldest_kept_ns: i64,
    /// It is not there: the write would create it, with its database.
    pub absent: bool,
}

impl Retention {
    /// That of a policy which is there.
    pub fn of(policy: &Policy, oldest_kept_ns: i64) -> Self {
        let (name, duration_ns) = (policy.name.clone(), policy.duration_ns);
        Self { policy: name, duration_ns, oldest_kept_ns, absent: false }
    }
}

/// One rejected line.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedLine {
    /// 1-based physical line on which it started.
    pub line: u32,
    /// Why.
    pub cause: LineRefusal,
}

/// Why a line was rejected although it could be parsed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LineRefusal {
    /// Its columns contradict the schema or exceed a limit.
    #[error(transparent)]
    Columns(RegisterRefusal),
    /// The database has stored as much as it may.
    #[error(
        "quota exceeded: {} bytes are stored, allowed are {} (stored_bytes): delete data, shorten \
         its retention, or raise the quota",
        .0.current, .0.allowed
    )]
    Stored(OverStored),
    /// The database has as many series as it may, and this line would make another one.
    #[error(
        "quota exceeded: about {} series are stored, allowed are {} (series), and this line would \
         make another one: drop series, shorten the retention, or raise the quota",
        .0.current, .0.allowed
    )]
    Series(OverSeries),
    /// It is older than its policy keeps points.
    #[error("data in measurement \"{measurement}\" is outside of the retention period")]
    Retention {
        /// The measurement.
        measurement: String,
        /// Oldest accepted time, nanoseconds.
        oldest_kept_ns: i64,
        /// The line's time, nanoseconds.
        time_ns: i64,
    },
}

impl Rejections {
    /// Counts a line; `cause` is made only if it will be named.
    pub fn add(&mut self, line: u32, retention: bool, cause: impl FnOnce() -> LineRefusal) {
        self.total += 1;
        self.outside_retention += u64::from(retention);
        let place = self.named.partition_point(|named| named.line <= line);
        if place < REJECTED_LINES_NAMED_MAX {
            self.named.insert(place, RejectedLine { line, cause: cause() });
            self.named.truncate(REJECTED_LINES_NAMED_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(line: u32) -> LineRefusal {
        let time_ns = i64::from(line);
        LineRefusal::Retention { measurement: "m".into(), oldest_kept_ns: 0, time_ns }
    }

    #[test]
    fn the_lowest_lines_are_named_in_order_and_all_are_counted() {
        let mut rejections = Rejections::default();
        for line in (1..=150).rev() {
            rejections.add(line, line % 2 == 0, || cause(line));
        }
        let lines: Vec<u32> = rejections.named.iter().map(|named| named.line).collect();
        assert_eq!(lines, (1..=REJECTED_LINES_NAMED_MAX as u32).collect::<Vec<_>>());
        assert_eq!((rejections.total, rejections.outside_retention), (150, 75));
        assert_eq!(rejections.named.get(6).map(|named| &named.cause), Some(&cause(7)));
    }
}
