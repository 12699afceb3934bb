//! Scheduled backups of a Database.
//!
//! A *pass* does as much work as one HTTP request, so a backup can need several passes. A Database
//! determines when a pass is due. `coordinator::continuous` performs the pass and reports the
//! result. The Database stores the attempt before the first pass, and therefore continues the
//! attempt after a crash.

use serde::{Deserialize, Serialize};

use tidemark_model::time::S_NS;

/// The settings of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSettings {
    /// The interval between the starts of two backups, in nanoseconds.
    pub every_ns: i64,
    /// The number of complete backups to keep. The schedule deletes older backups.
    pub keep: u32,
}

/// A schedule and its results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSchedule {
    /// The settings.
    pub settings: ScheduleSettings,
    /// The due time of the next backup, in nanoseconds.
    pub due_ns: i64,
    /// The start of the current attempt, in nanoseconds, or `None` between two backups.
    pub attempt_ns: Option<i64>,
    /// The start times, in seconds and ascending, of the schedule's existing backups.
    pub made: Vec<u64>,
    /// The last complete backup.
    pub last_success: Option<ScheduledSuccess>,
    /// The last failed pass. Passes after this failure may have succeeded.
    pub last_failure: Option<ScheduledFailure>,
}

/// A complete backup of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledSuccess {
    /// The start time in seconds. The start time and the database's name identify the backup.
    pub begun_s: u64,
    /// The time at which the last pass of the backup ended, in nanoseconds.
    pub at_ns: i64,
}

/// A pass that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledFailure {
    /// The time, in nanoseconds.
    pub at_ns: i64,
    /// The error message, `why` in JSON.
    #[serde(rename = "why")]
    pub reason: String,
}

impl BackupSchedule {
    /// Creates a schedule whose first backup is due immediately.
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

    /// Returns the start of the current attempt, in seconds.
    pub fn attempt_s(&self) -> Option<u64> {
        u64::try_from(self.attempt_ns? / S_NS).ok()
    }

    /// Whether the schedule made this backup. A backup that began after the start of the current
    /// attempt may be missing in `made` because of a crash.
    pub fn owns(&self, begun_s: u64) -> bool {
        self.made.contains(&begun_s) || self.attempt_s().is_some_and(|from_s| begun_s >= from_s)
    }
}

/// A pass that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuePass {
    /// The name of the schedule's database.
    pub database: String,
    /// The schedule with its current attempt.
    pub schedule: BackupSchedule,
}

/// The result of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassDone {
    /// The existing backups of the schedule, as in [`BackupSchedule::made`].
    pub made: Vec<u64>,
    /// The start time, in seconds, of the attempt's backup, if the backup is complete.
    pub complete_begun_s: Option<u64>,
    /// Whether the attempt needs another pass.
    pub needs_pass: bool,
}
