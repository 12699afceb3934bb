//! Runs the Catalog, the one object that knows which databases there are and which object holds
//! each.
//!
//! A database's row is its own job: `creating` and `dropping` are finished by whoever finds them, a
//! repeat of the request, any request about the same name, or the alarm (PROTOCOL.md rules 7
//! and 12). Tokens and users are kept here too, and every edge's copy of them follows by asking.

pub mod grants;
pub mod lifecycle;
mod queries;

use crate::model::ids::PolicyId;
use crate::model::limit::Limit;
use crate::model::limits::{JOB_FAILURES_MAX, JOB_RETRY_NS, PAGE_BYTES_MAX};
use crate::model::name;
use crate::model::sorted_map::SortedMap;
use crate::protocol::call::{Address, CallFailure, ObjectKind, Platform, Reply, Step};
use crate::protocol::catalog::{CatalogRefusal, CreateDatabase, FromCatalog, ToCatalog};
use crate::protocol::database::{DatabaseRefusal, FromDatabase, ToDatabase};
use crate::protocol::envelope::{self, VERSION};
use crate::protocol::host::{Host, Ticket, Unavailable};
use crate::protocol::round::{Request, Round};
use crate::protocol::shard::VerifyPage;
use crate::store::row::{self, Verified};
use crate::store::{Store, StoreError};
use grants::Grantees;
use lifecycle::{Entries, Entry, EntryStage};

/// The Catalog over its storage.
pub struct Catalog<S: Store> {
    store: S,
    /// `None` until read, and again after a store error: what was stored is then unknown.
    entries: Option<Entries>,
    /// As `entries`.
    grantees: Option<Grantees>,
    flights: SortedMap<Ticket, Flight>,
    next_ticket: u64,
    /// After a store error nothing is known of due rows: look again then, nanoseconds.
    look_again_ns: Option<i64>,
    queries: queries::Queries,
}

/// One event in flight.
struct Flight {
    version: u8,
    task: CatalogTask,
    /// The database whose row is being driven.
    entry: u64,
    /// The Database is being asked about exactly the settings of this flight's own CREATE.
    own_settings: bool,
    round: Round,
}

impl Flight {
    fn new(version: u8) -> Self {
        let round = Round::default();
        Self { version, task: CatalogTask::Alarm, entry: 0, own_settings: false, round }
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
    /// Finish one row.
    Alarm,
}

/// Why a task cannot go on.
enum Halt {
    Store(StoreError),
    Reply(FromCatalog),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

type Next = Result<Vec<Request>, Halt>;

impl<S: Store> Catalog<S> {
    /// The Catalog over `store`. Reads nothing yet.
    pub fn new(store: S) -> Self {
        Self {
            store,
            entries: None,
            grantees: None,
            flights: SortedMap::new(),
            next_ticket: 0,
            look_again_ns: None,
            queries: queries::Queries::default(),
        }
    }

    /// The storage, for its figures.
    pub fn store(&self) -> &S {
        &self.store
    }

    fn entries(&mut self) -> Result<&mut Entries, StoreError> {
        if self.entries.is_none() {
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
            Err(Halt::Store(error)) => {
                self.entries = None;
                self.grantees = None;
                self.look_again_ns = Some(platform.now_ns().saturating_add(JOB_RETRY_NS));
                FromCatalog::Unavailable(Unavailable::Storage(error.to_string()))
            }
        };
        Step::Done(envelope::encode_as(flight.version, &reply))
    }

    /// What a request comes to without calling anyone, or the task that it starts.
    fn task(&mut self, platform: &dyn Platform, message: ToCatalog) -> Result<CatalogTask, Halt> {
        match message {
            ToCatalog::Resolve { name } => {
                let entry = self.entries()?.by_name(&name).map(|(_, entry)| entry);
                let ready = entry.filter(|entry| entry.stage == EntryStage::Ready);
                let object = ready.map(|entry| entry.object.clone());
                Err(Halt::Reply(FromCatalog::Resolved { object }))
            }
            ToCatalog::ReportQuery(query) => {
                Err(Halt::Reply(self.queries.report(*query, platform.now_ns())))
            }
            ToCatalog::EndQuery { id } => Err(Halt::Reply(self.queries.end(id))),
            ToCatalog::Verify => {
                let Verified { rows, bytes, damaged } =
                    row::verify(&self.store)?.unwrap_or_default();
                let page = VerifyPage { blocks: rows, bytes, damaged, resume: None };
                Err(Halt::Reply(FromCatalog::Verified(page)))
            }
            ToCatalog::Queries => Err(Halt::Reply(self.queries.list(platform.now_ns()))),
            ToCatalog::KillQuery { id } => {
                Err(Halt::Reply(self.queries.kill(id, platform.now_ns())))
            }
            ToCatalog::List { after, holding } => Err(Halt::Reply(self.list(after, holding)?)),
            ToCatalog::Create(request) => {
                if name::check(&request.name).is_err() {
                    return Err(Halt::Reply(FromCatalog::Refused(CatalogRefusal::InvalidName)));
                }
                let entry = self.entries()?.by_name(&request.name).map(|(_, entry)| entry);
                let existed = entry.is_some_and(|entry| entry.stage == EntryStage::Ready);
                Ok(CatalogTask::Create { request, existed })
            }
            ToCatalog::Drop { name } => {
                let existed = self.entries()?.by_name(&name).is_some();
                Ok(CatalogTask::Drop { name, existed })
            }
            ToCatalog::Grants { since } => {
                let changes = self.grantees()?.0.changes(since);
                Err(Halt::Reply(FromCatalog::Grants(Box::new(changes))))
            }
            ToCatalog::PutGrantee(grantee) => {
                let (grantees, store) = self.grantees()?;
                Err(Halt::Reply(grantees.put(store, *grantee)?))
            }
            ToCatalog::RemoveGrantee { user, name } => {
                let (grantees, store) = self.grantees()?;
                let existed = grantees.remove(store, user, &name)?;
                Err(Halt::Reply(FromCatalog::Dropped { existed }))
            }
        }
    }

    fn list(
        &mut self,
        after: Option<u64>,
        holding: Option<PolicyId>,
    ) -> Result<FromCatalog, StoreError> {
        let mut names = Vec::new();
        let mut bytes = 0;
        let mut last = after;
        for (number, entry) in self.entries()?.ready_after(after) {
            if !holding.is_none_or(|policy| entry.may_hold(policy)) {
                continue;
            }
            // The text and its length, which is a varint.
            bytes += entry.create.name.len() + 5;
            if bytes > PAGE_BYTES_MAX && !names.is_empty() {
                let troubles = Vec::new();
                return Ok(FromCatalog::Listed { names, resume: last, troubles });
            }
            names.push(entry.create.name.clone());
            last = Some(number);
        }
        let troubles = self.entries()?.troubles(JOB_FAILURES_MAX);
        Ok(FromCatalog::Listed { names, resume: None, troubles })
    }

    /// The next calls of a task, or its end. Called at its start and after each change.
    fn go_on(&mut self, platform: &dyn Platform, flight: &mut Flight) -> Next {
        match &flight.task {
            CatalogTask::Create { request, existed } => {
                let (request, existed) = (request.clone(), *existed);
                let found = self.entries()?.by_name(&request.name);
                flight.own_settings = true;
                match found.map(|(number, entry)| (number, entry.clone())) {
                    None => flight.entry = self.insert(platform, request)?,
                    // Whether a repeat asks for what exists is the Database's to say.
                    Some((number, entry)) if entry.stage == EntryStage::Ready => {
                        let object = entry.object;
                        if request.policy.is_none() {
                            return Err(Halt::Reply(FromCatalog::Created { object, existed }));
                        }
                        flight.entry = number;
                        let message = envelope::encode(&ToDatabase::Initialise(request));
                        return Ok(vec![Request::new(Address::Database(object), message)]);
                    }
                    Some((number, entry)) => {
                        flight.own_settings = entry.create.policy == request.policy;
                        flight.entry = number;
                    }
                }
                self.drive(flight.entry)
            }
            CatalogTask::Drop { name, existed } => {
                let (existed, now_ns) = (*existed, platform.now_ns());
                let Some(number) = self.entries()?.by_name(name).map(|(number, _)| number) else {
                    return Err(Halt::Reply(FromCatalog::Dropped { existed }));
                };
                flight.entry = number;
                if let Some(entries) = &mut self.entries {
                    entries.start_drop(&self.store, number, now_ns)?;
                }
                self.drive(number)
            }
            CatalogTask::Alarm => self.drive(flight.entry),
        }
    }

    fn is_ready(&self, number: u64) -> bool {
        let entry = self.entries.as_ref().and_then(|entries| entries.get(number));
        entry.is_some_and(|entry| entry.stage == EntryStage::Ready)
    }

    fn insert(&mut self, platform: &dyn Platform, request: CreateDatabase) -> Result<u64, Halt> {
        let refuse = |refusal| Halt::Reply(FromCatalog::Refused(refusal));
        let limit = platform.limits().get(Limit::Databases);
        self.entries()?.check_limit(limit).map_err(refuse)?;
        let object = platform
            .new_object_id(ObjectKind::Database, request.jurisdiction.as_deref())
            .map_err(|error| refuse(CatalogRefusal::Placement(error)))?;
        let entry = Entry::creating(request, object, platform.now_ns());
        let entries = self.entries.get_or_insert_default();
        Ok(entries.insert(&self.store, entry)?)
    }

    /// The call that finishes a row.
    fn drive(&mut self, number: u64) -> Next {
        let Some(entry) = self.entries()?.get(number) else {
            let gone = Unavailable::Changing;
            return Err(Halt::Reply(FromCatalog::Unavailable(gone)));
        };
        let message = match entry.stage {
            EntryStage::Creating => ToDatabase::Initialise(entry.create.clone()),
            EntryStage::Dropping => ToDatabase::Drop,
            EntryStage::Ready => {
                let object = entry.object.clone();
                return Err(Halt::Reply(FromCatalog::Created { object, existed: true }));
            }
        };
        Ok(vec![Request {
            to: Address::Database(entry.object.clone()),
            location: entry.create.location.clone(),
            message: envelope::encode(&message),
        }])
    }

    /// What the Database's reply changes. Which message it answers follows from the row's stage;
    /// a row that moved on meanwhile is left alone.
    fn learn(
        &mut self,
        flight: &Flight,
        reply: Result<FromDatabase, CallFailure>,
    ) -> Result<(), Halt> {
        let reply = reply.map_err(|failure| halt_unavailable(failure.into()))?;
        self.entries()?;
        let Some(entries) = &mut self.entries else { return Ok(()) };
        let stage = entries.get(flight.entry).map(|entry| entry.stage);
        match (stage, reply) {
            (Some(EntryStage::Creating), FromDatabase::Done) => {
                Ok(entries.set_ready(&self.store, flight.entry)?)
            }
            (Some(EntryStage::Creating), FromDatabase::Refused(refusal)) => {
                entries.remove(&self.store, flight.entry)?;
                Err(Halt::Reply(FromCatalog::Refused(translate(refusal))))
            }
            (Some(EntryStage::Dropping), FromDatabase::Done | FromDatabase::NotOpen) => {
                self.forget_dropped(flight.entry)
            }
            (Some(EntryStage::Ready), FromDatabase::Refused(refusal)) => {
                Err(Halt::Reply(FromCatalog::Refused(translate(refusal))))
            }
            (_, FromDatabase::Unavailable(why)) => Err(halt_unavailable(why)),
            // The row moved on, or is ready already: the task looks again.
            (None, _) | (Some(EntryStage::Ready), FromDatabase::Done) => Ok(()),
            (Some(_), _) => Err(halt_unavailable(Unavailable::Changing)),
        }
    }
}

impl<S: Store> Catalog<S> {
    /// Frees a name: what users were granted on it goes with it (1.x). Tokens name databases that
    /// may come and go.
    fn forget_dropped(&mut self, number: u64) -> Result<(), Halt> {
        let named = self.entries()?.get(number).map(|entry| entry.create.name.clone());
        let (grantees, store) = self.grantees()?;
        grantees.revoke_users(store, &named.unwrap_or_default())?;
        if let Some(entries) = &mut self.entries {
            entries.remove(&self.store, number)?;
        }
        Ok(())
    }
}

fn halt_unavailable(why: Unavailable) -> Halt {
    Halt::Reply(FromCatalog::Unavailable(why))
}

fn translate(refusal: DatabaseRefusal) -> CatalogRefusal {
    match refusal {
        DatabaseRefusal::Policy(refusal) => CatalogRefusal::Policy(refusal),
        DatabaseRefusal::Placement(error) => CatalogRefusal::Placement(error),
    }
}

impl<S: Store> Host for Catalog<S> {
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (Ticket, Step<Vec<u8>>) {
        let ticket = self.ticket();
        let (version, message) = match envelope::decode::<ToCatalog>(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                let why = Unavailable::Unreachable(error.to_string());
                let reply = envelope::encode(&FromCatalog::Unavailable(why));
                return (ticket, Step::Done(reply));
            }
        };
        let mut flight = Flight::new(version);
        let next = self.task(platform, message).and_then(|task| {
            flight.task = task;
            self.go_on(platform, &mut flight)
        });
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
        let mut next = Ok(());
        for reply in replies {
            next = next.and_then(|()| self.learn(&flight, envelope::decode_reply(reply)));
        }
        // What the Database has just agreed to is not asked again.
        if let CatalogTask::Create { request, .. } = &mut flight.task
            && flight.own_settings
            && self.is_ready(flight.entry)
        {
            request.policy = None;
        }
        let next = match (&flight.task, next) {
            (CatalogTask::Alarm, Ok(())) => {
                Err(Halt::Reply(FromCatalog::Dropped { existed: true }))
            }
            (_, Ok(())) => self.go_on(platform, &mut flight),
            (_, Err(halt)) => Err(halt),
        };
        self.settle(platform, ticket, flight, next)
    }

    fn alarm(&mut self, platform: &dyn Platform) -> (Ticket, Step<Vec<u8>>) {
        let ticket = self.ticket();
        let mut flight = Flight::new(VERSION);
        self.look_again_ns = None;
        let next = self.retry_due(platform, &mut flight);
        (ticket, self.settle(platform, ticket, flight, next))
    }

    fn next_alarm_ns(&self) -> Option<i64> {
        let due_ns = self.entries.as_ref().and_then(|e| e.next_due_ns(JOB_FAILURES_MAX));
        due_ns.into_iter().chain(self.look_again_ns).min()
    }

    fn abandon(&mut self, ticket: Ticket) {
        self.flights.remove(&ticket);
    }
}

impl<S: Store> Catalog<S> {
    /// Counts the most overdue row as tried, re-arms, and drives it.
    fn retry_due(&mut self, platform: &dyn Platform, flight: &mut Flight) -> Next {
        self.entries()?;
        let Some(entries) = &mut self.entries else { return Ok(Vec::new()) };
        let Some(number) = entries.due(platform.now_ns(), JOB_FAILURES_MAX) else {
            return Err(Halt::Reply(FromCatalog::Dropped { existed: false }));
        };
        entries.count_try(&self.store, number, platform.now_ns())?;
        flight.entry = number;
        self.drive(number)
    }
}

#[cfg(test)]
mod tests;
