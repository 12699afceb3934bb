//! Defines [`Machine`], a request in progress as a state machine, and runs an `async fn` as a
//! machine: [`Task`] has one result, and [`Pieces`] returns a stream.
//!
//! The function awaits `io.calls(requests)`, which passes the requests to the host and returns
//! their replies. There is no executor: [`Task::advance`](Machine::advance) polls the future
//! once for each round of replies. Dropping the task cancels the request.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{self, Poll, Waker};

use super::cache::Cache;
use super::error::{Error, Result};
use tidemark_engine::protocol::call::{Address, CallFailure, Platform, Reply, Step};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{FromDatabase, ToDatabase};
use tidemark_engine::protocol::envelope::{self, Wire};
use tidemark_engine::protocol::round::{CallResult, Next, Replies, Request, Round};
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_model::bug;
use tidemark_model::ids::ObjectId;
use tidemark_query::admission::QueryMemory;
use tidemark_query::work::{Work, proceed};

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

/// The result of [`Machine::advance`]: further calls, a reply, or an error.
pub type NextResult<T> = Result<Next<T>>;

/// A request in progress. Each round returns calls or a result. The host makes the calls of a round
/// at the same time, and the next round begins when all these calls have replies.
pub trait Machine {
    /// The result of a successful request.
    type Reply;

    /// Returns the calls of the last round, with the replies that have arrived. Only
    /// [`Machine::step`] uses this state. A machine that runs inside another machine does not need
    /// it, because the outer machine calls [`Machine::advance`].
    fn round(&mut self) -> &mut Round;

    /// Runs one round. `replies` contains the replies to the calls of the previous round, in the
    /// order of the calls. `replies` is empty at the start and when the host requests the next
    /// piece.
    fn advance(&mut self, context: &mut Context<'_>, replies: Replies) -> NextResult<Self::Reply>;

    /// Continues the request. The host makes the returned calls. `reply` is the reply to one of the
    /// request's calls. `None` starts the request. If the machine's documentation says so, `None`
    /// also requests the next piece.
    fn step(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Reply>,
    ) -> Step<Result<Self::Reply>> {
        let Some(replies) = self.round().resume(reply) else { return Step::Calls(Vec::new()) };
        let result = bug::catch(|| self.advance(context, replies));
        match result.unwrap_or_else(|bug| Err(bug.into())) {
            Ok(Next::Calls(requests)) => Step::Calls(self.round().start(requests)),
            Ok(Next::Reply(reply)) => Step::Done(Ok(reply)),
            Err(error) => Step::Done(Err(error)),
        }
    }
}

/// An async function in progress. `T` is the type of its result.
pub struct Task<T> {
    future: Option<BoxedFuture<T>>,
    io: Io,
    round: Round,
}

type BoxedFuture<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

impl<T> Task<T> {
    /// Prepares the function that `start` returns. The function runs at the first step.
    pub fn new<F>(start: impl FnOnce(Io) -> F) -> Self
    where
        F: Future<Output = Result<T>> + 'static,
    {
        let io = Io(Rc::new(Shared::default()));
        Self { future: Some(Box::pin(start(io.clone()))), io, round: Round::default() }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("round", &self.round).finish_non_exhaustive()
    }
}

impl<T> Task<T> {
    /// Returns `None` if the function waits, but no call is in progress that could resume it.
    fn poll(&mut self, context: &mut Context<'_>, replies: Replies) -> Option<NextResult<T>> {
        let future = self.future.as_mut()?;
        let shared = &self.io.0;
        shared.mailbox.replace(Mailbox::Replies(replies));
        let polled = {
            let _lent = shared.provide(context);
            future.as_mut().poll(&mut task::Context::from_waker(Waker::noop()))
        };
        match (polled, shared.mailbox.take()) {
            (Poll::Ready(result), _) => {
                self.future = None;
                Some(result.map(Next::Reply))
            }
            (Poll::Pending, Mailbox::Requests(requests)) => Some(Ok(Next::Calls(requests))),
            (Poll::Pending, _) => None,
        }
    }
}

impl<T> Machine for Task<T> {
    type Reply = T;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn advance(&mut self, context: &mut Context<'_>, replies: Replies) -> NextResult<T> {
        self.poll(context, replies).unwrap_or_else(|| Err(Error::unexpected_reply()))
    }
}

/// An async function that emits pieces of a response. Each reply is `Some(piece)`, and `None` at
/// the end and afterwards.
pub struct Pieces<T> {
    task: Task<()>,
    piece: Rc<Cell<Option<T>>>,
}

impl<T: 'static> Pieces<T> {
    /// Prepares the function that `start` returns. The function runs at the first step.
    pub fn new<F>(start: impl FnOnce(Io, Output<T>) -> F) -> Self
    where
        F: Future<Output = Result<()>> + 'static,
    {
        let piece = Rc::new(Cell::new(None));
        let output = Output(Rc::clone(&piece));
        Self { task: Task::new(|io| start(io, output)), piece }
    }

    /// Creates the pieces of a function that returns at most one piece.
    pub fn once<F>(start: impl FnOnce(Io) -> F) -> Self
    where
        F: Future<Output = Result<Option<T>>> + 'static,
    {
        Self::new(|io, output| {
            let piece = start(io);
            async move {
                if let Some(piece) = piece.await? {
                    output.emit(piece).await;
                }
                Ok(())
            }
        })
    }

    /// Cancels the function. Further turns return `None`.
    pub fn stop(&mut self) {
        self.task.future = None;
    }
}

impl<T> fmt::Debug for Pieces<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("task", &self.task).finish_non_exhaustive()
    }
}

impl<T> Machine for Pieces<T> {
    type Reply = Option<T>;

    fn round(&mut self) -> &mut Round {
        &mut self.task.round
    }

    fn advance(&mut self, context: &mut Context<'_>, replies: Replies) -> NextResult<Option<T>> {
        if self.task.future.is_none() {
            return Ok(Next::Reply(None));
        }
        match self.task.poll(context, replies) {
            Some(result) => result.map(|next| next.map(|()| None)),
            None => {
                let piece = self.piece.take().ok_or_else(Error::unexpected_reply)?;
                Ok(Next::Reply(Some(piece)))
            }
        }
    }
}

/// The handle by which an async function emits pieces of its response.
pub struct Output<T>(Rc<Cell<Option<T>>>);

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Output<T> {
    /// Passes a piece to the host and waits until the host requests the next piece.
    pub async fn emit(&self, piece: T) {
        self.0.set(Some(piece));
        poll_fn(|_| {
            let piece = self.0.take();
            let is_taken = piece.is_none();
            self.0.set(piece);
            if is_taken { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }
}

/// The handle by which an async function makes calls and uses the [`Context`] of the step. A task
/// must not await any other future.
#[derive(Clone)]
pub struct Io(Rc<Shared>);

#[derive(Default)]
struct Shared {
    mailbox: RefCell<Mailbox>,
    /// The context of the step in progress, set only during [`Future::poll`].
    context: Cell<Option<NonNull<Context<'static>>>>,
}

/// The mailbox between the task and its host.
#[derive(Default)]
enum Mailbox {
    #[default]
    Empty,
    Requests(Vec<Request>),
    Replies(Replies),
}

impl Io {
    /// Sends `requests` together and returns their replies in the same order.
    pub async fn calls(&self, requests: Vec<Request>) -> Replies {
        self.0.mailbox.replace(Mailbox::Requests(requests));
        poll_fn(|_| match self.0.mailbox.take() {
            Mailbox::Replies(replies) => Poll::Ready(replies),
            waiting => {
                self.0.mailbox.replace(waiting);
                Poll::Pending
            }
        })
        .await
    }

    /// Sends one request and returns the bytes of its reply.
    pub async fn request(&self, request: Request) -> CallResult {
        let reply = self.calls(vec![request]).await.pop();
        reply.unwrap_or_else(|| Err(CallFailure::Failed("no reply".to_owned())))
    }

    /// Sends one request, and waits for its reply for at most `ms` milliseconds.
    pub async fn request_within(&self, request: Request, ms: u32) -> CallResult {
        let mut replies = self.calls(vec![request, Request::pause(ms)]).await;
        replies.truncate(1);
        replies.pop().unwrap_or_else(|| Err(CallFailure::Failed("no reply".to_owned())))
    }

    /// Sends one message and returns the bytes of its reply.
    pub async fn call(&self, to: Address, message: &impl Wire) -> CallResult {
        self.request(Request::new(to, envelope::encode(message))).await
    }

    /// Sends a message to the Catalog. A refusal is an error.
    pub async fn call_catalog(&self, message: &ToCatalog) -> Result<FromCatalog> {
        match envelope::decode_reply(self.call(Address::Catalog, message).await)? {
            reply @ (FromCatalog::Refused(_) | FromCatalog::Unavailable(_)) => Err(reply.into()),
            reply => Ok(reply),
        }
    }

    /// Sends a message to a Database.
    pub async fn call_database(&self, id: &ObjectId, message: &ToDatabase) -> Result<FromDatabase> {
        let to = Address::Database(id.clone());
        Ok(envelope::decode_reply(self.call(to, message).await)?)
    }

    /// Sends a message to a shard.
    pub async fn call_shard(&self, shard: &ObjectId, message: &ToShard) -> Result<FromShard> {
        let to = Address::Shard(shard.clone());
        Ok(envelope::decode_reply(self.call(to, message).await)?)
    }

    /// Waits for `ms` milliseconds. 0 lets other pending events run once.
    pub async fn pause(&self, ms: u32) {
        self.calls(vec![Request::pause(ms)]).await;
    }

    /// Runs a computation that awaits only [`Work::spend`], and lets other requests run between
    /// its turns.
    pub async fn in_turns<T>(
        &self,
        work: &Work,
        computation: impl Future<Output = T>,
    ) -> Result<T> {
        let mut computation = pin!(computation);
        loop {
            match proceed(computation.as_mut()) {
                Some(result) => return Ok(result),
                None if work.pauses()? => self.pause(0).await,
                None => {}
            }
        }
    }

    /// Runs another stream until its next piece. Returns `None` at the end.
    pub async fn next<T>(&self, pieces: &mut Pieces<T>) -> Result<Option<T>> {
        let mut replies = Replies::default();
        loop {
            let step = self.with(|context| bug::catch(|| pieces.advance(context, replies)))?;
            match step?? {
                Next::Calls(requests) => replies = self.calls(requests).await,
                Next::Reply(reply) => return Ok(reply),
            }
        }
    }

    /// Returns the current time, in nanoseconds.
    pub fn now_ns(&self) -> Result<i64> {
        self.with(|context| context.platform.now_ns())
    }

    /// Passes the context of the step to `action`: the cache, the query memory and the platform.
    /// Returns an error if the call is outside of a step or inside another `with`.
    pub fn with<R>(&self, action: impl FnOnce(&mut Context<'_>) -> R) -> Result<R> {
        let mut lent = self.0.context.take().ok_or_else(Error::unexpected_reply)?;
        // SAFETY: `provide` stored a pointer to a context that outlives the poll in progress.
        // `take` removes the stored pointer, so this reference is the only one until the pointer is
        // stored again.
        let result = action(unsafe { lent.as_mut() });
        self.0.context.set(Some(lent));
        Ok(result)
    }
}

impl Shared {
    /// Makes `context` available to [`Io::with`] until the guard is dropped.
    fn provide<'a>(&'a self, context: &'a mut Context<'_>) -> ContextGuard<'a> {
        // `Io::with` accepts only actions that are valid for every lifetime, so that the extended
        // lifetime cannot leak.
        self.context.set(Some(NonNull::from(context).cast()));
        ContextGuard(&self.context)
    }
}

/// A guard that removes the context when the poll ends.
struct ContextGuard<'a>(&'a Cell<Option<NonNull<Context<'static>>>>);

impl Drop for ContextGuard<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tidemark_engine::protocol::local_platform::LocalPlatform;
    use tidemark_model::bug::{self, OrBug};

    /// Runs a step of `machine` with `cache` and `platform`.
    pub(crate) fn step_with<M: Machine>(
        machine: &mut M,
        cache: &mut Cache,
        platform: &LocalPlatform,
        reply: Option<Reply>,
    ) -> Step<Result<M::Reply>> {
        let queries = &QueryMemory::default();
        machine.step(&mut Context { cache, queries, platform, calls: 0 }, reply)
    }

    fn step<M: Machine>(machine: &mut M, reply: Option<Reply>) -> Step<Result<M::Reply>> {
        step_with(machine, &mut Cache::default(), &LocalPlatform::at(7), reply)
    }

    fn request(byte: u8) -> Request {
        Request::new(Address::Catalog, vec![byte])
    }

    #[test]
    fn task_makes_calls_and_returns_result() {
        let mut task = Task::new(|io| async move {
            let first = io.calls(vec![request(1), request(2)]).await;
            let now_ns = io.with(|context| context.platform.now_ns())?;
            let second = io.calls(vec![request(3)]).await;
            Ok((first.len() + second.len(), now_ns))
        });
        let Step::Calls(calls) = step(&mut task, None) else { panic!("no calls") };
        let reply = |call: &tidemark_engine::protocol::call::Call| {
            Some(Reply { id: call.id, result: Ok(Vec::new()) })
        };
        assert_eq!(step(&mut task, reply(&calls[1])), Step::Calls(Vec::new()));
        let Step::Calls(last) = step(&mut task, reply(&calls[0])) else { panic!("no calls") };
        assert_eq!(last[0].message, [3]);
        assert_eq!(step(&mut task, reply(&last[0])), Step::Done(Ok((3, 7))));
        // A late reply or a further step must not poll a finished future.
        assert_eq!(step(&mut task, reply(&last[0])), Step::Calls(Vec::new()));
        assert_eq!(step(&mut task, None), Step::Done(Err(Error::unexpected_reply())));
    }

    #[test]
    fn parts_are_emitted_one_by_one() {
        let mut pieces = Pieces::new(|io, output| async move {
            output.emit(1).await;
            io.calls(vec![request(5)]).await;
            output.emit(2).await;
            Ok(())
        });
        assert_eq!(step(&mut pieces, None), Step::Done(Ok(Some(1))));
        let Step::Calls(calls) = step(&mut pieces, None) else { panic!("no calls") };
        let reply = Reply { id: calls[0].id, result: Ok(Vec::new()) };
        assert_eq!(step(&mut pieces, Some(reply)), Step::Done(Ok(Some(2))));
        assert_eq!(step(&mut pieces, None), Step::Done(Ok(None)));
        assert_eq!(step(&mut pieces, None), Step::Done(Ok(None)));
    }

    #[test]
    fn bug_turns_task_into_error() {
        let mut task = Task::new(|io| async move {
            let group: Option<u64> = None;
            let number = group.or_bug();
            io.calls(vec![request(1)]).await;
            Ok(number)
        });
        let step = bug::tolerate(|| step(&mut task, None));
        let Step::Done(Err(Error::Internal(bug))) = step else { panic!("{step:?}") };
        assert!(bug.to_string().starts_with("internal error at coordinator/task.rs:"), "{bug}");
    }

    #[test]
    fn task_context_is_borrowed_during_step() {
        let mut kept = None;
        let mut task = Task::new(|io| {
            kept = Some(io.clone());
            async move { io.with(|_| io.with(|_| ()).is_err()) }
        });
        assert_eq!(step(&mut task, None), Step::Done(Ok(true)));
        assert!(kept.unwrap().with(|_| ()).is_err());
    }
}
