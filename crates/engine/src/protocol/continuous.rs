//! Records of continuous queries in a Database.
//!
//! A Database determines when a query is due. `coordinator::continuous` runs the query. The
//! Database then stores the end of the covered time range as the query's watermark. After a crash
//! before this step, the Database repeats the run.

use serde::{Deserialize, Serialize};

/// A continuous query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinuousQuery {
    /// The name, in its original case.
    pub name: String,
    /// The complete CREATE statement, with fully qualified names.
    pub text: String,
    /// The interval between two runs, in nanoseconds, or 0 for a query that 1.x never runs.
    pub every_ns: i64,
    /// The due time of the last completed run, in nanoseconds.
    #[serde(default)]
    pub last_run_ns: Option<i64>,
    /// The maximum number of windows of the next run, if a run exceeded the limits of one alarm.
    #[serde(default)]
    pub windows_max: Option<i64>,
    /// The due time of the next run, in nanoseconds. With `tz()`, this time follows the changes of
    /// the local time. `None` before the first run, and in rows of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_ns: Option<i64>,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The run succeeded.
    Ran {
        /// The new watermark, in nanoseconds.
        last_run_ns: i64,
        /// The due time of the next run, in nanoseconds.
        next_run_ns: i64,
    },
    /// The run failed and must be repeated.
    Failed,
    /// The run covered this number of windows and exceeded the limits of one alarm.
    TooLarge(i64),
}

impl ContinuousQuery {
    /// Returns the due time of the next run, in nanoseconds, or `None` for a disabled query.
    pub fn due_ns(&self, now_ns: i64) -> Option<i64> {
        let after_last = || self.last_run_ns.map(|last_ns| last_ns.saturating_add(self.every_ns));
        (self.every_ns > 0).then(|| self.next_run_ns.or_else(after_last).unwrap_or(now_ns))
    }
}

/// A run that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRun {
    /// The name of the query's database.
    pub database: String,
    /// The query.
    pub query: ContinuousQuery,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_due_at_stored_time_or_after_interval() {
        let due = |every_ns, last_run_ns, next_run_ns| {
            let (name, text, windows_max) = (String::new(), String::new(), None);
            let query =
                ContinuousQuery { name, text, every_ns, last_run_ns, windows_max, next_run_ns };
            query.due_ns(7)
        };
        assert_eq!(due(10, Some(100), Some(150)), Some(150));
        assert_eq!(due(10, Some(100), None), Some(110), "a row of an earlier version");
        assert_eq!(due(10, None, None), Some(7));
        assert_eq!(due(0, None, Some(150)), None, "disabled");
    }
}
