//! Stores one row per database. A row has the stages `creating`, `ready` and `dropping`, and is
//! deleted at the end. This module moves a row to its next stage, and lists the rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Catalog, CatalogWork, NextResult, Result};
use tidemark_engine::protocol::call::{Address, CallFailure};
use tidemark_engine::protocol::catalog::{CatalogRefusal, FromCatalog};
use tidemark_engine::protocol::database::{
    CreateDatabase, DatabaseRefusal, FromDatabase, PolicyRefusal, ToDatabase,
};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::round::{Next, Request};
use tidemark_engine::protocol::{envelope, release};
use tidemark_engine::store::row::RowRange;
use tidemark_engine::store::{Store, StoreResult, Table};
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::{JOB_FAILURES_MAX, JOB_RETRY_NS, PAGE_BYTES_MAX};

/// The base of the recoveries' keys in the `entry` table. Databases have lower keys.
pub(super) const FIRST_RECOVERY_KEY: u64 = 1 << 52;
const STATE: RowRange<EntriesState> = RowRange::one(Table::State, 0);
const ENTRIES: RowRange<Entry> = RowRange::within(Table::Entry, 0, FIRST_RECOVERY_KEY - 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EntryStage {
    /// The Database may not be initialised yet.
    Creating,
    /// The database is in use.
    Ready,
    /// The database is being dropped. Some of its shards may still accept requests.
    Dropping,
}

fn translate(refusal: DatabaseRefusal) -> CatalogRefusal {
    match refusal {
        DatabaseRefusal::Policy(refusal) => CatalogRefusal::Policy(refusal),
        DatabaseRefusal::Placement(error) => CatalogRefusal::Placement(error),
        _ => CatalogRefusal::Policy(PolicyRefusal::Conflict),
    }
}

/// A database in the Catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub(super) create: CreateDatabase,
    /// The id of the Database object.
    pub object: ObjectId,
    pub(super) stage: EntryStage,
    /// The time, in nanoseconds, at which the alarm next tries to finish the row. The stage `ready`
    /// does not use this time.
    pub(super) due_ns: i64,
    /// The number of attempts by the alarm.
    pub(super) failures: u32,
}

impl Entry {
    /// Creates the entry of a database before its initialisation.
    pub fn creating(create: CreateDatabase, object: ObjectId, now_ns: i64) -> Self {
        let due_ns = now_ns.saturating_add(JOB_RETRY_NS);
        let stage = EntryStage::Creating;
        Self { create, object, stage, due_ns, failures: 0 }
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct EntriesState {
    /// The next id. Ids are never reused.
    next_entry: u64,
}

/// All databases by id: a copy of the `entry` table. A change is stored before it is applied to
/// this copy.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    state: EntriesState,
    rows: BTreeMap<u64, Entry>,
    names: BTreeMap<String, u64>,
}

impl Entries {
    /// Reads the table. A Catalog that never had a database has no table.
    pub fn load<S: Store>(store: &S) -> StoreResult<Self> {
        if !store.is_open()? {
            return Ok(Self::default());
        }
        let state = STATE.get(store, 0)?.unwrap_or_default();
        let mut rows = BTreeMap::new();
        ENTRIES.each(store, |number, entry| drop(rows.insert(number, entry)))?;
        let named = |(number, entry): (&u64, &Entry)| (entry.create.name.clone(), *number);
        let names = rows.iter().map(named).collect();
        Ok(Self { state, rows, names })
    }

    /// Returns the ids of all databases from `number` on, in any stage and in ascending order.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = u64> {
        self.rows.range(number..).map(|(number, _)| *number)
    }

    /// Returns whether the database with this id may be in use. A database in creation is not: it
    /// receives all tokens and users before it is ready, and need not be notified of changes
    /// (PROTOCOL.md rule 11).
    pub(super) fn may_be_in_use(&self, number: u64) -> bool {
        self.get(number).is_some_and(|entry| entry.stage != EntryStage::Creating)
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.rows.keys().next_back().copied()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Entry> {
        self.rows.get(&number)
    }

    /// Returns the database with this name, in any stage, and its id.
    pub fn by_name(&self, name: &str) -> Option<(u64, &Entry)> {
        let number = *self.names.get(name)?;
        self.rows.get(&number).map(|entry| (number, entry))
    }

    /// Checks whether the limit `limit` allows another database.
    pub(super) fn check_limit(&self, limit: usize) -> Result<(), CatalogRefusal> {
        let (limit, current) = (limit as u64, self.rows.len() as u64);
        if current < limit {
            return Ok(());
        }
        Err(CatalogRefusal::TooManyDatabases { limit, current, requested: current + 1 })
    }

    /// Stores a new database and returns its id.
    pub fn insert<S: Store>(&mut self, store: &S, entry: Entry) -> StoreResult<u64> {
        let number = self.state.next_entry;
        let state = EntriesState { next_entry: number + 1 };
        store.open()?;
        store.atomically(|| {
            STATE.put(store, 0, &state)?;
            ENTRIES.put(store, number, &entry)
        })?;
        self.state = state;
        self.names.insert(entry.create.name.clone(), number);
        self.rows.insert(number, entry);
        Ok(number)
    }

    /// Stores that the database is being dropped. Repeated calls have no effect.
    pub fn start_drop<S: Store>(&mut self, store: &S, number: u64, now_ns: i64) -> StoreResult<()> {
        if self.get(number).is_some_and(|entry| entry.stage == EntryStage::Dropping) {
            return Ok(());
        }
        self.change(store, number, |entry| {
            entry.stage = EntryStage::Dropping;
            entry.failures = 0;
            entry.due_ns = now_ns.saturating_add(JOB_RETRY_NS);
        })
    }

    /// Counts an attempt of the alarm, and schedules the next attempt with a doubled delay.
    pub fn count_attempt<S: Store>(&mut self, store: &S, id: u64, now_ns: i64) -> StoreResult<()> {
        self.change(store, id, |entry| {
            entry.failures = entry.failures.saturating_add(1);
            let wait_ns = JOB_RETRY_NS.saturating_mul(1 << entry.failures.min(10));
            entry.due_ns = now_ns.saturating_add(wait_ns);
        })
    }

    /// Resets the count of the alarm's attempts to drop a database, so that the alarm does not give
    /// up while the Database executes the drop in its own alarms.
    fn keep_dropping<S: Store>(&mut self, store: &S, number: u64) -> StoreResult<()> {
        if self.get(number).is_none_or(|entry| entry.failures == 0) {
            return Ok(());
        }
        self.change(store, number, |entry| entry.failures = 0)
    }

    /// Deletes a row and frees its name.
    pub(super) fn remove<S: Store>(&mut self, store: &S, number: u64) -> StoreResult<()> {
        ENTRIES.remove(store, number, number)?;
        if let Some(entry) = self.rows.remove(&number) {
            self.names.remove(&entry.create.name);
        }
        Ok(())
    }

    /// Returns the unfinished row with the earliest due time, if that row is due. Skips rows with
    /// too many attempts.
    pub(super) fn due(&self, now_ns: i64) -> Option<u64> {
        let due = self.unfinished().filter(|(_, entry)| entry.due_ns <= now_ns);
        due.min_by_key(|(number, entry)| (entry.due_ns, *number)).map(|(number, _)| number)
    }

    /// Returns the due time of the next unfinished row.
    pub(super) fn next_due_ns(&self) -> Option<i64> {
        self.unfinished().map(|(_, entry)| entry.due_ns).min()
    }

    /// Returns descriptions of the rows that the alarm skips after too many attempts.
    pub(super) fn problems(&self) -> Vec<String> {
        let aside = self
            .rows
            .values()
            .filter(|entry| entry.stage != EntryStage::Ready && entry.failures >= JOB_FAILURES_MAX);
        let word = |entry: &Entry| {
            let what = if entry.stage == EntryStage::Creating { "creating" } else { "dropping" };
            format!("{what} database \"{}\" failed {} times", entry.create.name, entry.failures)
        };
        aside.map(word).collect()
    }

    fn unfinished(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.rows.iter().map(|(&number, entry)| (number, entry)).filter(|(_, entry)| {
            entry.stage != EntryStage::Ready && entry.failures < JOB_FAILURES_MAX
        })
    }

    fn change<S: Store>(
        &mut self,
        store: &S,
        number: u64,
        edit: impl FnOnce(&mut Entry),
    ) -> StoreResult<()> {
        let Some(mut entry) = self.rows.get(&number).cloned() else { return Ok(()) };
        edit(&mut entry);
        ENTRIES.put(store, number, &entry)?;
        self.rows.insert(number, entry);
        Ok(())
    }
}

impl<S: Store> Catalog<S> {
    pub(super) fn drive(&mut self, work: &mut CatalogWork, number: u64) -> NextResult {
        let Some(entry) = self.entries()?.get(number).cloned() else {
            return Err(Unavailable::Changing.into());
        };
        let message = match entry.stage {
            EntryStage::Creating if work.creation.initialised => {
                let page = self.creation_page(work, &entry.create.name)?;
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

    /// Processes the Database's reply to the request of the row's stage. A row in a later stage
    /// stays unchanged.
    pub(super) fn on_reply(
        &mut self,
        work: &mut CatalogWork,
        reply: Result<FromDatabase, CallFailure>,
    ) -> Result<()> {
        let reply = reply.map_err(Unavailable::from)?;
        work.users_remain = false;
        let entry = self.entries()?.get(work.entry);
        let stage = entry.map(|entry| entry.stage);
        let name = entry.map(|entry| entry.create.name.clone()).unwrap_or_default();
        if let (Some(EntryStage::Creating), FromDatabase::Done) = (stage, &reply) {
            work.creation.on_reply();
            // The Database must receive its tokens and users before any client may use it.
            if self.creation_page(work, &name)?.is_some() {
                return Ok(());
            }
        }
        let Some(entries) = &mut self.entries else { return Ok(()) };
        match (stage, reply) {
            (Some(EntryStage::Creating), FromDatabase::Done) => {
                let ready = |entry: &mut Entry| entry.stage = EntryStage::Ready;
                Ok(entries.change(&self.store, work.entry, ready)?)
            }
            (Some(EntryStage::Creating), FromDatabase::Late) => Ok(()),
            (Some(EntryStage::Creating), FromDatabase::Refused(refusal)) => {
                entries.remove(&self.store, work.entry)?;
                Err(translate(refusal).into())
            }
            (Some(EntryStage::Dropping), FromDatabase::Done | FromDatabase::NotOpen) => {
                work.users_remain = !self.forget_dropped(work.entry)?;
                Ok(())
            }
            (Some(EntryStage::Ready), FromDatabase::Refused(refusal)) => {
                Err(translate(refusal).into())
            }
            (stage, FromDatabase::Unavailable(reason)) => {
                if (stage, &reason) == (Some(EntryStage::Dropping), &Unavailable::Changing) {
                    entries.keep_dropping(&self.store, work.entry)?;
                }
                Err(reason.into())
            }
            // The row has changed or is already ready, so the task reads the row again.
            (None, _) | (Some(EntryStage::Ready), FromDatabase::Done) => Ok(()),
            (Some(_), _) => Err(Unavailable::Changing.into()),
        }
    }

    /// Deletes the row and frees the name. As in 1.x, users lose their permissions on the database.
    /// Tokens keep their permissions, because a token may name databases that do not exist.
    ///
    /// Returns `false` if further users have permissions. The event then calls the Database again,
    /// so that other events can run before the next users.
    fn forget_dropped(&mut self, number: u64) -> Result<bool> {
        let named = self.entries()?.get(number).map(|entry| entry.create.name.clone());
        let (grantees, store) = self.grantees()?;
        let users_remain = grantees.revoke_users(store, &named.unwrap_or_default())?;
        if let Some(entries) = &mut self.entries {
            if users_remain {
                entries.keep_dropping(&self.store, number)?;
                return Ok(false);
            }
            self.recoveries.remove(&self.store, number)?;
            entries.remove(&self.store, number)?;
        }
        Ok(true)
    }

    /// Returns a page of names with ids above `after`. With `holding`, the page contains only
    /// databases that may have this policy.
    pub(super) fn list(
        &mut self,
        after: Option<u64>,
        holding: Option<PolicyId>,
    ) -> StoreResult<FromCatalog> {
        let mut names = Vec::new();
        let mut bytes = 0;
        let mut last = after;
        let first = after.map_or(0, |number| number + 1);
        for (&number, entry) in self.entries()?.rows.range(first..) {
            // A policy id contains some bits of the database's id.
            let may_hold = holding.is_none_or(|policy| policy.may_be_of(&entry.object));
            if entry.stage != EntryStage::Ready || !may_hold {
                continue;
            }
            // The size of the name, and of its length as a varint.
            bytes += entry.create.name.len() + 5;
            if bytes > PAGE_BYTES_MAX && !names.is_empty() {
                let (troubles, release) = (Vec::new(), String::new());
                return Ok(FromCatalog::Listed { names, resume: last, troubles, release });
            }
            names.push(entry.create.name.clone());
            last = Some(number);
        }
        let entries = self.entries()?;
        let mut troubles = entries.problems();
        if let Some(entries) = &self.entries {
            troubles.extend(self.notifications.problems(entries));
            troubles.extend(self.recoveries.problems(entries));
        }
        let release = release::current();
        Ok(FromCatalog::Listed { names, resume: None, troubles, release })
    }
}
