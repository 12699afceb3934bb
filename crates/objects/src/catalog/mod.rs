//! Implements the Catalog, a single object with the list of all databases and the ids of their
//! Database objects.
//!
//! A database's row is also the job that creates or drops the database. A repeated request, any
//! other request for the database's name, or the alarm finishes a row in the stage `creating` or
//! `dropping` (PROTOCOL.md rules 7 and 12).
//!
//! The Catalog also stores tokens and users, and notifies the affected databases of each change
//! (PROTOCOL.md rule 11).

mod access;
mod grants;
pub mod lifecycle;
mod live_queries;
mod point_in_time;
mod recovery;

use access::{CreationProgress, NotificationProgress, Notifications, Notified};
use grants::Grantees;
use lifecycle::{Entries, Entry, EntryStage};
use recovery::{Recoveries, RecoveryProgress};
use tidemark_engine::protocol::call::{Address, ObjectKind, Platform, Reply, Step};
use tidemark_engine::protocol::catalog::{CatalogRefusal, FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{CreateDatabase, ToDatabase};
use tidemark_engine::protocol::envelope::{self, VERSION};
use tidemark_engine::protocol::event::{EventHandler, EventId, Unavailable};
use tidemark_engine::protocol::pending_events::{PendingEvent, PendingEvents};
use tidemark_engine::protocol::recovery::RecoveryRequest;
use tidemark_engine::protocol::round::{Next, Replies};
use tidemark_engine::protocol::shard::VerifyPage;
use tidemark_engine::store::row::{self, Verified};
use tidemark_engine::store::{Store, StoreError, StoreResult};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::limits::JOB_RETRY_NS;
use tidemark_model::name;
use tidemark_model::time::D_NS;

/// The Catalog and its storage.
pub struct Catalog<S: Store> {
    store: S,
    /// The databases. `None` before they are read, and after a store error, because the stored
    /// state is then unknown.
    entries: Option<Entries>,
    notifications: Notifications,
    recoveries: Recoveries,
    /// The tokens and users. `None` in the same cases as `entries`.
    grantees: Option<Grantees>,
    pending_events: PendingEvents<CatalogWork>,
    /// The time, in nanoseconds, of the next check for due rows after a store error.
    retry_ns: Option<i64>,
    queries: live_queries::Queries,
}

#[derive(Default)]
struct CatalogWork {
    task: CatalogTask,
    entry: u64,
    /// Whether the Database received the settings of this event's CREATE, and not the settings of
    /// an earlier, unfinished CREATE.
    own_settings: bool,
    /// Whether users still have permissions on the database that this event drops.
    users_remain: bool,
    creation: CreationProgress,
    notification: NotificationProgress,
    recovery: RecoveryProgress,
}

/// The event that the Catalog currently handles.
struct Event<'a> {
    platform: &'a dyn Platform,
    work: &'a mut CatalogWork,
}

#[derive(Clone, Default)]
enum CatalogTask {
    Create {
        request: CreateDatabase,
        /// Whether the database was ready when the request arrived.
        existed: bool,
    },
    Drop {
        name: String,
        existed: bool,
    },
    Notify {
        number: u64,
        notified: Notified,
    },
    /// Checks whether all objects of a database can be reset to the requested time, and then stores
    /// the recovery.
    CheckHistory(RecoveryRequest),
    Recover(u64),
    #[default]
    Alarm,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("refused")]
    Refused(#[from] CatalogRefusal),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

type Result<T, E = Failure> = std::result::Result<T, E>;
type NextResult = Result<Next<FromCatalog>>;

impl<S: Store> Catalog<S> {
    /// Creates the Catalog over `store`. The constructor reads no rows.
    pub fn new(store: S) -> Self {
        Self {
            store,
            entries: None,
            notifications: Notifications::default(),
            recoveries: Recoveries::default(),
            grantees: None,
            pending_events: PendingEvents::default(),
            retry_ns: None,
            queries: live_queries::Queries::default(),
        }
    }

    fn entries(&mut self) -> StoreResult<&mut Entries> {
        if self.entries.is_none() {
            self.notifications = Notifications::load(&self.store)?;
            self.recoveries = Recoveries::load(&self.store)?;
            self.entries = Some(Entries::load(&self.store)?);
        }
        self.entries.as_mut().ok_or_else(|| StoreError::Failed("catalog not loaded".to_owned()))
    }

    fn grantees(&mut self) -> StoreResult<(&mut Grantees, &S)> {
        let grantees = match self.grantees.take() {
            Some(grantees) => grantees,
            None => Grantees::load(&self.store)?,
        };
        Ok((self.grantees.insert(grantees), &self.store))
    }

    fn advance(
        &mut self,
        now_ns: i64,
        event_id: EventId,
        event: PendingEvent<CatalogWork>,
        result: NextResult,
    ) -> Step<Vec<u8>> {
        let next = result.unwrap_or_else(|failure| Next::Reply(self.failed(now_ns, failure)));
        self.pending_events.advance(event_id, event, next)
    }

    /// Returns the reply for a failure. After a store error the memory may differ from the stored
    /// state. The next request therefore reads the state again.
    fn failed(&mut self, now_ns: i64, failure: Failure) -> FromCatalog {
        match failure {
            Failure::Refused(refusal) => FromCatalog::Refused(refusal),
            Failure::Unavailable(reason) => FromCatalog::Unavailable(reason),
            Failure::Store(error) => {
                self.entries = None;
                self.grantees = None;
                self.retry_ns = Some(now_ns.saturating_add(JOB_RETRY_NS));
                FromCatalog::Unavailable(Unavailable::Storage(error.to_string()))
            }
        }
    }

    fn begin_request(&mut self, event: &mut Event<'_>, message: ToCatalog) -> NextResult {
        let now_ns = event.platform.now_ns();
        Ok(Next::Reply(match message {
            ToCatalog::Resolve { name } => {
                self.refuse_recovering(&name)?;
                let entry = self.entries()?.by_name(&name).map(|(_, entry)| entry);
                let ready = entry.filter(|entry| entry.stage == EntryStage::Ready);
                FromCatalog::Resolved { object: ready.map(|entry| entry.object.clone()) }
            }
            ToCatalog::ReportQuery(query) => self.queries.report(*query, now_ns),
            ToCatalog::EndQuery { id } => self.queries.end(id),
            ToCatalog::Verify => FromCatalog::Verified(self.verify()?),
            ToCatalog::Queries => self.queries.list(now_ns),
            ToCatalog::KillQuery { id } => self.queries.kill(id, now_ns),
            ToCatalog::List { after, holding } => self.list(after, holding)?,
            ToCatalog::Create(request) => {
                name::check(&request.name).map_err(CatalogRefusal::InvalidName)?;
                let entry = self.entries()?.by_name(&request.name).map(|(_, entry)| entry);
                let existed = entry.is_some_and(|entry| entry.stage == EntryStage::Ready);
                return self.start(event, CatalogTask::Create { request, existed });
            }
            ToCatalog::Drop { name } => {
                self.refuse_recovering(&name)?;
                let existed = self.entries()?.by_name(&name).is_some();
                return self.start(event, CatalogTask::Drop { name, existed });
            }
            ToCatalog::Identify { keys } => {
                let (grantees, store) = self.grantees()?;
                grantees.identify(store, &keys)?
            }
            ToCatalog::Grantees { user, after, limit } => {
                let (grantees, store) = self.grantees()?;
                let (rows, more) = grantees.page(store, user, after, limit)?;
                let used = if user { Vec::new() } else { grantees.uses(store, &rows)? };
                FromCatalog::Grantees { rows, more, used }
            }
            ToCatalog::RecordUse { keys } => {
                let day = u32::try_from(now_ns / D_NS).unwrap_or_default();
                let (grantees, store) = self.grantees()?;
                grantees.look_up(store, &keys, day)?
            }
            ToCatalog::Grantee { user, name } => {
                let (grantees, store) = self.grantees()?;
                let rows = grantees.named(store, user, &name)?.into_iter().collect();
                FromCatalog::Grantees { rows, more: false, used: Vec::new() }
            }
            ToCatalog::PutGrantee(grantee) => return self.put_grantee(event, *grantee),
            ToCatalog::RemoveGrantee { user, name } => {
                return self.remove_grantee(event, user, &name);
            }
            ToCatalog::Recover(request) => return self.begin_recovery(event, request),
            ToCatalog::Recovery { name } => self.recovery_of(&name)?,
        }))
    }

    fn start(&mut self, event: &mut Event<'_>, task: CatalogTask) -> NextResult {
        event.work.task = task;
        self.next_calls(event)
    }

    fn verify(&self) -> StoreResult<VerifyPage> {
        let Verified { rows, bytes, damaged } = row::verify(&self.store)?.unwrap_or_default();
        Ok(VerifyPage { blocks: rows, bytes, damaged, resume: None })
    }

    /// Returns the next calls of a task, or the task's reply. The caller uses this function at the
    /// start of a task and after each change.
    fn next_calls(&mut self, event: &mut Event<'_>) -> NextResult {
        match event.work.task.clone() {
            CatalogTask::Create { request, existed } => {
                let found = self.entries()?.by_name(&request.name);
                event.work.own_settings = true;
                match found.map(|(number, entry)| (number, entry.clone())) {
                    None => event.work.entry = self.insert(event.platform, request)?,
                    // The Database decides whether the request matches the existing database.
                    Some((number, entry)) if entry.stage == EntryStage::Ready => {
                        let object = entry.object;
                        if request.policy.is_none() {
                            return Ok(Next::Reply(FromCatalog::Created { object, existed }));
                        }
                        event.work.entry = number;
                        let to = Address::Database(object);
                        return Ok(Next::call(to, &ToDatabase::Initialise(request)));
                    }
                    Some((number, entry)) => {
                        event.work.own_settings = entry.create.policy == request.policy;
                        event.work.entry = number;
                    }
                }
                self.drive(event.work, event.work.entry)
            }
            CatalogTask::Drop { name, existed } => {
                let now_ns = event.platform.now_ns();
                let Some(number) = self.entries()?.by_name(&name).map(|(number, _)| number) else {
                    return Ok(Next::Reply(FromCatalog::Dropped { existed, remaining: 0 }));
                };
                event.work.entry = number;
                if let Some(entries) = &mut self.entries {
                    entries.start_drop(&self.store, number, now_ns)?;
                }
                self.drive(event.work, number)
            }
            CatalogTask::Notify { number, notified } => self.notify(event, number, notified),
            CatalogTask::CheckHistory(request) => self.check_history(event, &request),
            CatalogTask::Recover(number) => {
                self.recover(event.work, number, event.platform.now_ns())
            }
            CatalogTask::Alarm => self.drive(event.work, event.work.entry),
        }
    }

    fn is_ready(&self, number: u64) -> bool {
        let entry = self.entries.as_ref().and_then(|entries| entries.get(number));
        entry.is_some_and(|entry| entry.stage == EntryStage::Ready)
    }

    fn insert(&mut self, platform: &dyn Platform, request: CreateDatabase) -> Result<u64> {
        let limit = platform.limits().get(Limit::Databases);
        self.entries()?.check_limit(limit)?;
        let object = platform
            .new_object_id(ObjectKind::Database, request.jurisdiction.as_deref())
            .map_err(CatalogRefusal::Placement)?;
        let entry = Entry::creating(request, object, platform.now_ns());
        let entries = self.entries.get_or_insert_default();
        Ok(entries.insert(&self.store, entry)?)
    }
}

impl<S: Store> EventHandler for Catalog<S> {
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (EventId, Step<Vec<u8>>) {
        let event_id = self.pending_events.new_event();
        let (version, message) = match envelope::decode::<ToCatalog>(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                let reason = Unavailable::Unreachable(error.to_string());
                let reply = envelope::encode(&FromCatalog::Unavailable(reason));
                return (event_id, Step::Done(reply));
            }
        };
        let mut event = PendingEvent::new(version, CatalogWork::default());
        let work = &mut event.work;
        let result = self.begin_request(&mut Event { platform, work }, message);
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
        let mut event = PendingEvent::new(VERSION, CatalogWork::default());
        self.retry_ns = None;
        let result = self.retry_due(&mut Event { platform, work: &mut event.work });
        (event_id, self.advance(platform.now_ns(), event_id, event, result))
    }

    fn next_alarm_ns(&self) -> Option<i64> {
        let due_ns = self.entries.as_ref().and_then(Entries::next_due_ns);
        let due_ns = due_ns.into_iter().chain(self.recoveries.next_due_ns());
        due_ns.chain(self.notifications.next_due_ns()).chain(self.retry_ns).min()
    }

    fn abandon(&mut self, event_id: EventId) {
        self.pending_events.abandon(event_id);
    }
}

impl<S: Store> Catalog<S> {
    fn on_replies(&mut self, event: &mut Event<'_>, replies: Replies) -> NextResult {
        let now_ns = event.platform.now_ns();
        match event.work.task.clone() {
            CatalogTask::Notify { number, .. } => self.on_notified(event.work, number, replies)?,
            CatalogTask::Recover(number) => {
                self.on_recovery_reply(event.work, number, now_ns, replies)?;
            }
            CatalogTask::CheckHistory(request) => {
                self.on_history_reply(event.work, &request, now_ns, replies)?;
            }
            task => {
                let mut result = Ok(());
                for reply in replies {
                    let reply = envelope::decode_reply(reply);
                    result = result.and_then(|()| self.on_reply(event.work, reply));
                }
                // The Database has already accepted these settings, so the task need not compare
                // them with the database's settings.
                if let CatalogTask::Create { request, .. } = &mut event.work.task
                    && event.work.own_settings
                    && self.is_ready(event.work.entry)
                {
                    request.policy = None;
                }
                result?;
                let is_filling = event.work.creation.initialised;
                let can_continue = is_filling && !self.is_ready(event.work.entry);
                if matches!(task, CatalogTask::Alarm) && !can_continue && !event.work.users_remain {
                    return Ok(Next::Reply(FromCatalog::Dropped { existed: true, remaining: 0 }));
                }
            }
        }
        self.next_calls(event)
    }

    fn retry_due(&mut self, event: &mut Event<'_>) -> NextResult {
        self.entries()?;
        if let Some(number) = self.recoveries.due(event.platform.now_ns()) {
            return self.retry_recovery(event, number);
        }
        if let Some((_, number)) = self.notifications.due(event.platform.now_ns()) {
            if let Some(notification) = self.notifications.get_mut(number) {
                notification.count_attempt(event.platform.now_ns(), false);
            }
            self.notifications.save(&self.store, number)?;
            return self.start(event, CatalogTask::Notify { number, notified: Notified::Alarm });
        }
        let Some(entries) = &mut self.entries else { return Ok(Next::Calls(Vec::new())) };
        let Some(number) = entries.due(event.platform.now_ns()) else {
            return Ok(Next::Reply(FromCatalog::Dropped { existed: false, remaining: 0 }));
        };
        entries.count_attempt(&self.store, number, event.platform.now_ns())?;
        event.work.entry = number;
        self.drive(event.work, number)
    }
}

#[cfg(test)]
mod tests;
