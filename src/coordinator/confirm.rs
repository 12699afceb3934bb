//! Tells the Catalog, once an answer is sent, whom this isolate has let in, and hears what it says
//! of that one by now.
//!
//! Two things rest on it. The Catalog notes the day on which a token was used. And a right ends
//! here even where the database could not be told of it (PROTOCOL.md rule 11), see
//! [`super::confirmations`]. No request waits for it, and a Catalog that is lost changes nothing.

use std::rc::Rc;

use super::error::Error;
use super::grants::Caller;
use super::{Context, RoundMachine, Turn};
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::round::{Next, Replies, Round};

/// A caller about whom the Catalog is asked, unless it was lately.
#[derive(Debug)]
pub struct Confirm {
    caller: Rc<Caller>,
    round: Round,
}

impl Confirm {
    /// Prepares the question. Its reply is nothing.
    pub fn new(caller: Rc<Caller>) -> Self {
        Self { caller, round: Round::default() }
    }
}

impl RoundMachine for Confirm {
    type Reply = ();

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<()> {
        let (now_ns, callers) = (context.platform.now_ns(), &mut context.cache.callers);
        let Some(reply) = replies.pop() else {
            if !callers.confirmed.begin(&self.caller.key, now_ns) {
                return Ok(Next::Reply(()));
            }
            let keys = vec![self.caller.key.clone()];
            return Ok(Next::call(Address::Catalog, &ToCatalog::Met { keys }));
        };
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Identified { found, .. } => {
                callers.confirm(&self.caller, found.first(), now_ns);
                Ok(Next::Reply(()))
            }
            FromCatalog::Unavailable(why) => Err(why.into()),
            _ => Err(Error::unexpected_reply()),
        }
    }
}
