//! Runs one thread of the engine, which serves connections and owns some of the objects.
//!
//! A thread corresponds to an isolate of the Workers platform. Each thread has the caches of
//! `Service`, the memory budgets and an event loop. The hash of an object's name determines the
//! thread that owns the object. To call an object of another thread, a thread sends a message to
//! that thread.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidemark_coordinator::continuous::Runner;
use tidemark_engine::protocol::call::{Address, CallFailure};
use tidemark_engine::protocol::event::EventHandler;
use tidemark_engine::protocol::round::CallResult;
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::shard::events::ShardEvents;
use tidemark_engine::shard::page_queue::Pages;
use tidemark_objects::catalog::Catalog;
use tidemark_objects::database::Database;
use tidemark_query::admission::QueryMemory;
use tidemark_server::isolate_state::Service;
use tidemark_server::settings::Settings;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::spawn_local;

use crate::address;
use crate::alarms::Alarms;
use crate::connection;
use crate::crashes::{self, Refused, Work};
use crate::failed_commits::FailedCommits;
use crate::head_memory::HeadMemory;
use crate::limits::ALARM_SLEEP_MAX;
use crate::object::{self, Event, Inbox};
use crate::platform::{NativePlatform, now_ns, random_u64};
use crate::sql::Sql;
use crate::store::SqliteStore;
use crate::unsent::Clients;

/// A message from another thread.
#[derive(Debug)]
pub enum ThreadMessage {
    /// A client's connection. The receiving thread serves this connection.
    Connection(TcpStream, connection::ConnectionInfo),
    /// A message to an object that the receiving thread owns.
    Call {
        to: Address,
        message: Vec<u8>,
        /// The channel for the reply.
        reply: oneshot::Sender<CallResult>,
    },
    /// The thread must end.
    End,
}

/// The state that all threads of the host share.
#[derive(Debug)]
pub struct Shared {
    pub threads: Vec<mpsc::Sender<ThreadMessage>>,
    pub store: std::path::PathBuf,
    pub backups: Option<std::path::PathBuf>,
    pub alarms: Alarms,
    pub refused: Refused,
    pub sql: Arc<Sql>,
    /// Whether the program is ending. When the program is ending, connections accept no further
    /// requests.
    pub is_ending: watch::Receiver<bool>,
    /// The number of open connections and running requests.
    pub busy: AtomicUsize,
    /// The clients, and the bytes of their responses that are not sent.
    pub clients: Clients,
    /// The memory of large request heads.
    pub heads: Arc<HeadMemory>,
    /// The commits that failed.
    pub failed_commits: Arc<FailedCommits>,
    /// The memory of each thread for memtables and decoded values, in bytes.
    pub memory_bytes: usize,
}

impl Shared {
    /// Returns the number of the thread that owns an object, or `None` if the address has no
    /// object. The number depends on the object's name.
    fn owner(&self, address: &Address) -> Option<usize> {
        let mut hasher = DefaultHasher::new();
        address::parts(address)?.hash(&mut hasher);
        Some((hasher.finish() % self.threads.len().max(1) as u64) as usize)
    }
}

/// Counts an open connection or running request as long as the value exists.
#[derive(Debug)]
pub struct Busy(Arc<Shared>);

impl Busy {
    pub fn new(shared: &Arc<Shared>) -> Self {
        shared.busy.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The alarms of a thread's objects.
#[derive(Default)]
struct Clock {
    /// The time of each object's next alarm.
    due: BTreeMap<Address, i64>,
    order: BTreeSet<(i64, Address)>,
    /// The time of each object's alarm as stored in the file.
    stored: BTreeMap<Address, i64>,
}

impl Clock {
    fn set(&mut self, address: &Address, due_ns: i64) {
        if let Some(before_ns) = self.due.insert(address.clone(), due_ns) {
            self.order.remove(&(before_ns, address.clone()));
        }
        self.order.insert((due_ns, address.clone()));
    }

    /// Returns an object whose alarm is due, and removes the alarm.
    fn take_due(&mut self, now_ns: i64) -> Option<Address> {
        let (due_ns, _) = self.order.first()?;
        if *due_ns > now_ns {
            return None;
        }
        let (_, address) = self.order.pop_first()?;
        self.due.remove(&address);
        Some(address)
    }
}

pub struct EngineThread {
    /// The engine's state that remains between requests.
    pub service: RefCell<Service>,
    /// The clock, random numbers and limits.
    pub platform: NativePlatform,
    pub shared: Arc<Shared>,
    index: usize,
    queries: QueryMemory,
    budget: Rc<Budget>,
    pages: Rc<Pages>,
    full_bytes: u64,
    split_bytes: u64,
    objects: RefCell<HashMap<Address, Rc<Inbox>>>,
    clock: RefCell<Clock>,
    clock_changed: Notify,
    is_over: Cell<bool>,
}

impl EngineThread {
    /// Creates the state of thread `index`. Sets the stored alarms of the thread's objects.
    pub fn new(
        shared: Arc<Shared>,
        index: usize,
        settings: Settings,
        alarms: &[(Address, i64)],
    ) -> Rc<Self> {
        let (full_bytes, split_bytes) = (settings.shard_full_bytes, settings.shard_split_bytes);
        let has_backups = shared.backups.is_some();
        let failed_commits = Arc::clone(&shared.failed_commits);
        let platform = NativePlatform { limits: settings.limits, has_backups, failed_commits };
        let service = Service::new(Ok(settings), random_u64());
        service.host_warning.replace(shared.refused.warning());
        let budget = Budget::new(shared.memory_bytes, random_u64());
        let queries = service.queries.clone();
        let mut clock = Clock::default();
        for (address, due_ns) in alarms {
            if shared.owner(address) == Some(index) {
                clock.set(address, *due_ns);
                clock.stored.insert(address.clone(), *due_ns);
            }
        }
        Rc::new(Self {
            service: RefCell::new(service),
            platform,
            shared,
            index,
            queries,
            budget,
            pages: Rc::default(),
            full_bytes,
            split_bytes,
            objects: RefCell::default(),
            clock: RefCell::new(clock),
            clock_changed: Notify::new(),
            is_over: Cell::new(false),
        })
    }

    /// Processes messages until the thread ends.
    pub async fn run(self: Rc<Self>, mut messages: mpsc::Receiver<ThreadMessage>) {
        spawn_local(Rc::clone(&self).fire_alarms());
        while let Some(thread_message) = messages.recv().await {
            match thread_message {
                ThreadMessage::Connection(stream, info) => {
                    let engine = Rc::clone(&self);
                    spawn_local(connection::serve(engine, stream, info));
                }
                ThreadMessage::Call { to, message, reply } => {
                    self.deliver(to, Event::Message { message, reply });
                }
                ThreadMessage::End => break,
            }
        }
        // No object starts another event, and all acknowledged writes are committed.
        self.is_over.set(true);
    }

    /// Sends a message to an object and returns its reply.
    pub async fn call(self: &Rc<Self>, to: Address, message: Vec<u8>) -> CallResult {
        let Some(owner) = self.shared.owner(&to) else {
            return Err(CallFailure::Failed("there is no such object".to_owned()));
        };
        let (reply, receiver) = oneshot::channel();
        if owner == self.index {
            self.deliver(to, Event::Message { message, reply });
        } else {
            let thread_message = ThreadMessage::Call { to, message, reply };
            let sent = self.shared.threads.get(owner).map(|thread| thread.try_send(thread_message));
            if !matches!(sent, Some(Ok(()))) {
                return Err(CallFailure::Overloaded);
            }
        }
        receiver.await.unwrap_or_else(|_| {
            Err(CallFailure::Retryable("the object was loaded again".to_owned()))
        })
    }

    /// Passes an event to an object of this thread. Starts the object if it is not in memory. After
    /// repeated crashes, postpones the object's alarm or refuses the message.
    pub fn deliver(self: &Rc<Self>, to: Address, event: Event) {
        if self.is_over.get() {
            return;
        }
        let work = match &event {
            Event::Message { .. } => Some(Work::Request),
            Event::Alarm => Some(Work::Alarm),
            Event::Reply { .. } => None,
        };
        if let Some(until_ns) = work.and_then(|work| self.shared.refused.until_ns(&to, work)) {
            if let Event::Message { reply, .. } = event {
                let _ = reply.send(Err(CallFailure::Failed(crashes::refusal(until_ns))));
            } else {
                self.clock.borrow_mut().set(&to, until_ns);
            }
            return;
        }
        let mut objects = self.objects.borrow_mut();
        if let Some(inbox) = objects.get(&to) {
            return inbox.push(event);
        }
        let inbox = Rc::new(Inbox::default());
        inbox.push(event);
        objects.insert(to.clone(), Rc::clone(&inbox));
        spawn_local(object::run(Rc::clone(self), to, inbox));
    }

    pub fn object_count(&self) -> usize {
        self.objects.borrow().len()
    }

    pub fn forget(&self, address: &Address) {
        self.objects.borrow_mut().remove(address);
    }

    pub fn store_of(&self, name: &str) -> SqliteStore {
        SqliteStore::new(self.shared.store.join(format!("{name}.sqlite")))
    }

    /// Creates an object that uses the given storage.
    pub fn load(&self, address: &Address, store: SqliteStore) -> Box<dyn EventHandler> {
        match address {
            Address::Database(id) => {
                let database = Database::new(store, id.clone()).splitting_at(self.split_bytes);
                Box::new(Runner::new(database, id.clone(), self.queries.clone()))
            }
            Address::Shard(_) => {
                let shard = Shard::new(store, Rc::clone(&self.budget), self.full_bytes);
                let events = ShardEvents::new(shard, Rc::clone(&self.pages));
                Box::new(events.with_work_after_replies())
            }
            // `EngineThread::call` rejects the addresses of runtime services.
            _ => Box::new(Catalog::new(store)),
        }
    }

    /// Ensures that an object's alarm fires at `due_ns` or earlier, even after a crash. An earlier
    /// alarm remains set. When that alarm fires, the object finds no due work and sets its next
    /// alarm.
    pub async fn arm(&self, address: &Address, due_ns: i64) {
        let is_stored = {
            let mut clock = self.clock.borrow_mut();
            if clock.due.get(address).is_none_or(|set_ns| *set_ns > due_ns) {
                clock.set(address, due_ns);
                self.clock_changed.notify_one();
            }
            clock.stored.get(address).is_some_and(|stored_ns| *stored_ns <= due_ns)
        };
        if !is_stored && self.shared.alarms.set(address, due_ns).await {
            self.clock.borrow_mut().stored.insert(address.clone(), due_ns);
        }
    }

    /// Updates the file after an alarm has been handled.
    pub fn alarm_handled(&self, address: &Address) {
        let mut clock = self.clock.borrow_mut();
        let due_ns = clock.due.get(address).copied();
        // If the file has no entry for the object, or an entry with the same time, the file is
        // correct.
        let is_current = |stored_ns: &i64| Some(*stored_ns) == due_ns;
        if clock.stored.get(address).is_none_or(is_current) {
            return;
        }
        self.shared.alarms.note(address, due_ns);
        match due_ns {
            Some(due_ns) => clock.stored.insert(address.clone(), due_ns),
            None => clock.stored.remove(address),
        };
    }

    /// Fires due alarms until the program ends.
    async fn fire_alarms(self: Rc<Self>) {
        loop {
            let now_ns = now_ns();
            loop {
                // The clock is borrowed in a separate statement, because the event also borrows it.
                let due = self.clock.borrow_mut().take_due(now_ns);
                let Some(address) = due else { break };
                self.deliver(address, Event::Alarm);
            }
            let next_ns = self.clock.borrow().order.first().map(|(due_ns, _)| *due_ns);
            let wait_ns = next_ns.map_or(u64::MAX, |next_ns| {
                u64::try_from(next_ns.saturating_sub(now_ns)).unwrap_or_default()
            });
            let wait = Duration::from_nanos(wait_ns).min(ALARM_SLEEP_MAX);
            let _ = tokio::time::timeout(wait, self.clock_changed.notified()).await;
        }
    }
}
