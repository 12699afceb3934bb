//! Defines the row of a database's backup schedule, and the due time of the next pass.

use crate::model::limits::{BACKUP_PASS_NS, BACKUP_RETRY_NS_MAX, JOB_RETRY_NS};
use crate::model::time::S_NS;
use crate::protocol::backup_schedule::{BackupSchedule, PassDone, ScheduledSuccess};

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
    pub(super) fn count_try(&mut self, now_ns: i64) {
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
