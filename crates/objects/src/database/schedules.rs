//! Stores continuous queries and the backup schedule of a database, and selects the next query or
//! backup to run. Each query has a separate row, which every finished run rewrites. The schedule
//! has a separate `state` row. The Database writes this row when a backup starts, when a backup is
//! complete and when a pass fails, but not for each step of a backup.

use super::object::{Database, Result};
use super::rows::{CONTINUOUS, ContinuousRow, DatabaseRows, DatabaseStage, SCHEDULE};
use tidemark_engine::protocol::backup_schedule::{
    BackupSchedule, DuePass, PassDone, ScheduleSettings, ScheduledFailure, ScheduledSuccess,
};
use tidemark_engine::protocol::call::Platform;
use tidemark_engine::protocol::continuous::{ContinuousQuery, DueRun, RunEnd};
use tidemark_engine::protocol::database::{DatabaseRefusal, FromDatabase, PolicyRefusal};
use tidemark_engine::store::{Store, StoreResult};
use tidemark_model::limits::{
    BACKUP_PASS_NS, BACKUP_RETRY_NS_MAX, CONTINUOUS_PAUSE_NS, CONTINUOUS_QUERIES_BYTES_MAX,
    CONTINUOUS_QUERIES_MAX, CONTINUOUS_QUERY_BYTES_MAX, CONTINUOUS_RETRY_NS_MAX, JOB_FAILURES_MAX,
    JOB_RETRY_NS, SCHEDULE_REASON_BYTES_MAX, WINDOWS_PER_RUN_MAX,
};
use tidemark_model::time::S_NS;

/// Returns the due time of the next run or of the backup schedule's next pass, in nanoseconds. A
/// query without a previous run is due immediately.
pub(super) fn next_due_ns(rows: &DatabaseRows) -> Option<i64> {
    let runs = rows.continuous.iter().filter_map(|row| row.due_ns(i64::MIN));
    let next_ns = runs.chain(rows.schedule.as_ref().map(ScheduleRow::due_ns)).min();
    next_ns.map(|next_ns| rows.busy_until_ns.unwrap_or(next_ns))
}

pub(super) fn query_problems(rows: &DatabaseRows) -> impl Iterator<Item = String> {
    let failing = rows.continuous.iter().filter(|row| row.failures > JOB_FAILURES_MAX);
    failing.map(|row| format!("continuous query {} cannot run", row.query.name))
}

/// Checks whether the database may have these additional continuous queries.
pub(super) fn check_room(
    rows: &DatabaseRows,
    added: &[&ContinuousQuery],
) -> Result<(), DatabaseRefusal> {
    let queries = rows.continuous.iter().map(|row| &row.query).chain(added.iter().copied());
    let bytes: usize = queries.clone().map(|query| query.text.len()).sum();
    if queries.count() > CONTINUOUS_QUERIES_MAX || bytes > CONTINUOUS_QUERIES_BYTES_MAX {
        return Err(too_many_queries());
    }
    Ok(())
}

fn too_many_queries() -> DatabaseRefusal {
    DatabaseRefusal::Policy(PolicyRefusal::TooManyContinuousQueries {
        limit: CONTINUOUS_QUERIES_MAX as u64,
        bytes: CONTINUOUS_QUERY_BYTES_MAX as u64,
    })
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
        if query.text.len() > CONTINUOUS_QUERY_BYTES_MAX {
            return Err(too_many_queries().into());
        }
        check_room(rows, &[query])?;
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

impl<S: Store> Database<S> {
    /// Counts a request or an alarm of the object.
    pub fn begin_event(&mut self, now_ns: i64) {
        self.event_ns = now_ns;
        if let Some(rows) = &mut self.rows {
            rows.bill.meter.begin_event(self.store.row_counts(), now_ns);
        }
    }

    /// Whether the object's own alarm has a due job.
    pub fn has_due_job(&self, now_ns: i64) -> bool {
        let mut jobs = self.rows.iter().flat_map(|rows| rows.jobs.values());
        jobs.any(|job| !job.is_skipped() && job.due_ns <= now_ns)
    }

    /// Returns the query that has been due for the longest time, unless the caller is `busy`. Each
    /// run is followed by a pause, so a query that is always behind does not delay the others. The
    /// call counts as an attempt and sets the alarm for the next attempt.
    pub fn due_run(&mut self, platform: &dyn Platform, busy: bool) -> Option<DueRun> {
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
        row.started_ns = now_ns;
        row.failures = row.failures.saturating_add(1);
        let wait_ns =
            JOB_RETRY_NS.saturating_mul(1 << row.failures.min(10)).min(CONTINUOUS_RETRY_NS_MAX);
        row.not_before_ns = now_ns.saturating_add(wait_ns);
        rows.busy_until_ns = Some(now_ns.saturating_add(JOB_RETRY_NS));
        let query = row.query.clone();
        Some(DueRun { database: rows.state.create.name.clone(), query })
    }

    /// Records the end of a run, unless the query has changed.
    pub fn on_run_ended(&mut self, platform: &dyn Platform, query: &ContinuousQuery, end: RunEnd) {
        let Ok(rows) = self.open_rows() else { return };
        rows.busy_until_ns = None;
        let row = rows.continuous.iter_mut().find(|row| row.query == *query);
        let Some(row) = row else { return };
        let now_ns = platform.now_ns();
        match end {
            RunEnd::Failed => return,
            RunEnd::Ran { last_run_ns, next_run_ns } => {
                // This pause leaves time for other due queries: `due_run` prefers the query that
                // has been due for the longest time.
                row.not_before_ns = now_ns.max(row.started_ns.saturating_add(CONTINUOUS_PAUSE_NS));
                row.query.last_run_ns = Some(last_run_ns);
                row.query.next_run_ns = Some(next_run_ns);
                let more = row.query.windows_max.map(|windows| windows.saturating_mul(2));
                row.query.windows_max = more.filter(|windows| *windows < WINDOWS_PER_RUN_MAX);
            }
            RunEnd::TooLarge(windows) => {
                row.not_before_ns = now_ns;
                row.query.windows_max = Some((windows / 2).max(1));
            }
        }
        row.failures = 0;
        let (number, query) = (row.number, row.query.clone());
        if let Err(error) = CONTINUOUS.put(&self.store, number, &query) {
            self.discard_cache(now_ns, &error);
        }
    }
}

pub(super) fn backup_problem(rows: &DatabaseRows) -> Option<String> {
    let row = rows.schedule.as_ref().filter(|row| row.failures > JOB_FAILURES_MAX)?;
    let reason = row.schedule.last_failure.as_ref().map_or("", |failure| failure.reason.as_str());
    Some(format!("scheduled backups fail: {reason}"))
}

/// Returns the completion time of the last scheduled backup, in nanoseconds; 0 before the first
/// backup.
pub(super) fn last_backup_ns(rows: &DatabaseRows) -> Option<i64> {
    let last = rows.schedule.as_ref()?.schedule.last_success.as_ref();
    Some(last.map_or(0, |last| last.at_ns))
}

impl<S: Store> Database<S> {
    pub(super) fn show_schedule(&mut self) -> Result<FromDatabase> {
        let row = self.open_rows()?.schedule.as_ref();
        Ok(FromDatabase::BackupSchedule(row.map(|row| Box::new(row.schedule.clone()))))
    }

    pub(super) fn set_schedule(
        &mut self,
        now_ns: i64,
        settings: Option<ScheduleSettings>,
    ) -> Result<FromDatabase> {
        let known = self.open_rows()?.schedule.clone();
        let row = settings.map(|settings| match known {
            None => ScheduleRow::new(BackupSchedule::new(settings, now_ns)),
            Some(ScheduleRow { schedule, .. }) => {
                let latest_ns = now_ns.saturating_add(settings.every_ns);
                let due_ns = schedule.due_ns.min(latest_ns);
                ScheduleRow::new(BackupSchedule { settings, due_ns, ..schedule })
            }
        });
        self.store_schedule(row)?;
        self.show_schedule()
    }

    fn store_schedule(&mut self, row: Option<ScheduleRow>) -> StoreResult<()> {
        match &row {
            Some(ScheduleRow { schedule, .. }) => SCHEDULE.put(&self.store, 0, schedule)?,
            None => SCHEDULE.remove(&self.store, 0, 0)?,
        }
        if let Some(rows) = &mut self.rows {
            rows.schedule = row;
        }
        Ok(())
    }

    fn change_schedule(&mut self, now_ns: i64, row: ScheduleRow) -> bool {
        let rows = self.rows.as_mut();
        let Some(known) = rows.and_then(|rows| rows.schedule.as_mut()) else { return false };
        if known.schedule == row.schedule {
            *known = row;
            return true;
        }
        let stored = self.store_schedule(Some(row));
        if let Err(error) = &stored {
            self.discard_cache(now_ns, error);
        }
        stored.is_ok()
    }
}

impl<S: Store> Database<S> {
    /// Returns the due pass, unless the caller is `busy`. The call counts as an attempt and sets
    /// the time of the next pass.
    pub fn due_pass(&mut self, platform: &dyn Platform, busy: bool) -> Option<DuePass> {
        let now_ns = platform.now_ns();
        let rows = self.open_rows().ok()?;
        let mut row = rows.schedule.clone().filter(|row| !busy && row.due_ns() <= now_ns)?;
        row.count_try(now_ns);
        row.schedule.attempt_ns.get_or_insert(now_ns);
        let (database, schedule) = (rows.state.create.name.clone(), row.schedule.clone());
        if !self.change_schedule(now_ns, row) {
            return None;
        }
        let rows = self.open_rows().ok()?;
        rows.busy_until_ns = Some(now_ns.saturating_add(JOB_RETRY_NS));
        Some(DuePass { database, schedule })
    }

    /// Records the result of a pass: either the work that it did, or an error message.
    pub fn on_pass_ended(&mut self, platform: &dyn Platform, end: Result<PassDone, String>) {
        let now_ns = platform.now_ns();
        let Some(rows) = &mut self.rows else { return };
        rows.busy_until_ns = None;
        let is_open = rows.state.stage == DatabaseStage::Open;
        let Some(mut row) = rows.schedule.clone().filter(|_| is_open) else { return };
        match end {
            Ok(done) => row.take(now_ns, done),
            Err(mut reason) => {
                let bytes = reason.floor_char_boundary(SCHEDULE_REASON_BYTES_MAX.min(reason.len()));
                reason.truncate(bytes);
                row.schedule.last_failure = Some(ScheduledFailure { at_ns: now_ns, reason });
            }
        }
        self.change_schedule(now_ns, row);
    }
}

/// The schedule, and its state in memory.
#[derive(Clone, Debug)]
pub(super) struct ScheduleRow {
    pub(super) schedule: BackupSchedule,
    /// The earliest time of the next pass, in nanoseconds.
    not_before_ns: i64,
    /// The number of consecutive failed passes.
    pub(super) failures: u32,
}

impl ScheduleRow {
    pub(super) fn new(schedule: BackupSchedule) -> Self {
        Self { schedule, not_before_ns: 0, failures: 0 }
    }

    pub(super) fn due_ns(&self) -> i64 {
        let is_under_way = self.schedule.attempt_ns.is_some();
        let due_ns = if is_under_way { i64::MIN } else { self.schedule.due_ns };
        due_ns.max(self.not_before_ns)
    }

    /// Counts an attempt. The delay until the next attempt grows with the number of failures.
    fn count_try(&mut self, now_ns: i64) {
        self.failures = self.failures.saturating_add(1);
        let wait_ns = JOB_RETRY_NS.saturating_mul(1 << self.failures.min(10));
        self.not_before_ns = now_ns.saturating_add(wait_ns.min(BACKUP_RETRY_NS_MAX));
    }

    pub(super) fn take(&mut self, now_ns: i64, done: PassDone) {
        let schedule = &mut self.schedule;
        schedule.made = done.made;
        let last = schedule.last_success.as_ref().map(|last| last.begun_s);
        if let Some(begun_s) = done.complete_begun_s.filter(|begun_s| Some(*begun_s) != last) {
            schedule.last_success = Some(ScheduledSuccess { begun_s, at_ns: now_ns });
        }
        self.failures = 0;
        self.not_before_ns = now_ns.saturating_add(BACKUP_PASS_NS);
        if !done.needs_pass {
            schedule.attempt_ns = None;
            let begun_s = done.complete_begun_s.and_then(|begun_s| i64::try_from(begun_s).ok());
            let begun_ns = begun_s.map_or(now_ns, |begun_s| begun_s.saturating_mul(S_NS));
            // After a long pause, the schedule makes one backup instead of all missed backups.
            schedule.due_ns = begun_ns.saturating_add(schedule.settings.every_ns).max(now_ns);
        }
    }
}
