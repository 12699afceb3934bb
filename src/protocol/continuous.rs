//! Continuous queries: what a Database keeps of each, and how it has them run.
//!
//! A Database cannot read InfluxQL. It knows when a query is due; the host around it (see
//! `coordinator::continuous`) reads the text, runs it over the shards and says up to when it ran.
//! Only then is the watermark stored: what a crash interrupts is run again, and writes the same
//! points.

use serde::{Deserialize, Serialize};

use super::call::Platform;
use super::host::Host;

/// A continuous query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinuousQuery {
    /// Case is kept.
    pub name: String,
    /// The whole CREATE statement, every name in it qualified.
    pub text: String,
    /// How often it runs, nanoseconds; 0 is never (1.x keeps queries that it cannot run).
    pub every_ns: i64,
    /// The watermark: the run that it last made was due then, nanoseconds; `None` before any.
    #[serde(default)]
    pub last_run_ns: Option<i64>,
}

impl ContinuousQuery {
    /// When it should run next, nanoseconds; `None` is never.
    pub fn next_run_ns(&self, now_ns: i64) -> Option<i64> {
        let after = |last_ns: i64| last_ns.saturating_add(self.every_ns);
        (self.every_ns > 0).then(|| self.last_run_ns.map_or(now_ns, after))
    }
}

/// A run that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRun {
    /// Whose query it is.
    pub database: String,
    /// The query.
    pub query: ContinuousQuery,
}

/// A [`Host`] that has continuous queries.
pub trait Scheduled: Host {
    /// The query that is longest due, if any; none while the caller is `busy` with the one before.
    /// It counts as tried and is due again later, unless [`Scheduled::ended`] says otherwise: its
    /// alarm is set before its first call goes out.
    fn due_run(&mut self, platform: &dyn Platform, busy: bool) -> Option<DueRun>;

    /// A run came to its end. Stores up to when the query ran, if it did and is still the same.
    fn ended(&mut self, platform: &dyn Platform, query: &ContinuousQuery, ran_ns: Option<i64>);
}
