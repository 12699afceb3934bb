//! Runs the scheduled backups of a database.

use super::make_and_delete::{back_up, delete_backup};
use super::store::{BackupError, BackupId, ListedBackup, list_backups};
use crate::Io;
use crate::error::{Error, Result};
use tidemark_engine::protocol::backup_schedule::{BackupSchedule, DuePass, PassDone};

/// Runs one pass of a database's schedule of backups. A pass lists the backups and executes the
/// first task in this list whose condition is true. A pass executes at most as much of this task as
/// one client request to `/api/v3/backup` would:
///
/// ```text
/// a backup is being deleted                      continue the deletion
/// a backup is unfinished                         continue the backup, even if a client began it
/// the schedule has more backups than it keeps    delete the schedule's oldest backup
/// the attempt has made no complete backup        begin a backup
/// otherwise                                      end the attempt
/// ```
pub async fn scheduled_pass(io: &Io, due: DuePass) -> Result<PassDone> {
    let DuePass { database, schedule } = due;
    let found = list_backups(io, &database).await?;
    let (mut done, action) = choose_action(&schedule, &found);
    match action {
        PassAction::Nothing => {}
        PassAction::Delete(id) => {
            delete_backup(io, &id).await?;
        }
        PassAction::BackUp => match back_up(io, &database).await {
            Ok(made) => {
                let begun_s = made.id.begun_s;
                if schedule.owns(begun_s) && !done.made.contains(&begun_s) {
                    done.made.push(begun_s);
                }
            }
            // No new backup can begin before this backup is deleted.
            Err(Error::Backup(BackupError::Unfinishable { id, .. })) => {
                let id = BackupId::parse(&id).ok_or_else(Error::unexpected_reply)?;
                // Another request may have completed the backup and released its values.
                let found = list_backups(io, &database).await?;
                if !found.iter().any(|backup| backup.id == id && backup.is_whole) {
                    delete_backup(io, &id).await?;
                }
            }
            Err(error) => return Err(error),
        },
    }
    Ok(done)
}

#[derive(Debug, PartialEq, Eq)]
enum PassAction {
    Nothing,
    BackUp,
    Delete(BackupId),
}

fn choose_action(schedule: &BackupSchedule, found: &[ListedBackup]) -> (PassDone, PassAction) {
    let own = |backup: &&ListedBackup| schedule.owns(backup.id.begun_s);
    let kept = || found.iter().filter(own).filter(|backup| !backup.is_deleting);
    let complete: Vec<&BackupId> =
        kept().filter(|backup| backup.is_whole).map(|backup| &backup.id).collect();
    let of_attempt = |id: &&&BackupId| Some(id.begun_s) >= schedule.attempt_s();
    // The last backup is never deleted, because `keep` is at least 1.
    let keep = (schedule.settings.keep as usize).max(1);
    let mut done = PassDone {
        made: kept().map(|backup| backup.id.begun_s).collect(),
        complete_begun_s: complete.last().filter(of_attempt).map(|id| id.begun_s),
        ..PassDone::default()
    };
    let action = if let Some(deleting) = found.iter().find(|backup| backup.is_deleting) {
        PassAction::Delete(deleting.id.clone())
    } else if found.iter().any(|backup| backup.is_begun) {
        PassAction::BackUp
    } else if let Some(oldest) = complete.first().filter(|_| complete.len() > keep) {
        PassAction::Delete((*oldest).clone())
    } else if done.complete_begun_s.is_none() {
        PassAction::BackUp
    } else {
        PassAction::Nothing
    };
    done.needs_pass = action != PassAction::Nothing;
    (done, action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_engine::protocol::backup_schedule::ScheduleSettings;
    use tidemark_model::time::S_NS;

    fn schedule(keep: u32, attempt_s: i64, made: &[u64]) -> BackupSchedule {
        let settings = ScheduleSettings { every_ns: S_NS, keep };
        BackupSchedule {
            attempt_ns: Some(attempt_s * S_NS + 5),
            made: made.to_vec(),
            ..BackupSchedule::new(settings, 0)
        }
    }

    /// Chooses among backups in these states: `w` is complete, `u` unfinished, `g` being deleted,
    /// `b` complete with the mark of its maker.
    fn first(schedule: &BackupSchedule, found: &[(u64, char)]) -> (PassDone, String) {
        let listed = |&(begun_s, state): &(u64, char)| ListedBackup {
            id: BackupId { database: "d".to_owned(), begun_s },
            is_whole: matches!(state, 'w' | 'b'),
            is_begun: matches!(state, 'u' | 'b'),
            is_deleting: state == 'g',
        };
        let found: Vec<ListedBackup> = found.iter().map(listed).collect();
        let (done, action) = choose_action(schedule, &found);
        let action = match action {
            PassAction::Nothing => "over".to_owned(),
            PassAction::BackUp => "make".to_owned(),
            PassAction::Delete(id) => format!("delete {id}"),
        };
        (done, action)
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
            let (_, action) = first(&schedule(keep, 9, made), found);
            assert_eq!(action, first_of_all, "{keep} {found:?}");
        }
    }

    #[test]
    fn unrecorded_backups_are_found_again() {
        let schedule = schedule(2, 9, &[3]);
        let (done, action) = first(&schedule, &[(2, 'w'), (3, 'w'), (9, 'u')]);
        assert_eq!(
            (action.as_str(), done.made.as_slice(), done.complete_begun_s),
            ("make", &[3, 9][..], None)
        );
        let (done, action) = first(&schedule, &[(2, 'w'), (3, 'w'), (10, 'w')]);
        assert_eq!((action.as_str(), done.complete_begun_s), ("over", Some(10)));
        assert_eq!(done.made, [3, 10]);
    }
}
