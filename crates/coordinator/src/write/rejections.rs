//! Stores the first rejected lines, and counts all rejected lines.

use tidemark_engine::protocol::database::RegisterRefusal;
use tidemark_engine::protocol::quota::{SeriesExceeded, StorageExceeded};
use tidemark_model::limits::REJECTED_LINES_NAMED_MAX;
use tidemark_model::shard_map::Policy;

/// The rejected lines. The first lines are stored, and all lines are counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejections {
    /// The rejected lines with the lowest numbers, ascending; at most `REJECTED_LINES_NAMED_MAX`.
    pub named: Vec<RejectedLine>,
    /// The number of all rejected lines.
    pub total: u64,
    /// The number of rejected lines outside of the retention period.
    pub outside_retention: u64,
    /// The retention period of the lines that were rejected as too old.
    pub retention: Option<Retention>,
}

/// The policy that rejected lines as too old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The policy's name.
    pub policy: String,
    /// The policy's duration, in nanoseconds.
    pub duration_ns: i64,
    /// The oldest accepted time, in nanoseconds.
    pub oldest_kept_ns: i64,
    /// Whether the policy does not exist yet, because the write would create the policy together
    /// with its database.
    pub absent: bool,
}

impl Retention {
    /// Returns the retention period of an existing policy.
    pub fn of(policy: &Policy, oldest_kept_ns: i64) -> Self {
        let (name, duration_ns) = (policy.name.clone(), policy.duration_ns);
        Self { policy: name, duration_ns, oldest_kept_ns, absent: false }
    }
}

/// A rejected line.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedLine {
    /// The 1-based number of the physical line on which the rejected line starts.
    pub line: u32,
    /// The cause.
    pub cause: LineRefusal,
}

/// The reason why a parsed line was rejected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LineRefusal {
    /// The line's columns contradict the schema or exceed a limit.
    #[error(transparent)]
    Columns(RegisterRefusal),
    /// The database has reached its limit of stored bytes.
    #[error(
        "quota exceeded: {} bytes are stored, and the quota is {} (stored_bytes): delete data, \
         shorten the retention, or raise the quota",
        .0.current, .0.allowed
    )]
    Stored(StorageExceeded),
    /// The database has reached its limit of series, and the line would create another series.
    #[error(
        "quota exceeded: about {} series are stored, the quota is {} (series), and this line would \
         create another series: drop series, shorten the retention, or raise the quota",
        .0.current, .0.allowed
    )]
    Series(SeriesExceeded),
    /// The line is older than the retention period of its policy.
    #[error("data in measurement \"{measurement}\" is outside of the retention period")]
    Retention {
        /// The measurement.
        measurement: String,
        /// The oldest accepted time, in nanoseconds.
        oldest_kept_ns: i64,
        /// The line's time, in nanoseconds.
        time_ns: i64,
    },
}

impl Rejections {
    /// Counts a line. Calls `cause` only if the line will be named.
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
    fn rejections_list_lowest_lines() {
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
