//! Backups that a Database makes by itself: how often, how many stay, and how that went.
//!
//! A Database cannot reach the place that backups are kept in. It knows when the next pass is due;
//! the host around it (see `coordinator::continuous`) does one bounded piece of work and says what
//! came of it. What is under way is stored before its first call goes out, so a pass that a crash
//! interrupts is taken up again, by whoever lives next.

use serde::{Deserialize, Serialize};

use super::call::Platform;
use super::host::Host;
use crate::model::time::S_NS;

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSettings {
    /// From the beginning of one backup to that of the next, nanoseconds.
    pub every_ns: i64,
    /// How many whole backups of the schedule stay; older ones go.
    pub keep: u32,
}

/// A schedule and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSchedule {
    /// What was asked for.
    pub settings: ScheduleSettings,
    /// When the next backup is due, nanoseconds.
    pub due_ns: i64,
    /// When the one under way was taken up, nanoseconds; `None` between two.
    pub attempt_ns: Option<i64>,
    /// The backups of the schedule that are there, whole or not: when each was begun, seconds,
    /// ascending. No other one is ever deleted by it.
    pub made: Vec<u64>,
    /// The last backup that is whole.
    pub last_success: Option<ScheduledSuccess>,
    /// The last pass that failed. It says nothing of those after it.
    pub last_failure: Option<ScheduledFailure>,
}

/// A backup of a schedule that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledSuccess {
    /// When it was begun, seconds: with the database's name that is which.
    pub begun_s: u64,
    /// When it was seen to be whole, nanoseconds.
    pub at_ns: i64,
}

/// A pass that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledFailure {
    /// When, nanoseconds.
    pub at_ns: i64,
    /// Why, in words.
    pub why: String,
}

impl BackupSchedule {
    /// A schedule whose first backup is due at once.
    pub fn new(settings: ScheduleSettings, now_ns: i64) -> Self {
        Self {
            settings,
            due_ns: now_ns,
            attempt_ns: None,
            made: Vec::new(),
            last_success: None,
            last_failure: None,
        }
    }

    /// When the attempt under way was begun, seconds.
    pub fn attempt_s(&self) -> Option<u64> {
        u64::try_from(self.attempt_ns? / S_NS).ok()
    }

    /// Whether a backup is the schedule's own: it is known as such, or was begun since the attempt
    /// under way, which a crash may have kept from saying so.
    pub fn owns(&self, begun_s: u64) -> bool {
        self.made.contains(&begun_s) || self.attempt_s().is_some_and(|from_s| begun_s >= from_s)
    }
}

/// A pass that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuePass {
    /// Whose schedule it is.
    pub database: String,
    /// The schedule, an attempt under way.
    pub schedule: BackupSchedule,
}

/// What a pass found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassDone {
    /// As [`BackupSchedule::made`].
    pub made: Vec<u64>,
    /// The whole backup of the attempt, if there is one: when it was begun, seconds.
    pub whole: Option<u64>,
    /// There is more to do for this attempt.
    pub goes_on: bool,
}

/// A [`Host`] that has itself backed up.
pub trait BackedUp: Host {
    /// The pass that is due, if any; none while the caller is `busy`. It counts as tried and is due
    /// again later, unless [`BackedUp::passed`] says otherwise.
    fn due_pass(&mut self, platform: &dyn Platform, busy: bool) -> Option<DuePass>;

    /// A pass came to its end: what it did, or why it failed, in words.
    fn passed(&mut self, platform: &dyn Platform, end: Result<PassDone, String>);
}
