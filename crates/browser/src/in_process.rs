//! Serves the HTTP API with all objects (Catalog, Databases and Shards) in this process.
//!
//! The caller provides time and randomness. Every request has its time as an argument.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sha2::{Digest, Sha256};

use tidemark_coordinator::cache::Cache;
use tidemark_coordinator::continuous::Runner;
use tidemark_engine::protocol::call::{Address, Call, CallFailure, Platform, Reply, Step};
use tidemark_engine::protocol::event::{EventHandler, EventId};
use tidemark_engine::protocol::local_platform::LocalPlatform;
use tidemark_engine::protocol::recovery;
use tidemark_engine::protocol::sql::error_reply;
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::shard::events::ShardEvents;
use tidemark_engine::shard::page_queue::Pages;
use tidemark_engine::store::Store;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::configurable_limits::Limit;
use tidemark_model::limits::{ALARMS_PER_REQUEST_MAX, MEMTABLE_BYTES_MAX};
use tidemark_objects::catalog::Catalog;
use tidemark_objects::database::Database;
use tidemark_server::action::Action;
use tidemark_server::error::{ApiError, ErrorShape};
use tidemark_server::exchange::Exchange;
use tidemark_server::http::{RequestHead, Response};
use tidemark_server::isolate_state::Service;
use tidemark_server::settings::Settings;

/// The error message for requests to restore an object to an earlier time.
const NO_PAST: &str = "this server keeps no earlier states of objects";

/// The database in this process.
pub struct InProcess {
    service: Service,
    /// The state of the other edges. See [`InProcess::switch_edge`].
    other_edges: VecDeque<Service>,
    platform: LocalPlatform,
    budget: Rc<Budget>,
    pages: Rc<Pages>,
    full_bytes: u64,
    split_bytes: u64,
    /// The storage of each object, which outlives the object.
    stores: BTreeMap<Address, MemoryStore>,
    /// The objects in memory. A value is `None` while the object is processing a call.
    objects: BTreeMap<Address, Option<Box<dyn EventHandler>>>,
    /// The log line of the last request.
    pub last_log_line: Option<String>,
    sql: Option<SqlSession>,
    backups: Option<BackupStore>,
    /// Whether the last response was streamed and had no Content-Length.
    pub last_was_streamed: bool,
    /// The number of requests to each object so far, excluding alarms. On Cloudflare, these
    /// requests are billed.
    pub object_requests: BTreeMap<Address, u64>,
    /// A function that runs before and after each call. See [`InProcess::watch_calls`].
    watcher: Option<Watcher>,
}

type Watcher = Box<dyn FnMut(&Address)>;

/// A function that processes messages of [`tidemark_engine::protocol::sql`]. An error contains the reason for
/// the abort.
pub type SqlSession = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, String>>;

/// A function that processes messages of [`tidemark_engine::protocol::backup`] to the backup storage. An
/// error is a failed call.
pub type BackupStore = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, String>>;

impl InProcess {
    /// Creates an empty database. `seed` determines every random choice.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let mut platform = LocalPlatform::seeded(seed);
        platform.limits = settings.limits;
        platform.location = settings.placement.location;
        platform.jurisdiction = settings.placement.jurisdiction;
        let (full_bytes, split_bytes) = (settings.shard_full_bytes, settings.shard_split_bytes);
        let service = Service::new(Ok(settings), platform.random_u64());
        Self {
            service,
            other_edges: VecDeque::new(),
            budget: Budget::new(MEMTABLE_BYTES_MAX, platform.random_u64()),
            pages: Rc::default(),
            platform,
            full_bytes,
            split_bytes,
            stores: BTreeMap::new(),
            objects: BTreeMap::new(),
            last_log_line: None,
            sql: None,
            backups: None,
            last_was_streamed: false,
            object_requests: BTreeMap::new(),
            watcher: None,
        }
    }

    /// Adds an edge, which has its own caches.
    pub fn add_edge(&mut self) {
        let settings = self.service.settings.clone();
        self.other_edges.push_back(Service::new(settings, self.platform.random_u64()));
    }

    /// Makes the next edge process the following requests. The edges take turns.
    pub fn switch_edge(&mut self) {
        if let Some(next) = self.other_edges.pop_front() {
            self.other_edges.push_back(std::mem::replace(&mut self.service, next));
        }
    }

    /// Empties the caches of the current edge.
    pub fn forget_caches(&mut self) {
        self.service.cache = Cache::default();
    }

    /// Uses `session` for SQL statements, one after another, starting with the next request.
    pub fn set_sql(&mut self, session: SqlSession) {
        self.sql = Some(session);
        self.platform.has_sql = true;
    }

    /// Uses `place` as the backup store.
    pub fn set_backups(&mut self, place: BackupStore) {
        self.backups = Some(place);
        self.platform.has_backups = true;
    }

    /// Returns the size of each object's storage in bytes. A wiped object has 0 bytes.
    pub fn stored_bytes(&self) -> Vec<(&Address, u64)> {
        let stores = self.stores.iter();
        stores.map(|(address, store)| (address, store.bytes().unwrap_or_default())).collect()
    }

    /// Evicts all objects from memory. The storage remains, but the caches of the edge are lost.
    pub fn sleep(&mut self) {
        self.objects.clear();
        self.forget_caches();
        self.budget = Budget::new(MEMTABLE_BYTES_MAX, self.platform.random_u64());
    }

    /// Returns the storage of each object by address. The handles share their data.
    pub fn stores(&self) -> BTreeMap<Address, MemoryStore> {
        self.stores.clone()
    }

    /// Replaces the storage of an object and evicts the object from memory.
    pub fn put_store(&mut self, address: Address, store: MemoryStore) {
        self.objects.remove(&address);
        self.stores.insert(address, store);
    }

    /// Returns the number of objects created so far. This number is also the number of the last
    /// object.
    pub fn object_count(&self) -> u64 {
        self.platform.objects_created()
    }

    /// Sets the number of created objects. The next object gets the next higher number.
    pub fn set_object_count(&mut self, count: u64) {
        self.platform.set_objects_created(count);
    }

    /// Advances the time to `now_ns` and runs the due alarms.
    pub fn pass_time(&mut self, now_ns: i64) {
        self.platform.set_now_ns(now_ns);
        self.run_due_alarms();
    }

    /// Returns the time of the next alarm of the objects in memory. Overdue alarms have a time in
    /// the past.
    pub fn next_alarm_ns(&self) -> Option<i64> {
        self.objects.values().filter_map(|handler| handler.as_ref()?.next_alarm_ns()).min()
    }

    /// Loads every object with stored data and runs its alarm, because the times of alarms are not
    /// stored. An alarm that runs too early finds no due work.
    pub fn wake_all(&mut self, now_ns: i64) {
        self.platform.set_now_ns(now_ns);
        let asleep = self.stores.keys().filter(|address| !self.objects.contains_key(address));
        for address in asleep.cloned().collect::<Vec<_>>() {
            self.alarm(&address);
        }
        self.run_due_alarms();
    }

    /// Processes a request at time `now_ns`, then runs the due alarms.
    pub fn request(&mut self, head: RequestHead, body: Vec<u8>, now_ns: i64) -> Response {
        let response = self.respond(head, body, now_ns);
        self.run_due_alarms();
        response
    }

    /// Processes a request at time `now_ns`. Alarms wait for [`Self::pass_time`].
    pub fn respond(&mut self, head: RequestHead, mut body: Vec<u8>, now_ns: i64) -> Response {
        self.platform.set_now_ns(now_ns);
        let (mut exchange, mut action) = Exchange::start(&mut self.service, &self.platform, head);
        let mut calls = VecDeque::new();
        let mut streamed: Option<Response> = None;
        self.last_was_streamed = false;
        let response = loop {
            action = match action {
                Action::ReadBody => {
                    let body = std::mem::take(&mut body);
                    // The buffer is empty, because the whole body is one piece.
                    let refusal = exchange.receive_piece(body.len(), now_ns, |held| *held = body);
                    refusal
                        .unwrap_or_else(|| exchange.step(&mut self.service, &self.platform, None))
                }
                Action::Calls(more) => {
                    calls.extend(more);
                    let Some(call) = calls.pop_front() else { break internal_error() };
                    let reply = self.deliver(call);
                    exchange.step(&mut self.service, &self.platform, Some(reply))
                }
                Action::Respond(response) => break response,
                Action::Stream(response) => {
                    streamed = Some(response);
                    self.last_was_streamed = true;
                    exchange.step(&mut self.service, &self.platform, None)
                }
                Action::Bytes(bytes) => {
                    self.watch(&Address::Timer { ms: 0 });
                    if let Some(response) = &mut streamed {
                        response.body.extend(bytes);
                    }
                    self.watch(&Address::Timer { ms: 0 });
                    exchange.step(&mut self.service, &self.platform, None)
                }
                Action::End => break streamed.take().unwrap_or_else(internal_error),
            };
        };
        self.last_log_line = exchange.log_line(&mut self.service, &self.platform);
        let mut calls = exchange.background_calls(&mut self.service, &self.platform, None);
        while let Some(call) = calls.pop() {
            let reply = Some(self.deliver(call));
            calls.extend(exchange.background_calls(&mut self.service, &self.platform, reply));
        }
        response
    }

    /// Makes the database run `watcher` before and after each call and each alarm, with the address
    /// of the object. On Cloudflare, other requests can run before and after a call. A piece of a
    /// streamed response counts as a pause, because a host waits until the piece is sent.
    pub fn watch_calls(&mut self, watcher: Box<dyn FnMut(&Address)>) {
        self.watcher = Some(watcher);
    }

    /// Makes a call, and all calls that result from this call.
    fn deliver(&mut self, call: Call) -> Reply {
        let to = call.to.clone();
        self.watch(&to);
        let reply = self.answer_call(call);
        self.watch(&to);
        reply
    }

    fn watch(&mut self, to: &Address) {
        if let Some(watcher) = &mut self.watcher {
            watcher(to);
        }
    }

    fn answer_call(&mut self, call: Call) -> Reply {
        let Call { id, to, message, .. } = call;
        let failed = |reason: &str| Err(CallFailure::Failed(reason.to_owned()));
        let result = match to {
            // A single hash is sufficient, because only this process can read the stored key.
            Address::KeyDerivation => Ok(Sha256::digest(&message).to_vec()),
            Address::Timer { .. } => Ok(Vec::new()),
            Address::Sql => match &mut self.sql {
                Some(sql) => sql(&message).or_else(|message| error_reply(&message)),
                None => failed("this server has no SQL"),
            },
            Address::Backups => match &mut self.backups {
                Some(backups) => backups(&message).map_err(CallFailure::Failed),
                None => failed("the server has no storage for backups"),
            },
            Address::AccessKeys | Address::SignatureCheck => {
                failed("this server does not support Cloudflare Access")
            }
            Address::Catalog | Address::Database(_) | Address::Shard(_) => {
                match recovery::unsupported(&message, NO_PAST) {
                    Some(reply) => Ok(reply),
                    None => self.call_object(to, &message),
                }
            }
        };
        Reply { id, result }
    }

    fn call_object(&mut self, to: Address, message: &[u8]) -> Result<Vec<u8>, CallFailure> {
        let Some(mut handler) = self.take(&to) else {
            return Err(CallFailure::Failed("the object called itself".to_owned()));
        };
        *self.object_requests.entry(to.clone()).or_default() += 1;
        let (event_id, step) = handler.begin(&self.platform, message);
        let reply = self.drive(&mut *handler, event_id, step);
        self.objects.insert(to, Some(handler));
        Ok(reply)
    }

    /// Makes an event's calls until the event is done. As on Cloudflare, calls above the limit of
    /// an event fail.
    fn drive(
        &mut self,
        handler: &mut dyn EventHandler,
        event_id: EventId,
        step: Step<Vec<u8>>,
    ) -> Vec<u8> {
        let mut step = step;
        let mut calls = VecDeque::new();
        let mut made = 0;
        loop {
            match step {
                Step::Done(reply) => return reply,
                Step::Calls(more) => calls.extend(more),
            }
            let Some(call) = calls.pop_front() else { return Vec::new() };
            made += usize::from(call.to.is_counted());
            let reply = match self.platform.limits().check(Limit::Calls, 0, made) {
                Ok(()) => self.deliver(call),
                Err(reason) => {
                    Reply { id: call.id, result: Err(CallFailure::Failed(reason.to_string())) }
                }
            };
            step = handler.resume(&self.platform, event_id, reply);
        }
    }

    /// Removes an object from the map. Loads the object if necessary. Returns `None` if the object
    /// is already processing a call.
    fn take(&mut self, address: &Address) -> Option<Box<dyn EventHandler>> {
        if let Some(object) = self.objects.get_mut(address) {
            return object.take();
        }
        self.objects.insert(address.clone(), None);
        let store = self.stores.entry(address.clone()).or_default().clone();
        Some(match address {
            Address::Database(id) => {
                let database = Database::new(store, id.clone()).splitting_at(self.split_bytes);
                Box::new(Runner::new(database, id.clone(), self.service.queries.clone()))
            }
            Address::Shard(_) => {
                let full_bytes = self.full_bytes;
                let shard = Shard::new(store, Rc::clone(&self.budget), full_bytes);
                Box::new(ShardEvents::new(shard, Rc::clone(&self.pages)))
            }
            // `answer_call` processes the calls to runtime services.
            _ => Box::new(Catalog::new(store)),
        })
    }

    fn run_due_alarms(&mut self) {
        for _ in 0..ALARMS_PER_REQUEST_MAX {
            let now_ns = self.platform.now_ns();
            let due = self.objects.iter().find_map(|(address, handler)| {
                let due_ns = handler.as_ref()?.next_alarm_ns()?;
                (due_ns <= now_ns).then(|| address.clone())
            });
            let Some(address) = due else { return };
            self.alarm(&address);
        }
    }

    fn alarm(&mut self, address: &Address) {
        let Some(mut handler) = self.take(address) else { return };
        self.watch(address);
        let (event_id, step) = handler.alarm(&self.platform);
        self.drive(&mut *handler, event_id, step);
        self.watch(address);
        self.objects.insert(address.clone(), Some(handler));
    }
}

/// Returns the response of an exchange that stops without a result. Only a bug in the code can
/// cause this.
fn internal_error() -> Response {
    ApiError::Internal("the request ended without a response".to_owned())
        .response(ErrorShape::Other, false)
}
