//! What a request in progress is, and the one driver of all of them.

use super::cache::Cache;
use super::error::Error;
use crate::admission::QueryMemory;
use crate::protocol::call::{Platform, Reply, Step};
use crate::protocol::round::{Next, Replies, Round};

/// What a machine may use while it steps. It is borrowed for the step only: many machines of one
/// isolate are in flight and share the cache.
pub struct Context<'a> {
    /// The isolate's cache.
    pub cache: &'a mut Cache,
    /// What queries may hold.
    pub queries: &'a QueryMemory,
    /// Time and randomness.
    pub platform: &'a dyn Platform,
}

/// One request in progress, as those see it who make its calls.
pub trait Machine {
    /// What it comes to.
    type Answer;

    /// Goes on: with `None` to start (and, where the machine says so, for its next piece), else
    /// with the reply to one of its calls.
    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer>;
}

/// What a turn of a machine comes to: further calls or its reply, unless it failed.
pub type Turn<T> = Result<Next<T>, Error>;

/// One request in progress, as its file writes it: it asks several objects together and takes its
/// next turn when all of them have answered.
pub trait RoundMachine {
    /// What it comes to when nothing fails.
    type Reply;

    /// The calls in flight. Only the driver touches them, and only those of the outermost machine:
    /// a machine inside another one takes its turns by [`RoundMachine::go_on`].
    fn round(&mut self) -> &mut Round;

    /// Takes a turn. `replies` are those to the calls of the turn before, in their order; there are
    /// none at the start and when the next piece is wanted.
    ///
    /// # Errors
    /// Why the request failed, which ends it.
    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<Self::Reply>;
}

impl<M: RoundMachine> Machine for M {
    type Answer = Result<M::Reply, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let Some(replies) = self.round().resume(reply) else { return Step::Calls(Vec::new()) };
        match self.go_on(context, replies) {
            Ok(Next::Calls(requests)) => Step::Calls(self.round().start(requests)),
            Ok(Next::Reply(reply)) => Step::Done(Ok(reply)),
            Err(error) => Step::Done(Err(error)),
        }
    }
}
