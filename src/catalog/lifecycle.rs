//! Stores one row per database name. The stages of a row are `creating`, `ready` and `dropping`.
//! After the last stage the row is deleted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::ids::{ObjectId, PolicyId};
use crate::model::limits::JOB_RETRY_NS;
use crate::protocol::catalog::{CatalogRefusal, CreateDatabase};
use crate::protocol::database::{DatabaseRefusal, PolicyRefusal};
use crate::store::row::Rows;
use crate::store::{Store, StoreResult, Table};

/// The base of the recoveries' keys in the `entry` table. Databases have lower keys.
pub(super) const FIRST_RECOVERY_KEY: u64 = 1 << 52;
const STATE: Rows<EntriesState> = Rows::one(Table::State, 0);
const ENTRIES: Rows<Entry> = Rows::within(Table::Entry, 0, FIRST_RECOVERY_KEY - 1);

/// The stage of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryStage {
    /// The Database may not be initialised yet.
    Creating,
    /// The database is in use.
    Ready,
    /// Some shards may still accept requests.
    Dropping,
}

pub(super) fn translate(refusal: DatabaseRefusal) -> CatalogRefusal {
    match refusal {
        DatabaseRefusal::Policy(refusal) => CatalogRefusal::Policy(refusal),
        DatabaseRefusal::Placement(error) => CatalogRefusal::Placement(error),
        _ => CatalogRefusal::Policy(PolicyRefusal::Conflict),
    }
}

/// A database in the Catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The settings of the request that created the database.
    pub create: CreateDatabase,
    /// The id of the Database object.
    pub object: ObjectId,
    /// The stage.
    pub stage: EntryStage,
    /// The time, in nanoseconds, at which the alarm next tries to finish the row. The stage `ready`
    /// does not use this time.
    pub due_ns: i64,
    /// The number of attempts by the alarm.
    pub failures: u32,
}

impl Entry {
    /// Creates the entry of a database before its initialisation.
    pub fn creating(create: CreateDatabase, object: ObjectId, now_ns: i64) -> Self {
        let due_ns = now_ns.saturating_add(JOB_RETRY_NS);
        let stage = EntryStage::Creating;
        Self { create, object, stage, due_ns, failures: 0 }
    }

    /// Returns whether this database may have the policy. A policy id contains some bits of the
    /// database's id.
    pub fn accepts_policy(&self, policy: PolicyId) -> bool {
        policy.may_be_of(&self.object)
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
    pub fn from(&self, number: u64) -> impl Iterator<Item = u64> {
        self.rows.range(number..).map(|(number, _)| *number)
    }

    /// Returns whether the database with this id may be in use. A database in creation has no
    /// clients, and receives all tokens and users before it is ready (PROTOCOL.md rule 11).
    pub fn may_be_in_use(&self, number: u64) -> bool {
        self.get(number).is_some_and(|entry| entry.stage != EntryStage::Creating)
    }

    /// Returns the id of the newest database.
    pub fn last(&self) -> Option<u64> {
        self.rows.keys().next_back().copied()
    }

    /// Returns the database with this id.
    pub fn get(&self, number: u64) -> Option<&Entry> {
        self.rows.get(&number)
    }

    /// Returns the database with this name, in any stage, and its id.
    pub fn by_name(&self, name: &str) -> Option<(u64, &Entry)> {
        let number = *self.names.get(name)?;
        self.rows.get(&number).map(|entry| (number, entry))
    }

    /// Returns the ready databases with ids above `after`, in ascending order.
    pub fn ready_after(&self, after: Option<u64>) -> impl Iterator<Item = (u64, &Entry)> {
        let from = after.map_or(0, |number| number + 1);
        let ready = |(&number, entry)| (number, entry);
        self.rows.range(from..).map(ready).filter(|(_, entry)| entry.stage == EntryStage::Ready)
    }

    /// Checks whether the limit `limit` allows another database.
    pub fn check_limit(&self, limit: usize) -> Result<(), CatalogRefusal> {
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

    /// Stores that the database is ready.
    pub fn set_ready<S: Store>(&mut self, store: &S, number: u64) -> StoreResult<()> {
        self.change(store, number, |entry| entry.stage = EntryStage::Ready)
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
    pub fn count_attempt<S: Store>(
        &mut self,
        store: &S,
        number: u64,
        now_ns: i64,
    ) -> StoreResult<()> {
        self.change(store, number, |entry| {
            entry.failures = entry.failures.saturating_add(1);
            let wait_ns = JOB_RETRY_NS.saturating_mul(1 << entry.failures.min(10));
            entry.due_ns = now_ns.saturating_add(wait_ns);
        })
    }

    /// Resets the count of the alarm's attempts to drop a database, so that the alarm does not give up
    /// while the Database executes the drop in its own alarms.
    pub fn keep_dropping<S: Store>(&mut self, store: &S, number: u64) -> StoreResult<()> {
        match self.get(number).is_some_and(|entry| entry.failures > 0) {
            true => self.change(store, number, |entry| entry.failures = 0),
            false => Ok(()),
        }
    }

    /// Deletes a row and frees its name.
    pub fn remove<S: Store>(&mut self, store: &S, number: u64) -> StoreResult<()> {
        ENTRIES.remove(store, number, number)?;
        if let Some(entry) = self.rows.remove(&number) {
            self.names.remove(&entry.create.name);
        }
        Ok(())
    }

    /// Returns the unfinished row with the earliest due time, if that row is due. Skips rows with
    /// `failures_max` attempts.
    pub fn due(&self, now_ns: i64, failures_max: u32) -> Option<u64> {
        let due = self.unfinished(failures_max).filter(|(_, entry)| entry.due_ns <= now_ns);
        due.min_by_key(|(number, entry)| (entry.due_ns, *number)).map(|(number, _)| number)
    }

    /// Returns the due time of the next unfinished row.
    pub fn next_due_ns(&self, failures_max: u32) -> Option<i64> {
        self.unfinished(failures_max).map(|(_, entry)| entry.due_ns).min()
    }

    /// Returns descriptions of the rows that the alarm skips after too many attempts.
    pub fn problems(&self, failures_max: u32) -> Vec<String> {
        let aside = self
            .rows
            .values()
            .filter(|entry| entry.stage != EntryStage::Ready && entry.failures >= failures_max);
        let word = |entry: &Entry| {
            let what = if entry.stage == EntryStage::Creating { "creating" } else { "dropping" };
            format!("{what} database \"{}\" failed {} times", entry.create.name, entry.failures)
        };
        aside.map(word).collect()
    }

    fn unfinished(&self, failures_max: u32) -> impl Iterator<Item = (u64, &Entry)> {
        self.rows.iter().map(|(&number, entry)| (number, entry)).filter(move |(_, entry)| {
            entry.stage != EntryStage::Ready && entry.failures < failures_max
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
