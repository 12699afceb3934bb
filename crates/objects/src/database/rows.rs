//! Reads and writes a Database's rows, and keeps a copy in memory. A change is stored atomically
//! before it is applied to this copy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::groups::shards;
use super::job::{Job, JobKind};
use super::policies::{Policies, PolicyRow};
use super::schedules::ScheduleRow;
use super::schema::{Registration, Schema};
use tidemark_engine::protocol::backup_schedule::BackupSchedule;
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::continuous::ContinuousQuery;
use tidemark_engine::protocol::daily_usage::DailyUsage;
use tidemark_engine::protocol::database::CreateDatabase;
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::grants::Grantee;
use tidemark_engine::protocol::round::Request;
use tidemark_engine::protocol::shard::ToShard;
use tidemark_engine::store::row::RowRange;
use tidemark_engine::store::usage_meter::UsageMeter;
use tidemark_engine::store::{KEY_MAX, RowCounts, Store, StoreResult, Table};
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::SHARDS_PER_WIPE_MAX;
use tidemark_model::quota::Quotas;
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::shard_map::Policy;

const STATE: RowRange<DatabaseState> = RowRange::one(Table::State, 0);
const BILLED: RowRange<Billed> = RowRange::one(Table::State, 1);
/// The backup schedule. Releases without backup schedules do not read this row.
pub(super) const SCHEDULE: RowRange<BackupSchedule> = RowRange::one(Table::State, 2);
const POLICIES: RowRange<PolicyHead> = RowRange::within(Table::Entry, 0, FIRST_CONTINUOUS_KEY - 1);
pub(super) const CONTINUOUS: RowRange<ContinuousQuery> =
    RowRange::within(Table::Entry, FIRST_CONTINUOUS_KEY, QUOTAS_KEY - 1);
/// The quotas. Without quotas, the row does not exist.
const QUOTAS: RowRange<Quotas> = RowRange::one(Table::Entry, QUOTAS_KEY);
/// The tokens and users. The Database never loads all these rows (see [`super::access`]).
pub(super) const GRANTEES: RowRange<Vec<Grantee>> =
    RowRange::within(Table::Entry, FIRST_GRANT_KEY, KEY_MAX);
const MEASUREMENTS: RowRange<MeasurementSchema> = RowRange::all(Table::Schema);
pub(super) const JOBS: RowRange<Job> = RowRange::all(Table::Job);

const FIRST_CONTINUOUS_KEY: u64 = 1 << 40;
const QUOTAS_KEY: u64 = FIRST_GRANT_KEY - 1;
const FIRST_GRANT_KEY: u64 = 1 << 52;
/// The number of low bits in a measurement's row key. These bits contain the measurement's id. The
/// high bits contain the policy's number.
const MEASUREMENT_BITS: u32 = 32;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DatabaseStage {
    /// The shards of the first policy may not be open yet.
    #[default]
    Opening,
    /// The database is in use.
    Open,
    /// The shards are closed or are being closed. Jobs then wipe the storage.
    Dropping,
    /// A point-in-time recovery is running. The database waits until the Catalog sends the
    /// counters.
    Frozen,
}

/// The single `state` row of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DatabaseState {
    pub create: CreateDatabase,
    pub stage: DatabaseStage,
    pub generation: u64,
    pub default_policy: Option<PolicyId>,
    /// The name of the default policy, if the default policy was dropped.
    #[serde(default)]
    pub dropped_default: Option<String>,
    /// The key of the next policy's row.
    pub next_policy: u64,
    /// The id of the next shard group.
    pub next_group: u64,
    /// The key of the next job's row.
    pub next_job: u64,
    /// The access number, which rises when a token or user loses a permission.
    #[serde(default)]
    pub access: u64,
    /// The latest received version of the Catalog's tokens and users.
    #[serde(default)]
    pub granted: u64,
    /// The last Catalog changes that raised the access number, oldest first; at most
    /// `RECENT_CHANGES_MAX`.
    #[serde(default)]
    pub recent_changes: Vec<u64>,
    /// The name of the restored backup, if the database was restored.
    #[serde(default)]
    pub restored: Option<String>,
    /// The number of the last recovery; 0 if the database was never recovered.
    #[serde(default)]
    pub recovered: u64,
    /// The lowest id of new columns. Lower ids may belong to columns that existed before a
    /// recovery.
    #[serde(default)]
    pub next_column: u32,
}

/// The `state` row with the numbers of rows that the platform has billed since the object was
/// created.
///
/// Every [`RowsChange`] and every registration stores this row. An evicted object loses the counts
/// since then: reads, and the writes that store a continuous query's progress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Billed {
    pub rows_read: u64,
    pub rows_written: u64,
    /// The time when a measurement or column last received an id, in nanoseconds. A recovery uses
    /// this time to determine whether an id was assigned after the reset.
    #[serde(default)]
    pub registered_ns: i64,
    #[serde(default)]
    pub usage: DailyUsage,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Bill {
    pub(super) saved: Billed,
    before: RowCounts,
    /// The usage, including the events since the last stored change.
    pub(super) meter: UsageMeter,
}

impl Bill {
    pub(super) fn now<S: Store>(&self, store: &S) -> Billed {
        let counts = store.row_counts();
        let since = counts.since(self.before);
        Billed {
            rows_read: self.saved.rows_read + since.read,
            rows_written: self.saved.rows_written + since.written,
            registered_ns: self.saved.registered_ns,
            usage: self.meter.usage(counts),
        }
    }

    pub(super) fn put<S: Store>(&self, store: &S) -> StoreResult<()> {
        let mut billed = self.now(store);
        // Writing this row is also billed.
        billed.rows_written += 1;
        BILLED.put(store, 0, &billed)
    }
}

#[derive(Serialize, Deserialize)]
struct PolicyHead {
    policy: Policy,
}

#[derive(Clone, Debug)]
pub(super) struct ContinuousRow {
    pub(super) number: u64,
    pub(super) query: ContinuousQuery,
    /// The earliest time of the next run, in nanoseconds. The row does not contain this time.
    pub(super) not_before_ns: i64,
    /// The start of the last run, in nanoseconds. The row does not contain this time.
    pub(super) started_ns: i64,
    /// The number of consecutive failed runs. The row does not contain this number.
    pub(super) failures: u32,
}

impl ContinuousRow {
    pub(super) fn new(number: u64, query: ContinuousQuery) -> Self {
        Self { number, query, not_before_ns: 0, started_ns: 0, failures: 0 }
    }

    pub(super) fn due_ns(&self, now_ns: i64) -> Option<i64> {
        self.query.due_ns(now_ns).map(|next_ns| next_ns.max(self.not_before_ns))
    }
}

/// All rows of a Database.
#[derive(Clone, Debug, Default)]
pub(super) struct DatabaseRows {
    pub state: DatabaseState,
    /// The policies and measurements in the `entry` and `schema` tables.
    pub policies: Policies,
    /// The `job` rows by key.
    pub jobs: BTreeMap<u64, Job>,
    /// The continuous queries, in ascending order of their keys.
    pub continuous: Vec<ContinuousRow>,
    /// The quotas of the database and its callers.
    pub quotas: Quotas,
    pub schedule: Option<ScheduleRow>,
    /// The time at which the alarm checks the running continuous query or scheduled backup, in
    /// nanoseconds. `None` if neither runs. This time is not stored.
    pub busy_until_ns: Option<i64>,
    pub bill: Bill,
}

/// A change of rows in one transaction.
#[derive(Debug, Default)]
pub(super) struct RowsChange {
    pub state: Option<DatabaseState>,
    /// A new or changed policy, with its row key.
    pub policy: Option<(u64, Policy)>,
    /// The row key of a removed policy, whose measurements are also removed.
    pub removed_policy: Option<u64>,
    /// The markers of dropped measurements, with the row keys of their policies.
    pub dropped: Vec<(u64, MeasurementSchema)>,
    pub jobs: Vec<(u64, Job)>,
    /// The keys of finished jobs.
    pub removed_jobs: Vec<u64>,
    /// Whether to delete all tokens and users before the other changes.
    pub replaces_grantees: bool,
    /// The limits that replace all existing limits.
    pub quotas: Option<Quotas>,
    /// The rows of tokens and users, by number. An empty row is deleted.
    pub grantees: Vec<(u64, Vec<Grantee>)>,
}

impl RowsChange {
    /// Adds a new job, and assigns the job's key.
    pub(super) fn add_job(&mut self, state: &mut DatabaseState, job: Job) {
        self.jobs.push((state.next_job, job));
        state.next_job += 1;
    }

    pub(super) fn wipe_later(&mut self, state: &mut DatabaseState, gone: &[ObjectId], now_ns: i64) {
        for shards in gone.chunks(SHARDS_PER_WIPE_MAX) {
            let kind = JobKind::WipeShards { shards: shards.to_vec() };
            self.add_job(state, Job::delayed(kind, now_ns));
        }
    }
}

impl DatabaseRows {
    /// Creates the rows of a new database, which are not stored yet.
    pub(super) fn new(state: DatabaseState) -> Self {
        Self { state, ..Self::default() }
    }

    pub(super) fn waiting_wipe(&self) -> Option<u64> {
        let is_wipe = |job: &Job| matches!(job.kind, JobKind::WipeShards { .. });
        self.jobs.iter().find(|(_, job)| is_wipe(job)).map(|(&key, _)| key)
    }

    /// Returns every shard of the published map.
    pub(super) fn shards(&self) -> impl Iterator<Item = &ObjectId> {
        self.policies.rows.iter().flat_map(|row| shards(&row.policy))
    }

    pub(super) fn request(&self, shard: ObjectId, message: &ToShard) -> Request {
        Request {
            to: Address::Shard(shard),
            location: self.state.create.location.clone(),
            message: envelope::encode(message),
        }
    }

    /// Reads all rows. Returns `None` if the object has no database.
    pub(super) fn load<S: Store>(store: &S) -> StoreResult<Option<Self>> {
        let before = store.row_counts();
        if !store.is_open()? {
            return Ok(None);
        }
        let Some(state) = STATE.get(store, 0)? else { return Ok(None) };
        let mut rows = Self::new(state);
        let saved = BILLED.get(store, 0)?.unwrap_or_default();
        let meter = UsageMeter::continued(saved.usage.clone(), before);
        rows.bill = Bill { saved, before, meter };
        rows.schedule = SCHEDULE.get(store, 0)?.map(ScheduleRow::new);
        POLICIES.each(store, |number, PolicyHead { policy }| {
            rows.policies.rows.push(PolicyRow { number, policy, schema: Schema::default() });
        })?;
        CONTINUOUS.each(store, |number, query| {
            rows.continuous.push(ContinuousRow::new(number, query));
        })?;
        rows.quotas = QUOTAS.get(store, 0)?.unwrap_or_default();
        MEASUREMENTS.each(store, |key, measurement| {
            let number = key >> MEASUREMENT_BITS;
            if let Some(row) = rows.policies.numbered_mut(number) {
                row.schema.load(measurement);
            }
        })?;
        JOBS.each(store, |key, job| drop(rows.jobs.insert(key, job)))?;
        for row in &mut rows.policies.rows {
            row.schema.set_min_column_id(rows.state.next_column);
        }
        Ok(Some(rows))
    }

    /// Stores a change, and then applies the change to the memory.
    pub(super) fn apply<S: Store>(&mut self, store: &S, change: RowsChange) -> StoreResult<()> {
        store.atomically(|| {
            write(store, &change)?;
            self.bill.put(store)
        })?;
        if let Some(state) = change.state {
            self.state = state;
        }
        if let Some((number, policy)) = change.policy {
            match self.policies.numbered_mut(number) {
                Some(row) => row.policy = policy,
                None => {
                    let mut schema = Schema::default();
                    schema.set_min_column_id(self.state.next_column);
                    self.policies.rows.push(PolicyRow { number, policy, schema });
                }
            }
        }
        for (number, marker) in change.dropped {
            if let Some(row) = self.policies.numbered_mut(number) {
                row.schema.mark(marker);
            }
        }
        if let Some(number) = change.removed_policy {
            self.policies.rows.retain(|row| row.number != number);
        }
        if let Some(quotas) = change.quotas {
            self.quotas = quotas;
        }
        self.jobs.extend(change.jobs);
        for key in change.removed_jobs {
            self.jobs.remove(&key);
        }
        Ok(())
    }

    /// Stores a registration in the schema of policy `number`, and then applies the registration to
    /// the memory.
    pub(super) fn register<S: Store>(
        &mut self,
        store: &S,
        number: u64,
        now_ns: i64,
        registration: Registration,
    ) -> StoreResult<()> {
        if !registration.changed.is_empty() {
            self.bill.saved.registered_ns = now_ns.max(self.bill.saved.registered_ns);
            store.atomically(|| {
                let mut changed = registration.changed.values();
                changed.try_for_each(|measurement| put_measurement(store, number, measurement))?;
                self.bill.put(store)
            })?;
        }
        if let Some(row) = self.policies.numbered_mut(number) {
            row.schema.apply(registration);
        }
        Ok(())
    }
}

pub(super) fn write<S: Store>(store: &S, change: &RowsChange) -> StoreResult<()> {
    if let Some(state) = &change.state {
        STATE.put(store, 0, state)?;
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
        JOBS.put(store, *key, job)?;
    }
    if change.replaces_grantees {
        GRANTEES.remove(store, 0, KEY_MAX)?;
    }
    if let Some(quotas) = &change.quotas {
        if quotas.are_none() {
            QUOTAS.remove(store, 0, 0)?
        } else {
            QUOTAS.put(store, 0, quotas)?
        }
    }
    for (number, grantees) in &change.grantees {
        match grantees.is_empty() {
            true => GRANTEES.remove(store, *number, *number)?,
            false => GRANTEES.put(store, *number, grantees)?,
        }
    }
    for &key in &change.removed_jobs {
        JOBS.remove(store, key, key)?;
    }
    Ok(())
}

pub(super) fn put_policy<S: Store>(store: &S, number: u64, policy: &Policy) -> StoreResult<()> {
    POLICIES.put(store, number, &PolicyHead { policy: policy.clone() })
}

pub(super) fn delete_policy<S: Store>(store: &S, number: u64) -> StoreResult<()> {
    POLICIES.remove(store, number, number)?;
    let first = number << MEASUREMENT_BITS;
    MEASUREMENTS.remove(store, first, first | u64::from(u32::MAX))
}

/// Stores a measurement in the schema of policy `number`. The policy's row may be missing.
pub(super) fn put_measurement<S: Store>(
    store: &S,
    number: u64,
    measurement: &MeasurementSchema,
) -> StoreResult<()> {
    let key = number << MEASUREMENT_BITS | u64::from(measurement.id.0);
    MEASUREMENTS.put(store, key, measurement)
}
