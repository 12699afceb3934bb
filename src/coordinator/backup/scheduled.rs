//! One pass of a database's schedule: it looks at what the place has and does the one piece of work
//! that comes first, as one request of a client would.
//!
//! ```text
//! a backup is being deleted     its deletion goes on
//! somebody's mark says begun     that backup goes on, whoever has begun it
//! more of its own than it keeps the oldest of them is deleted: newer ones are whole
//! none since the attempt began  one is begun
//! otherwise                     the attempt is over
//! ```

use super::error::BackupError;
use super::{BackUp, BackupId, DeleteBackup, ListBackups, ListedBackup};
use crate::coordinator::error::Error;
use crate::coordinator::{Context, RoundMachine, Turn};
use crate::protocol::backup_schedule::{BackupSchedule, DuePass, PassDone};
use crate::protocol::round::{Next, Replies, Round};

/// A pass in progress.
#[derive(Debug)]
pub struct ScheduledPass {
    database: String,
    schedule: BackupSchedule,
    stage: Stage,
    done: PassDone,
    round: Round,
}

#[derive(Debug)]
enum Stage {
    List(ListBackups),
    Make(Box<BackUp>),
    Delete(DeleteBackup),
}

impl ScheduledPass {
    /// Of what is due.
    pub fn new(due: DuePass) -> Self {
        let DuePass { database, schedule } = due;
        let stage = Stage::List(ListBackups::new(&database));
        Self { database, schedule, stage, done: PassDone::default(), round: Round::default() }
    }

    /// What comes first; `None`: nothing is left to do.
    fn choose(&mut self, found: &[ListedBackup]) -> Option<Stage> {
        let own = |backup: &&ListedBackup| self.schedule.owns(backup.id.begun_s);
        let kept = || found.iter().filter(own).filter(|backup| !backup.is_going);
        self.done.made = kept().map(|backup| backup.id.begun_s).collect();
        let whole: Vec<&BackupId> =
            kept().filter(|backup| backup.is_whole).map(|backup| &backup.id).collect();
        let of_attempt = |id: &&&BackupId| Some(id.begun_s) >= self.schedule.attempt_s();
        self.done.whole = whole.last().filter(of_attempt).map(|id| id.begun_s);
        self.done.goes_on = true;
        if let Some(going) = found.iter().find(|backup| backup.is_going) {
            return Some(Stage::Delete(DeleteBackup::new(going.id.clone())));
        }
        if found.iter().any(|backup| backup.is_begun) {
            return Some(self.make());
        }
        // The last one always stays: `keep` is at least one.
        let keep = (self.schedule.settings.keep as usize).max(1);
        if let Some(oldest) = whole.first().filter(|_| whole.len() > keep) {
            return Some(Stage::Delete(DeleteBackup::new((*oldest).clone())));
        }
        if self.done.whole.is_none() {
            return Some(self.make());
        }
        self.done.goes_on = false;
        None
    }

    fn make(&self) -> Stage {
        Stage::Make(Box::new(BackUp::new(&self.database)))
    }

    fn end(&mut self) -> Turn<PassDone> {
        Ok(Next::Reply(std::mem::take(&mut self.done)))
    }
}

impl RoundMachine for ScheduledPass {
    type Reply = PassDone;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<PassDone> {
        loop {
            let replies = std::mem::take(&mut replies);
            match &mut self.stage {
                Stage::List(machine) => match machine.go_on(context, replies)? {
                    Next::Calls(requests) => return Ok(Next::Calls(requests)),
                    Next::Reply(found) => match self.choose(&found) {
                        Some(stage) => self.stage = stage,
                        None => return self.end(),
                    },
                },
                Stage::Make(machine) => match machine.go_on(context, replies) {
                    Ok(Next::Calls(requests)) => return Ok(Next::Calls(requests)),
                    Ok(Next::Reply(made)) => {
                        let begun_s = made.id.begun_s;
                        if self.schedule.owns(begun_s) && !self.done.made.contains(&begun_s) {
                            self.done.made.push(begun_s);
                        }
                        return self.end();
                    }
                    // It is no backup and never will be: another one can only be begun without it.
                    Err(Error::Backup(BackupError::Unfinishable { id, .. })) => {
                        let id = BackupId::parse(&id).ok_or_else(Error::unexpected_reply)?;
                        self.stage = Stage::Delete(DeleteBackup::new(id));
                    }
                    Err(error) => return Err(error),
                },
                Stage::Delete(machine) => match machine.go_on(context, replies)? {
                    Next::Calls(requests) => return Ok(Next::Calls(requests)),
                    Next::Reply(_) => return self.end(),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::S_NS;
    use crate::protocol::backup_schedule::ScheduleSettings;

    fn pass(keep: u32, attempt_s: i64, made: &[u64]) -> ScheduledPass {
        let settings = ScheduleSettings { every_ns: S_NS, keep };
        let schedule = BackupSchedule {
            attempt_ns: Some(attempt_s * S_NS + 5),
            made: made.to_vec(),
            ..BackupSchedule::new(settings, 0)
        };
        ScheduledPass::new(DuePass { database: "d".to_owned(), schedule })
    }

    /// What comes first where these are: `w` is whole, `u` unfinished, `g` being deleted, `b` whole
    /// with the mark of its maker.
    fn first(pass: &mut ScheduledPass, found: &[(u64, char)]) -> String {
        let listed = |&(begun_s, state): &(u64, char)| {
            let id = BackupId { database: "d".to_owned(), begun_s };
            let is_begun = matches!(state, 'u' | 'b');
            ListedBackup {
                id,
                is_whole: matches!(state, 'w' | 'b'),
                is_begun,
                is_going: state == 'g',
            }
        };
        let found: Vec<ListedBackup> = found.iter().map(listed).collect();
        match pass.choose(&found) {
            None => "over".to_owned(),
            Some(Stage::Make(_)) => "make".to_owned(),
            Some(Stage::List(_)) => "list".to_owned(),
            Some(Stage::Delete(machine)) => format!("delete {}", machine.id()),
        }
    }

    #[test]
    fn one_piece_of_work_comes_first() {
        for (keep, made, found, first_of_all) in [
            (1, &[][..], &[][..], "make"),
            (1, &[3], &[(3, 'w')], "make"),
            (1, &[3], &[(3, 'w'), (9, 'w')], "delete d.3"),
            (2, &[3], &[(3, 'w'), (9, 'w')], "over"),
            // What others have made counts for nothing and stays.
            (1, &[], &[(2, 'w'), (3, 'w')], "make"),
            (1, &[], &[(2, 'w'), (3, 'w'), (9, 'w')], "over"),
            // Before anything is deleted that which is unfinished is finished.
            (1, &[2, 3], &[(2, 'w'), (3, 'w'), (4, 'u')], "make"),
            (1, &[3], &[(3, 'w'), (9, 'b')], "make"),
            (1, &[2, 3], &[(2, 'w'), (3, 'g'), (9, 'w')], "delete d.3"),
            (1, &[2, 3], &[(2, 'w'), (3, 'w')], "delete d.2"),
            // A schedule of none would be one of one.
            (0, &[9], &[(9, 'w')], "over"),
        ] {
            assert_eq!(first(&mut pass(keep, 9, made), found), first_of_all, "{keep} {found:?}");
        }
    }

    #[test]
    fn what_a_crash_kept_from_being_noted_is_found_again() {
        let mut pass = pass(2, 9, &[3]);
        assert_eq!(first(&mut pass, &[(2, 'w'), (3, 'w'), (9, 'u')]), "make");
        assert_eq!((pass.done.made.as_slice(), pass.done.whole), (&[3, 9][..], None));
        assert_eq!(first(&mut pass, &[(2, 'w'), (3, 'w'), (10, 'w')]), "over");
        assert_eq!((pass.done.made.as_slice(), pass.done.whole), (&[3, 10][..], Some(10)));
    }
}
