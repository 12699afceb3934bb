//! Sends one message to the Catalog, or to a Database that is known by its name, and brings its
//! reply.

use super::error::Error;
use super::load_schemas::{Load, Want};
use super::{Context, RoundMachine, Turn};
use crate::protocol::call::Address;
use crate::protocol::catalog::ToCatalog;
use crate::protocol::database::ToDatabase;
use crate::protocol::envelope;
use crate::protocol::round::{Next, Replies, Request, Round};

/// A message under way. Its reply is the bytes of the object's reply.
#[derive(Debug)]
pub(super) struct SingleCall {
    /// Until the database is found.
    load: Option<Load>,
    /// Once it is sent it is empty.
    message: Vec<u8>,
    round: Round,
}

impl SingleCall {
    pub(super) fn catalog(message: &ToCatalog) -> Self {
        Self { load: None, message: envelope::encode(message), round: Round::default() }
    }

    /// The Catalog is asked which object the database is.
    pub(super) fn database(name: &str, message: &ToDatabase) -> Self {
        let load = Some(Load::from_owner(name, Want::Nothing));
        Self { load, message: envelope::encode(message), round: Round::default() }
    }

    fn send(&mut self, to: Address) -> Next<Vec<u8>> {
        let message = std::mem::take(&mut self.message);
        Next::Calls(vec![Request::new(to, message)])
    }
}

impl RoundMachine for SingleCall {
    type Reply = Vec<u8>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<Vec<u8>> {
        let Some(load) = &mut self.load else {
            return match replies.pop() {
                None => Ok(self.send(Address::Catalog)),
                Some(reply) => reply.map(Next::Reply).map_err(Error::from),
            };
        };
        match load.go_on(context, replies)? {
            Next::Calls(requests) => Ok(Next::Calls(requests)),
            Next::Reply(loaded) => {
                self.load = None;
                Ok(self.send(Address::Database(loaded.object)))
            }
        }
    }
}
