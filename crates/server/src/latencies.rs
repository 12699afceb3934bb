//! Measures the durations of writes and queries for `/metrics`, and the waiting times of a request
//! for `Server-Timing`. On Cloudflare, the clock does not advance while code runs, so both include
//! only the time that a request waits for clients and objects.
//!
//! Histograms of one isolate are useless if a deployment has many short-lived isolates, as on
//! Cloudflare. The setting `COUNT_DURATIONS` enables them for deployments with a single isolate.

use std::collections::BTreeMap;

use tidemark_model::limits::DATABASES_TIMED_MAX;
use tidemark_model::time::{MS_NS, S_NS};

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

/// The histograms of one database. A duration extends from the first byte of the request to the
/// last byte of the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseDurations {
    /// The durations of writes.
    pub writes: Histogram,
    /// The durations of queries.
    pub queries: Histogram,
}

/// The histograms of an isolate. The isolate starts to count a database's requests when a client
/// first reads the database's metrics. A request with a made-up database name therefore needs no
/// memory.
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

    /// Counts a completed request, if its route writes or reads points.
    pub fn count(&mut self, database: &str, route: &str, duration_ns: i64) {
        let Some(durations) = self.by_database.get_mut(database) else { return };
        match route {
            "/write" | "/api/v2/write" | "/api/v3/write_lp" => durations.writes.add(duration_ns),
            "/query" | "/api/v3/query_influxql" | "/api/v3/query_sql" => {
                durations.queries.add(duration_ns);
            }
            _ => {}
        }
    }
}

/// The event for which a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The rest of the request's body.
    Body,
    /// The reply to a call.
    Objects,
}

/// The accumulated waiting times of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    started_ns: i64,
    now_ns: i64,
    body_ns: i64,
    objects_ns: i64,
    waiting: Option<Wait>,
}

impl Spans {
    /// Creates the spans of a new request.
    pub fn new(started_ns: i64) -> Self {
        Self { started_ns, now_ns: started_ns, ..Self::default() }
    }

    /// Sets the next reason for waiting, if any.
    pub fn wait(&mut self, next: Option<Wait>) {
        self.waiting = next;
    }

    /// Ends the current wait.
    pub fn end_wait(&mut self, now_ns: i64) {
        let waited_ns = now_ns.saturating_sub(self.now_ns).max(0);
        match self.waiting.take() {
            Some(Wait::Body) => self.body_ns = self.body_ns.saturating_add(waited_ns),
            Some(Wait::Objects) => self.objects_ns = self.objects_ns.saturating_add(waited_ns),
            None => {}
        }
        self.now_ns = now_ns;
    }

    /// Returns the value of `Server-Timing`, in milliseconds with three decimal places.
    pub fn server_timing(&self) -> String {
        let ms = |ns: i64| (ns / MS_NS, ns % MS_NS / 1_000);
        let total_ns = self.now_ns.saturating_sub(self.started_ns).max(0);
        let (body, body_us) = ms(self.body_ns);
        let (objects, objects_us) = ms(self.objects_ns);
        let (total, total_us) = ms(total_ns);
        format!(
            "body;dur={body}.{body_us:03}, objects;dur={objects}.{objects_us:03}, \
             total;dur={total}.{total_us:03}"
        )
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
        durations.count("a", "/write", 1);
        assert_eq!(durations.of("a"), Some(DatabaseDurations::default()));
        durations.count("a", "/write", 1);
        durations.count("a", "/query", 2);
        durations.count("b", "/query", 2);
        let found = durations.of("a").unwrap();
        assert_eq!((found.writes.sum_ns, found.queries.sum_ns), (1, 2));
        for other in 1..DATABASES_TIMED_MAX {
            assert!(durations.of(&other.to_string()).is_some());
        }
        assert_eq!((durations.of("b"), durations.of("a")), (None, Some(found)));
    }

    #[test]
    fn spans_sum_waits_by_kind() {
        let mut spans = Spans::new(MS_NS);
        for (wait, until_ms) in [
            (None, 2),
            (Some(Wait::Objects), 3),
            (Some(Wait::Body), 10),
            (Some(Wait::Objects), 11),
            (Some(Wait::Objects), 15),
            (None, 40),
        ] {
            spans.wait(wait);
            spans.end_wait(until_ms * MS_NS);
        }
        spans.end_wait(42 * MS_NS + 2_300);
        let timing = "body;dur=7.000, objects;dur=6.000, total;dur=41.002";
        assert_eq!(spans.server_timing(), timing);
        spans.wait(Some(Wait::Body));
        spans.end_wait(0);
        let timing = "body;dur=7.000, objects;dur=6.000, total;dur=0.000";
        assert_eq!(spans.server_timing(), timing);
    }
}
