//! Measures the durations of writes and queries, from the first byte of the request to the last
//! byte of the response.
//!
//! On Cloudflare, the counts of one of many short-lived isolates are not representative.
//! `COUNT_DURATIONS` therefore enables counting only if the deployment has a single isolate. The
//! platform's clock does not advance while code runs, so durations include only the time spent
//! waiting for clients and objects.

use std::collections::BTreeMap;

use crate::model::limits::DATABASES_TIMED_MAX;
use crate::model::time::{MS_NS, S_NS};

/// The kind of a timed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedKind {
    /// A request that writes points.
    Write,
    /// A request that reads points.
    Query,
}

impl TimedKind {
    /// Returns the kind of a route's requests, or `None` if the route is not timed.
    pub fn of(route: &str) -> Option<Self> {
        match route {
            "/write" | "/api/v2/write" | "/api/v3/write_lp" => Some(Self::Write),
            "/query" | "/api/v3/query_influxql" | "/api/v3/query_sql" => Some(Self::Query),
            _ => None,
        }
    }
}

/// The inclusive upper bound of each bucket, in nanoseconds. One more bucket counts durations above
/// the last bound.
pub const BOUNDS_NS: [i64; 7] =
    [5 * MS_NS, 20 * MS_NS, 100 * MS_NS, 500 * MS_NS, 2 * S_NS, 10 * S_NS, 60 * S_NS];

/// A histogram of durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The number of durations in each bucket of [`BOUNDS_NS`], and above the last bound.
    pub counts: [u64; BOUNDS_NS.len() + 1],
    /// The sum of all durations, in nanoseconds.
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
    /// The durations of writes.
    pub writes: Histogram,
    /// The durations of queries.
    pub queries: Histogram,
}

/// The histograms of an isolate. The isolate starts to count a database's requests when a client
/// first reads the database's metrics, so that a made-up database name takes no memory.
#[derive(Debug, Default)]
pub struct Durations {
    by_database: BTreeMap<String, DatabaseDurations>,
}

impl Durations {
    /// Returns the histograms of a database, and creates them if necessary. Returns `None` if the
    /// isolate already counts `DATABASES_TIMED_MAX` databases.
    pub fn of(&mut self, database: &str) -> Option<DatabaseDurations> {
        if let Some(found) = self.by_database.get(database) {
            return Some(*found);
        }
        if self.by_database.len() >= DATABASES_TIMED_MAX {
            return None;
        }
        Some(*self.by_database.entry(database.to_owned()).or_default())
    }

    /// Counts a completed request.
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
    fn durations_fall_into_smallest_bucket() {
        let mut histogram = Histogram::default();
        for duration_ns in [0, 5 * MS_NS, 5 * MS_NS + 1, 60 * S_NS, 60 * S_NS + 1, -1, i64::MAX] {
            histogram.add(duration_ns);
        }
        assert_eq!(histogram.counts, [3, 1, 0, 0, 0, 0, 1, 2]);
        assert!(histogram.sum_ns > i64::MAX.unsigned_abs());
        assert!(BOUNDS_NS.is_sorted());
    }

    #[test]
    fn only_scraped_databases_are_timed() {
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
