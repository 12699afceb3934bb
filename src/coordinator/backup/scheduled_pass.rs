//! Runs one pass of a database's schedule of backups. A pass lists the backups and executes the
//! first task in this list whose condition is true. The pass does as much of the task as one
//! request of a client:
//!
//! ```text
//! a backup is being deleted                      continue the deletion
//! a backup is unfinished                         continue the backup, even if a client began it
//! the schedule has more backups than it keeps    delete the schedule's oldest backup
//! the attempt has made no complete backup        begin a backup
//! otherwise                                      end the attempt
//! ```

use super::copying::back_up;
use super::deleting::delete_backup;
use super::error::BackupError;
use super::listing::{ListedBackup, list_backups};
use super::place::BackupId;
use crate::coordinator::Task;
use crate::coordinator::error::Error;
use crate::protocol::backup_schedule::{BackupSchedule, DuePass, PassDone};

/// Runs a pass of the schedule.
pub fn scheduled_pass(due: DuePass) -> Task<PassDone> {
    let DuePass { database, schedule } = due;
    Task::new(|io| async move {
        let found = io.run(list_backups(&database)).await?;
        let (mut done, work) = choose(&schedule, &found);
        match work {
            Work::Nothing => {}
            Work::Delete(id) => {
                io.run(delete_backup(id)).await?;
            }
            Work::BackupTask => match io.run(back_up(&database)).await {
                Ok(made) => {
                    let begun_s = made.id.begun_s;
                    if schedule.owns(begun_s) && !done.made.contains(&begun_s) {
                        done.made.push(begun_s);
                    }
                }
                // No new backup can begin before this backup is deleted.
                Err(Error::Backup(BackupError::Unfinishable { id, .. })) => {
                    let id = BackupId::parse(&id).ok_or_else(Error::unexpected_reply)?;
                    io.run(delete_backup(id)).await?;
                }
                Err(error) => return Err(error),
            },
        }
        Ok(done)
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Work {
    Nothing,
    BackupTask,
    Delete(BackupId),
}

fn choose(schedule: &BackupSchedule, found: &[ListedBackup]) -> (PassDone, Work) {
    let own = |backup: &&ListedBackup| schedule.owns(backup.id.begun_s);
    let kept = || found.iter().filter(own).filter(|backup| !backup.is_going);
    let whole: Vec<&BackupId> =
        kept().filter(|backup| backup.is_whole).map(|backup| &backup.id).collect();
    let of_attempt = |id: &&&BackupId| Some(id.begun_s) >= schedule.attempt_s();
    // The last backup is never deleted, because `keep` is at least 1.
    let keep = (schedule.settings.keep as usize).max(1);
    let mut done = PassDone {
        made: kept().map(|backup| backup.id.begun_s).collect(),
        whole: whole.last().filter(of_attempt).map(|id| id.begun_s),
        ..PassDone::default()
    };
    let work = if let Some(going) = found.iter().find(|backup| backup.is_going) {
        Work::Delete(going.id.clone())
    } else if found.iter().any(|backup| backup.is_begun) {
        Work::BackupTask
    } else if let Some(oldest) = whole.first().filter(|_| whole.len() > keep) {
        Work::Delete((*oldest).clone())
    } else if done.whole.is_none() {
        Work::BackupTask
    } else {
        Work::Nothing
    };
    done.goes_on = work != Work::Nothing;
    (done, work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::S_NS;
    use crate::protocol::backup_schedule::ScheduleSettings;

    fn schedule(keep: u32, attempt_s: i64, made: &[u64]) -> BackupSchedule {
        let settings = ScheduleSettings { every_ns: S_NS, keep };
        BackupSchedule {
            attempt_ns: Some(attempt_s * S_NS + 5),
            made: made.to_vec(),
            ..BackupSchedule::new(settings, 0)
        }
    }

    /// Chooses among backups in these states: `w` is whole, `u` unfinished, `g` being deleted, `b`
    /// whole with the mark of its maker.
    fn first(schedule: &BackupSchedule, found: &[(u64, char)]) -> (PassDone, String) {
        let listed = |&(begun_s, state): &(u64, char)| ListedBackup {
            id: BackupId { database: "d".to_owned(), begun_s },
            is_whole: matches!(state, 'w' | 'b'),
            is_begun: matches!(state, 'u' | 'b'),
            is_going: state == 'g',
        };
        let found: Vec<ListedBackup> = found.iter().map(listed).collect();
        let (done, work) = choose(schedule, &found);
        let work = match work {
            Work::Nothing => "over".to_owned(),
            Work::BackupTask => "make".to_owned(),
            Work::Delete(id) => format!("delete {id}"),
        };
        (done, work)
    }

    #[test]
    fn scheduled_backup_chooses_next_action() {
        for (keep, made, found, first_of_all) in [
            (1, &[][..], &[][..], "make"),
            (1, &[3], &[(3, 'w')], "make"),
            (1, &[3], &[(3, 'w'), (9, 'w')], "delete d.3"),
            (2, &[3], &[(3, 'w'), (9, 'w')], "over"),
            // Backups that requests have made do not count for the schedule and are kept.
            (1, &[], &[(2, 'w'), (3, 'w')], "make"),
            (1, &[], &[(2, 'w'), (3, 'w'), (9, 'w')], "over"),
            // An unfinished backup is finished before any backup is deleted.
            (1, &[2, 3], &[(2, 'w'), (3, 'w'), (4, 'u')], "make"),
            (1, &[3], &[(3, 'w'), (9, 'b')], "make"),
            (1, &[2, 3], &[(2, 'w'), (3, 'g'), (9, 'w')], "delete d.3"),
            (1, &[2, 3], &[(2, 'w'), (3, 'w')], "delete d.2"),
            // `keep` = 0 acts as 1.
            (0, &[9], &[(9, 'w')], "over"),
        ] {
            let (_, work) = first(&schedule(keep, 9, made), found);
            assert_eq!(work, first_of_all, "{keep} {found:?}");
        }
    }

    #[test]
    fn unrecorded_backups_are_found_again() {
        let schedule = schedule(2, 9, &[3]);
        let (done, work) = first(&schedule, &[(2, 'w'), (3, 'w'), (9, 'u')]);
        assert_eq!((work.as_str(), done.made.as_slice(), done.whole), ("make", &[3, 9][..], None));
        let (done, work) = first(&schedule, &[(2, 'w'), (3, 'w'), (10, 'w')]);
        assert_eq!((work.as_str(), done.whole), ("over", Some(10)));
        assert_eq!(done.made, [3, 10]);
    }
}
