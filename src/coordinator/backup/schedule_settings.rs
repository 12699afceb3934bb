//! Reads or changes a database's schedule of backups.

use crate::coordinator::Task;
use crate::coordinator::error::Error;
use crate::coordinator::single_call::call_database;
use crate::protocol::backup_schedule::{BackupSchedule, ScheduleSettings};
use crate::protocol::database::{FromDatabase, ToDatabase};

/// Returns the schedule of a database.
pub fn show_schedule(database: &str) -> Task<Option<BackupSchedule>> {
    call(database, ToDatabase::BackupSchedule)
}

/// Sets or removes a database's schedule of backups. Returns the new schedule.
pub fn set_schedule(
    database: &str,
    settings: Option<ScheduleSettings>,
) -> Task<Option<BackupSchedule>> {
    call(database, ToDatabase::SetBackupSchedule(settings))
}

fn call(database: &str, message: ToDatabase) -> Task<Option<BackupSchedule>> {
    let database = database.to_owned();
    Task::new(|io| async move {
        match call_database(&io, &database, &message).await? {
            FromDatabase::BackupSchedule(schedule) => Ok(schedule.map(|schedule| *schedule)),
            _ => Err(Error::unexpected_reply()),
        }
    })
}
