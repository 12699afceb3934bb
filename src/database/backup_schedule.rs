//! Stores a database's backup schedule, and computes the due time of the next pass. The schedule
//! has a separate `state` row. The Database writes this row when a backup starts, when a backup is
//! complete and when a pass fails, but not for each step of a backup.

use super::object::{Database, Result};
use super::rows::{DatabaseRows, DatabaseStage, SCHEDULE};
use crate::model::limits::{
    BACKUP_PASS_NS, BACKUP_RETRY_NS_MAX, JOB_FAILURES_MAX, JOB_RETRY_NS, SCHEDULE_REASON_BYTES_MAX,
};
use crate::model::time::S_NS;
use crate::protocol::backup_schedule::{
    BackedUp, BackupSchedule, DuePass, PassDone, ScheduleSettings, ScheduledFailure,
    ScheduledSuccess,
};
use crate::protocol::call::Platform;
use crate::protocol::database::FromDatabase;
use crate::store::{Store, StoreResult};

pub(super) fn problem(rows: &DatabaseRows) -> Option<String> {
    let row = rows.schedule.as_ref().filter(|row| row.failures > JOB_FAILURES_MAX)?;
    let reason = row.schedule.last_failure.as_ref().map_or("", |failure| failure.reason.as_str());
    Some(format!("scheduled backups fail: {reason}"))
}

/// Returns the completion time of the last scheduled backup, in nanoseconds; 0 before the first
/// backup.
pub(super) fn last_ns(rows: &DatabaseRows) -> Option<i64> {
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

impl<S: Store> BackedUp for Database<S> {
    fn due_pass(&mut self, platform: &dyn Platform, busy: bool) -> Option<DuePass> {
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

    fn passed(&mut self, platform: &dyn Platform, end: Result<PassDone, String>) {
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
pub struct ScheduleRow {
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
        if let Some(begun_s) = done.whole.filter(|begun_s| Some(*begun_s) != last) {
            schedule.last_success = Some(ScheduledSuccess { begun_s, at_ns: now_ns });
        }
        self.failures = 0;
        self.not_before_ns = now_ns.saturating_add(BACKUP_PASS_NS);
        if !done.goes_on {
            schedule.attempt_ns = None;
            let begun_s = done.whole.and_then(|begun_s| i64::try_from(begun_s).ok());
            let begun_ns = begun_s.map_or(now_ns, |begun_s| begun_s.saturating_mul(S_NS));
            // After a long pause, the schedule makes one backup instead of all missed backups.
            schedule.due_ns = begun_ns.saturating_add(schedule.settings.every_ns).max(now_ns);
        }
    }
}
