//! The Database object: policies, their schemas and their shard groups.
//!
//! Reads and registrations are answered at once. Whatever changes more than this object is a job
//! (`ddl`): stored before its first message, driven by the request that stored it, by any later
//! statement that finds it unfinished, and by the alarm.

pub mod continuous;
mod copy;
pub mod ddl;
pub mod groups;
pub mod policies;
mod progress;
pub mod rows;
pub mod schema;
pub mod split;
mod statements;
mod tend;

use crate::model::ids::ObjectId;
use crate::model::limits::{CALLS_PER_ROUND_MAX, JOB_FAILURES_MAX, JOB_RETRY_NS};
use crate::model::sorted_map::SortedMap;
use crate::protocol::call::{CallFailure, Platform, Reply, Step};
use crate::protocol::database::{
    DatabaseRefusal, Description, FromDatabase, ObjectStats, ToDatabase,
};
use crate::protocol::envelope::{self, VERSION};
use crate::protocol::host::{Host, Ticket, Unavailable};
use crate::protocol::round::{Request, Round};
use crate::protocol::shard::{FromShard, VerifyPage};
use crate::store::row::{self, Verified};
use crate::store::{Store, StoreError};
use ddl::Job;
use rows::{Change, Rows, Stage};
use statements::Task;

/// A Database over its storage.
pub struct Database<S: Store> {
    store: S,
    object: ObjectId,
    /// Whether `rows` is a copy of what is stored; not before the first read, nor after an error.
    loaded: bool,
    /// `None` when the object is not open.
    rows: Option<Rows>,
    flights: SortedMap<Ticket, Flight>,
    next_ticket: u64,
    /// After a store error nothing is known of due jobs: look again then, nanoseconds.
    look_again_ns: Option<i64>,
    /// `SHARD_SPLIT_BYTES`; 0 is never.
    split_bytes: u64,
    /// Sizes at which groups were looked at without being split, by group, bytes.
    weighed: SortedMap<u64, u64>,
}

/// One event in flight.
struct Flight {
    version: u8,
    task: Task,
    /// The job that this flight stored.
    own_job: Option<u64>,
    /// The job being driven and how many of its messages were answered.
    work: Option<(u64, usize)>,
    /// What was heard for the split being driven.
    split: progress::Progress,
    round: Round,
}

impl Flight {
    fn new(version: u8, task: Task) -> Self {
        let split = progress::Progress::default();
        Self { version, task, own_job: None, work: None, split, round: Round::default() }
    }
}

/// Why a task cannot go on.
enum Halt {
    Store(StoreError),
    Reply(FromDatabase),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DatabaseRefusal> for Halt {
    fn from(refusal: DatabaseRefusal) -> Self {
        Self::Reply(FromDatabase::Refused(refusal))
    }
}

impl From<Unavailable> for Halt {
    fn from(why: Unavailable) -> Self {
        Self::Reply(FromDatabase::Unavailable(why))
    }
}

type Next = Result<Vec<Request>, Halt>;

impl<S: Store> Database<S> {
    /// The Database that is the object `object`, over `store`. Reads nothing yet.
    pub fn new(store: S, object: ObjectId) -> Self {
        Self {
            store,
            object,
            loaded: false,
            rows: None,
            flights: SortedMap::new(),
            next_ticket: 0,
            look_again_ns: None,
            split_bytes: 0,
            weighed: SortedMap::new(),
        }
    }

    /// The same, splitting groups above `SHARD_SPLIT_BYTES`; 0, as without this, is never.
    #[must_use]
    pub fn splitting_at(mut self, bytes: u64) -> Self {
        self.split_bytes = bytes;
        self
    }

    /// The storage, for its figures.
    pub fn store(&self) -> &S {
        &self.store
    }

    fn load(&mut self) -> Result<(), StoreError> {
        if !self.loaded {
            self.rows = Rows::load(&self.store)?;
            self.loaded = true;
        }
        Ok(())
    }

    /// The rows of a database in use.
    fn open_rows(&mut self) -> Result<&mut Rows, Halt> {
        self.load()?;
        let Some(rows) = &mut self.rows else { return Err(Halt::Reply(FromDatabase::NotOpen)) };
        match rows.state.stage {
            Stage::Open => Ok(rows),
            Stage::Opening => Err(Unavailable::Changing.into()),
            Stage::Dropping => Err(Halt::Reply(FromDatabase::NotOpen)),
        }
    }

    fn apply(&mut self, change: Change) -> Result<(), StoreError> {
        match &mut self.rows {
            Some(rows) => rows.apply(&self.store, change),
            None => Ok(()),
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Turns a task's wish into a step; replies end the flight.
    fn settle(
        &mut self,
        platform: &dyn Platform,
        ticket: Ticket,
        mut flight: Flight,
        next: Next,
    ) -> Step<Vec<u8>> {
        let reply = match next {
            Ok(requests) => {
                let calls = flight.round.start(requests);
                self.flights.insert(ticket, flight);
                return Step::Calls(calls);
            }
            Err(Halt::Reply(reply)) => reply,
            Err(Halt::Store(error)) => self.distrust(platform, &error),
        };
        Step::Done(envelope::encode_as(flight.version, &reply))
    }

    /// After a store error memory may differ from what is stored: it is read again.
    fn distrust(&mut self, platform: &dyn Platform, error: &StoreError) -> FromDatabase {
        self.loaded = false;
        self.rows = None;
        self.look_again_ns = Some(platform.now_ns().saturating_add(JOB_RETRY_NS));
        FromDatabase::Unavailable(Unavailable::Storage(error.to_string()))
    }

    /// The next messages of a job; once all were answered it is published and `None` comes back.
    fn drive(
        &mut self,
        platform: &dyn Platform,
        flight: &mut Flight,
        key: u64,
    ) -> Result<Option<Vec<Request>>, Halt> {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        let Some(job) = rows.jobs.get(&key) else { return Ok(None) };
        let answered = flight.work.filter(|(job, _)| *job == key).map_or(0, |(_, n)| n);
        flight.work = Some((key, answered));
        match job.kind.clone() {
            ddl::JobKind::Split(split) => return self.drive_split(platform, flight, key, split),
            ddl::JobKind::Tend => {
                flight.task = Task::Nothing;
                self.tend(platform, key)?;
                return Ok(None);
            }
            _ => {}
        }
        let mut requests = ddl::requests(rows, &self.object, &job.kind);
        if answered < requests.len() {
            requests.drain(..answered);
            requests.truncate(CALLS_PER_ROUND_MAX);
            return Ok(Some(requests));
        }
        match ddl::publish(rows, key, platform.now_ns()) {
            Some(change) => rows.apply(&self.store, change)?,
            None => {
                self.store.wipe()?;
                self.rows = None;
            }
        }
        Ok(None)
    }

    /// Judges a round's replies: every shard must have agreed.
    fn learn(
        &mut self,
        platform: &dyn Platform,
        flight: &mut Flight,
        replies: Vec<Result<Vec<u8>, CallFailure>>,
    ) -> Result<(), Halt> {
        let jobs = self.rows.as_ref().map(|rows| &rows.jobs);
        let work = flight.work.and_then(|(key, _)| Some((key, jobs?.get(&key)?)));
        if let Some((key, ddl::Job { kind: ddl::JobKind::Split(split), .. })) = work {
            let split = (key, split.clone());
            return self.learn_split(platform, flight, split, replies);
        }
        let count = replies.len();
        for reply in replies {
            let reply = envelope::decode_reply::<FromShard>(reply).map_err(Unavailable::from)?;
            match reply {
                // A shard that is gone or knows newer settings needs none of this any more.
                FromShard::Done | FromShard::Stale => {}
                FromShard::Unavailable(why) => return Err(why.into()),
                _ => return Err(Unavailable::Unreachable("unexpected reply".to_owned()).into()),
            }
        }
        if let Some((_, answered)) = &mut flight.work {
            *answered += count;
        }
        Ok(())
    }

    /// Nothing is loaded: what is damaged could not be.
    fn verify(&self) -> Result<FromDatabase, StoreError> {
        Ok(match row::verify(&self.store)? {
            Some(Verified { rows, bytes, damaged }) => {
                FromDatabase::Verified(VerifyPage { blocks: rows, bytes, damaged, resume: None })
            }
            None => FromDatabase::NotOpen,
        })
    }

    /// Requests that need no other object.
    fn answer(
        &mut self,
        platform: &dyn Platform,
        message: &ToDatabase,
    ) -> Result<Option<FromDatabase>, Halt> {
        Ok(Some(match message {
            // Shards of a split answer "stale" before the map is published: whoever is sent here by
            // that waits for it.
            ToDatabase::Describe if self.is_publishing_split()? => return Ok(None),
            ToDatabase::Describe => {
                let split_bytes = self.split_bytes;
                let rows = self.open_rows()?;
                let policies = &rows.policies.rows;
                FromDatabase::Description(Description {
                    generation: rows.state.generation,
                    policies: policies.iter().map(|row| row.policy.clone()).collect(),
                    default_policy: rows.state.default_policy,
                    dropped_default: rows.state.dropped_default.clone(),
                    schema_versions: policies.iter().map(|row| row.schema.version()).collect(),
                    split_bytes,
                })
            }
            ToDatabase::Schema { policy, after_version } => {
                let Some(row) = self.open_rows()?.policies.by_id(*policy) else {
                    return Ok(Some(FromDatabase::UnknownPolicy));
                };
                let (measurements, more) = row.schema.page(*after_version);
                FromDatabase::Schema { measurements, version: row.schema.version(), more }
            }
            ToDatabase::Register { policy, sets } => {
                let Some(row) = self.open_rows()?.policies.by_id(*policy) else {
                    return Ok(Some(FromDatabase::UnknownPolicy));
                };
                let number = row.number;
                let mut registration = row.schema.register(sets, &platform.limits());
                let refusals = std::mem::take(&mut registration.refusals);
                let version = registration.version();
                if let Some(rows) = &mut self.rows {
                    rows.register(&self.store, number, registration)?;
                }
                FromDatabase::Registered { refusals, version }
            }
            ToDatabase::Verify => self.verify()?,
            ToDatabase::CreateContinuousQuery { query } => self.create_continuous(query)?,
            ToDatabase::DropContinuousQuery { name } => self.drop_continuous(name)?,
            ToDatabase::ContinuousQueries => self.list_continuous()?,
            ToDatabase::Stats => {
                let rows = self.open_rows()?;
                let bill = rows.bill;
                let aside = rows.jobs.values().filter(|job| job.failures >= JOB_FAILURES_MAX);
                let troubles = aside.map(Job::trouble).chain(continuous::troubles(rows)).collect();
                let measurements = rows.policies.rows.iter().map(|row| row.schema.count() as u64);
                let measurements = measurements.sum();
                let billed = bill.now(&self.store);
                FromDatabase::Stats(ObjectStats {
                    bytes_stored: self.store.bytes()?,
                    rows_read: billed.rows_read,
                    rows_written: billed.rows_written,
                    measurements,
                    troubles,
                })
            }
            _ => return Ok(None),
        }))
    }
}

impl<S: Store> Host for Database<S> {
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (Ticket, Step<Vec<u8>>) {
        let ticket = self.ticket();
        let (version, message) = match envelope::decode::<ToDatabase>(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                let why = Unavailable::Unreachable(error.to_string());
                let reply = envelope::encode(&FromDatabase::Unavailable(why));
                return (ticket, Step::Done(reply));
            }
        };
        let answer = self.answer(platform, &message);
        let mut flight = Flight::new(version, Task::Request(message));
        let next = match answer {
            Ok(Some(reply)) => Err(Halt::Reply(reply)),
            Ok(None) => self.go_on(platform, &mut flight),
            Err(halt) => Err(halt),
        };
        (ticket, self.settle(platform, ticket, flight, next))
    }

    fn resume(&mut self, platform: &dyn Platform, ticket: Ticket, reply: Reply) -> Step<Vec<u8>> {
        let Some(mut flight) = self.flights.remove(&ticket) else {
            return Step::Calls(Vec::new());
        };
        let Some(replies) = flight.round.take(reply) else {
            self.flights.insert(ticket, flight);
            return Step::Calls(Vec::new());
        };
        let next = self.load().map_err(Halt::from);
        let next = next.and_then(|()| self.learn(platform, &mut flight, replies));
        let next = next.and_then(|()| self.go_on(platform, &mut flight));
        self.settle(platform, ticket, flight, next)
    }

    fn alarm(&mut self, platform: &dyn Platform) -> (Ticket, Step<Vec<u8>>) {
        let ticket = self.ticket();
        self.look_again_ns = None;
        let mut flight = Flight::new(VERSION, Task::Nothing);
        let next = self.retry_due(platform, &mut flight);
        (ticket, self.settle(platform, ticket, flight, next))
    }

    fn next_alarm_ns(&self) -> Option<i64> {
        let jobs = self.rows.iter().flat_map(|rows| rows.jobs.values());
        let due = jobs.filter(|job| job.failures < JOB_FAILURES_MAX).map(|job| job.due_ns);
        let open = self.rows.iter().filter(|rows| rows.state.stage == Stage::Open);
        due.chain(open.filter_map(continuous::next_due_ns)).chain(self.look_again_ns).min()
    }

    fn abandon(&mut self, ticket: Ticket) {
        self.flights.remove(&ticket);
    }
}
