//! Implements the Database's part of a point-in-time recovery. The Database is frozen before and
//! after its reset. When the Database opens, its counters are higher than all numbers that it ever
//! assigned (`docs/design/recovery.md`).

use std::collections::BTreeSet;

use super::job::{Job, JobKind};
use super::object::{Database, DatabaseTask, Failure, Result};
use super::rows::{self, DatabaseRows, DatabaseStage, RowsChange};
use crate::model::ids::ObjectId;
use crate::protocol::call::Platform;
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::host::Unavailable;
use crate::protocol::recovery::{Counters, FrozenDatabase, RecoveredDatabase};
use crate::store::{Store, StoreResult};

/// The maximum difference between an unpublished generation of this Database and the published
/// generation.
const UNPUBLISHED_MAX: u64 = 2;

impl<S: Store> Database<S> {
    /// Freezes the database and returns its state. A repeated call returns the same state.
    pub(super) fn freeze(&mut self, recovery: u64) -> Result<FromDatabase> {
        self.load()?;
        let Some(rows) = &self.rows else { return Err(Failure::NotOpen) };
        match rows.state.stage {
            DatabaseStage::Dropping => return Err(Failure::NotOpen),
            DatabaseStage::Opening => return Err(Unavailable::Changing.into()),
            // The message is late, because this recovery has already ended.
            DatabaseStage::Open if rows.state.recovered >= recovery => {
                return Ok(FromDatabase::Done);
            }
            DatabaseStage::Open => {
                let mut state = rows.state.clone();
                state.stage = DatabaseStage::Frozen;
                self.apply(RowsChange { state: Some(state), ..RowsChange::default() })?;
            }
            // A job of an earlier recovery is removed.
            DatabaseStage::Frozen => {
                let is_older = |job: &Job| match &job.kind {
                    JobKind::Recover(known) => known.recovery < recovery,
                    _ => false,
                };
                let older = rows.jobs.iter().filter(|(_, job)| is_older(job));
                let removed_jobs: Vec<u64> = older.map(|(&key, _)| key).collect();
                if !removed_jobs.is_empty() {
                    self.apply(RowsChange { removed_jobs, ..RowsChange::default() })?;
                }
            }
        }
        let Some(rows) = &self.rows else { return Err(Failure::NotOpen) };
        Ok(FromDatabase::Frozen(Box::new(FrozenDatabase {
            counters: counters(rows),
            registered_ns: rows.bill.registered_ns(),
            quotas: rows.quotas.clone(),
            shards: every_shard(rows),
        })))
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.rows.as_ref().is_some_and(|rows| {
            let is_recovering = |job: &Job| matches!(job.kind, JobKind::Recover(_));
            rows.state.stage == DatabaseStage::Frozen && !rows.jobs.values().any(is_recovering)
        })
    }

    /// Rejects events that began before the database was frozen.
    pub(super) fn refuse_frozen(&self, task: &DatabaseTask) -> Result<()> {
        match task {
            DatabaseTask::Request(ToDatabase::Recover(_)) | DatabaseTask::Nothing => Ok(()),
            _ if self.is_frozen() => Err(Unavailable::Changing.into()),
            _ => Ok(()),
        }
    }

    /// Returns the next job of a request to open the database after the reset. The first job is the
    /// statement that was unfinished at the target time.
    pub(super) fn recover(
        &mut self,
        platform: &dyn Platform,
        recovered: &RecoveredDatabase,
    ) -> Result<Option<u64>> {
        let Some(rows) = &self.rows else { return Err(Failure::NotOpen) };
        if rows.state.recovered >= recovered.recovery {
            return Ok(None);
        }
        if self.is_frozen() {
            let mut state = rows.state.clone();
            let counters = counters(rows).or_above(&recovered.counters);
            let key = state.next_job.max(counters.next_job);
            state.next_job = key + 1;
            let recovered = RecoveredDatabase {
                counters: Counters {
                    generation: counters.generation + UNPUBLISHED_MAX + 1,
                    ..counters
                },
                ..recovered.clone()
            };
            let kind = JobKind::Recover(Box::new(recovered));
            let mut jobs = vec![(key, Job::started(kind, platform.now_ns()))];
            // A shard's state may be older than this object's state. Such a shard lacks the earlier
            // messages.
            let begun = rows.jobs.iter().filter(|(_, job)| job.answered > 0);
            jobs.extend(begun.map(|(&key, job)| (key, Job { answered: 0, ..job.clone() })));
            self.apply(RowsChange { state: Some(state), jobs, ..RowsChange::default() })?;
        }
        let frozen = self.rows.as_ref().is_some_and(|r| r.state.stage == DatabaseStage::Frozen);
        if !frozen {
            return Err(Unavailable::Changing.into());
        }
        Ok(self.statement_job())
    }

    /// Opens the database after every shard has received its settings. All rows get new versions,
    /// so that edges load the rows again.
    pub(super) fn end_recovery(
        &mut self,
        key: u64,
        recovered: &RecoveredDatabase,
        now_ns: i64,
    ) -> Result<()> {
        let Some(known) = &self.rows else { return Ok(()) };
        let (store, mut state) = (&self.store, known.state.clone());
        let counters = counters(known).or_above(&recovered.counters);
        state.stage = DatabaseStage::Open;
        state.recovered = recovered.recovery;
        state.generation = counters.generation;
        state.access = counters.access;
        state.next_policy = counters.next_policy;
        state.next_group = counters.next_group;
        state.next_job = counters.next_job;
        state.next_column = counters.next_column;
        let mut change = RowsChange { removed_jobs: vec![key], ..RowsChange::default() };
        change.wipe_later(&mut state, &recovered.gone, now_ns);
        change.state = Some(state);
        change.quotas = Some(recovered.quotas.clone());
        store.atomically(|| -> StoreResult<()> {
            rows::write(store, &change)?;
            for row in &known.policies.rows {
                let next_measurement = counters.next_measurement(row.number);
                for one in row.schema.resend_rows(counters.schema_version, next_measurement) {
                    rows::put_measurement(store, row.number, &one)?;
                }
            }
            known.bill.put(store)
        })?;
        self.rows = DatabaseRows::load(&self.store)?;
        Ok(())
    }
}

fn counters(rows: &DatabaseRows) -> Counters {
    let state = &rows.state;
    let policies = || rows.policies.rows.iter();
    Counters {
        generation: state.generation,
        access: state.access,
        next_policy: state.next_policy,
        next_group: state.next_group,
        next_job: state.next_job,
        schema_version: policies().map(|row| row.schema.version()).max().unwrap_or(0),
        next_column: policies().map(|row| row.schema.next_ids().1).max().unwrap_or(0),
        next_measurements: policies().map(|row| (row.number, row.schema.next_ids().0)).collect(),
    }
}

/// Returns the shards in the map, the shards in creation and the shards that wait for a wipe,
/// without duplicates.
fn every_shard(rows: &DatabaseRows) -> Vec<ObjectId> {
    let of_map = rows.shards().cloned();
    let of_jobs = rows.jobs.values().flat_map(|job| match &job.kind {
        JobKind::WipeShards { shards } => shards.clone(),
        _ => job.fresh(),
    });
    of_map.chain(of_jobs).collect::<BTreeSet<ObjectId>>().iter().cloned().collect()
}
