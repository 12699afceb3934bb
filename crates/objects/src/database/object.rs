//! Defines the state of a Database in memory: a copy of its rows, and its pending events. Handles
//! the events: requests, replies to its messages, and alarms.

use std::collections::{BTreeMap, BTreeSet};

use super::access::AccessProgress;
use super::job::{Job, JobKind, messages, publish};
use super::rows::{DatabaseRows, DatabaseStage, RowsChange};
use super::schedules;
use super::split::SplitProgress;
use tidemark_engine::protocol::backup::RestoreStep;
use tidemark_engine::protocol::call::{Platform, Reply, Step};
use tidemark_engine::protocol::database::{
    DatabaseRefusal, Description, FromDatabase, ObjectStats, ToDatabase,
};
use tidemark_engine::protocol::envelope::{self, VERSION};
use tidemark_engine::protocol::event::{EventHandler, EventId, Unavailable};
use tidemark_engine::protocol::pending_events::{PendingEvent, PendingEvents};
use tidemark_engine::protocol::release;
use tidemark_engine::protocol::round::{Next, Replies, Request};
use tidemark_engine::protocol::shard::{FromShard, VerifyPage};
use tidemark_engine::store::row::{self, Verified};
use tidemark_engine::store::{Store, StoreError, StoreResult};
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{CALLS_PER_ROUND_MAX, JOB_FAILURES_MAX, JOB_RETRY_NS};

/// A Database and its storage.
pub struct Database<S: Store> {
    pub(super) store: S,
    pub(super) object: ObjectId,
    /// Whether `rows` is a copy of the stored rows. `false` before the first read and after a store
    /// error.
    pub(super) loaded: bool,
    /// The rows; `None` if the object has no database.
    pub(super) rows: Option<DatabaseRows>,
    pub(super) pending_events: PendingEvents<DatabaseWork>,
    /// The time, in nanoseconds, of the next check for due jobs after a store error.
    pub(super) retry_ns: Option<i64>,
    /// `SHARD_SPLIT_BYTES`; 0 disables splits.
    pub(super) split_bytes: u64,
    /// The size of each group, in bytes, at its last check, if that check did not start a split.
    pub(super) checked_bytes: BTreeMap<u64, u64>,
    pub(super) notified_shards: (u64, BTreeSet<ObjectId>),
    /// The time at which the last request or alarm began, in nanoseconds.
    pub(super) event_ns: i64,
}

#[derive(Default)]
pub(super) enum DatabaseTask {
    Request(ToDatabase),
    Job(u64),
    /// The alarm found no due job.
    #[default]
    Nothing,
}

#[derive(Default)]
pub(super) struct DatabaseWork {
    pub(super) task: DatabaseTask,
    pub(super) own_job: Option<u64>,
    pub(super) current_job: Option<JobProgress>,
    pub(super) relayed: Vec<FromShard>,
    pub(super) calls: usize,
    pub(super) split: SplitProgress,
    pub(super) access: AccessProgress,
}

/// The event that the Database currently handles.
pub(super) struct Event<'a> {
    pub(super) platform: &'a dyn Platform,
    pub(super) work: &'a mut DatabaseWork,
}

/// The next messages of a job; `None` if the job has ended or been replaced, so that the caller
/// must select the next job.
pub(super) type Driven = Result<Option<Vec<Request>>>;

#[derive(Clone, Copy, Debug)]
pub(super) struct JobProgress {
    pub(super) job: u64,
    pub(super) replied: usize,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("refused")]
    Refused(#[from] DatabaseRefusal),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("not open")]
    NotOpen,
}

pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;
pub(super) type NextResult = Result<Next<FromDatabase>>;

impl<S: Store> Database<S> {
    /// Creates the Database `object` over `store`. The constructor reads no rows.
    pub fn new(store: S, object: ObjectId) -> Self {
        Self {
            store,
            object,
            loaded: false,
            rows: None,
            pending_events: PendingEvents::default(),
            retry_ns: None,
            split_bytes: 0,
            checked_bytes: BTreeMap::new(),
            notified_shards: (0, BTreeSet::new()),
            event_ns: 0,
        }
    }

    /// Sets the shard size above which groups split (`SHARD_SPLIT_BYTES`). 0, the default, disables
    /// splits.
    #[must_use]
    pub fn splitting_at(mut self, bytes: u64) -> Self {
        self.split_bytes = bytes;
        self
    }

    pub(super) fn load(&mut self) -> StoreResult<()> {
        if !self.loaded {
            let before = self.store.row_counts();
            self.rows = DatabaseRows::load(&self.store)?;
            if let Some(rows) = &mut self.rows {
                rows.bill.meter.begin_event(before, self.event_ns);
            }
            self.loaded = true;
        }
        Ok(())
    }

    pub(super) fn open_rows(&mut self) -> Result<&mut DatabaseRows> {
        self.load()?;
        let Some(rows) = &mut self.rows else { return Err(Failure::NotOpen) };
        match rows.state.stage {
            DatabaseStage::Open => Ok(rows),
            DatabaseStage::Opening | DatabaseStage::Frozen => Err(Unavailable::Changing.into()),
            DatabaseStage::Dropping => Err(Failure::NotOpen),
        }
    }

    pub(super) fn apply(&mut self, change: RowsChange) -> StoreResult<()> {
        match &mut self.rows {
            Some(rows) => rows.apply(&self.store, change),
            None => Ok(()),
        }
    }

    fn failed(&mut self, now_ns: i64, failure: Failure) -> FromDatabase {
        match failure {
            Failure::Refused(refusal) => FromDatabase::Refused(refusal),
            Failure::Unavailable(reason) => FromDatabase::Unavailable(reason),
            Failure::NotOpen => FromDatabase::NotOpen,
            Failure::Store(error) => self.discard_cache(now_ns, &error),
        }
    }

    /// Discards the memory after a store error, because the stored rows may differ. The next event
    /// reads the rows again.
    pub(super) fn discard_cache(&mut self, now_ns: i64, error: &StoreError) -> FromDatabase {
        self.loaded = false;
        self.rows = None;
        self.retry_ns = Some(now_ns.saturating_add(JOB_RETRY_NS));
        FromDatabase::Unavailable(Unavailable::Storage(error.to_string()))
    }

    fn advance(
        &mut self,
        now_ns: i64,
        event_id: EventId,
        event: PendingEvent<DatabaseWork>,
        result: NextResult,
    ) -> Step<Vec<u8>> {
        let next = result.unwrap_or_else(|failure| Next::Reply(self.failed(now_ns, failure)));
        self.pending_events.advance(event_id, event, next)
    }

    /// Returns the next messages of a job. After replies to all messages have arrived, the function
    /// publishes the job and returns `None`.
    pub(super) fn drive(&mut self, event: &mut Event<'_>, key: u64) -> Driven {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        let Some(job) = rows.jobs.get(&key) else { return Ok(None) };
        let known = event.work.current_job.filter(|current| current.job == key);
        let stored = usize::try_from(job.replied).unwrap_or(usize::MAX);
        let replied = known.map_or(0, |current| current.replied).max(stored);
        let before = event.work.current_job.replace(JobProgress { job: key, replied });
        let kind = job.kind.clone();
        match kind {
            JobKind::Split(split) => return self.drive_split(event, key, split),
            JobKind::Access => return self.drive_access(event.work, key),
            JobKind::Maintain => {
                event.work.task = DatabaseTask::Nothing;
                self.schedule_maintenance(event.platform, key)?;
                return Ok(None);
            }
            _ => {}
        }
        let messages = messages(rows, &self.object, &kind).into_iter();
        let next = messages.skip(replied).take(CALLS_PER_ROUND_MAX);
        let requests: Vec<Request> =
            next.map(|(shard, message)| rows.request(shard, &message)).collect();
        if !requests.is_empty() {
            return Ok(Some(requests));
        }
        if kind == JobKind::WipeDatabase
            && let Some(waiting) = rows.waiting_wipe()
        {
            if replied > stored {
                let job = Job { replied: replied as u64, ..job.clone() };
                self.apply(RowsChange { jobs: vec![(key, job)], ..RowsChange::default() })?;
            }
            event.work.current_job = before;
            return self.drive(event, waiting);
        }
        let now_ns = event.platform.now_ns();
        match kind {
            JobKind::Recover(recovered) => self.end_recovery(key, &recovered, now_ns)?,
            JobKind::PublishRestore { filling, rest, generation } => {
                self.end_restore(key, &filling, &rest, generation, now_ns)?;
            }
            JobKind::Restore(filling) => self.undo_restore(key, &filling, now_ns)?,
            _ => match publish(rows, key, now_ns) {
                Some(change) => rows.apply(&self.store, change)?,
                None => {
                    self.store.wipe()?;
                    self.rows = None;
                }
            },
        }
        Ok(None)
    }

    /// Ends an event whose next messages would exceed the platform's limit of calls per event. The
    /// progress is stored, and the alarm continues the job immediately.
    pub(super) fn end_early(&mut self, event: &Event<'_>, key: u64) -> NextResult {
        let now_ns = event.platform.now_ns();
        let current = event.work.current_job.map(|current| (current.job, current.replied as u64));
        // An event that executes a split, or wipes the database, may also have executed another
        // job.
        let keys = BTreeMap::from_iter([(key, 0)].into_iter().chain(current));
        let jobs = self.rows.iter().flat_map(|rows| &rows.jobs);
        // Each event of a split first repeats the steps before the copying. If these steps use up
        // the event, the split never copies a page. Such an event counts as a failure, so that the
        // split is abandoned after some events.
        let is_stuck =
            |job: &Job| matches!(job.kind, JobKind::Split(_)) && event.work.split.pages == 0;
        let jobs = jobs.filter_map(|(key, job)| {
            let continued = job.continued(*keys.get(key)?, now_ns);
            let failures = if is_stuck(job) { job.failures } else { 0 };
            Some((*key, Job { failures, ..continued }))
        });
        let jobs = jobs.collect();
        self.apply(RowsChange { jobs, ..RowsChange::default() })?;
        match event.work.task {
            DatabaseTask::Request(_) => Err(Unavailable::Changing.into()),
            DatabaseTask::Job(_) | DatabaseTask::Nothing => Ok(Next::Reply(FromDatabase::Done)),
        }
    }

    fn on_replies(&mut self, event: &mut Event<'_>, replies: Replies) -> NextResult {
        self.load()?;
        let jobs = self.rows.as_ref().map(|rows| &rows.jobs);
        let current = event
            .work
            .current_job
            .and_then(|current| Some((current.job, jobs?.get(&current.job)?)));
        if let DatabaseTask::Request(ToDatabase::Relay(_)) = event.work.task {
            for reply in replies {
                event.work.relayed.push(envelope::decode_reply(reply).map_err(Unavailable::from)?);
            }
        } else if let Some((key, Job { kind: JobKind::Split(split), .. })) = current {
            let split = split.clone();
            if let Some(reply) = self.on_split_reply(event, key, split, replies)? {
                return Ok(Next::Reply(reply));
            }
        } else if let Some((_, Job { kind: JobKind::Access, .. })) = current {
            self.on_access_reply(event.work, replies)?;
        } else {
            let count = replies.len();
            for reply in replies {
                match envelope::decode_reply(reply).map_err(Unavailable::from)? {
                    // A shard that is closed or has newer settings no longer needs the message.
                    FromShard::Done | FromShard::Stale => {}
                    FromShard::Unavailable(reason) => return Err(reason.into()),
                    _ => return Err(Unavailable::Unreachable("unexpected reply".to_owned()).into()),
                }
            }
            if let Some(current) = &mut event.work.current_job {
                current.replied += count;
            }
        }
        self.next_calls(event)
    }

    /// Verifies the stored rows without loading them first, because loading fails on damaged rows.
    fn verify(&self) -> StoreResult<FromDatabase> {
        Ok(match row::verify(&self.store)? {
            Some(Verified { rows, bytes, damaged }) => {
                FromDatabase::Verified(VerifyPage { blocks: rows, bytes, damaged, resume: None })
            }
            None => FromDatabase::NotOpen,
        })
    }

    fn stats(&mut self) -> Result<FromDatabase> {
        let rows = self.open_rows()?;
        let bill = rows.bill.clone();
        let aside = rows.jobs.values().filter(|job| job.failures >= JOB_FAILURES_MAX);
        let troubles = aside.map(Job::problem).chain(schedules::query_problems(rows));
        let troubles = troubles.chain(schedules::backup_problem(rows)).collect();
        let last_backup_ns = schedules::last_backup_ns(rows);
        let measurements = rows.policies.rows.iter().map(|row| row.schema.count() as u64).sum();
        let billed = bill.now(&self.store);
        Ok(FromDatabase::Stats(ObjectStats {
            bytes_stored: self.store.bytes()?,
            rows_read: billed.rows_read,
            rows_written: billed.rows_written,
            measurements,
            troubles,
            last_backup_ns,
            release: release::current(),
            usage: billed.usage,
        }))
    }

    pub(super) fn handle_message(
        &mut self,
        platform: &dyn Platform,
        message: &ToDatabase,
    ) -> Result<Option<FromDatabase>> {
        Ok(Some(match message {
            // The database must stay empty until the restored policies replace it.
            ToDatabase::Register { .. } | ToDatabase::CreateContinuousQuery { .. }
                if self.is_publishing_restore()? =>
            {
                return Err(Unavailable::Changing.into());
            }
            // Before the Database publishes a new map, some shards already reply `Stale`. An edge
            // that then requests the description must wait for the new map.
            ToDatabase::Describe if self.is_publishing_map()? => return Ok(None),
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
                    quotas: rows.quotas.clone(),
                })
            }
            ToDatabase::Schema { policy, after_version } => {
                let Some(row) = self.open_rows()?.policies.by_id(*policy) else {
                    return Ok(Some(FromDatabase::UnknownPolicy));
                };
                let (measurements, more) = row.schema.page(*after_version);
                FromDatabase::Schema { measurements, version: row.schema.version(), more }
            }
            ToDatabase::Register { policy, sets, generation } => {
                let rows = self.open_rows()?;
                let is_current = (rows.state.generation..).contains(generation);
                let (policies, row) = (&rows.policies, rows.policies.by_id(*policy));
                let Some(row) = row.filter(|_| is_current) else {
                    return Ok(Some(FromDatabase::UnknownPolicy));
                };
                let number = row.number;
                let bytes = policies.rows.iter().map(|row| row.schema.bytes()).sum();
                let mut registration = row.schema.register(sets, &platform.limits(), bytes);
                let refusals = std::mem::take(&mut registration.refusals);
                let version = registration.version;
                if let Some(rows) = &mut self.rows {
                    rows.register(&self.store, number, platform.now_ns(), registration)?;
                }
                FromDatabase::Registered { refusals, version }
            }
            ToDatabase::Grants(push) => return self.store_grants(platform, push),
            ToDatabase::Identify { keys } => self.identify(keys)?,
            ToDatabase::Verify => self.verify()?,
            ToDatabase::CreateContinuousQuery { query } => self.create_continuous(query)?,
            ToDatabase::DropContinuousQuery { name } => self.drop_continuous(name)?,
            ToDatabase::ContinuousQueries => self.list_continuous()?,
            ToDatabase::Stats => self.stats()?,
            ToDatabase::Freeze { recovery } => self.freeze(*recovery)?,
            ToDatabase::Restore(step) if matches!(**step, RestoreStep::Schema { .. }) => {
                self.take_page(step)?
            }
            ToDatabase::BackUp => {
                let rows = self.open_rows()?.continuous.iter();
                FromDatabase::BackedUp(rows.map(|row| row.query.clone()).collect())
            }
            ToDatabase::BackupSchedule => self.show_schedule()?,
            ToDatabase::SetBackupSchedule(settings) => {
                self.set_schedule(platform.now_ns(), *settings)?
            }
            _ => return Ok(None),
        }))
    }
}

impl<S: Store> EventHandler for Database<S> {
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (EventId, Step<Vec<u8>>) {
        let event_id = self.pending_events.new_event();
        let (version, message) = match envelope::decode::<ToDatabase>(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                let reason = Unavailable::Unreachable(error.to_string());
                let reply = envelope::encode(&FromDatabase::Unavailable(reason));
                return (event_id, Step::Done(reply));
            }
        };
        let reply = self.handle_message(platform, &message);
        let work = DatabaseWork { task: DatabaseTask::Request(message), ..Default::default() };
        let mut event = PendingEvent::new(version, work);
        let result = match reply {
            Ok(Some(reply)) => Ok(Next::Reply(reply)),
            Ok(None) => self.next_calls(&mut Event { platform, work: &mut event.work }),
            Err(failure) => Err(failure),
        };
        (event_id, self.advance(platform.now_ns(), event_id, event, result))
    }

    fn resume(&mut self, platform: &dyn Platform, id: EventId, reply: Reply) -> Step<Vec<u8>> {
        let Some((mut event, replies)) = self.pending_events.resume(id, reply) else {
            return Step::Calls(Vec::new());
        };
        let result = self.on_replies(&mut Event { platform, work: &mut event.work }, replies);
        self.advance(platform.now_ns(), id, event, result)
    }

    fn alarm(&mut self, platform: &dyn Platform) -> (EventId, Step<Vec<u8>>) {
        let event_id = self.pending_events.new_event();
        self.retry_ns = None;
        let mut event = PendingEvent::new(VERSION, DatabaseWork::default());
        let result = self.retry_due(&mut Event { platform, work: &mut event.work });
        (event_id, self.advance(platform.now_ns(), event_id, event, result))
    }

    fn next_alarm_ns(&self) -> Option<i64> {
        if self.is_frozen() {
            return self.retry_ns;
        }
        let jobs = self.rows.iter().flat_map(|rows| rows.jobs.values());
        let due = jobs.filter(|job| !job.is_skipped()).map(|job| job.due_ns);
        let open = self.rows.iter().filter(|rows| rows.state.stage == DatabaseStage::Open);
        due.chain(open.filter_map(schedules::next_due_ns)).chain(self.retry_ns).min()
    }

    fn abandon(&mut self, event_id: EventId) {
        self.pending_events.abandon(event_id);
    }
}
