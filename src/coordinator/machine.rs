//! Defines requests in progress (machines) and the code that runs all machines.

use super::cache::Cache;
use super::error::Result;
use crate::admission::QueryMemory;
use crate::model::bug;
use crate::protocol::call::{Platform, Reply, Step};
use crate::protocol::round::{Next, Replies, Round};

/// The resources of a machine during a step. The machine borrows these resources only for the step,
/// because an isolate's machines run concurrently and share the cache.
pub struct Context<'a> {
    /// The isolate's cache.
    pub cache: &'a mut Cache,
    /// The memory for queries.
    pub queries: &'a QueryMemory,
    /// The clock and the source of randomness.
    pub platform: &'a dyn Platform,
    /// The number of the request's earlier calls that count against the platform's limit.
    pub calls: usize,
}

/// The host's view of a request in progress. The host makes the request's calls.
pub trait Machine {
    /// The result.
    type Output;

    /// Continues the request. `reply` is the reply to one of the request's calls. `None` starts the
    /// request. If the machine's documentation says so, `None` also requests the next piece.
    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Output>;
}

/// The result of a machine's turn: further calls, a reply, or an error.
pub type Turn<T> = Result<Next<T>>;

/// A request in progress, as its own module implements it. The request makes several calls
/// together. Its next turn follows after the replies to all of these calls.
pub trait RoundMachine {
    /// The result of a successful request.
    type Reply;

    /// Returns the calls in progress. Only the driver uses these calls, and only for the outermost
    /// machine. The outer machine runs an inner machine by [`RoundMachine::take_turn`].
    fn round(&mut self) -> &mut Round;

    /// Runs one turn. `replies` contains the replies to the calls of the previous turn, in the
    /// order of the calls. `replies` is empty at the start and when the host requests the next
    /// piece.
    fn take_turn(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<Self::Reply>;
}

impl<M: RoundMachine> Machine for M {
    type Output = Result<M::Reply>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Output> {
        let Some(replies) = self.round().resume(reply) else { return Step::Calls(Vec::new()) };
        let turn = bug::catch(|| self.take_turn(context, replies));
        match turn.unwrap_or_else(|bug| Err(bug.into())) {
            Ok(Next::Calls(requests)) => Step::Calls(self.round().start(requests)),
            Ok(Next::Reply(reply)) => Step::Done(Ok(reply)),
            Err(error) => Step::Done(Err(error)),
        }
    }
}
