//! A whole deployment in one process: one Catalog, its Databases and Shards, and clients on any
//! number of edges. A scheduler with a seed delivers messages in any order. On request, it loses or
//! repeats a message, or crashes an object.
//!
//! A client is either a task ([`World::run`]) or a whole HTTP exchange (implement
//! [`Client`]). After a crash, an object has only the contents of its store.

mod past;
pub(crate) mod platform;
pub(crate) mod real_shard;
pub(crate) mod stub_shard;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tidemark_browser::in_process::SqlSession;
use tidemark_coordinator::cache::Cache;
use tidemark_coordinator::continuous::Runner;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::session::Session;
use tidemark_coordinator::statement::execute;
use tidemark_coordinator::{Context, Pieces, Task};
use tidemark_engine::protocol::call::{Address, Call, CallFailure, Reply, Step};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::{EventHandler, EventId};
use tidemark_engine::protocol::live_queries::LiveQuery;
use tidemark_engine::protocol::sql::error_reply;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_influxql::bound_params::Params;
use tidemark_influxql::parse_statement;
use tidemark_model::ids::ObjectId;
use tidemark_model::time::H_NS;
use tidemark_objects::catalog::Catalog;
use tidemark_objects::database::Database;
use tidemark_query::admission::QueryMemory;
use tidemark_query::result::SeriesChunk;

use crate::backup_place::MemoryPlace;
use crate::fault_store::{After, FaultStore};
use crate::sql_stand_in::stand_in;
use platform::{START_NS, TestPlatform};

pub(crate) trait Client {
    /// Performs the first step (`None`), or receives a reply. Returns `None` at the end.
    fn step(&mut self, platform: &TestPlatform, reply: Option<Reply>) -> Option<Vec<Call>>;
}

pub(crate) trait ShardObject {
    fn handle(&mut self, message: &[u8], now_ns: i64) -> Vec<u8>;

    fn crash(&mut self);

    /// Makes storage operation `at` of the next event fail. All later operations fail too.
    fn break_storage(&mut self, at: u64, persisted: bool) {
        let _ = (at, persisted);
    }

    /// Returns whether a storage operation has failed.
    fn heal_storage(&mut self) -> bool {
        false
    }

    fn alarm(&mut self, now_ns: i64) -> Option<i64> {
        let _ = now_ns;
        None
    }

    /// Returns a copy of the storage if the world keeps earlier states.
    fn stored(&self) -> Option<MemoryStore> {
        None
    }

    /// Sets the storage of the object's next instance.
    fn go_back(&mut self, store: MemoryStore) {
        let _ = store;
    }

    fn next_alarm_ns(&mut self, now_ns: i64) -> Option<i64> {
        let _ = now_ns;
        None
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The request or its reply is lost. The caller receives an error.
    pub(crate) lost: u8,
    /// The request is delivered twice. The second delivery may happen at any later time.
    pub(crate) repeated: u8,
    /// The object crashes before or after it handles the request.
    pub(crate) crashed: u8,
    /// The object crashes at a storage operation, before or after the operation takes effect.
    pub(crate) storage: u8,
    /// An alarm fails and the platform repeats it, or the alarm is minutes late.
    pub(crate) alarms: u8,
}

/// The maximum number of the storage operation that fails in an event. The number is random.
const OPERATIONS_MAX: usize = 12;
const PER_PAUSE: usize = 50;
/// The delay before the platform repeats a failed alarm, and the maximum delay of an alarm.
const ALARM_REPEAT_NS: i64 = 2_000_000_000;
const ALARM_LATE_NS: usize = 900_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    Client(usize),
    /// An event of an object. The number identifies the object's current instance.
    Object(Address, u32, EventId),
    /// The platform's alarm, which has no caller.
    Nobody,
}

enum Event {
    Request(Caller, Call),
    Reply(Caller, Reply),
}

pub(crate) struct World {
    /// The time, the random numbers and the object ids for all components.
    pub(crate) platform: TestPlatform,
    pub(crate) faults: Faults,
    /// All calls to an unreachable Catalog fail.
    pub(crate) catalog_is_lost: bool,
    pub(crate) unreachable: BTreeSet<Address>,
    /// Whether all messages of an object are lost.
    pub(crate) is_mute: fn(&Address) -> bool,
    /// Whether faults only affect messages between objects.
    pub(crate) spares_clients: bool,
    /// The value of `SHARD_SPLIT_BYTES`. The value 0 disables splits.
    pub(crate) split_bytes: u64,
    pub(crate) backups: MemoryPlace,
    /// The number of requests from clients to objects.
    pub(crate) asked: usize,
    make_shard: fn(&ObjectId) -> Box<dyn ShardObject>,
    stores: BTreeMap<Address, FaultStore>,
    hosts: BTreeMap<Address, (Box<dyn EventHandler>, u32)>,
    shards: BTreeMap<ObjectId, Box<dyn ShardObject>>,
    /// The alarm times of objects remain after a crash.
    alarms: BTreeMap<Address, i64>,
    clients: Vec<Option<Box<dyn Client>>>,
    waiting: BTreeMap<(Address, u32, EventId), (Caller, u32)>,
    events: Vec<Event>,
    /// The callers that wait for the clock, each with the number of its reply.
    pauses: VecDeque<(Caller, u32)>,
    sql: SqlSession,
    past: Option<past::Past>,
}

impl World {
    /// `make_shard` creates the shards.
    pub(crate) fn new(seed: u64, make_shard: fn(&ObjectId) -> Box<dyn ShardObject>) -> Self {
        Self {
            platform: TestPlatform::new(seed),
            faults: Faults::default(),
            catalog_is_lost: false,
            unreachable: BTreeSet::new(),
            is_mute: |_| false,
            spares_clients: false,
            split_bytes: 0,
            backups: MemoryPlace::default(),
            asked: 0,
            make_shard,
            stores: BTreeMap::new(),
            hosts: BTreeMap::new(),
            shards: BTreeMap::new(),
            alarms: BTreeMap::new(),
            clients: Vec::new(),
            waiting: BTreeMap::new(),
            events: Vec::new(),
            pauses: VecDeque::new(),
            sql: stand_in(),
            past: None,
        }
    }

    /// Creates the shard on the first call.
    pub(crate) fn shard(&mut self, id: &ObjectId) -> &mut dyn ShardObject {
        let make = self.make_shard;
        self.shards.entry(id.clone()).or_insert_with(|| make(id)).as_mut()
    }

    pub(crate) fn shard_ids(&self) -> Vec<ObjectId> {
        self.shards.keys().cloned().collect()
    }

    pub(crate) fn addresses(&self) -> Vec<Address> {
        let shards = self.shards.keys().cloned().map(Address::Shard);
        self.hosts.keys().cloned().chain(shards).collect()
    }

    pub(crate) fn store(&mut self, address: &Address) -> FaultStore {
        let new = || FaultStore::new(MemoryStore::new());
        self.stores.entry(address.clone()).or_insert_with(new).clone()
    }

    /// Performs the first step of a client. [`World::deliver`] delivers the client's calls.
    pub(crate) fn start(&mut self, client: impl Client + 'static) -> usize {
        self.clients.push(Some(Box::new(client)));
        let number = self.clients.len() - 1;
        self.step_client(number, None);
        number
    }

    /// Starts a task. Its result is added to the returned list.
    pub(crate) fn start_task<T: 'static>(&mut self, edge: &Edge, task: Task<T>) -> Answer<T> {
        let answer = Answer::default();
        let (cache, queries) = (Rc::clone(&edge.cache), edge.queries.clone());
        self.start(Running { task, cache, queries, answer: answer.clone() });
        answer
    }

    pub(crate) fn run<T: 'static>(&mut self, edge: &Edge, task: Task<T>) -> Result<T, Error> {
        let answer = self.start_task(edge, task);
        while self.deliver() {}
        answer.take().expect("the task has ended")
    }

    /// Starts an InfluxQL statement of an administrator.
    pub(crate) fn start_statement(
        &mut self,
        edge: &Edge,
        database: &str,
        text: &str,
    ) -> Results<SeriesChunk> {
        let statement = parse_statement(text, &Params::default()).unwrap();
        let session = Session { database: Some(database.to_owned()), ..session() };
        self.start_pieces(edge, execute(statement, session))
    }

    /// Runs an InfluxQL statement of an administrator to its end.
    pub(crate) fn run_statement(
        &mut self,
        edge: &Edge,
        database: &str,
        text: &str,
    ) -> Result<Vec<SeriesChunk>, Error> {
        let pieces = self.start_statement(edge, database, text);
        while self.deliver() {}
        let pieces = pieces.take();
        assert!(matches!(pieces.last(), Some(Ok(None) | Err(_))), "{text} has not ended");
        pieces.into_iter().filter_map(Result::transpose).collect()
    }

    /// Starts a stream. Its pieces are added to the returned list. The last element is `Ok(None)` or
    /// an error.
    pub(crate) fn start_pieces<T: 'static>(
        &mut self,
        edge: &Edge,
        mut pieces: Pieces<T>,
    ) -> Results<T> {
        let results = Rc::new(RefCell::new(Vec::new()));
        let read = Rc::clone(&results);
        let task = Task::new(|io| async move {
            loop {
                let piece = io.next(&mut pieces).await;
                let is_last = !matches!(piece, Ok(Some(_)));
                read.borrow_mut().push(piece);
                if is_last {
                    return Ok(());
                }
            }
        });
        self.start_task(edge, task);
        results
    }

    /// Delivers one message, which the seed selects. Returns `false` if there are no messages.
    pub(crate) fn deliver(&mut self) -> bool {
        if self.events.is_empty() || !self.pauses.is_empty() && self.platform.below(PER_PAUSE) == 0
        {
            let Some((caller, id)) = self.pauses.pop_front() else { return false };
            self.reply(caller, Reply { id, result: Ok(Vec::new()) });
            return true;
        }
        let at = self.platform.below(self.events.len());
        match self.events.swap_remove(at) {
            Event::Reply(caller, reply) => self.reply(caller, reply),
            Event::Request(caller, call) => self.request(caller, call),
        }
        true
    }

    /// Moves time to the next alarm and runs the alarm. Returns `false` if there are no alarms.
    pub(crate) fn alarm(&mut self) -> bool {
        let Some((address, due_ns)) = self.alarms.iter().min_by_key(|(_, due)| **due) else {
            return false;
        };
        let (address, due_ns) = (address.clone(), *due_ns);
        self.alarms.remove(&address);
        self.platform.advance_to(due_ns);
        if self.platform.percent(self.faults.alarms) {
            self.alarms.insert(address, due_ns + ALARM_REPEAT_NS);
            return true;
        }
        if self.platform.percent(self.faults.alarms) {
            let late_ns = self.platform.below(ALARM_LATE_NS) as i64;
            self.platform.advance_to(due_ns + late_ns);
        }
        self.break_storage(&address);
        if let Address::Shard(id) = &address {
            let now_ns = self.platform.time_ns();
            let due_ns = self.shard(id).alarm(now_ns);
            self.note(&address);
            if self.died(&address) {
                self.alarms.insert(address, due_ns_of_repeat(now_ns));
            } else if let Some(due_ns) = due_ns {
                self.alarms.insert(address, due_ns);
            }
            return true;
        }
        let platform = self.platform.clone();
        let (host, instance) = self.host(&address);
        let instance = *instance;
        let (event_id, step) = host.alarm(&platform);
        if self.died(&address) {
            self.alarms.insert(address, due_ns_of_repeat(self.platform.time_ns()));
            return true;
        }
        self.after_step(&address, instance, event_id, step, (Caller::Nobody, 0));
        true
    }

    pub(crate) fn alarm_if_due(&mut self) -> bool {
        self.alarm_is_due_within(0) && self.alarm()
    }

    pub(crate) fn alarm_is_due_within(&self, span_ns: i64) -> bool {
        let now_ns = self.platform.time_ns();
        self.alarms.values().any(|&due_ns| due_ns - now_ns <= span_ns)
    }

    pub(crate) fn live_queries(&mut self) -> Vec<LiveQuery> {
        let message = envelope::encode(&ToCatalog::Queries);
        let call = Call { id: 0, to: Address::Catalog, location: None, message };
        match envelope::decode_reply::<FromCatalog>(self.deliver_to_catalog_only(&call)) {
            Ok(FromCatalog::Queries(all)) => all,
            other => panic!("{other:?}"),
        }
    }

    /// Delivers a call to the Catalog. All calls that the Catalog makes fail.
    pub(crate) fn deliver_to_catalog_only(&mut self, call: &Call) -> Result<Vec<u8>, CallFailure> {
        let platform = self.platform.clone();
        let failed = || Err(CallFailure::Retryable("lost".to_owned()));
        let (host, _) = self.host(&call.to);
        let (event_id, mut step) = host.begin(&platform, &call.message);
        while let Step::Calls(calls) = step {
            let Some(call) = calls.first() else { return failed() };
            let reply = Reply { id: call.id, result: failed() };
            step = host.resume(&platform, event_id, reply);
        }
        if let Some(due_ns) = host.next_alarm_ns() {
            self.alarms.insert(call.to.clone(), due_ns);
        }
        let Step::Done(reply) = step else { return failed() };
        Ok(reply)
    }

    /// Runs alarms until no alarm is due for hours. A Database always has an alarm within one day.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            while self.deliver() {}
            if !self.alarm_is_due_within(12 * H_NS) || !self.alarm() {
                return;
            }
        }
        panic!("alarms never end");
    }

    /// Ends the object's instance. Callers that wait for the object receive an error.
    pub(crate) fn crash(&mut self, address: &Address) {
        self.end_instance(address);
        if let Address::Shard(id) = address {
            self.shard(id).crash();
            return;
        }
        let store = self.store(address);
        let Some((_, instance)) = self.hosts.remove(address) else { return };
        self.hosts
            .insert(address.clone(), (new_host(address, store, self.split_bytes), instance + 1));
        let lost: BTreeSet<_> =
            self.waiting.keys().filter(|(at, ..)| at == address).cloned().collect();
        for key in lost {
            if let Some((caller, id)) = self.waiting.remove(&key) {
                self.fail(caller, id);
            }
        }
    }

    fn fail(&mut self, caller: Caller, id: u32) {
        let result = Err(CallFailure::Retryable("lost".to_owned()));
        self.events.push(Event::Reply(caller, Reply { id, result }));
    }

    fn request(&mut self, caller: Caller, call: Call) {
        self.asked += usize::from(matches!(caller, Caller::Client(_)));
        let mut faults = self.faults;
        if self.spares_clients && matches!(caller, Caller::Client(_)) {
            faults = Faults::default();
        }
        // Requests to the Catalog are repeated only by clients themselves.
        if call.to != Address::Catalog && self.platform.percent(faults.repeated) {
            self.events.push(Event::Request(caller.clone(), call.clone()));
        }
        if self.platform.percent(faults.crashed) {
            self.crash(&call.to);
        }
        let is_mute = matches!(&caller, Caller::Object(address, ..) if (self.is_mute)(address));
        let is_lost = is_mute
            || self.unreachable.contains(&call.to)
            || self.catalog_is_lost && call.to == Address::Catalog;
        if is_lost || self.platform.percent(faults.lost) {
            return self.fail(caller, call.id);
        }
        let reply_lost = self.platform.percent(faults.lost);
        let crash_after = self.platform.percent(faults.crashed);
        let (to, id) = (call.to.clone(), call.id);
        if reply_lost {
            // The object may still handle the message long after the caller has received the
            // failure.
            self.fail(caller, id);
            self.handle(Caller::Nobody, call);
        } else {
            self.handle(caller, call);
        }
        if crash_after {
            self.crash(&to);
        }
    }

    fn break_storage(&mut self, address: &Address) {
        if !self.platform.percent(self.faults.storage) {
            return;
        }
        let at = 1 + self.platform.below(OPERATIONS_MAX) as u64;
        let persisted = self.platform.below(2) == 0;
        match address {
            Address::Shard(id) => self.shard(id).break_storage(at, persisted),
            _ => self.store(address).fail(at, persisted, After::Gone),
        }
    }

    /// Replaces an object that crashed during its event.
    fn died(&mut self, address: &Address) -> bool {
        let died = match address {
            Address::Shard(id) => self.shard(id).heal_storage(),
            _ => self.store(address).heal(),
        };
        if died {
            self.crash(address);
        }
        died
    }

    fn handle(&mut self, caller: Caller, call: Call) {
        if let Address::Timer { .. } = call.to {
            self.pauses.push_back((caller, call.id));
            return;
        }
        if call.to == Address::Backups {
            let result = self.backups.answer(&call.message).map_err(CallFailure::Failed);
            self.events.push(Event::Reply(caller, Reply { id: call.id, result }));
            return;
        }
        if call.to == Address::Sql {
            let result = (self.sql)(&call.message).or_else(|said| error_reply(&said));
            self.events.push(Event::Reply(caller, Reply { id: call.id, result }));
            return;
        }
        if call.to == Address::KeyDerivation {
            let result = Ok(call.message);
            self.events.push(Event::Reply(caller, Reply { id: call.id, result }));
            return;
        }
        if let Some(result) = self.ask_past(&call) {
            self.events.push(Event::Reply(caller, Reply { id: call.id, result }));
            return;
        }
        self.break_storage(&call.to);
        if let Address::Shard(id) = &call.to {
            let now_ns = self.platform.time_ns();
            let result = Ok(self.shard(id).handle(&call.message, now_ns));
            self.note(&call.to);
            if self.died(&call.to) {
                return self.fail(caller, call.id);
            }
            if let Some(due_ns) = self.shard(id).next_alarm_ns(now_ns) {
                self.alarms.insert(call.to.clone(), due_ns);
            }
            self.events.push(Event::Reply(caller, Reply { id: call.id, result }));
            return;
        }
        let platform = self.platform.clone();
        let (host, instance) = self.host(&call.to);
        let instance = *instance;
        let (event_id, step) = host.begin(&platform, &call.message);
        if self.died(&call.to) {
            return self.fail(caller, call.id);
        }
        self.after_step(&call.to, instance, event_id, step, (caller, call.id));
    }

    fn reply(&mut self, caller: Caller, reply: Reply) {
        match caller {
            Caller::Nobody => {}
            Caller::Client(number) => self.step_client(number, Some(reply)),
            Caller::Object(address, instance, event_id) => {
                let key = (address.clone(), instance, event_id);
                let Some(waiting) = self.waiting.get(&key).cloned() else { return };
                let platform = self.platform.clone();
                self.break_storage(&address);
                let (host, current) = self.host(&address);
                if *current == instance {
                    let step = host.resume(&platform, event_id, reply);
                    if self.died(&address) {
                        return;
                    }
                    self.after_step(&address, instance, event_id, step, waiting);
                }
            }
        }
    }

    fn after_step(
        &mut self,
        address: &Address,
        instance: u32,
        event_id: EventId,
        step: Step<Vec<u8>>,
        (caller, id): (Caller, u32),
    ) {
        self.note(address);
        let next = self.host(address).0.next_alarm_ns();
        if let Some(due_ns) = next {
            self.alarms.insert(address.clone(), due_ns);
        }
        let key = (address.clone(), instance, event_id);
        match step {
            Step::Done(bytes) => {
                self.waiting.remove(&key);
                self.events.push(Event::Reply(caller, Reply { id, result: Ok(bytes) }));
            }
            Step::Calls(calls) => {
                self.waiting.insert(key, (caller, id));
                let own = Caller::Object(address.clone(), instance, event_id);
                self.events.extend(calls.into_iter().map(|c| Event::Request(own.clone(), c)));
            }
        }
    }

    fn step_client(&mut self, number: usize, reply: Option<Reply>) {
        let platform = self.platform.clone();
        let Some(client) = &mut self.clients[number] else { return };
        match client.step(&platform, reply) {
            None => self.clients[number] = None,
            Some(calls) => {
                let own = Caller::Client(number);
                self.events.extend(calls.into_iter().map(|c| Event::Request(own.clone(), c)));
            }
        }
    }

    fn host(&mut self, address: &Address) -> &mut (Box<dyn EventHandler>, u32) {
        let (store, split_bytes) = (self.store(address), self.split_bytes);
        let new = || (new_host(address, store, split_bytes), 0);
        self.hosts.entry(address.clone()).or_insert_with(new)
    }
}

fn due_ns_of_repeat(now_ns: i64) -> i64 {
    now_ns + ALARM_REPEAT_NS
}

fn new_host(address: &Address, store: FaultStore, split_bytes: u64) -> Box<dyn EventHandler> {
    match address {
        Address::Database(id) => {
            let database = Database::new(store, id.clone()).splitting_at(split_bytes);
            Box::new(Runner::new(database, id.clone(), QueryMemory::default()))
        }
        _ => Box::new(Catalog::new(store)),
    }
}

/// An isolate, with the state that its requests share.
#[derive(Clone, Default)]
pub(crate) struct Edge {
    pub(crate) cache: Rc<RefCell<Cache>>,
    pub(crate) queries: QueryMemory,
}

/// The pieces of a stream as far as it has run, and then `Ok(None)` or an error.
pub(crate) type Results<T> = Rc<RefCell<Vec<Result<Option<T>, Error>>>>;

/// The session of an administrator in the database `db`.
pub(crate) fn session() -> Session {
    Session {
        database: Some("db".to_owned()),
        now_ns: START_NS,
        default_shards: 1,
        principal: Principal::admin(),
        ..Session::default()
    }
}

/// The result of a task, once it has ended.
pub(crate) struct Answer<T>(Rc<RefCell<Option<Result<T, Error>>>>);

impl<T> Answer<T> {
    pub(crate) fn take(&self) -> Option<Result<T, Error>> {
        self.0.take()
    }
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

struct Running<T> {
    task: Task<T>,
    cache: Rc<RefCell<Cache>>,
    queries: QueryMemory,
    answer: Answer<T>,
}

impl<T> Client for Running<T> {
    fn step(&mut self, platform: &TestPlatform, reply: Option<Reply>) -> Option<Vec<Call>> {
        let (cache, queries) = (&mut *self.cache.borrow_mut(), &self.queries);
        match self.task.step(&mut Context { cache, queries, platform }, reply) {
            Step::Calls(calls) => Some(calls),
            Step::Done(answer) => {
                self.answer.0.replace(Some(answer));
                None
            }
        }
    }
}

/// Returns the seeds of a random test. The variable `SEED` selects one seed, and `SEEDS` changes
/// the number of seeds. `npm test -- --all` multiplies the number by `SEEDS_FACTOR`. The workflow
/// `nightly.yml` runs more seeds.
pub(crate) fn seeds(default: u64) -> Range<u64> {
    let given = |name| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    match given("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..given("SEEDS").unwrap_or(default * given("SEEDS_FACTOR").unwrap_or(1)),
    }
}

/// Whether `SEEDS_FACTOR` is set. Some tests then try every case instead of a quarter.
pub(crate) fn is_thorough() -> bool {
    std::env::var_os("SEEDS_FACTOR").is_some()
}

/// The variable `LONG_TESTS=1` makes some tests much larger.
pub(crate) fn is_long() -> bool {
    std::env::var("LONG_TESTS").is_ok_and(|value| value == "1")
}

/// Calls `run` with each seed, on all cores. Returns the results in any order.
pub(crate) fn run_seeds<T: Send>(Range { start, end }: Range<u64>, run: fn(u64) -> T) -> Vec<T> {
    let (next, results) = (AtomicU64::new(start), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let result = std::panic::catch_unwind(|| run(seed));
            let result = result.unwrap_or_else(|_| panic!("SEED={seed} fails: run it alone"));
            results.lock().unwrap().push(result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    results.into_inner().unwrap()
}

/// Returns a unique seed for an isolate, so that different isolates create different names.
pub(crate) fn draw_seed() -> u64 {
    static ISOLATES: AtomicU64 = AtomicU64::new(1);
    ISOLATES.fetch_add(1, Ordering::Relaxed)
}
