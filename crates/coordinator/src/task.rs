//! Runs an async function that makes calls: [`Task`] has one result, and [`Pieces`] is a stream.
//!
//! The function awaits `io.calls(requests)`, which passes the requests to the host and returns
//! their replies. The host polls the function by [`Task::step`], once for each reply. Dropping the
//! task cancels the request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{self, Poll, Waker};

use super::cache::Cache;
use super::error::{Error, Result};
use tidemark_engine::protocol::call::{Address, Call, CallFailure, Platform, Reply, Step};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{FromDatabase, ToDatabase};
use tidemark_engine::protocol::envelope::{self, Wire};
use tidemark_engine::protocol::round::{CallResult, Replies, Request};
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_model::bug;
use tidemark_model::ids::ObjectId;
use tidemark_query::admission::QueryMemory;
use tidemark_query::work::{Work, proceed};

/// The resources of a request during a step. The request borrows these resources only for the step,
/// because an isolate's requests run concurrently and share the cache.
pub struct Context<'a> {
    /// The isolate's cache.
    pub cache: &'a mut Cache,
    /// The memory for queries.
    pub queries: &'a QueryMemory,
    /// The clock and the source of randomness.
    pub platform: &'a dyn Platform,
}

/// An async function in progress. `T` is the type of its result.
pub struct Task<T> {
    future: Option<BoxedFuture<T>>,
    io: Io,
}

type BoxedFuture<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

impl<T> Task<T> {
    /// Prepares the function that `start` returns. The function runs at the first step.
    pub fn new<F>(start: impl FnOnce(Io) -> F) -> Self
    where
        F: Future<Output = Result<T>> + 'static,
    {
        let io = Io::new();
        Self { future: Some(Box::pin(start(io.clone()))), io }
    }

    /// Continues the function. The host makes the returned calls. `reply` is the reply to one of
    /// the calls. `None` starts the function, or continues it for another reason than a reply.
    pub fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Result<T>> {
        if reply.is_some_and(|reply| !self.io.0.receive(reply)) {
            return Step::Calls(Vec::new());
        }
        let Some(future) = &mut self.future else {
            return Step::Done(Err(Error::unexpected_reply()));
        };
        let result = {
            let _lent = self.io.0.provide(context);
            bug::catch(|| future.as_mut().poll(&mut task::Context::from_waker(Waker::noop())))
        };
        match result.unwrap_or_else(|bug| Poll::Ready(Err(bug.into()))) {
            Poll::Ready(result) => {
                self.future = None;
                Step::Done(result)
            }
            Poll::Pending => Step::Calls(self.io.0.unsent.take()),
        }
    }

    /// Returns the calls that the function would need to continue, if they exceed the limit
    /// ([`Io::limit_calls`]).
    pub fn refused_calls(&self) -> Option<Vec<Request>> {
        self.io.0.refused.take()
    }

    /// Returns the number of calls that the platform has counted so far.
    pub fn calls_made(&self) -> usize {
        self.io.calls_made()
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("is_running", &self.future.is_some()).finish_non_exhaustive()
    }
}

/// An async function that emits pieces of a response. [`Io::next`] returns the next piece.
pub struct Pieces<T> {
    function: Function,
    piece: Rc<Cell<Option<T>>>,
}

enum Function {
    Prepared(Box<dyn FnOnce(Io) -> BoxedFuture<()>>),
    Running(BoxedFuture<()>),
    Ended,
}

impl<T: 'static> Pieces<T> {
    /// Prepares the function that `start` returns. The function runs when the first piece is
    /// requested.
    pub fn new<F>(start: impl FnOnce(Io, Output<T>) -> F + 'static) -> Self
    where
        F: Future<Output = Result<()>> + 'static,
    {
        let piece = Rc::new(Cell::new(None));
        let output = Output(Rc::clone(&piece));
        Self { function: Function::Prepared(Box::new(|io| Box::pin(start(io, output)))), piece }
    }

    /// Creates the pieces of a function that returns at most one piece.
    pub fn once<F>(start: impl FnOnce(Io) -> F + 'static) -> Self
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
}

impl<T> Pieces<T> {
    /// Returns `None` at the end.
    fn poll(&mut self, io: &Io, context: &mut task::Context<'_>) -> Poll<Result<Option<T>>> {
        if let Function::Prepared(_) = self.function
            && let Function::Prepared(start) = mem::replace(&mut self.function, Function::Ended)
        {
            self.function = Function::Running(start(io.clone()));
        }
        let Function::Running(future) = &mut self.function else { return Poll::Ready(Ok(None)) };
        match bug::catch(|| future.as_mut().poll(context)) {
            Ok(Poll::Pending) => match self.piece.take() {
                Some(piece) => Poll::Ready(Ok(Some(piece))),
                None => Poll::Pending,
            },
            Ok(Poll::Ready(result)) => {
                self.function = Function::Ended;
                Poll::Ready(result.map(|()| None))
            }
            Err(bug) => Poll::Ready(Err(bug.into())),
        }
    }
}

impl<T> fmt::Debug for Pieces<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").finish_non_exhaustive()
    }
}

/// The handle by which an async function emits pieces of its response.
pub struct Output<T>(Rc<Cell<Option<T>>>);

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Default for Output<T> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<T> Output<T> {
    /// Passes a piece to the reader and waits until the reader requests the next piece.
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

    /// Returns the emitted piece.
    pub fn take(&self) -> Option<T> {
        self.0.take()
    }
}

/// The handle by which an async function makes calls and uses the [`Context`] of the step. A task
/// must not await any other future.
#[derive(Clone)]
pub struct Io(Rc<Shared>);

struct Shared {
    /// The context of the step in progress, set only during [`Future::poll`].
    context: Cell<Option<NonNull<Context<'static>>>>,
    /// The calls that the host does not have yet.
    unsent: RefCell<Vec<Call>>,
    /// The calls in progress that a future awaits, by the first id of each group.
    groups: RefCell<BTreeMap<u32, CallGroup>>,
    next_id: Cell<u32>,
    calls: Cell<usize>,
    calls_max: Cell<usize>,
    /// The calls that would exceed `calls_max`.
    refused: Cell<Option<Vec<Request>>>,
}

/// Calls that a future makes at the same time, and their replies.
struct CallGroup {
    replies: Vec<Option<CallResult>>,
    missing: usize,
}

/// A guard that makes the task ignore the replies to a group if its future is dropped.
struct AwaitedGroup<'a> {
    shared: &'a Shared,
    first_id: u32,
}

impl Drop for AwaitedGroup<'_> {
    fn drop(&mut self) {
        self.shared.groups.borrow_mut().remove(&self.first_id);
    }
}

impl Io {
    fn new() -> Self {
        Self(Rc::new(Shared {
            context: Cell::default(),
            unsent: RefCell::default(),
            groups: RefCell::default(),
            next_id: Cell::default(),
            calls: Cell::default(),
            calls_max: Cell::new(usize::MAX),
            refused: Cell::default(),
        }))
    }

    /// Sends `requests` together and returns their replies in the same order.
    pub async fn calls(&self, requests: Vec<Request>) -> Replies {
        let replies = self.send(requests, |group| group.missing == 0).await;
        replies.into_iter().map(|reply| reply.unwrap_or_else(no_reply)).collect()
    }

    /// Sends one request and returns the bytes of its reply.
    pub async fn request(&self, request: Request) -> CallResult {
        self.calls(vec![request]).await.pop().unwrap_or_else(no_reply)
    }

    /// Sends one request, and waits for its reply for at most `ms` milliseconds.
    pub async fn request_within(&self, request: Request, ms: u32) -> CallResult {
        let requests = vec![request, Request::pause(ms)];
        let replies = self.send(requests, |group| group.replies.iter().any(Option::is_some)).await;
        replies.into_iter().next().flatten().unwrap_or_else(no_reply)
    }

    /// Sends `requests` and waits until `is_complete`. If the calls exceed the limit, the future
    /// never continues.
    async fn send(
        &self,
        requests: Vec<Request>,
        is_complete: fn(&CallGroup) -> bool,
    ) -> Vec<Option<CallResult>> {
        let shared = &*self.0;
        let calls = shared.calls.get() + counted(&requests);
        if calls > shared.calls_max.get() {
            shared.refused.set(Some(requests));
            return pending().await;
        }
        shared.calls.set(calls);
        let (first_id, missing) = (shared.next_id.get(), requests.len());
        let group = CallGroup { replies: vec![None; missing], missing };
        shared.groups.borrow_mut().insert(first_id, group);
        for Request { to, location, message } in requests {
            let id = shared.next_id.get();
            shared.next_id.set(id.wrapping_add(1));
            shared.unsent.borrow_mut().push(Call { id, to, location, message });
        }
        let _awaited = AwaitedGroup { shared, first_id };
        poll_fn(|_| match shared.groups.borrow_mut().get_mut(&first_id) {
            Some(group) if is_complete(group) => Poll::Ready(mem::take(&mut group.replies)),
            _ => Poll::Pending,
        })
        .await
    }

    /// Limits the number of calls that the platform counts. A task with a further call stops, and
    /// [`Task::refused_calls`] returns the call.
    pub fn limit_calls(&self, calls_max: usize) {
        self.0.calls_max.set(calls_max);
    }

    /// Returns the number of the task's calls that the platform has counted so far.
    pub fn calls_made(&self) -> usize {
        self.0.calls.get()
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
        poll_fn(|context| pieces.poll(self, context)).await
    }

    /// Runs another stream until its next piece. If the stream would make a call that exceeds
    /// `calls_max` counted calls of the task, the function returns the refused calls instead.
    pub async fn next_within<T>(
        &self,
        pieces: &mut Pieces<T>,
        calls_max: usize,
    ) -> Result<Result<Option<T>, Vec<Request>>> {
        let shared = &*self.0;
        poll_fn(|context| {
            let outer_max = shared.calls_max.get();
            shared.calls_max.set(calls_max.min(outer_max));
            let next = pieces.poll(self, context);
            shared.calls_max.set(outer_max);
            // If the limit of the task is lower, the host must see the refused calls.
            let refused = if calls_max < outer_max { shared.refused.take() } else { None };
            refused.map_or(next.map_ok(Ok), |requests| Poll::Ready(Ok(Err(requests))))
        })
        .await
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

fn no_reply() -> CallResult {
    Err(CallFailure::Failed("no reply in time".to_owned()))
}

/// Returns the number of `requests` that the platform counts as subrequests.
pub fn counted(requests: &[Request]) -> usize {
    requests.iter().filter(|request| request.to.is_counted()).count()
}

impl Shared {
    /// Stores a reply. Returns `false` if no future awaits it.
    fn receive(&self, reply: Reply) -> bool {
        let mut groups = self.groups.borrow_mut();
        let Some((first_id, group)) = groups.range_mut(..=reply.id).next_back() else {
            return false;
        };
        match group.replies.get_mut((reply.id - first_id) as usize) {
            Some(slot @ None) => {
                *slot = Some(reply.result);
                group.missing -= 1;
                true
            }
            _ => false,
        }
    }

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

    /// Runs a step of `task` with `cache` and `platform`.
    pub(crate) fn step_with<T>(
        task: &mut Task<T>,
        cache: &mut Cache,
        platform: &LocalPlatform,
        reply: Option<Reply>,
    ) -> Step<Result<T>> {
        task.step(&mut Context { cache, queries: &QueryMemory::default(), platform }, reply)
    }

    fn step<T>(task: &mut Task<T>, reply: Option<Reply>) -> Step<Result<T>> {
        step_with(task, &mut Cache::default(), &LocalPlatform::at(7), reply)
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
    fn pieces_are_read_one_by_one() {
        let mut task = Task::new(|io| async move {
            let mut pieces = Pieces::new(|io, output| async move {
                output.emit(1).await;
                io.calls(vec![request(5)]).await;
                output.emit(2).await;
                Ok(())
            });
            let first = io.next(&mut pieces).await?;
            io.calls(vec![request(6)]).await;
            let second = io.next(&mut pieces).await?;
            let ends = [io.next(&mut pieces).await?, io.next(&mut pieces).await?];
            Ok(([first, second], ends))
        });
        let mut reply = None;
        for byte in [6, 5] {
            let Step::Calls(calls) = step(&mut task, reply) else { panic!("no calls") };
            assert_eq!(calls[0].message, [byte]);
            reply = Some(Reply { id: calls[0].id, result: Ok(Vec::new()) });
        }
        assert_eq!(step(&mut task, reply), Step::Done(Ok(([Some(1), Some(2)], [None, None]))));
    }

    #[test]
    fn time_of_call_is_limited() {
        for (first, expected) in [(0, Ok(vec![0])), (1, no_reply())] {
            let mut task =
                Task::new(|io| async move { Ok(io.request_within(request(1), 5).await) });
            let Step::Calls(calls) = step(&mut task, None) else { panic!("no calls") };
            let reply = |at: usize| Some(Reply { id: calls[at].id, result: Ok(vec![at as u8]) });
            assert_eq!(step(&mut task, reply(first)), Step::Done(Ok(expected)));
            assert_eq!(step(&mut task, reply(1 - first)), Step::Calls(Vec::new()));
        }
    }

    #[test]
    fn repeated_and_late_replies_are_ignored() {
        let mut task = Task::new(|io| async move {
            let both = io.calls(vec![request(1), request(2)]).await;
            Ok([both, io.calls(vec![request(3)]).await].concat())
        });
        let Step::Calls(calls) = step(&mut task, None) else { panic!("no calls") };
        let reply = |id: u32, byte: u8| Some(Reply { id, result: Ok(vec![byte]) });
        assert_eq!(step(&mut task, reply(calls[1].id, 20)), Step::Calls(Vec::new()));
        assert_eq!(step(&mut task, reply(calls[1].id, 99)), Step::Calls(Vec::new()));
        let Step::Calls(next) = step(&mut task, reply(calls[0].id, 10)) else { panic!("no call") };
        assert_eq!(step(&mut task, reply(calls[0].id, 98)), Step::Calls(Vec::new()));
        let replies = [10, 20, 30].map(|byte| Ok(vec![byte])).to_vec();
        assert_eq!(step(&mut task, reply(next[0].id, 30)), Step::Done(Ok(replies)));
    }

    #[test]
    fn calls_above_limit_are_not_made() {
        let mut task = Task::new(|io| async move {
            io.limit_calls(2);
            io.calls(vec![request(1), Request::pause(0)]).await;
            io.calls(vec![request(2), request(3)]).await;
            Ok(())
        });
        let Step::Calls(calls) = step(&mut task, None) else { panic!("no calls") };
        assert!(task.refused_calls().is_none());
        for call in calls {
            let reply = Some(Reply { id: call.id, result: Ok(Vec::new()) });
            assert_eq!(step(&mut task, reply), Step::Calls(Vec::new()));
        }
        assert_eq!(task.refused_calls(), Some(vec![request(2), request(3)]));
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
