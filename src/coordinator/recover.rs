//! Asks the Catalog to take a database back in time, or how far that is.

use super::error::Error;
use super::single_call::SingleCall;
use super::{Context, RoundMachine, Turn};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::recovery::{RecoveryRequest, RecoveryStatus};
use crate::protocol::round::{Next, Replies, Round};

/// A question in progress. Its reply is how far the recovery is; `None` where there was none.
#[derive(Debug)]
pub struct Recover {
    database: String,
    call: SingleCall,
    round: Round,
}

impl Recover {
    /// Has a database go back. A repeat says how far that is.
    pub fn begin(request: RecoveryRequest) -> Self {
        Self::with(request.name.clone(), &ToCatalog::Recover(request))
    }

    /// Asks how far the last recovery of a database is.
    pub fn show(database: &str) -> Self {
        Self::with(database.to_owned(), &ToCatalog::Recovery { name: database.to_owned() })
    }

    fn with(database: String, message: &ToCatalog) -> Self {
        Self { database, call: SingleCall::catalog(message), round: Round::default() }
    }
}

impl RoundMachine for Recover {
    type Reply = Option<RecoveryStatus>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<Self::Reply> {
        let reply = match self.call.go_on(context, replies)? {
            Next::Calls(requests) => return Ok(Next::Calls(requests)),
            Next::Reply(reply) => reply,
        };
        // Whatever became of it, what this isolate remembers may be wrong now.
        context.cache.forget(&self.database);
        match envelope::decode_reply::<FromCatalog>(Ok(reply))? {
            FromCatalog::Recovery(status) => Ok(Next::Reply(status)),
            FromCatalog::Refused(refusal) => Err(Error::Catalog(refusal)),
            FromCatalog::Unavailable(why) => Err(why.into()),
            _ => Err(Error::unexpected_reply()),
        }
    }
}
