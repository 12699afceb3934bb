//! Asks a Database for its schedule of backups, or gives it another one.

use crate::coordinator::error::Error;
use crate::coordinator::single_call::SingleCall;
use crate::coordinator::{Context, RoundMachine, Turn};
use crate::protocol::backup_schedule::{BackupSchedule, ScheduleSettings};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::{Next, Replies, Round};

/// A question in progress. Its reply is the schedule that there is afterwards.
#[derive(Debug)]
pub struct AskSchedule {
    database: String,
    call: SingleCall,
    round: Round,
}

impl AskSchedule {
    /// Asks for the schedule of a database.
    pub fn show(database: &str) -> Self {
        Self::with(database, &ToDatabase::BackupSchedule)
    }

    /// Gives a database another schedule, or none.
    pub fn set(database: &str, settings: Option<ScheduleSettings>) -> Self {
        Self::with(database, &ToDatabase::SetBackupSchedule(settings))
    }

    fn with(database: &str, message: &ToDatabase) -> Self {
        let call = SingleCall::database(database, message);
        Self { database: database.to_owned(), call, round: Round::default() }
    }
}

impl RoundMachine for AskSchedule {
    type Reply = Option<BackupSchedule>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<Self::Reply> {
        let reply = match self.call.go_on(context, replies)? {
            Next::Calls(requests) => return Ok(Next::Calls(requests)),
            Next::Reply(reply) => reply,
        };
        match envelope::decode_reply::<FromDatabase>(Ok(reply))? {
            FromDatabase::BackupSchedule(schedule) => {
                Ok(Next::Reply(schedule.map(|schedule| *schedule)))
            }
            FromDatabase::NotOpen => Err(Error::DatabaseNotFound(self.database.clone())),
            FromDatabase::Unavailable(why) => Err(why.into()),
            _ => Err(Error::unexpected_reply()),
        }
    }
}
