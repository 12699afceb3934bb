//! Restores a backup. The Database creates new shards for the backup's policies. No other object
//! knows these shards until they are filled. Then the restored policies and measurements replace
//! the database's existing policies, which have no measurements.
//!
//! Also implements the Database's part of a point-in-time recovery. The Database is frozen before
//! and after its reset. When the Database opens, its counters are higher than all numbers that it
//! ever assigned (`docs/design/recovery.md`).

use std::collections::BTreeSet;

use super::job::{Filling, Job, JobKind};
use super::object::{Database, DatabaseTask, Failure, Result};
use super::rows::{self, CONTINUOUS, DatabaseRows, DatabaseStage, DatabaseState, JOBS, RowsChange};
use super::schedules;
use tidemark_engine::protocol::backup::{RestoreStep, RestoredRest, Restoring};
use tidemark_engine::protocol::call::Platform;
use tidemark_engine::protocol::continuous::ContinuousQuery;
use tidemark_engine::protocol::database::{DatabaseRefusal, FromDatabase, ToDatabase};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::recovery::{Counters, FrozenDatabase, RecoveredDatabase};
use tidemark_engine::store::{Store, StoreResult};
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::shard_map::{Policy, ShardGroup};

impl<S: Store> Database<S> {
    pub(super) fn plan_restore(
        &self,
        platform: &dyn Platform,
        step: &RestoreStep,
    ) -> Result<Option<(DatabaseState, JobKind)>> {
        let Some(rows) = &self.rows else { return Ok(None) };
        let mut state = rows.state.clone();
        let known = filling(rows);
        // A repeat of a completed restore has no effect, unless the database was emptied in the
        // meantime.
        let is_restored = state.restored.as_deref() == Some(step.backup());
        let is_begin = matches!(step, RestoreStep::Begin { .. });
        let has_measurements = rows.policies.rows.iter().any(|row| row.schema.count() > 0);
        if is_restored && known.is_none() && (has_measurements || !is_begin) {
            return Ok(None);
        }
        if let Some((_, other)) = known.filter(|(_, known)| known.backup != step.backup()) {
            return Err(DatabaseRefusal::Restoring(other.backup.clone()).into());
        }
        if has_measurements || !is_restored && !rows.continuous.is_empty() {
            return Err(DatabaseRefusal::NotEmpty.into());
        }
        Ok(match (step, known) {
            (RestoreStep::Begin { backup, policies }, None) => {
                let (first, mut fresh) = (state.next_policy, Vec::new());
                for policy in policies {
                    let groups = fresh_groups(platform, &mut state, policy)?;
                    let id = PolicyId::draw(&self.object, platform.random_u64());
                    fresh.push(Policy { id, groups, ..policy.clone() });
                }
                state.next_policy += fresh.len() as u64;
                let (backup, pages) = (backup.clone(), 0);
                let filling = Filling { backup, first, policies: fresh, pages };
                Some((state, JobKind::OpenRestore(filling)))
            }
            (RestoreStep::Finish { rest, policies, .. }, Some((_, filling))) => {
                // The client may have filled the shards of an earlier restore of this backup.
                let filled = filling.policies.iter().map(|policy| policy.id);
                let is_other = !filled.eq(policies.iter().copied());
                if is_other && !policies.is_empty() {
                    return Err(Unavailable::Changing.into());
                }
                // A database without continuous queries accepts all continuous queries of its
                // backup, even if the release that made the backup had a higher limit.
                let absent = absent_queries(rows, rest);
                if !rows.continuous.is_empty() && !absent.is_empty() {
                    schedules::check_room(rows, &absent)?;
                }
                let generation = state.generation + 1;
                let (filling, rest) = (filling.clone(), rest.clone());
                Some((state, JobKind::PublishRestore { filling, rest, generation }))
            }
            _ => None,
        })
    }

    pub(super) fn restoring(&mut self, backup: &str) -> Result<FromDatabase> {
        let rows = self.open_rows()?;
        let known = filling(rows).filter(|(_, filling)| filling.backup == backup);
        Ok(FromDatabase::Restoring(match known {
            Some((_, filling)) => {
                let (policies, pages) = (filling.policies.clone(), filling.pages);
                Restoring::Filling { policies, pages }
            }
            None if rows.state.restored.as_deref() == Some(backup) => Restoring::Finished,
            // The restore was undone in the meantime. The client must start again.
            None => return Err(Unavailable::Changing.into()),
        }))
    }

    pub(super) fn take_page(&mut self, step: &RestoreStep) -> Result<FromDatabase> {
        let RestoreStep::Schema { backup, page, policy, measurements } = step else {
            return Ok(FromDatabase::Done);
        };
        let rows = self.open_rows()?;
        let job =
            filling(rows).map(|(key, _)| key).and_then(|key| Some((key, rows.jobs.get(&key)?)));
        if let Some((key, job)) = job
            && let JobKind::Restore(filling) = &job.kind
            && (filling.backup == *backup && filling.pages == *page)
        {
            let number = filling.first + u64::from(*policy);
            let filling = Filling { pages: page + 1, ..filling.clone() };
            let job = Job { kind: JobKind::Restore(filling), ..job.clone() };
            self.store.atomically(|| -> StoreResult<()> {
                let mut all = measurements.iter();
                all.try_for_each(|one| rows::put_measurement(&self.store, number, one))?;
                JOBS.put(&self.store, key, &job)
            })?;
            self.open_rows()?.jobs.insert(key, job);
        }
        self.restoring(backup)
    }

    /// Replaces the existing policies and shards with the filled ones.
    pub(super) fn end_restore(
        &mut self,
        key: u64,
        filling: &Filling,
        rest: &RestoredRest,
        generation: u64,
        now_ns: i64,
    ) -> Result<()> {
        let Some(known) = &self.rows else { return Ok(()) };
        let (store, mut state) = (&self.store, known.state.clone());
        let mut change = RowsChange { removed_jobs: vec![key], ..RowsChange::default() };
        state.generation = generation;
        state.restored = Some(filling.backup.clone());
        let default = rest.default_policy.and_then(|at| filling.policies.get(at as usize));
        state.default_policy = default.map(|policy| policy.id);
        state.dropped_default = rest.dropped_default.clone();
        change.quotas = Some(rest.quotas.clone());
        let mut gone: Vec<ObjectId> = known.shards().cloned().collect();
        for (&key, job) in &known.jobs {
            if matches!(job.kind, JobKind::Split(_) | JobKind::Restore(_)) {
                change.removed_jobs.push(key);
            }
            if matches!(job.kind, JobKind::Split(_)) {
                gone.extend(job.fresh());
            }
        }
        change.wipe_later(&mut state, &gone, now_ns);
        change.state = Some(state);
        store.atomically(|| -> StoreResult<()> {
            rows::write(store, &change)?;
            for row in &known.policies.rows {
                rows::delete_policy(store, row.number)?;
            }
            for (number, policy) in (filling.first..).zip(&filling.policies) {
                rows::put_policy(store, number, policy)?;
            }
            let first = known.continuous.last().map_or(0, |last| last.number + 1);
            for (number, query) in (first..).zip(absent_queries(known, rest)) {
                CONTINUOUS.put(store, number, query)?;
            }
            known.bill.put(store)
        })?;
        self.rows = DatabaseRows::load(&self.store)?;
        Ok(())
    }

    /// Undoes a restore that was not finished in time: deletes its measurements, and wipes its
    /// shards.
    pub(super) fn undo_restore(&mut self, key: u64, filling: &Filling, now_ns: i64) -> Result<()> {
        let Some(known) = &self.rows else { return Ok(()) };
        let (store, mut state) = (&self.store, known.state.clone());
        let mut change = RowsChange { removed_jobs: vec![key], ..RowsChange::default() };
        let fresh: Vec<ObjectId> = filling.shards().cloned().collect();
        change.wipe_later(&mut state, &fresh, now_ns);
        change.state = Some(state);
        store.atomically(|| -> StoreResult<()> {
            rows::write(store, &change)?;
            for (number, _) in (filling.first..).zip(&filling.policies) {
                rows::delete_policy(store, number)?;
            }
            known.bill.put(store)
        })?;
        self.rows = DatabaseRows::load(&self.store)?;
        Ok(())
    }

    /// Whether a restore is being published. All other changes must wait during this time.
    pub(super) fn is_publishing_restore(&mut self) -> Result<bool> {
        let jobs = &self.open_rows()?.jobs;
        Ok(jobs.values().any(|job| matches!(job.kind, JobKind::PublishRestore { .. })))
    }
}

/// Returns the backup's continuous queries that are missing in the database. If the backup is
/// restored again, existing queries remain.
fn absent_queries<'a>(rows: &DatabaseRows, rest: &'a RestoredRest) -> Vec<&'a ContinuousQuery> {
    let known: BTreeSet<&str> = rows.continuous.iter().map(|row| &*row.query.name).collect();
    rest.continuous.iter().filter(|query| !known.contains(&*query.name)).collect()
}

fn filling(rows: &DatabaseRows) -> Option<(u64, &Filling)> {
    rows.jobs.iter().find_map(|(&key, job)| match &job.kind {
        JobKind::Restore(filling) => Some((key, filling)),
        _ => None,
    })
}

/// Creates groups with the time ranges of the policy's groups, and with as many new shards.
fn fresh_groups(
    platform: &dyn Platform,
    state: &mut DatabaseState,
    policy: &Policy,
) -> Result<Vec<ShardGroup>, DatabaseRefusal> {
    let group = |group: &ShardGroup| {
        let count = u32::try_from(group.shards.len()).unwrap_or(0);
        let fresh = state.new_group(platform, group.range, count)?;
        Ok(ShardGroup { split_bytes: group.split_bytes, ..fresh })
    };
    policy.groups.iter().map(group).collect()
}

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
            registered_ns: rows.bill.saved.registered_ns,
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
            // A shard's recovered state may be older than this object's state, and may lack
            // messages that were already acknowledged. Unfinished jobs therefore send all messages
            // again.
            let begun = rows.jobs.iter().filter(|(_, job)| job.replied > 0);
            jobs.extend(begun.map(|(&key, job)| (key, Job { replied: 0, ..job.clone() })));
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
