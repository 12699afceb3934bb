//! Reads and writes a Database's rows, and keeps a copy of them in memory. A change is stored
//! before memory follows, and it is stored as a whole or not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::job::Job;
use super::policies::{Policies, PolicyRow};
use super::schedule_row::{self, ScheduleRow};
use super::schema::{Registration, Schema};
use crate::model::ids::PolicyId;
use crate::model::quota::Quotas;
use crate::model::schema::MeasurementSchema;
use crate::model::shard_map::Policy;
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::continuous::ContinuousQuery;
use crate::protocol::grants::Grantee;
use crate::store::row;
use crate::store::{KEY_MAX, RowCounts, Store, StoreError, Table};

/// Keys of continuous queries among the `entry` rows; policies lie below.
pub(super) const FIRST_CONTINUOUS_KEY: u64 = 1 << 40;
/// Key of the quotas among the `entry` rows; where there are none there is no row.
const QUOTAS_KEY: u64 = FIRST_GRANT_KEY - 1;
/// Keys of tokens and users among the `entry` rows; continuous queries lie below. See
/// [`super::access`]: they are never read as a whole.
pub(super) const FIRST_GRANT_KEY: u64 = 1 << 52;
/// Bits of a measurement's id inside its row's key; the policy's number lies above.
const MEASUREMENT_BITS: u32 = 32;

/// Where a database is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseStage {
    /// The first policy's shards may not be open yet.
    Opening,
    /// The database is in use.
    Open,
    /// Its shards refuse, or will; its storage goes later.
    Dropping,
    /// It goes back in time, or has, and waits to be told its numbers.
    Frozen,
}

/// The one `state` row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseState {
    /// As first asked for.
    pub create: CreateDatabase,
    /// Where the database is in its life.
    pub stage: DatabaseStage,
    /// The published generation.
    pub generation: u64,
    /// The default policy.
    pub default_policy: Option<PolicyId>,
    /// Its name if it was dropped.
    #[serde(default)]
    pub dropped_default: Option<String>,
    /// Key of the next policy's row.
    pub next_policy: u64,
    /// Id of the next shard group.
    pub next_group: u64,
    /// Key of the next job's row.
    pub next_job: u64,
    /// The number of the grants: raised whenever somebody may do less than before.
    #[serde(default)]
    pub access: u64,
    /// The latest version of the Catalog's tokens and users that was heard of.
    #[serde(default)]
    pub granted: u64,
    /// The latest changes of the Catalog's that raised the number, oldest first.
    #[serde(default)]
    pub ended: Vec<u64>,
    /// The backup that was taken in, if it began with one.
    #[serde(default)]
    pub restored: Option<String>,
    /// The last time that it went back, if it did: which recovery that was.
    #[serde(default)]
    pub recovered: u64,
    /// Ids of columns below this one may have been given by what it was before it went back.
    #[serde(default)]
    pub next_column: u32,
}

/// The `state` row beside it: rows that the platform bills, over all lives of the object. Saved
/// with every [`RowsChange`] and registration: what only reading, or a continuous query's progress,
/// added since is lost with the object's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billed {
    /// Rows read.
    pub rows_read: u64,
    /// Rows written.
    pub rows_written: u64,
    /// When a measurement or column last got its id, nanoseconds: of a database that went back in
    /// time it tells whether that was after it did.
    #[serde(default)]
    pub registered_ns: i64,
}

/// Its key.
const BILLED_KEY: u64 = 1;

/// What the bill is counted from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bill {
    /// As earlier lives saved it.
    saved: Billed,
    /// What the store had counted when this life began.
    before: RowCounts,
}

impl Bill {
    /// The bill until now.
    pub fn now<S: Store>(self, store: &S) -> Billed {
        let since = store.row_counts().since(self.before);
        Billed {
            rows_read: self.saved.rows_read + since.read,
            rows_written: self.saved.rows_written + since.written,
            registered_ns: self.saved.registered_ns,
        }
    }

    /// When a measurement or column last got its id, nanoseconds.
    pub fn registered_ns(self) -> i64 {
        self.saved.registered_ns
    }

    /// Saves it, as the last of the rows that change together.
    pub(super) fn put<S: Store>(self, store: &S) -> Result<(), StoreError> {
        let mut billed = self.now(store);
        // The row itself.
        billed.rows_written += 1;
        store.put(Table::State, BILLED_KEY, &row::encode(&billed)?, &[])
    }
}

/// An `entry` row.
#[derive(Serialize, Deserialize)]
struct PolicyHead {
    policy: Policy,
}

/// The row of a continuous query.
#[derive(Clone, Debug)]
pub struct ContinuousRow {
    /// Its key.
    pub(super) key: u64,
    /// As it is stored: every run that moves its watermark rewrites it.
    pub(super) query: ContinuousQuery,
    /// After a run was started: not before this, nanoseconds. Not stored.
    pub(super) not_before_ns: i64,
    /// Runs in a row that failed. Not stored.
    pub(super) failures: u32,
}

impl ContinuousRow {
    /// Reads a row that lies at or above [`FIRST_CONTINUOUS_KEY`].
    fn load(key: u64, head: &[u8]) -> Result<Self, StoreError> {
        let query = row::read::<ContinuousQuery>(Table::Entry, key, head)?;
        Ok(Self { key, query, not_before_ns: 0, failures: 0 })
    }

    /// When it is to run next, nanoseconds; `None`: never again.
    pub(super) fn due_ns(&self, now_ns: i64) -> Option<i64> {
        self.query.next_run_ns(now_ns).map(|next_ns| next_ns.max(self.not_before_ns))
    }
}

/// Everything that a Database keeps.
#[derive(Clone, Debug)]
pub struct DatabaseRows {
    /// The `state` row.
    pub state: DatabaseState,
    /// The `entry` and `schema` rows.
    pub policies: Policies,
    /// The `job` rows by key.
    pub jobs: BTreeMap<u64, Job>,
    /// The other `entry` rows, ascending by key.
    pub continuous: Vec<ContinuousRow>,
    /// What callers may use.
    pub quotas: Quotas,
    /// When backups are made, if by themselves.
    pub schedule: Option<ScheduleRow>,
    /// While a continuous query or a pass of the schedule runs: when to look after it, nanoseconds.
    /// Not stored.
    pub busy_until_ns: Option<i64>,
    /// Rows read and written so far.
    pub bill: Bill,
}

/// Rows that change together.
#[derive(Debug, Default)]
pub struct RowsChange {
    /// The `state` row.
    pub state: Option<DatabaseState>,
    /// A new or changed policy and its row's key.
    pub policy: Option<(u64, Policy)>,
    /// A policy to be removed with its measurements, by its row's key.
    pub removed_policy: Option<u64>,
    /// Markers of dropped measurements, each with the key of its policy's row.
    pub dropped: Vec<(u64, MeasurementSchema)>,
    /// Jobs to be stored, by key.
    pub jobs: Vec<(u64, Job)>,
    /// Jobs that are done, by key.
    pub removed_jobs: Vec<u64>,
    /// All rows of tokens and users go first.
    pub grants_anew: bool,
    /// Other limits in the place of all that there are.
    pub quotas: Option<Quotas>,
    /// Rows of tokens and users by key; one without any goes.
    pub grantees: Vec<(u64, Vec<Grantee>)>,
}

impl DatabaseRows {
    /// A database that was never stored: with `change` it comes into being.
    pub fn new(state: DatabaseState) -> Self {
        let (policies, jobs) = (Policies::default(), BTreeMap::new());
        let (bill, quotas) = (Bill::default(), Quotas::default());
        let (continuous, schedule, busy_until_ns) = (Vec::new(), None, None);
        Self { state, policies, jobs, continuous, quotas, schedule, busy_until_ns, bill }
    }

    /// Reads everything; `None` when the object is not open.
    pub fn load<S: Store>(store: &S) -> Result<Option<Self>, StoreError> {
        let before = store.row_counts();
        if !store.is_open()? {
            return Ok(None);
        }
        let Some(head) = store.head(Table::State, 0)? else { return Ok(None) };
        let mut rows = Self::new(row::read(Table::State, 0, &head)?);
        let saved = match store.head(Table::State, BILLED_KEY)? {
            Some(head) => row::read(Table::State, BILLED_KEY, &head)?,
            None => Billed::default(),
        };
        rows.bill = Bill { saved, before };
        rows.schedule = schedule_row::load(store)?;
        row::each_in(store, Table::Entry, 0..=FIRST_GRANT_KEY - 1, &mut |number, head| {
            if number == QUOTAS_KEY {
                rows.quotas = row::read(Table::Entry, number, head)?;
                return Ok(());
            }
            if number >= FIRST_CONTINUOUS_KEY {
                rows.continuous.push(ContinuousRow::load(number, head)?);
                return Ok(());
            }
            let PolicyHead { policy } = row::read(Table::Entry, number, head)?;
            rows.policies.rows.push(PolicyRow { number, policy, schema: Schema::default() });
            Ok(())
        })?;
        row::each(store, Table::Schema, &mut |key, head| {
            let number = key >> MEASUREMENT_BITS;
            let row = rows.policies.rows.iter_mut().find(|row| row.number == number);
            if let Some(row) = row {
                let measurement: MeasurementSchema = row::read(Table::Schema, key, head)?;
                row.schema.load(measurement);
            }
            Ok(())
        })?;
        row::each(store, Table::Job, &mut |key, head| {
            rows.jobs.insert(key, row::read(Table::Job, key, head)?);
            Ok(())
        })?;
        rows.policies.default = rows.state.default_policy;
        for row in &mut rows.policies.rows {
            row.schema.give_columns_from(rows.state.next_column);
        }
        Ok(Some(rows))
    }

    /// Stores a change, then takes it into memory.
    pub fn apply<S: Store>(&mut self, store: &S, change: RowsChange) -> Result<(), StoreError> {
        store.atomically(|| {
            write(store, &change)?;
            self.bill.put(store)
        })?;
        if let Some(state) = change.state {
            self.policies.default = state.default_policy;
            self.state = state;
        }
        if let Some((number, policy)) = change.policy {
            match self.policies.rows.iter_mut().find(|row| row.number == number) {
                Some(row) => row.policy = policy,
                None => {
                    let mut schema = Schema::default();
                    schema.give_columns_from(self.state.next_column);
                    self.policies.rows.push(PolicyRow { number, policy, schema });
                }
            }
        }
        for (number, marker) in change.dropped {
            if let Some(row) = self.policies.rows.iter_mut().find(|row| row.number == number) {
                row.schema.mark(marker);
            }
        }
        if let Some(number) = change.removed_policy {
            self.policies.rows.retain(|row| row.number != number);
        }
        self.quotas = change.quotas.unwrap_or_else(|| std::mem::take(&mut self.quotas));
        self.jobs.extend(change.jobs);
        for key in change.removed_jobs {
            self.jobs.remove(&key);
        }
        Ok(())
    }

    /// Stores a registration in the schema of the policy `number`, then takes it into memory.
    pub fn register<S: Store>(
        &mut self,
        store: &S,
        (number, now_ns): (u64, i64),
        registration: Registration,
    ) -> Result<(), StoreError> {
        if !registration.changed.is_empty() {
            self.bill.saved.registered_ns = now_ns.max(self.bill.saved.registered_ns);
        }
        let bill = self.bill;
        let row = self.policies.rows.iter_mut().find(|row| row.number == number);
        let Some(row) = row else { return Ok(()) };
        if !registration.changed.is_empty() {
            store.atomically(|| {
                let mut changed = registration.changed.values();
                changed.try_for_each(|measurement| put_measurement(store, number, measurement))?;
                bill.put(store)
            })?;
        }
        row.schema.apply(registration);
        Ok(())
    }
}

pub(super) fn write<S: Store>(store: &S, change: &RowsChange) -> Result<(), StoreError> {
    if let Some(state) = &change.state {
        store.put(Table::State, 0, &row::encode(state)?, &[])?;
    }
    if let Some((number, policy)) = &change.policy {
        put_policy(store, *number, policy)?;
    }
    if let Some(number) = change.removed_policy {
        delete_policy(store, number)?;
    }
    for (number, marker) in &change.dropped {
        put_measurement(store, *number, marker)?;
    }
    for (key, job) in &change.jobs {
        store.put(Table::Job, *key, &row::encode(job)?, &[])?;
    }
    if change.grants_anew {
        store.delete(Table::Entry, FIRST_GRANT_KEY..=KEY_MAX)?;
    }
    if let Some(quotas) = &change.quotas {
        match quotas.are_none() {
            true => store.delete(Table::Entry, QUOTAS_KEY..=QUOTAS_KEY)?,
            false => store.put(Table::Entry, QUOTAS_KEY, &row::encode(quotas)?, &[])?,
        }
    }
    for (key, grantees) in &change.grantees {
        match grantees.is_empty() {
            true => store.delete(Table::Entry, *key..=*key)?,
            false => store.put(Table::Entry, *key, &row::encode(grantees)?, &[])?,
        }
    }
    for &key in &change.removed_jobs {
        store.delete(Table::Job, key..=key)?;
    }
    Ok(())
}

/// Stores a policy's row.
pub(super) fn put_policy<S: Store>(
    store: &S,
    number: u64,
    policy: &Policy,
) -> Result<(), StoreError> {
    let head = row::encode(&PolicyHead { policy: policy.clone() })?;
    store.put(Table::Entry, number, &head, &[])
}

/// Deletes a policy's row, and those of its measurements.
pub(super) fn delete_policy<S: Store>(store: &S, number: u64) -> Result<(), StoreError> {
    store.delete(Table::Entry, number..=number)?;
    let first = number << MEASUREMENT_BITS;
    store.delete(Table::Schema, first..=first | u64::from(u32::MAX))
}

/// Stores a measurement in the schema of the policy `number`, which need not be there yet.
pub(super) fn put_measurement<S: Store>(
    store: &S,
    number: u64,
    measurement: &MeasurementSchema,
) -> Result<(), StoreError> {
    let key = number << MEASUREMENT_BITS | u64::from(measurement.id.0);
    store.put(Table::Schema, key, &row::encode(measurement)?, &[])
}
