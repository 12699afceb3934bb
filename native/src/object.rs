//! Runs one object. Processes the object's events in order and makes their writes durable before
//! sending the resulting replies and calls.
//!
//! ```text
//! wait for an event, and for the end of the last commit
//! handle the event and all others that wait, up to a limit
//! store the alarm if it changed; commit on another thread, which then sends the replies
//! if there are calls: wait for the end of the commit, and make the calls
//! ```
//!
//! While a commit waits for the disk, new events accumulate. The next commit makes all of their
//! writes durable. If a commit fails, its events return an error, and the object is loaded again.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemark_engine::protocol::call::{Address, Call, CallFailure, Reply, Step};
use tidemark_engine::protocol::event::{EventHandler, EventId};
use tidemark_engine::protocol::recovery;
use tidemark_engine::protocol::round::CallResult;
use tidemark_engine::store::StoreError;
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::address;
use crate::calls;
use crate::crashes::{self, Work};
use crate::engine::EngineThread;
use crate::limits::{
    ALARM_RETRY_NS, EVENTS_PER_COMMIT_MAX, EVENTS_TIME_MAX, INBOX_MESSAGES_MAX,
    OBJECT_CROWDED_IDLE, OBJECT_IDLE, OBJECTS_PER_THREAD_MAX,
};
use crate::platform::now_ns;
use crate::store::{Committed, SqliteStore};

const NO_PAST: &str = "the native program keeps no earlier states of objects";

/// An event of an object.
#[derive(Debug)]
pub enum Event {
    Message {
        message: Vec<u8>,
        /// The channel for the reply. The channel is closed if the caller has disconnected.
        reply: oneshot::Sender<CallResult>,
    },
    Reply {
        /// The number of the load during which the object made the call.
        load: u64,
        /// The event that made the call.
        event_id: EventId,
        reply: Reply,
    },
    Alarm,
}

/// The events that an object has not processed yet.
#[derive(Debug, Default)]
pub struct Inbox {
    events: RefCell<VecDeque<Event>>,
    arrived: Notify,
}

impl Inbox {
    /// Adds an event. Rejects a message if too many messages are waiting.
    pub fn push(&self, event: Event) {
        let mut events = self.events.borrow_mut();
        match event {
            Event::Message { reply, .. } if events.len() >= INBOX_MESSAGES_MAX => {
                let _ = reply.send(Err(CallFailure::Overloaded));
            }
            event => {
                events.push_back(event);
                self.arrived.notify_one();
            }
        }
    }

    fn take(&self) -> Option<Event> {
        self.events.borrow_mut().pop_front()
    }

    fn is_empty(&self) -> bool {
        self.events.borrow().is_empty()
    }

    async fn next(&self) -> Event {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            self.arrived.notified().await;
        }
    }
}

/// The reason why an event is in progress.
enum Purpose {
    /// A caller waits for the reply.
    Reply(oneshot::Sender<CallResult>),
    Alarm,
    /// The object continues due work after it has sent its reply.
    DueWork,
}

/// A loaded object with its events in progress.
struct Object {
    engine: Rc<EngineThread>,
    address: Address,
    name: Arc<str>,
    store: SqliteStore,
    handler: Box<dyn EventHandler>,
    /// The number of loads of this object, including the current one.
    load: u64,
    in_progress: BTreeMap<EventId, Purpose>,
    /// The replies that the thread of the next commit sends.
    replies: Vec<(oneshot::Sender<CallResult>, Vec<u8>)>,
    /// The calls that this thread makes after the commit, and the events that make them.
    calls: Vec<(EventId, Call)>,
    /// Whether the commit contains the end of an alarm.
    is_alarm_handled: bool,
}

impl Object {
    fn handle(&mut self, event: Event) {
        crashes::begin(&self.name, work_of(&event, &self.in_progress));
        match event {
            Event::Message { message, reply } => {
                if let Some(refusal) = recovery::unsupported(&message, NO_PAST) {
                    self.replies.push((reply, refusal));
                    return;
                }
                let (event_id, step) = self.handler.begin(&self.engine.platform, &message);
                self.in_progress.insert(event_id, Purpose::Reply(reply));
                self.continue_event(event_id, step);
            }
            Event::Reply { load, event_id, reply } => {
                let Some(purpose) = self.in_progress.get(&event_id).filter(|_| load == self.load)
                else {
                    return;
                };
                if matches!(purpose, Purpose::Reply(reply) if reply.is_closed()) {
                    self.in_progress.remove(&event_id);
                    self.handler.abandon(event_id);
                    return;
                }
                let step = self.handler.resume(&self.engine.platform, event_id, reply);
                self.continue_event(event_id, step);
            }
            Event::Alarm => {
                let (event_id, step) = self.handler.alarm(&self.engine.platform);
                self.in_progress.insert(event_id, Purpose::Alarm);
                self.continue_event(event_id, step);
            }
        }
    }

    fn continue_event(&mut self, event_id: EventId, step: Step<Vec<u8>>) {
        let message = match step {
            Step::Calls(calls) => {
                return self.calls.extend(calls.into_iter().map(|call| (event_id, call)));
            }
            Step::Done(message) => message,
        };
        match self.in_progress.remove(&event_id) {
            Some(Purpose::Reply(reply)) => {
                self.replies.push((reply, message));
                let refused = &self.engine.shared.refused;
                if refused.until_ns(&self.address, Work::Alarm).is_none()
                    && let Some((event_id, step)) = self.handler.run_due_work()
                {
                    self.in_progress.insert(event_id, Purpose::DueWork);
                    self.continue_event(event_id, step);
                }
            }
            Some(Purpose::Alarm) => self.is_alarm_handled = true,
            Some(Purpose::DueWork) | None => {}
        }
    }

    /// Starts a commit. Afterwards, another thread sends the replies, so that a reply does not wait
    /// until this thread is free, and this thread sleeps until the next event. If there are no
    /// writes, sends the replies immediately.
    async fn commit(&mut self) {
        if let Some(due_ns) = self.handler.next_alarm_ns() {
            self.engine.arm(&self.address, due_ns).await;
        }
        let (name, replies) = (Arc::clone(&self.name), std::mem::take(&mut self.replies));
        let failed_write = self.store.take_failed_write();
        let (is_dirty, shared) = (self.store.is_dirty(), Arc::clone(&self.engine.shared));
        let send_replies = move |committed: &Committed| {
            let cause = failed_write.as_ref().or(committed.as_ref().err());
            if is_dirty || cause.is_some() {
                let result = cause.map_or(Ok(()), |cause| Err(cause.to_string()));
                shared.failed_commits.record(&name, result);
            }
            let failure = committed.as_ref().err().map(call_failure);
            if let Some(reason) = &failure {
                crate::log::message(&format!("{name}: {reason}"));
            }
            for (reply, message) in replies {
                let _ = reply.send(failure.clone().map_or(Ok(message), Err));
            }
        };
        match is_dirty {
            true => self.store.commit(send_replies),
            false => send_replies(&Ok(())),
        }
    }

    /// Waits for the end of the commit. If the commit failed, its writes were lost, so this
    /// function drops the object and returns an error for every event in progress.
    async fn committed(self) -> Option<Self> {
        let Err(reason) = self.store.committed().await else { return Some(self) };
        let reason = call_failure(&reason);
        for purpose in self.in_progress.into_values() {
            if let Purpose::Reply(reply) = purpose {
                let _ = reply.send(Err(reason.clone()));
            }
        }
        // The failed events may include an alarm. After a failed commit, the next load of the
        // object sets the alarms again.
        self.engine.arm(&self.address, now_ns().saturating_add(ALARM_RETRY_NS)).await;
        None
    }

    /// Makes the calls of the committed events, and records the end of an alarm.
    fn after_commit(&mut self, inbox: &Rc<Inbox>) {
        for (event_id, call) in self.calls.drain(..) {
            let (engine, inbox) = (Rc::clone(&self.engine), Rc::clone(inbox));
            let load = self.load;
            spawn_local(async move {
                let reply = calls::make_call(engine, None, call).await;
                inbox.push(Event::Reply { load, event_id, reply });
            });
        }
        if std::mem::take(&mut self.is_alarm_handled) {
            self.engine.alarm_handled(&self.address);
        }
    }
}

fn call_failure(reason: &StoreError) -> CallFailure {
    CallFailure::Failed(format!("the commit failed: {reason}"))
}

fn work_of(event: &Event, in_progress: &BTreeMap<EventId, Purpose>) -> Work {
    let is_request = match event {
        Event::Message { .. } => true,
        Event::Reply { event_id, .. } => {
            matches!(in_progress.get(event_id), Some(Purpose::Reply(_)))
        }
        Event::Alarm => false,
    };
    if is_request { Work::Request } else { Work::Alarm }
}

/// Runs the object until it has received no event for the idle time, and then closes its file.
pub async fn run(engine: Rc<EngineThread>, to: Address, inbox: Rc<Inbox>) {
    let Some(name) = address::name(&to).map(Arc::<str>::from) else { return };
    let mut loads = 0;
    loop {
        if let Some(object) = run_until_idle(&engine, &to, &name, &inbox, &mut loads).await {
            let store = object.store.clone();
            drop(object);
            store.close().await;
        }
        // Events may have arrived during the wait for `close`. After this check, the code does not
        // wait again, so no event can arrive before the object is removed.
        if inbox.is_empty() {
            break;
        }
    }
    engine.forget(&to);
}

/// Runs the object until it has received no event for the idle time, or until its data is deleted.
/// Returns the object if it is loaded.
async fn run_until_idle(
    engine: &Rc<EngineThread>,
    to: &Address,
    name: &Arc<str>,
    inbox: &Rc<Inbox>,
    loads: &mut u64,
) -> Option<Object> {
    let mut loaded: Option<Object> = None;
    loop {
        let first = timeout(idle(engine), inbox.next()).await.ok();
        if let Some(object) = loaded.take() {
            loaded = object.committed().await;
        }
        let Some(first) = first.or_else(|| inbox.take()) else {
            if loaded.as_ref().is_none_or(|object| object.in_progress.is_empty()) {
                return loaded;
            }
            continue;
        };
        let mut object = match loaded.take() {
            Some(object) => object,
            None => {
                *loads += 1;
                crashes::begin(name, work_of(&first, &BTreeMap::new()));
                let store = engine.store_of(name);
                let handler = engine.load(to, store.clone());
                Object {
                    engine: Rc::clone(engine),
                    address: to.clone(),
                    name: Arc::clone(name),
                    store,
                    handler,
                    load: *loads,
                    in_progress: BTreeMap::new(),
                    replies: Vec::new(),
                    calls: Vec::new(),
                    is_alarm_handled: false,
                }
            }
        };
        let began = Instant::now();
        object.handle(first);
        for _ in 1..EVENTS_PER_COMMIT_MAX {
            if began.elapsed() > EVENTS_TIME_MAX {
                break;
            }
            let Some(event) = inbox.take() else { break };
            object.handle(event);
        }
        crashes::end();
        object.commit().await;
        let must_wait =
            !object.calls.is_empty() || object.is_alarm_handled || object.store.is_wiped();
        loaded = if must_wait { object.committed().await } else { Some(object) };
        if let Some(object) = &mut loaded {
            object.after_commit(inbox);
        }
        tokio::task::yield_now().await;
        let is_over = |object: &Object| object.store.is_wiped() && object.in_progress.is_empty();
        if inbox.is_empty() && loaded.as_ref().is_some_and(is_over) {
            return loaded;
        }
    }
}

fn idle(engine: &EngineThread) -> Duration {
    let is_crowded = engine.object_count() > OBJECTS_PER_THREAD_MAX;
    if is_crowded { OBJECT_CROWDED_IDLE } else { OBJECT_IDLE }
}
