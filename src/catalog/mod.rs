//! Runs the Catalog, the one object that knows which databases there are and which object holds
//! each.
//!
//! A database's row is its own job: `creating` and `dropping` are finished by whoever finds them, a
//! repeat of the request, any request about the same name, or the alarm (PROTOCOL.md rules 7
//! and 12). Tokens and users are kept here too; the databases that they concern are told of each
//! change (PROTOCOL.md rule 11).

mod access;
mod creators;
pub mod grants;
pub mod lifecycle;
mod list;
mod live_queries;
mod quotas;
mod rotation;
mod telling;

use crate::model::configurable_limits::Limit;
use crate::model::limits::{JOB_FAILURES_MAX, JOB_RETRY_NS};
use crate::model::name;
use crate::model::time::D_NS;
use crate::protocol::call::{Address, CallFailure, ObjectKind, Platform, Reply, Step};
use crate::protocol::catalog::{CatalogRefusal, CreateDatabase, FromCatalog, ToCatalog};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope::{self, VERSION};
use crate::protocol::flights::{Flight, Flights};
use crate::protocol::host::{Host, Ticket, Unavailable};
use crate::protocol::round::{Next, Replies, Request};
use crate::protocol::shard::VerifyPage;
use crate::store::row::{self, Verified};
use crate::store::{Store, StoreError};
use access::{BirthProgress, TellingProgress, Told};
use grants::Grantees;
use lifecycle::{Entries, Entry, EntryStage};
use telling::Tellings;

/// The Catalog over its storage.
pub struct Catalog<S: Store> {
    store: S,
    /// `None` until read, and again after a store error: what was stored is then unknown.
    entries: Option<Entries>,
    /// As `entries`, and read with them.
    tellings: Tellings,
    /// As `entries`.
    grantees: Option<Grantees>,
    flights: Flights<CatalogWork>,
    /// After a store error nothing is known of due rows: look again then, nanoseconds.
    look_again_ns: Option<i64>,
    queries: live_queries::Queries,
}

/// What is done about one event.
struct CatalogWork {
    task: CatalogTask,
    /// The database whose row is being driven.
    entry: u64,
    /// The Database is being asked about exactly the settings of this event's own CREATE.
    own_settings: bool,
    birth: BirthProgress,
    telling: TellingProgress,
}

impl CatalogWork {
    fn new(task: CatalogTask) -> Self {
        let (birth, telling) = (BirthProgress::default(), TellingProgress::default());
        Self { task, entry: 0, own_settings: false, birth, telling }
    }
}

enum CatalogTask {
    Create {
        request: CreateDatabase,
        /// The database was ready when the request came.
        existed: bool,
    },
    Drop {
        name: String,
        existed: bool,
    },
    /// Tell databases of a change of a token or user.
    Tell {
        /// Which job.
        number: u64,
        /// What is answered then.
        told: Told,
    },
    /// Finish one row.
    Alarm,
}

/// What a request is when it comes: answered without calling anyone, or the start of a task.
enum Begun {
    Reply(FromCatalog),
    Task(CatalogTask),
}

/// Why a request or the alarm does not reach its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("refused")]
    Refused(#[from] CatalogRefusal),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

type Turn = Result<Next<FromCatalog>, Failure>;

impl<S: Store> Catalog<S> {
    /// The Catalog over `store`. Reads nothing yet.
    pub fn new(store: S) -> Self {
        Self {
            store,
            entries: None,
            tellings: Tellings::default(),
            grantees: None,
            flights: Flights::default(),
            look_again_ns: None,
            queries: live_queries::Queries::default(),
        }
    }

    /// The storage, for its figures.
    pub fn store(&self) -> &S {
        &self.store
    }

    fn entries(&mut self) -> Result<&mut Entries, StoreError> {
        if self.entries.is_none() {
            self.tellings = Tellings::load(&self.store)?;
            self.entries = Some(Entries::load(&self.store)?);
        }
        self.entries.as_mut().ok_or_else(|| StoreError::Failed("catalog not loaded".to_owned()))
    }

    /// What stores tokens and users, and where.
    fn grantees(&mut self) -> Result<(&mut Grantees, &S), StoreError> {
        let grantees = match self.grantees.take() {
            Some(grantees) => grantees,
            None => Grantees::load(&self.store)?,
        };
        Ok((self.grantees.insert(grantees), &self.store))
    }

    /// Ends a turn of an event: sends its calls, or the reply that it or its failure comes to.
    fn settle(
        &mut self,
        platform: &dyn Platform,
        ticket: Ticket,
        flight: Flight<CatalogWork>,
        turn: Turn,
    ) -> Step<Vec<u8>> {
        let next = turn.unwrap_or_else(|failure| Next::Reply(self.failed(platform, failure)));
        self.flights.settle(ticket, flight, next)
    }

    /// What a failure is answered with. After one of the store, memory may differ from what is
    /// stored: it is read again.
    fn failed(&mut self, platform: &dyn Platform, failure: Failure) -> FromCatalog {
        match failure {
            Failure::Refused(refusal) => FromCatalog::Refused(refusal),
            Failure::Unavailable(why) => FromCatalog::Unavailable(why),
            Failure::Store(error) => {
                self.entries = None;
                self.grantees = None;
                self.look_again_ns = Some(platform.now_ns().saturating_add(JOB_RETRY_NS));
                FromCatalog::Unavailable(Unavailable::Storage(error.to_string()))
            }
        }
    }

    /// What a request comes to without calling anyone, or the task that it starts.
    fn begin_request(
        &mut self,
        platform: &dyn Platform,
        message: ToCatalog,
    ) -> Result<Begun, Failure> {
        Ok(Begun::Reply(match message {
            ToCatalog::Resolve { name } => {
                let entry = self.entries()?.by_name(&name).map(|(_, entry)| entry);
                let ready = entry.filter(|entry| entry.stage == EntryStage::Ready);
                FromCatalog::Resolved { object: ready.map(|entry| entry.object.clone()) }
            }
            ToCatalog::ReportQuery(query) => self.queries.report(*query, platform.now_ns()),
            ToCatalog::EndQuery { id } => self.queries.end(id),
            ToCatalog::Verify => {
                let Verified { rows, bytes, damaged } =
                    row::verify(&self.store)?.unwrap_or_default();
                let page = VerifyPage { blocks: rows, bytes, damaged, resume: None };
                FromCatalog::Verified(page)
            }
            ToCatalog::Queries => self.queries.list(platform.now_ns()),
            ToCatalog::KillQuery { id } => self.queries.kill(id, platform.now_ns()),
            ToCatalog::List { after, holding } => self.list(after, holding)?,
            ToCatalog::Create(request) => {
                if name::check(&request.name).is_err() {
                    return Err(CatalogRefusal::InvalidName.into());
                }
                let entry = self.entries()?.by_name(&request.name).map(|(_, entry)| entry);
                let existed = entry.is_some_and(|entry| entry.stage == EntryStage::Ready);
                return Ok(Begun::Task(CatalogTask::Create { request, existed }));
            }
            ToCatalog::Drop { name } => {
                let existed = self.entries()?.by_name(&name).is_some();
                return Ok(Begun::Task(CatalogTask::Drop { name, existed }));
            }
            ToCatalog::Identify { keys } => {
                let (grantees, store) = self.grantees()?;
                grantees.identify(store, &keys)?
            }
            ToCatalog::Grantees { user, after, limit } => {
                let (grantees, store) = self.grantees()?;
                let (rows, more) = grantees.page(store, user, (after, limit))?;
                let used = if user { Vec::new() } else { grantees.uses(store, &rows)? };
                FromCatalog::Grantees { rows, more, used }
            }
            ToCatalog::Met { keys } => {
                let day = u32::try_from(platform.now_ns() / D_NS).unwrap_or_default();
                let (grantees, store) = self.grantees()?;
                grantees.met(store, &keys, day)?
            }
            ToCatalog::SetCreatorQuota(quota) => self.set_creator_quota(quota)?,
            ToCatalog::CreatorQuotas => FromCatalog::CreatorQuotas(self.entries()?.creators()),
            ToCatalog::Grantee { user, name } => {
                let (grantees, store) = self.grantees()?;
                let rows = grantees.named(store, user, &name)?.into_iter().collect();
                FromCatalog::Grantees { rows, more: false, used: Vec::new() }
            }
            ToCatalog::Concerning { database, after } => self.concerning(&database, after)?,
            ToCatalog::PutGrantee(grantee) => return self.put_grantee(platform, *grantee),
            ToCatalog::RemoveGrantee { user, name } => {
                return self.remove_grantee(platform, (user, &name));
            }
            ToCatalog::RotateToken(rotation) => return self.rotate_token(platform, rotation),
            ToCatalog::EndSecret { name, hash } => {
                return self.end_secret(platform, (&name, &hash));
            }
        }))
    }

    /// The next calls of a task, or its end. Called at its start and after each change.
    fn go_on(&mut self, platform: &dyn Platform, work: &mut CatalogWork) -> Turn {
        match &work.task {
            CatalogTask::Create { request, existed } => {
                let (request, existed) = (request.clone(), *existed);
                let found = self.entries()?.by_name(&request.name);
                work.own_settings = true;
                match found.map(|(number, entry)| (number, entry.clone())) {
                    None => work.entry = self.insert(platform, request)?,
                    // Whether a repeat asks for what exists is the Database's to say.
                    Some((number, entry)) if entry.stage == EntryStage::Ready => {
                        let object = entry.object;
                        if request.policy.is_none() {
                            return Ok(Next::Reply(FromCatalog::Created { object, existed }));
                        }
                        work.entry = number;
                        let to = Address::Database(object);
                        return Ok(Next::call(to, &ToDatabase::Initialise(request)));
                    }
                    Some((number, entry)) => {
                        work.own_settings = entry.create.policy == request.policy;
                        work.entry = number;
                    }
                }
                self.drive(work, work.entry)
            }
            CatalogTask::Drop { name, existed } => {
                let (existed, now_ns) = (*existed, platform.now_ns());
                let Some(number) = self.entries()?.by_name(name).map(|(number, _)| number) else {
                    return Ok(Next::Reply(FromCatalog::Dropped { existed, remaining: 0 }));
                };
                work.entry = number;
                if let Some(entries) = &mut self.entries {
                    entries.start_drop(&self.store, number, now_ns)?;
                }
                self.drive(work, number)
            }
            CatalogTask::Tell { number, told } => {
                let job = (*number, *told);
                self.tell(platform, work, job)
            }
            CatalogTask::Alarm => self.drive(work, work.entry),
        }
    }

    fn is_ready(&self, number: u64) -> bool {
        let entry = self.entries.as_ref().and_then(|entries| entries.get(number));
        entry.is_some_and(|entry| entry.stage == EntryStage::Ready)
    }

    fn insert(&mut self, platform: &dyn Platform, request: CreateDatabase) -> Result<u64, Failure> {
        let limit = platform.limits().get(Limit::Databases);
        let entries = self.entries()?;
        entries.check_limit(limit)?;
        entries.check_creator(request.creator)?;
        let object = platform
            .new_object_id(ObjectKind::Database, request.jurisdiction.as_deref())
            .map_err(CatalogRefusal::Placement)?;
        let entry = Entry::creating(request, object, platform.now_ns());
        let entries = self.entries.get_or_insert_default();
        Ok(entries.insert(&self.store, entry)?)
    }

    /// The call that finishes a row.
    fn drive(&mut self, work: &mut CatalogWork, number: u64) -> Turn {
        let Some(entry) = self.entries()?.get(number).cloned() else {
            return Err(Unavailable::Changing.into());
        };
        let message = match entry.stage {
            EntryStage::Creating if work.birth.initialised => {
                let page = self.birth_page(work, &entry.create.name)?;
                page.ok_or(Unavailable::Changing)?
            }
            EntryStage::Creating => ToDatabase::Initialise(entry.create.clone()),
            EntryStage::Dropping => ToDatabase::Drop,
            EntryStage::Ready => {
                let object = entry.object;
                return Ok(Next::Reply(FromCatalog::Created { object, existed: true }));
            }
        };
        Ok(Next::Calls(vec![Request {
            to: Address::Database(entry.object.clone()),
            location: entry.create.location.clone(),
            message: envelope::encode(&message),
        }]))
    }

    /// What the Database's reply changes. Which message it answers follows from the row's stage;
    /// a row that moved on meanwhile is left alone.
    fn learn(
        &mut self,
        work: &mut CatalogWork,
        reply: Result<FromDatabase, CallFailure>,
    ) -> Result<(), Failure> {
        let reply = reply.map_err(Unavailable::from)?;
        let entry = self.entries()?.get(work.entry);
        let stage = entry.map(|entry| entry.stage);
        let name = entry.map(|entry| entry.create.name.clone()).unwrap_or_default();
        if let (Some(EntryStage::Creating), FromDatabase::Done) = (stage, &reply) {
            work.birth.answered();
            // What concerns it is there before anybody may ask it.
            if self.birth_page(work, &name)?.is_some() {
                return Ok(());
            }
        }
        let Some(entries) = &mut self.entries else { return Ok(()) };
        match (stage, reply) {
            (Some(EntryStage::Creating), FromDatabase::Done) => {
                Ok(entries.set_ready(&self.store, work.entry)?)
            }
            (Some(EntryStage::Creating), FromDatabase::Late) => Ok(()),
            (Some(EntryStage::Creating), FromDatabase::Refused(refusal)) => {
                entries.remove(&self.store, work.entry)?;
                Err(lifecycle::translate(refusal).into())
            }
            (Some(EntryStage::Dropping), FromDatabase::Done | FromDatabase::NotOpen) => {
                self.forget_dropped(work.entry)
            }
            (Some(EntryStage::Ready), FromDatabase::Refused(refusal)) => {
                Err(lifecycle::translate(refusal).into())
            }
            (_, FromDatabase::Unavailable(why)) => Err(why.into()),
            // The row moved on, or is ready already: the task looks again.
            (None, _) | (Some(EntryStage::Ready), FromDatabase::Done) => Ok(()),
            (Some(_), _) => Err(Unavailable::Changing.into()),
        }
    }
}

impl<S: Store> Catalog<S> {
    /// Frees a name: what users were granted on it goes with it (1.x). Tokens name databases that
    /// may come and go.
    fn forget_dropped(&mut self, number: u64) -> Result<(), Failure> {
        let named = self.entries()?.get(number).map(|entry| entry.create.name.clone());
        let (grantees, store) = self.grantees()?;
        grantees.revoke_users(store, &named.unwrap_or_default())?;
        if let Some(entries) = &mut self.entries {
            entries.remove(&self.store, number)?;
        }
        Ok(())
    }
}

impl<S: Store> Host for Catalog<S> {
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (Ticket, Step<Vec<u8>>) {
        let ticket = self.flights.ticket();
        let (version, message) = match envelope::decode::<ToCatalog>(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                let why = Unavailable::Unreachable(error.to_string());
                let reply = envelope::encode(&FromCatalog::Unavailable(why));
                return (ticket, Step::Done(reply));
            }
        };
        let mut flight = Flight::new(version, CatalogWork::new(CatalogTask::Alarm));
        let turn = match self.begin_request(platform, message) {
            Ok(Begun::Reply(reply)) => Ok(Next::Reply(reply)),
            Ok(Begun::Task(task)) => {
                flight.work.task = task;
                self.go_on(platform, &mut flight.work)
            }
            Err(failure) => Err(failure),
        };
        (ticket, self.settle(platform, ticket, flight, turn))
    }

    fn resume(&mut self, platform: &dyn Platform, ticket: Ticket, reply: Reply) -> Step<Vec<u8>> {
        let Some((mut flight, replies)) = self.flights.resume(ticket, reply) else {
            return Step::Calls(Vec::new());
        };
        let turn = self.learn_and_go_on(platform, &mut flight.work, replies);
        self.settle(platform, ticket, flight, turn)
    }

    fn alarm(&mut self, platform: &dyn Platform) -> (Ticket, Step<Vec<u8>>) {
        let ticket = self.flights.ticket();
        let mut flight = Flight::new(VERSION, CatalogWork::new(CatalogTask::Alarm));
        self.look_again_ns = None;
        let turn = self.retry_due(platform, &mut flight.work);
        (ticket, self.settle(platform, ticket, flight, turn))
    }

    fn next_alarm_ns(&self) -> Option<i64> {
        let due_ns = self.entries.as_ref().and_then(|e| e.next_due_ns(JOB_FAILURES_MAX));
        due_ns.into_iter().chain(self.tellings.next_due_ns()).chain(self.look_again_ns).min()
    }

    fn abandon(&mut self, ticket: Ticket) {
        self.flights.abandon(ticket);
    }
}

impl<S: Store> Catalog<S> {
    fn learn_and_go_on(
        &mut self,
        platform: &dyn Platform,
        work: &mut CatalogWork,
        replies: Replies,
    ) -> Turn {
        if let CatalogTask::Tell { number, .. } = work.task {
            self.learn_told(work, number, replies)?;
            return self.go_on(platform, work);
        }
        let mut learnt = Ok(());
        for reply in replies {
            learnt = learnt.and_then(|()| self.learn(work, envelope::decode_reply(reply)));
        }
        // What the Database has just agreed to is not asked again.
        if let CatalogTask::Create { request, .. } = &mut work.task
            && work.own_settings
            && self.is_ready(work.entry)
        {
            request.policy = None;
        }
        learnt?;
        match work.task {
            CatalogTask::Alarm if work.birth.initialised && !self.is_ready(work.entry) => {
                self.go_on(platform, work)
            }
            CatalogTask::Alarm => {
                Ok(Next::Reply(FromCatalog::Dropped { existed: true, remaining: 0 }))
            }
            CatalogTask::Create { .. } | CatalogTask::Drop { .. } | CatalogTask::Tell { .. } => {
                self.go_on(platform, work)
            }
        }
    }

    /// Counts the most overdue row, or telling, as tried, re-arms, and drives it.
    fn retry_due(&mut self, platform: &dyn Platform, work: &mut CatalogWork) -> Turn {
        self.entries()?;
        if let Some((_, number)) = self.tellings.due(platform.now_ns()) {
            work.task = CatalogTask::Tell { number, told: Told::Alarm };
            if let Some(telling) = self.tellings.get_mut(number) {
                telling.tried(platform.now_ns(), false);
            }
            self.tellings.save(&self.store, number)?;
            return self.go_on(platform, work);
        }
        let Some(entries) = &mut self.entries else { return Ok(Next::Calls(Vec::new())) };
        let Some(number) = entries.due(platform.now_ns(), JOB_FAILURES_MAX) else {
            return Ok(Next::Reply(FromCatalog::Dropped { existed: false, remaining: 0 }));
        };
        entries.count_try(&self.store, number, platform.now_ns())?;
        work.entry = number;
        self.drive(work, number)
    }
}

#[cfg(test)]
mod tests;
