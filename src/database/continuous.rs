//! Creates, drops and lists continuous queries, and selects the next query to run. Each query has a
//! separate row. Every finished run rewrites the row.

use super::backup_schedule::ScheduleRow;
use super::object::{Database, Result};
use super::rows::{CONTINUOUS, ContinuousRow, DatabaseRows};
use crate::model::limits::{
    CONTINUOUS_QUERIES_MAX, CONTINUOUS_QUERY_BYTES_MAX, CONTINUOUS_RETRY_NS_MAX, JOB_FAILURES_MAX,
    JOB_RETRY_NS, WINDOWS_PER_RUN_MAX,
};
use crate::protocol::call::Platform;
use crate::protocol::continuous::{ContinuousQuery, DueRun, RunEnd, Scheduled};
use crate::protocol::database::{DatabaseRefusal, FromDatabase, PolicyRefusal};
use crate::store::Store;

/// Returns the due time of the next run or of the backup schedule's next pass, in nanoseconds. A
/// query without a previous run is due immediately.
pub(super) fn next_due_ns(rows: &DatabaseRows) -> Option<i64> {
    let runs = rows.continuous.iter().filter_map(|row| row.due_ns(i64::MIN));
    let next_ns = runs.chain(rows.schedule.as_ref().map(ScheduleRow::due_ns)).min();
    next_ns.map(|next_ns| rows.busy_until_ns.unwrap_or(next_ns))
}

pub(super) fn problems(rows: &DatabaseRows) -> impl Iterator<Item = String> {
    let failing = rows.continuous.iter().filter(|row| row.failures > JOB_FAILURES_MAX);
    failing.map(|row| format!("continuous query {} cannot run", row.query.name))
}

impl<S: Store> Database<S> {
    pub(super) fn create_continuous(&mut self, query: &ContinuousQuery) -> Result<FromDatabase> {
        let rows = self.open_rows()?;
        if let Some(row) = rows.continuous.iter().find(|row| row.query.name == query.name) {
            if row.query.text == query.text {
                return Ok(FromDatabase::Done);
            }
            return Err(DatabaseRefusal::Policy(PolicyRefusal::ContinuousQueryExists).into());
        }
        let is_large = query.text.len() > CONTINUOUS_QUERY_BYTES_MAX;
        if is_large || rows.continuous.len() >= CONTINUOUS_QUERIES_MAX {
            let refusal = PolicyRefusal::TooManyContinuousQueries {
                limit: CONTINUOUS_QUERIES_MAX as u64,
                bytes: CONTINUOUS_QUERY_BYTES_MAX as u64,
            };
            return Err(DatabaseRefusal::Policy(refusal).into());
        }
        let number = rows.continuous.last().map_or(0, |last| last.number + 1);
        CONTINUOUS.put(&self.store, number, query)?;
        self.open_rows()?.continuous.push(ContinuousRow::new(number, query.clone()));
        Ok(FromDatabase::Done)
    }

    pub(super) fn drop_continuous(&mut self, name: &str) -> Result<FromDatabase> {
        let rows = self.open_rows()?;
        if let Some(at) = rows.continuous.iter().position(|row| row.query.name == name) {
            let number = rows.continuous.remove(at).number;
            CONTINUOUS.remove(&self.store, number, number)?;
        }
        Ok(FromDatabase::Done)
    }

    pub(super) fn list_continuous(&mut self) -> Result<FromDatabase> {
        let all = self.open_rows()?.continuous.iter();
        let all = all.map(|row| (row.query.name.clone(), row.query.text.clone()));
        Ok(FromDatabase::ContinuousQueries(all.collect()))
    }
}

impl<S: Store> Scheduled for Database<S> {
    fn begin_event(&mut self, now_ns: i64) {
        self.event_ns = now_ns;
        if let Some(rows) = &mut self.rows {
            rows.bill.begin_event(self.store.row_counts(), now_ns);
        }
    }

    fn has_due_job(&self, now_ns: i64) -> bool {
        let mut jobs = self.rows.iter().flat_map(|rows| rows.jobs.values());
        jobs.any(|job| !job.is_skipped() && job.due_ns <= now_ns)
    }

    fn due_run(&mut self, platform: &dyn Platform, busy: bool) -> Option<DueRun> {
        let now_ns = platform.now_ns();
        let rows = self.open_rows().ok()?;
        rows.busy_until_ns = busy.then(|| now_ns.saturating_add(JOB_RETRY_NS));
        if busy {
            return None;
        }
        let due =
            |row: &&mut ContinuousRow| row.due_ns(now_ns).is_some_and(|due_ns| due_ns <= now_ns);
        let oldest = |row: &&mut ContinuousRow| row.due_ns(i64::MIN);
        let row = rows.continuous.iter_mut().filter(due).min_by_key(oldest)?;
        row.failures = row.failures.saturating_add(1);
        let wait_ns =
            JOB_RETRY_NS.saturating_mul(1 << row.failures.min(10)).min(CONTINUOUS_RETRY_NS_MAX);
        row.not_before_ns = now_ns.saturating_add(wait_ns);
        rows.busy_until_ns = Some(now_ns.saturating_add(JOB_RETRY_NS));
        let query = row.query.clone();
        Some(DueRun { database: rows.state.create.name.clone(), query })
    }

    fn ended(&mut self, platform: &dyn Platform, query: &ContinuousQuery, end: RunEnd) {
        let Ok(rows) = self.open_rows() else { return };
        rows.busy_until_ns = None;
        let row = rows.continuous.iter_mut().find(|row| row.query == *query);
        let Some(row) = row else { return };
        match end {
            RunEnd::Failed => return,
            RunEnd::Ran(last_run_ns) => {
                row.query.last_run_ns = Some(last_run_ns);
                let more = row.query.windows_max.map(|windows| windows.saturating_mul(2));
                row.query.windows_max = more.filter(|windows| *windows < WINDOWS_PER_RUN_MAX);
            }
            RunEnd::TooLarge(windows) => row.query.windows_max = Some((windows / 2).max(1)),
        }
        row.not_before_ns = 0;
        row.failures = 0;
        let (number, query) = (row.number, row.query.clone());
        if let Err(error) = CONTINUOUS.put(&self.store, number, &query) {
            self.discard_cache(platform.now_ns(), &error);
        }
    }
}
