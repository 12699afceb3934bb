//! Executes *statements*, the requests that involve other objects. Only one statement runs at a
//! time. A request first completes the unfinished statement of an earlier request, and then stores
//! and executes its own job.

use super::job::{Job, JobKind, changed_quotas, start_drop};
use super::object::{Database, DatabaseTask, Event, Failure, NextResult, Result};
use super::policies::{self, PolicyRow, Settings};
use super::rows::{DatabaseRows, DatabaseStage, DatabaseState, RowsChange};
use tidemark_engine::protocol::call::Platform;
use tidemark_engine::protocol::database::{
    CreateDatabase, DatabaseRefusal, FromDatabase, PolicyChange, PolicyRefusal, PolicySpec,
    ToDatabase,
};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::round::{Next, Request};
use tidemark_engine::store::Store;
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::{
    CALLS_PER_ROUND_MAX, DROPPED_MEASUREMENTS_MAX, QUOTAS_PER_DATABASE_MAX, SIZE_CHECK_NS,
};
use tidemark_model::shard_map::Policy;
use tidemark_model::time::TimeRange;

impl<S: Store> Database<S> {
    pub(super) fn next_calls(&mut self, event: &mut Event<'_>) -> NextResult {
        self.load()?;
        self.refuse_frozen(&event.work.task)?;
        if let DatabaseTask::Request(ToDatabase::Relay(messages)) = &event.work.task {
            let rows = self.open_rows()?;
            let next = messages.iter().skip(event.work.relayed.len()).take(CALLS_PER_ROUND_MAX);
            let next = next.map(|(shard, message)| rows.request(shard.clone(), message));
            let next: Vec<Request> = next.collect();
            return Ok(match next.is_empty() {
                true => Next::Reply(FromDatabase::Relayed(std::mem::take(&mut event.work.relayed))),
                false => Next::Calls(next),
            });
        }
        loop {
            let key = match self.next_job(event)? {
                Some(key) => key,
                None => return self.final_reply(event).map(Next::Reply),
            };
            let Some(requests) = self.drive(event, key)? else { continue };
            let calls = event.work.calls + requests.len();
            if event.work.calls > 0 && calls > event.platform.limits().calls_before_end() {
                return self.end_early(event, key);
            }
            event.work.calls = calls;
            return Ok(Next::Calls(requests));
        }
    }

    fn final_reply(&mut self, event: &Event<'_>) -> Result<FromDatabase> {
        match &event.work.task {
            DatabaseTask::Request(message @ ToDatabase::Describe) => {
                let reply = self.handle_message(event.platform, message)?;
                reply.ok_or_else(|| Unavailable::Changing.into())
            }
            DatabaseTask::Request(ToDatabase::Restore(step)) => self.restoring(step.backup()),
            _ => Ok(FromDatabase::Done),
        }
    }

    fn next_job(&mut self, event: &mut Event<'_>) -> Result<Option<u64>> {
        match &event.work.task {
            DatabaseTask::Nothing => Ok(None),
            DatabaseTask::Job(key) => {
                let key = *key;
                let jobs = self.rows.as_ref().map(|rows| &rows.jobs);
                let is_unfinished =
                    |job: u64| jobs.and_then(|jobs| jobs.get(&job)).is_some_and(Job::is_statement);
                // A split that waits for a statement executes that statement.
                let other =
                    event.work.current_job.map(|current| current.job).filter(|job| *job != key);
                if let Some(other) = other.filter(|job| is_unfinished(*job)) {
                    return Ok(Some(other));
                }
                // The access job was waiting for a statement that was unfinished when the
                // permission was revoked.
                if self.access_job() == Some(key) {
                    return Ok(self.statement_job());
                }
                Ok(self.rows.as_ref().and_then(|rows| rows.jobs.get(&key)).map(|_| key))
            }
            DatabaseTask::Request(ToDatabase::Initialise(create)) => {
                let create = create.clone();
                self.initialise(event, create)
            }
            DatabaseTask::Request(ToDatabase::Drop) => self.drop_database(event.platform),
            DatabaseTask::Request(ToDatabase::Recover(recovered)) => {
                self.recover(event.platform, recovered)
            }
            // An unfinished statement is executed before the job that sends the access number.
            // Otherwise that job could miss shards that the statement opens or adds to the map.
            DatabaseTask::Request(ToDatabase::Grants(_)) => {
                Ok(self.access_job().and_then(|_| self.statement_job()))
            }
            DatabaseTask::Request(statement) => {
                let statement = statement.clone();
                if let Some(key) = self.statement_job() {
                    return Ok(Some(key));
                }
                if event.work.own_job.is_some() {
                    return Ok(None);
                }
                self.open_rows()?;
                match statement {
                    ToDatabase::Grown { .. } => {
                        self.grown(event.platform, &statement)?;
                        return Ok(None);
                    }
                    ToDatabase::Configure { shards: Some(shards), .. } => {
                        self.reshard(event.platform, shards)?;
                    }
                    _ => {}
                }
                let statement = self.as_alteration(statement);
                let Some((state, kind)) = self.plan(event.platform, &statement)? else {
                    return Ok(None);
                };
                let now_ns = event.platform.now_ns();
                event.work.own_job = Some(self.store_job(now_ns, state, kind, Vec::new())?);
                Ok(event.work.own_job)
            }
        }
    }

    /// Returns whether a new map is being published. During this time, shards reject reads with the
    /// old map.
    pub(super) fn is_publishing_map(&mut self) -> Result<bool> {
        let mut kinds = self.open_rows()?.jobs.values().map(|job| &job.kind);
        Ok(kinds.any(|kind| {
            matches!(kind, JobKind::PublishSplit { .. } | JobKind::PublishRestore { .. })
        }))
    }

    /// Returns the unfinished statement. At most one exists.
    pub(super) fn statement_job(&self) -> Option<u64> {
        let jobs = self.rows.iter().flat_map(|rows| &rows.jobs);
        jobs.filter(|(_, job)| job.is_statement()).map(|(&key, _)| key).next()
    }

    fn initialise(&mut self, event: &mut Event<'_>, create: CreateDatabase) -> Result<Option<u64>> {
        let Some(rows) = &self.rows else {
            self.create_database(event.platform, create)?;
            event.work.own_job = self.statement_job();
            return Ok(event.work.own_job);
        };
        match rows.state.stage {
            DatabaseStage::Opening => Ok(self.statement_job()),
            DatabaseStage::Dropping => Err(Failure::NotOpen),
            DatabaseStage::Frozen => Err(Unavailable::Changing.into()),
            DatabaseStage::Open => match create.policy {
                Some(spec) => self.initialise_again(event, &spec),
                None => Ok(None),
            },
        }
    }

    /// Executes CREATE DATABASE … WITH for an existing database. As in 1.x, the statement creates
    /// the policy if the database has no policies.
    fn initialise_again(
        &mut self,
        event: &mut Event<'_>,
        spec: &PolicySpec,
    ) -> Result<Option<u64>> {
        let unfinished = self.statement_job();
        if event.work.own_job.is_some() {
            return Ok(unfinished.filter(|job| Some(*job) == event.work.own_job));
        }
        let rows = self.open_rows()?;
        if !rows.policies.rows.is_empty() {
            let default = rows.state.default_policy;
            rows.policies.check_repeat(spec, default).map_err(DatabaseRefusal::Policy)?;
            return Ok(None);
        }
        if unfinished.is_some() {
            return Ok(unfinished);
        }
        let state = rows.state.clone();
        let settings = policies::settings(spec).map_err(DatabaseRefusal::Policy)?;
        let (state, kind) = create_policy(event.platform, &self.object, state, settings, true)?;
        let now_ns = event.platform.now_ns();
        event.work.own_job = Some(self.store_job(now_ns, state, kind, Vec::new())?);
        Ok(event.work.own_job)
    }

    fn create_database(&mut self, platform: &dyn Platform, create: CreateDatabase) -> Result<()> {
        let spec = create.policy.clone().unwrap_or_default();
        let settings = policies::settings(&spec).map_err(DatabaseRefusal::Policy)?;
        let state = DatabaseState {
            create,
            stage: DatabaseStage::Opening,
            generation: 1,
            next_group: 1,
            ..DatabaseState::default()
        };
        let (mut state, kind) = create_policy(platform, &self.object, state, settings, true)?;
        let (mut change, now_ns) = (RowsChange::default(), platform.now_ns());
        change.add_job(&mut state, Job::started(kind, now_ns));
        let maintenance = Job::due(JobKind::Maintain, now_ns.saturating_add(SIZE_CHECK_NS));
        change.add_job(&mut state, maintenance);
        change.state = Some(state.clone());
        let mut rows = DatabaseRows::new(state);
        rows.bill.meter.begin_event(self.store.row_counts(), self.event_ns);
        self.store.open()?;
        self.rows = Some(rows);
        Ok(self.apply(change)?)
    }

    fn drop_database(&mut self, platform: &dyn Platform) -> Result<Option<u64>> {
        let Some(rows) = &self.rows else { return Err(Failure::NotOpen) };
        if rows.state.stage != DatabaseStage::Dropping {
            let change = start_drop(rows, platform.now_ns());
            self.apply(change)?;
        }
        Ok(self.statement_job())
    }

    fn as_alteration(&self, statement: ToDatabase) -> ToDatabase {
        let ToDatabase::Configure { duration_ns: Some(duration_ns), .. } = statement else {
            return statement;
        };
        let rows = self.rows.as_ref();
        let row = rows.and_then(|rows| rows.policies.by_id(rows.state.default_policy?));
        let Some(PolicyRow { policy, .. }) = row else { return statement };
        // If the shard group duration exceeds the new duration, the default replaces it.
        let too_long = 1..policy.shard_group_duration_ns;
        let spec = PolicyChange {
            name: policy.name.clone(),
            duration_ns: Some(duration_ns),
            shard_group_duration_ns: too_long.contains(&duration_ns).then_some(0),
            ..PolicyChange::default()
        };
        ToDatabase::AlterPolicy { spec, make_default: false }
    }

    fn plan(
        &mut self,
        platform: &dyn Platform,
        statement: &ToDatabase,
    ) -> Result<Option<(DatabaseState, JobKind)>> {
        let Some(rows) = &self.rows else { return Ok(None) };
        let state = rows.state.clone();
        let generation = state.generation + 1;
        let refuse = DatabaseRefusal::Policy;
        match statement {
            ToDatabase::CreatePolicy { spec, make_default } => {
                let default = state.default_policy;
                let settings = rows.policies.check_create(spec, *make_default, default);
                let Some(settings) = settings.map_err(refuse)? else { return Ok(None) };
                Ok(Some(create_policy(platform, &self.object, state, settings, *make_default)?))
            }
            ToDatabase::AlterPolicy { spec, make_default } => {
                let default = state.default_policy;
                let settings =
                    rows.policies.check_alter(spec, *make_default, default).map_err(refuse)?;
                let row = rows.policies.named(&spec.name);
                let (Some(settings), Some(row)) = (settings, row) else { return Ok(None) };
                let kind = JobKind::AlterPolicy {
                    number: row.number,
                    settings,
                    make_default: *make_default && default != Some(row.policy.id),
                    generation,
                };
                Ok(Some((state, kind)))
            }
            ToDatabase::Restore(step) => self.plan_restore(platform, step),
            ToDatabase::SetQuota(change) => {
                let quotas = changed_quotas(&rows.quotas, change);
                if quotas == rows.quotas {
                    return Ok(None);
                }
                if quotas.callers.len() > QUOTAS_PER_DATABASE_MAX {
                    let limit = QUOTAS_PER_DATABASE_MAX as u64;
                    return Err(refuse(PolicyRefusal::TooManyQuotas { limit }).into());
                }
                // Every frame and query contains the limits, so a sender with old limits must
                // become stale (PROTOCOL.md rule 2).
                Ok(Some((state, JobKind::SetQuota { change: change.clone(), generation })))
            }
            ToDatabase::DropPolicy { name } => {
                let Some(row) = rows.policies.named(name) else { return Ok(None) };
                Ok(Some((state, JobKind::DropPolicy { number: row.number, generation })))
            }
            ToDatabase::DropMeasurement { name } => {
                let row = |row: &PolicyRow| Some((row.number, row.schema.id(name)?));
                let ids: Vec<_> = rows.policies.rows.iter().filter_map(row).collect();
                let limit = DROPPED_MEASUREMENTS_MAX;
                if rows.policies.rows.iter().any(|row| row.schema.retired().len() >= limit) {
                    let limit = limit as u64;
                    return Err(refuse(PolicyRefusal::TooManyDropped { limit }).into());
                }
                let found = !ids.is_empty();
                Ok(found.then_some((state, JobKind::DropMeasurement { ids, generation })))
            }
            _ => Ok(None),
        }
    }

    /// Stores a new job, and removes other jobs. Returns the new job's key.
    pub(super) fn store_job(
        &mut self,
        now_ns: i64,
        mut state: DatabaseState,
        kind: JobKind,
        removed_jobs: Vec<u64>,
    ) -> Result<u64> {
        let key = state.next_job;
        let mut change = RowsChange { removed_jobs, ..RowsChange::default() };
        change.add_job(&mut state, Job::started(kind, now_ns));
        change.state = Some(state);
        self.apply(change)?;
        Ok(key)
    }

    pub(super) fn retry_due(&mut self, event: &mut Event<'_>) -> NextResult {
        self.load()?;
        let now_ns = event.platform.now_ns();
        let jobs = self.rows.iter().flat_map(|rows| &rows.jobs);
        let due = jobs.filter(|(_, job)| !job.is_skipped() && job.due_ns <= now_ns);
        let due = due.filter(|_| !self.is_frozen());
        let first = due.min_by_key(|(key, job)| (job.due_ns, **key));
        let Some((key, job)) = first.map(|(&key, job)| (key, job.count_attempt(now_ns))) else {
            return Ok(Next::Reply(FromDatabase::Done));
        };
        self.apply(RowsChange { jobs: vec![(key, job)], ..RowsChange::default() })?;
        event.work.task = DatabaseTask::Job(key);
        self.next_calls(event)
    }
}

fn create_policy(
    platform: &dyn Platform,
    object: &ObjectId,
    mut state: DatabaseState,
    settings: Settings,
    make_default: bool,
) -> Result<(DatabaseState, JobKind), DatabaseRefusal> {
    let group = state.new_group(platform, TimeRange::ALL, state.create.shards)?;
    let policy = Policy {
        id: PolicyId::draw(object, platform.random_u64()),
        name: settings.name,
        duration_ns: settings.duration_ns,
        shard_group_duration_ns: settings.shard_group_duration_ns,
        replica_n: settings.replica_n,
        future_limit_ns: settings.future_limit_ns,
        past_limit_ns: settings.past_limit_ns,
        groups: vec![group],
    };
    let number = state.next_policy;
    state.next_policy += 1;
    // No edge knows the database before its first policy.
    let generation = state.generation + u64::from(number > 0);
    Ok((state, JobKind::CreatePolicy { number, policy, make_default, generation }))
}
