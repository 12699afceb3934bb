//! One message to the Catalog or to a Database that is known by its name, and its reply.

use super::error::Error;
use super::load::{Load, Progress, Want};
use super::{Context, Machine};
use crate::protocol::call::{Address, Reply, Step};
use crate::protocol::catalog::ToCatalog;
use crate::protocol::database::ToDatabase;
use crate::protocol::envelope;
use crate::protocol::round::{Request, Round};

/// A message under way. Answers with the reply's bytes.
#[derive(Debug)]
pub(super) struct Ask {
    /// Until the database is found.
    load: Option<Load>,
    /// Once it is sent it is empty.
    message: Vec<u8>,
    round: Round,
}

impl Ask {
    pub(super) fn catalog(message: &ToCatalog) -> Self {
        Self { load: None, message: envelope::encode(message), round: Round::default() }
    }

    /// The Catalog is asked which object the database is.
    pub(super) fn database(name: &str, message: &ToDatabase) -> Self {
        let load = Some(Load::from_owner(name, Want::Nothing));
        Self { load, message: envelope::encode(message), round: Round::default() }
    }

    fn send(&mut self, to: Address) -> Step<Result<Vec<u8>, Error>> {
        let message = std::mem::take(&mut self.message);
        Step::Calls(self.round.start(vec![Request::new(to, message)]))
    }
}

impl Machine for Ask {
    type Answer = Result<Vec<u8>, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let Some(mut replies) = self.round.resume(reply) else { return Step::Calls(Vec::new()) };
        let reply = replies.pop();
        let Some(load) = &mut self.load else {
            return match reply {
                None => self.send(Address::Catalog),
                Some(reply) => Step::Done(reply.map_err(Error::from)),
            };
        };
        match load.step(context, reply) {
            Progress::Ask(request) => Step::Calls(self.round.start(vec![request])),
            Progress::Ready(Err(error)) => Step::Done(Err(error)),
            Progress::Ready(Ok(loaded)) => {
                self.load = None;
                self.send(Address::Database(loaded.object))
            }
        }
    }
}
