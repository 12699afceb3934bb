//! Counts how long writes and queries took, from the first byte of a request to the last one of its
//! answer, for the metrics of a server that is one isolate.
//!
//! On the platform a deployment is many isolates, which come and go: what one of them has counted
//! is nobody's duration. So nothing is counted unless `COUNT_DURATIONS` says that there is but one.
//! The clock stands still while code runs: what is counted is waiting for clients and objects.

use std::collections::BTreeMap;

use crate::model::limits::DATABASES_TIMED_MAX;
use crate::model::time::{MS_NS, S_NS};

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedKind {
    /// It brought lines.
    Write,
    /// It asked for points.
    Query,
}

impl TimedKind {
    /// What requests of a route are; `None` of those that are not counted.
    pub fn of(route: &str) -> Option<Self> {
        match route {
            "/write" | "/api/v2/write" | "/api/v3/write_lp" => Some(Self::Write),
            "/query" | "/api/v3/query_influxql" | "/api/v3/query_sql" => Some(Self::Query),
            _ => None,
        }
    }
}

/// Up to which time each bucket counts, inclusive, nanoseconds; what took longer is in one more.
pub const BOUNDS_NS: [i64; 7] =
    [5 * MS_NS, 20 * MS_NS, 100 * MS_NS, 500 * MS_NS, 2 * S_NS, 10 * S_NS, 60 * S_NS];

/// How often which durations were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// As many as [`BOUNDS_NS`], and those beyond.
    pub counts: [u64; BOUNDS_NS.len() + 1],
    /// Their sum, nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    fn add(&mut self, duration_ns: i64) {
        let bucket = BOUNDS_NS.partition_point(|&bound_ns| bound_ns < duration_ns);
        self.counts.get_mut(bucket).into_iter().for_each(|count| *count += 1);
        self.sum_ns = self.sum_ns.saturating_add(duration_ns.max(0).unsigned_abs());
    }
}

/// The histograms of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseDurations {
    /// Of writes.
    pub writes: Histogram,
    /// Of queries.
    pub queries: Histogram,
}

/// The histograms of an isolate. A database is counted from the first time on that somebody asked
/// for its metrics: a name that a request made up takes no memory.
#[derive(Debug, Default)]
pub struct Durations {
    by_database: BTreeMap<String, DatabaseDurations>,
}

impl Durations {
    /// What was counted of a database, which is counted from now on. `None` where already so many
    /// are counted that this one cannot be.
    pub fn of(&mut self, database: &str) -> Option<DatabaseDurations> {
        if let Some(found) = self.by_database.get(database) {
            return Some(*found);
        }
        if self.by_database.len() >= DATABASES_TIMED_MAX {
            return None;
        }
        Some(*self.by_database.entry(database.to_owned()).or_default())
    }

    /// Counts a request that was answered.
    pub fn count(&mut self, database: &str, kind: TimedKind, duration_ns: i64) {
        let Some(durations) = self.by_database.get_mut(database) else { return };
        match kind {
            TimedKind::Write => durations.writes.add(duration_ns),
            TimedKind::Query => durations.queries.add(duration_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_reaches_it() {
        let mut histogram = Histogram::default();
        for duration_ns in [0, 5 * MS_NS, 5 * MS_NS + 1, 60 * S_NS, 60 * S_NS + 1, -1, i64::MAX] {
            histogram.add(duration_ns);
        }
        assert_eq!(histogram.counts, [3, 1, 0, 0, 0, 0, 1, 2]);
        assert!(histogram.sum_ns > i64::MAX.unsigned_abs());
        assert!(BOUNDS_NS.is_sorted());
    }

    #[test]
    fn only_databases_that_are_asked_for_are_counted_and_so_many_at_most() {
        let mut durations = Durations::default();
        durations.count("a", TimedKind::Write, 1);
        assert_eq!(durations.of("a"), Some(DatabaseDurations::default()));
        durations.count("a", TimedKind::Write, 1);
        durations.count("a", TimedKind::Query, 2);
        durations.count("b", TimedKind::Query, 2);
        let found = durations.of("a").unwrap();
        assert_eq!((found.writes.sum_ns, found.queries.sum_ns), (1, 2));
        for other in 1..DATABASES_TIMED_MAX {
            assert!(durations.of(&other.to_string()).is_some());
        }
        assert_eq!((durations.of("b"), durations.of("a")), (None, Some(found)));
    }
}
