//! Stores the first rejected lines, and counts all rejected lines.

use super::window::{Bound, WriteWindow};
use tidemark_engine::protocol::database::RegisterRefusal;
use tidemark_engine::protocol::quota::{SeriesExceeded, StorageExceeded};
use tidemark_influxql::duration::format_go;
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
    /// The number of rejected lines within the retention period, but outside of the policy's FUTURE
    /// LIMIT and PAST LIMIT.
    pub outside_window: u64,
    /// The policy that rejected lines because of their times.
    pub retention: Option<Retention>,
}

/// The policy that rejected lines because of their times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The policy's name.
    pub policy: String,
    /// The policy's duration, in nanoseconds.
    pub duration_ns: i64,
    /// The accepted times.
    pub window: WriteWindow,
    /// FUTURE LIMIT in nanoseconds, or 0.
    pub future_limit_ns: i64,
    /// PAST LIMIT in nanoseconds, or 0.
    pub past_limit_ns: i64,
    /// 1.12's descriptions of the oldest and the newest rejected point, if the policy has a limit.
    pub dropped: Option<[String; 2]>,
    /// Whether the policy does not exist yet, because the write would create the policy together
    /// with its database.
    pub absent: bool,
}

impl Retention {
    /// Returns the retention period and the limits of an existing policy.
    pub fn of(policy: &Policy, window: WriteWindow) -> Self {
        Self {
            policy: policy.name.clone(),
            duration_ns: policy.duration_ns,
            window,
            future_limit_ns: policy.future_limit_ns,
            past_limit_ns: policy.past_limit_ns,
            dropped: None,
            absent: false,
        }
    }

    /// Formats FUTURE LIMIT and PAST LIMIT like 1.12.
    pub fn limits(&self) -> String {
        let past = (self.past_limit_ns > 0).then(|| format!("-{}", format_go(self.past_limit_ns)));
        let future = (self.future_limit_ns > 0).then(|| format_go(self.future_limit_ns));
        past.into_iter().chain(future).collect::<Vec<_>>().join(" to ")
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
    /// The line's time is outside of the FUTURE LIMIT and PAST LIMIT of its policy.
    #[error("data in measurement \"{measurement}\" is outside of the write window")]
    Window {
        /// The measurement.
        measurement: String,
        /// Whether the time is above FUTURE LIMIT. Otherwise the time is below PAST LIMIT.
        is_future: bool,
        /// The last or the first accepted time, in nanoseconds.
        bound_ns: i64,
        /// The line's time, in nanoseconds.
        time_ns: i64,
    },
}

impl LineRefusal {
    /// Describes a point outside of `bound`.
    pub(super) fn outside(
        bound: Bound,
        window: &WriteWindow,
        measurement: String,
        time_ns: i64,
    ) -> Self {
        let bound_ns = window.bound_ns(bound);
        match bound {
            Bound::Retention => Self::Retention { measurement, oldest_kept_ns: bound_ns, time_ns },
            Bound::Past | Bound::Future => {
                Self::Window { measurement, is_future: bound == Bound::Future, bound_ns, time_ns }
            }
        }
    }
}

impl Rejections {
    /// Returns the number of lines that were rejected because of their times.
    pub fn outside(&self) -> u64 {
        self.outside_retention + self.outside_window
    }

    /// Returns 1.12's summary of the lines that were rejected because of their times, if the policy
    /// has a FUTURE LIMIT or a PAST LIMIT.
    pub fn summary(&self) -> Option<String> {
        let retention = self.retention.as_ref()?;
        let [oldest, newest] = retention.dropped.as_ref()?;
        Some(format!(
            "dropped {} points outside retention policy of duration {} and {} points outside write \
             window ({}) - oldest {oldest}, newest {newest}",
            self.outside_retention,
            format_go(retention.duration_ns),
            self.outside_window,
            retention.limits(),
        ))
    }

    /// Counts a line outside of `bound`. Calls `cause` only if the line will be named.
    pub(super) fn add_outside(
        &mut self,
        line: u32,
        bound: Bound,
        cause: impl FnOnce() -> LineRefusal,
    ) {
        match bound {
            Bound::Retention => self.outside_retention += 1,
            Bound::Past | Bound::Future => self.outside_window += 1,
        }
        self.add(line, cause);
    }

    /// Counts a line. Calls `cause` only if the line will be named.
    pub fn add(&mut self, line: u32, cause: impl FnOnce() -> LineRefusal) {
        self.total += 1;
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
            match line % 2 {
                0 => rejections.add_outside(line, Bound::Retention, || cause(line)),
                _ => rejections.add(line, || cause(line)),
            }
        }
        let lines: Vec<u32> = rejections.named.iter().map(|named| named.line).collect();
        assert_eq!(lines, (1..=REJECTED_LINES_NAMED_MAX as u32).collect::<Vec<_>>());
        assert_eq!((rejections.total, rejections.outside_retention), (150, 75));
        assert_eq!(rejections.named.get(6).map(|named| &named.cause), Some(&cause(7)));
    }
}
