//! Executes the point-in-time recovery of a database: resets its Database object and all of its
//! shards to their states at an earlier time (`docs/design/recovery.md`).
//!
//! The recovery's row stores the next stage before the requests of this stage are sent. Each alarm
//! executes one step. Every step may be repeated, because no object is reset after the Database has
//! opened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lifecycle::{Entries, FIRST_RECOVERY_KEY};
use super::point_in_time::{HistoryCheck, PointInTimeReset};
use super::{Catalog, CatalogTask, CatalogWork, Event, Failure, NextResult, Result};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::catalog::{CatalogRefusal, FromCatalog};
use tidemark_engine::protocol::database::{FromDatabase, ToDatabase};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::recovery::{
    Counters, FrozenDatabase, RecoveredDatabase, RecoveryRefusal, RecoveryRequest, RecoveryStage,
    RecoveryStatus,
};
use tidemark_engine::protocol::round::{Next, Replies, Request};
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::store::row::RowRange;
use tidemark_engine::store::{KEY_MAX, Store, StoreResult, Table};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{
    CALLS_PER_ROUND_MAX, JOB_FAILURES_MAX, JOB_RETRY_NS, RECOVERY_AGO_NS_MAX, RECOVERY_AGO_NS_MIN,
    RECOVERY_PAUSES_MAX, RECOVERY_REPEAT_NS, RECOVERY_SHARDS_MAX, WIPE_DELAY_NS,
};
use tidemark_model::quota::Quotas;
use tidemark_model::time::S_NS;

#[derive(Default)]
pub(super) struct RecoveryProgress {
    history_check: Option<HistoryCheck>,
    reset: Option<PointInTimeReset>,
    is_over: bool,
}

impl<S: Store> Catalog<S> {
    /// Rejects a request if a recovery of the database is running. During a recovery, the database
    /// cannot be used or dropped.
    pub(super) fn refuse_recovering(&mut self, name: &str) -> Result<()> {
        let number = self.entries()?.by_name(name).map(|(number, _)| number);
        let is_running = number.is_some_and(|number| self.recoveries.is_running(number));
        if is_running { Err(Unavailable::Changing.into()) } else { Ok(()) }
    }

    pub(super) fn recovery_of(&mut self, name: &str) -> Result<FromCatalog> {
        let number = self.ready(name)?.0;
        Ok(FromCatalog::Recovery(self.recoveries.get(number).map(Recovery::status)))
    }

    pub(super) fn begin_recovery(
        &mut self,
        event: &mut Event<'_>,
        request: RecoveryRequest,
    ) -> NextResult {
        let now_ns = event.platform.now_ns();
        let (number, _) = self.ready(&request.name)?;
        if let Some(row) = self.recoveries.get(number).filter(|_| !request.dry_run) {
            if row.is_repeat(request.time_ns, now_ns) {
                return Ok(Next::Reply(FromCatalog::Recovery(Some(row.status()))));
            }
            if row.stage != RecoveryStage::Done {
                return self.abandon(number, row.clone(), request.time_ns, now_ns);
            }
        }
        let ago_ns = now_ns.saturating_sub(request.time_ns);
        if !(RECOVERY_AGO_NS_MIN..=RECOVERY_AGO_NS_MAX).contains(&ago_ns) {
            return Err(refused(RecoveryRefusal::Time));
        }
        self.start(event, CatalogTask::CheckHistory(request))
    }

    /// Handles a request for a different time while a recovery is running. The request is refused,
    /// unless the time is the start of the running recovery: such a request undoes the recovery.
    fn abandon(&mut self, number: u64, mut row: Recovery, time_ns: i64, now_ns: i64) -> NextResult {
        if time_ns != row.begun_ns || !row.abandon(now_ns) {
            return Err(refused(RecoveryRefusal::UnderWay));
        }
        // An event that is executing the recovery stores its own copy of the row later, which would
        // restore the previous target time.
        if self.is_driven(number) {
            return Err(Unavailable::Changing.into());
        }
        let status = row.status();
        self.recoveries.put(&self.store, number, row)?;
        Ok(Next::Reply(FromCatalog::Recovery(Some(status))))
    }

    fn is_driven(&self, number: u64) -> bool {
        let is_it =
            |work: &CatalogWork| matches!(work.task, CatalogTask::Recover(n) if n == number);
        self.pending_events.works().any(is_it)
    }

    fn ready(&mut self, name: &str) -> Result<(u64, ObjectId)> {
        let entries = self.entries()?;
        let found = entries.by_name(name).map(|(number, _)| number);
        let found = found.filter(|number| entries.may_be_in_use(*number));
        let object = found.and_then(|number| Some((number, entries.get(number)?.object.clone())));
        object.ok_or_else(|| refused(RecoveryRefusal::NoDatabase(name.to_owned())))
    }

    /// Returns the requests that check the next objects. After the last check the function stores
    /// the recovery, and the alarm continues the recovery.
    pub(super) fn check_history(
        &mut self,
        event: &mut Event<'_>,
        request: &RecoveryRequest,
    ) -> NextResult {
        let (number, object) = self.ready(&request.name)?;
        let progress = &event.work.recovery;
        let Some(history_check) = &progress.history_check else {
            return Ok(Next::call(Address::Database(object), &ToDatabase::Describe));
        };
        // The event also made one call to load the database.
        let limits = event.platform.limits();
        if history_check.calls() + 1 > limits.calls_before_end() {
            let (shards, limit) = (history_check.shards, limits.get(Limit::Calls) as u64);
            return Err(refused(RecoveryRefusal::TooManyCalls { shards, limit }));
        }
        let requests = history_check.requests();
        if !requests.is_empty() {
            return Ok(Next::Calls(requests));
        }
        let now_ns = event.platform.now_ns();
        if request.dry_run {
            let status = RecoveryStatus {
                stage: RecoveryStage::Checked,
                shards: history_check.shards,
                ..Recovery::new(0, request.time_ns, now_ns).status()
            };
            return Ok(Next::Reply(FromCatalog::Recovery(Some(status))));
        }
        // Another request may have started a recovery in the meantime.
        let known = self.recoveries.get(number);
        if let Some(known) = known.filter(|known| known.stage != RecoveryStage::Done) {
            return match known.requested_ns == request.time_ns {
                true => Ok(Next::Reply(FromCatalog::Recovery(Some(known.status())))),
                false => Err(refused(RecoveryRefusal::UnderWay)),
            };
        }
        let last = known.map_or(0, |known| known.recovery);
        let recovery = u64::try_from(now_ns).unwrap_or(0).max(last + 1);
        let mut row = Recovery::new(recovery, request.time_ns, now_ns);
        row.shards = history_check.shards;
        let status = row.status();
        self.recoveries.put(&self.store, number, row)?;
        Ok(Next::Reply(FromCatalog::Recovery(Some(status))))
    }

    pub(super) fn on_history_reply(
        &mut self,
        work: &mut CatalogWork,
        request: &RecoveryRequest,
        now_ns: i64,
        replies: Replies,
    ) -> Result<()> {
        let (_, object) = self.ready(&request.name)?;
        if let Some(history_check) = &mut work.recovery.history_check {
            return history_check
                .on_replies(replies)?
                .map_or(Ok(()), |reason| Err(refused(reason)));
        }
        for reply in replies {
            let description = match envelope::decode_reply(reply).map_err(Unavailable::from)? {
                FromDatabase::Description(description) => description,
                FromDatabase::Unavailable(reason) => return Err(reason.into()),
                _ => return Err(Unavailable::Changing.into()),
            };
            let groups = description.policies.iter().flat_map(|policy| &policy.groups);
            let shards = groups.flat_map(|group| group.shards.iter().cloned());
            let shards: Vec<Address> = shards.map(Address::Shard).collect();
            if shards.len() > RECOVERY_SHARDS_MAX {
                return Err(refused(RecoveryRefusal::TooManyShards(shards.len() as u64)));
            }
            let database = Address::Database(object.clone());
            let check = HistoryCheck::new(database, shards, request.time_ns, now_ns);
            work.recovery.history_check = Some(check);
        }
        Ok(())
    }

    /// Continues a recovery in the alarm, unless another event is executing this recovery. If two
    /// events executed a recovery at the same time, one of them could reset an object that the
    /// other event has already opened.
    pub(super) fn retry_recovery(&mut self, event: &mut Event<'_>, number: u64) -> NextResult {
        let is_driven = self.is_driven(number);
        let Some(mut row) = self.recoveries.get(number).cloned() else {
            return Err(Unavailable::Changing.into());
        };
        row.count_attempt(event.platform.now_ns());
        let status = row.status();
        self.recoveries.put(&self.store, number, row)?;
        if is_driven {
            return Ok(Next::Reply(FromCatalog::Recovery(Some(status))));
        }
        self.start(event, CatalogTask::Recover(number))
    }

    pub(super) fn recover(
        &mut self,
        work: &mut CatalogWork,
        number: u64,
        now_ns: i64,
    ) -> NextResult {
        let entry = self.entries()?.get(number).cloned();
        let (Some(entry), Some(row)) = (entry, self.recoveries.get(number).cloned()) else {
            return Err(Unavailable::Changing.into());
        };
        let database = Address::Database(entry.object);
        if work.recovery.is_over {
            return Ok(Next::Reply(FromCatalog::Recovery(Some(row.status()))));
        }
        Ok(match row.stage {
            RecoveryStage::Checked | RecoveryStage::Done => {
                Next::Reply(FromCatalog::Recovery(Some(row.status())))
            }
            RecoveryStage::Freezing | RecoveryStage::Reading => {
                Next::call(database, &ToDatabase::Freeze { recovery: row.recovery })
            }
            RecoveryStage::Closing => {
                // The new generation is higher than all generations that the shards know.
                let generation = row.counters.generation + 2;
                let close = envelope::encode(&ToShard::Close { generation });
                let shards = row.next(CALLS_PER_ROUND_MAX).into_iter();
                Next::Calls(
                    shards.map(|id| Request::new(Address::Shard(id), close.clone())).collect(),
                )
            }
            RecoveryStage::Database => {
                let new = || PointInTimeReset::new(vec![database]);
                Next::Calls(work.recovery.reset.get_or_insert_with(new).requests(row.time_ns))
            }
            RecoveryStage::Shards => {
                let shards = || row.next(CALLS_PER_ROUND_MAX).into_iter().map(Address::Shard);
                let new = || PointInTimeReset::new(shards().collect());
                Next::Calls(work.recovery.reset.get_or_insert_with(new).requests(row.time_ns))
            }
            RecoveryStage::Access => match self.creation_page(work, &entry.create.name)? {
                Some(page) => Next::call(database, &page),
                None => {
                    work.recovery.is_over = true;
                    let mut row = row;
                    row.enter(RecoveryStage::Opening, now_ns);
                    let status = row.status();
                    self.recoveries.put(&self.store, number, row)?;
                    Next::Reply(FromCatalog::Recovery(Some(status)))
                }
            },
            RecoveryStage::Opening => {
                Next::call(database, &ToDatabase::Recover(Box::new(row.recovered())))
            }
        })
    }

    /// Processes the replies to the current step. The row stores a failure, so that progress
    /// requests can return it.
    pub(super) fn on_recovery_reply(
        &mut self,
        work: &mut CatalogWork,
        number: u64,
        now_ns: i64,
        replies: Replies,
    ) -> Result<()> {
        self.entries()?;
        let Some(mut row) = self.recoveries.get(number).cloned() else {
            return Err(Unavailable::Changing.into());
        };
        let result = on_stage_replies(work, &mut row, now_ns, replies);
        if let Err(reason) = &result {
            row.trouble = reason.to_string();
        }
        if result.is_err() || work.recovery.is_over {
            self.recoveries.put(&self.store, number, row)?;
        }
        result
    }
}

fn on_stage_replies(
    work: &mut CatalogWork,
    row: &mut Recovery,
    now_ns: i64,
    replies: Replies,
) -> Result<()> {
    if let Some(reset) = &mut work.recovery.reset {
        if !reset.on_replies(replies)? {
            return Ok(());
        }
        work.recovery.is_over = true;
        match row.stage {
            RecoveryStage::Database => row.enter(RecoveryStage::Reading, now_ns),
            _ => row.count_finished(reset.targets.len() as u64, now_ns),
        }
        return Ok(());
    }
    if row.stage == RecoveryStage::Closing {
        let count = replies.len() as u64;
        for reply in replies {
            match envelope::decode_reply(reply).map_err(Unavailable::from)? {
                FromShard::Done | FromShard::Stale => {}
                FromShard::Unavailable(reason) => return Err(reason.into()),
                _ => return Err(Unavailable::Changing.into()),
            }
        }
        work.recovery.is_over = true;
        row.count_finished(count, now_ns);
        return Ok(());
    }
    for reply in replies {
        match (row.stage, envelope::decode_reply(reply).map_err(Unavailable::from)?) {
            (RecoveryStage::Freezing, FromDatabase::Frozen(frozen)) => {
                row.on_frozen(*frozen, now_ns)
            }
            (RecoveryStage::Reading, FromDatabase::Frozen(frozen)) => {
                row.on_frozen_again(*frozen, now_ns)
            }
            (RecoveryStage::Reading, FromDatabase::NotOpen) if row.time_ns != row.begun_ns => {
                row.on_missing_database(now_ns);
            }
            (RecoveryStage::Access, FromDatabase::Done) => {
                work.creation.on_reply();
                return Ok(());
            }
            (RecoveryStage::Opening, FromDatabase::Done) => {
                row.enter(RecoveryStage::Done, now_ns);
            }
            (_, FromDatabase::Unavailable(reason)) => return Err(reason.into()),
            _ => return Err(Unavailable::Changing.into()),
        }
        work.recovery.is_over = true;
    }
    Ok(())
}

fn refused(refusal: RecoveryRefusal) -> Failure {
    CatalogRefusal::Recovery(refusal).into()
}

/// The recoveries. The number of a row is the database's id.
const RECOVERIES: RowRange<Recovery> = RowRange::within(Table::Entry, FIRST_RECOVERY_KEY, KEY_MAX);

/// The stored state of a point-in-time recovery. The Catalog stores this state, because the
/// recovery resets the Database but not the Catalog.
///
/// Each database that was ever recovered has one row. The row is never removed, so that repeated
/// requests receive the same reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recovery {
    /// The number of the recovery, which is higher than the numbers of all earlier recoveries of
    /// the database.
    recovery: u64,
    /// The requested target time, in nanoseconds.
    requested_ns: i64,
    /// The time to which the objects are being reset, in nanoseconds.
    time_ns: i64,
    /// A time before the first change of the recovery, in nanoseconds.
    begun_ns: i64,
    stage: RecoveryStage,
    /// The highest counters that the Database ever reported. Later ids and versions must not be
    /// lower.
    counters: Counters,
    /// The database's quotas at the start of the recovery, which the recovery does not change.
    quotas: Quotas,
    /// The shards at the start of the recovery.
    start_shards: Vec<ObjectId>,
    /// The shards at the target time.
    target_shards: Vec<ObjectId>,
    /// The number of shards that finished the current stage.
    finished: u64,
    /// The number of shards at the start, and the number of reset shards. Both numbers remain after
    /// the lists are cleared.
    shards: u64,
    reset_count: u64,
    /// The time of the alarm's next attempt, in nanoseconds.
    due_ns: i64,
    /// The number of consecutive failed attempts.
    failures: u32,
    trouble: String,
}

impl Recovery {
    /// Whether a request for `time_ns` repeats the request for this recovery. Some time after the
    /// end of the recovery, the same request begins a new recovery.
    fn is_repeat(&self, time_ns: i64, now_ns: i64) -> bool {
        // After the last stage, `due_ns` is the time of its end.
        let age_ns = now_ns.saturating_sub(self.due_ns);
        let is_current = self.stage != RecoveryStage::Done || age_ns < RECOVERY_REPEAT_NS;
        is_current && self.requested_ns == time_ns
    }

    /// Creates a recovery that has not changed any state.
    fn new(recovery: u64, time_ns: i64, now_ns: i64) -> Self {
        Self {
            recovery,
            requested_ns: time_ns,
            time_ns,
            begun_ns: now_ns,
            stage: RecoveryStage::Freezing,
            // The attempt starts a second after `begun_ns`, so that the clocks of other objects are
            // also past `begun_ns`.
            due_ns: now_ns.saturating_add(S_NS),
            ..Self::default()
        }
    }

    fn status(&self) -> RecoveryStatus {
        RecoveryStatus {
            time_ns: self.time_ns,
            begun_ns: self.begun_ns,
            stage: self.stage,
            shards: self.shards,
            back: self.reset_count,
            trouble: self.trouble.clone(),
        }
    }

    fn count_attempt(&mut self, now_ns: i64) {
        let wait_ns = JOB_RETRY_NS << self.failures.min(RECOVERY_PAUSES_MAX);
        self.failures = self.failures.saturating_add(1);
        self.due_ns = now_ns.saturating_add(wait_ns);
    }

    fn next(&self, count: usize) -> Vec<ObjectId> {
        let all = match self.stage {
            RecoveryStage::Closing => &self.start_shards,
            _ => &self.target_shards,
        };
        all.iter().skip(self.finished as usize).take(count).cloned().collect()
    }

    /// Stores the state that the Database returned when it was frozen before its reset.
    fn on_frozen(&mut self, frozen: FrozenDatabase, now_ns: i64) {
        self.counters = self.counters.or_above(&frozen.counters);
        self.quotas = frozen.quotas;
        self.shards = frozen.shards.len() as u64;
        self.start_shards = frozen.shards;
        self.enter(RecoveryStage::Closing, now_ns);
        self.skip_done(now_ns);
    }

    /// Stores the state that the Database returned when it was frozen again after its reset.
    ///
    /// The reset Database is not frozen until it receives this message, and has old counters. If it
    /// has assigned ids in this time, it is reset again.
    fn on_frozen_again(&mut self, frozen: FrozenDatabase, now_ns: i64) {
        self.counters = self.counters.or_above(&frozen.counters);
        if frozen.registered_ns > self.begun_ns.saturating_add(WIPE_DELAY_NS / 2) {
            return self.enter(RecoveryStage::Database, now_ns);
        }
        self.target_shards = frozen.shards;
        self.enter(RecoveryStage::Shards, now_ns);
        self.skip_done(now_ns);
    }

    /// Handles a Database that did not exist at the target time. The Database is then reset to the
    /// start of the recovery.
    fn on_missing_database(&mut self, now_ns: i64) {
        self.time_ns = self.begun_ns;
        self.enter(RecoveryStage::Database, now_ns);
        self.due_ns = now_ns.max(self.begun_ns.saturating_add(RECOVERY_AGO_NS_MIN));
        "the database did not exist at that time, and remains unchanged"
            .clone_into(&mut self.trouble);
    }

    /// Handles a request that undoes a running recovery. The objects are then reset to the start of
    /// the recovery.
    ///
    /// Returns `false` if no object has been reset yet, or if the Database may already have opened.
    fn abandon(&mut self, now_ns: i64) -> bool {
        let abandonable = [RecoveryStage::Database, RecoveryStage::Reading, RecoveryStage::Shards];
        if !abandonable.contains(&self.stage) {
            return false;
        }
        (self.requested_ns, self.time_ns) = (self.begun_ns, self.begun_ns);
        // The shards of the target time that do not belong to the database at the start of the
        // recovery. Some of these shards may have been reset already. All of these shards are wiped
        // at the end.
        let others =
            self.target_shards.drain(..).filter(|shard| !self.start_shards.contains(shard));
        let others: Vec<ObjectId> = others.collect();
        self.start_shards.extend(others);
        self.enter(RecoveryStage::Database, now_ns);
        // The delay ensures that messages for the other target time cannot arrive after the reset.
        let gone_ns = now_ns.saturating_add(WIPE_DELAY_NS);
        self.due_ns = gone_ns.max(self.begun_ns.saturating_add(RECOVERY_AGO_NS_MIN));
        true
    }

    fn count_finished(&mut self, count: u64, now_ns: i64) {
        self.finished += count;
        self.succeeded(now_ns);
        self.skip_done(now_ns);
    }

    fn enter(&mut self, stage: RecoveryStage, now_ns: i64) {
        (self.stage, self.finished) = (stage, 0);
        self.succeeded(now_ns);
        if stage == RecoveryStage::Done {
            (self.start_shards, self.target_shards) = (Vec::new(), Vec::new());
        }
    }

    fn succeeded(&mut self, now_ns: i64) {
        (self.failures, self.due_ns) = (0, now_ns);
        if self.time_ns == self.requested_ns {
            self.trouble.clear();
        }
    }

    fn skip_done(&mut self, now_ns: i64) {
        if self.stage == RecoveryStage::Closing && self.finished >= self.start_shards.len() as u64 {
            self.enter(RecoveryStage::Database, now_ns);
            // The delay ensures that messages that were sent before this stage cannot arrive after
            // the reset.
            self.due_ns = now_ns.saturating_add(WIPE_DELAY_NS);
        }
        if self.stage == RecoveryStage::Shards {
            self.reset_count = self.finished;
            if self.finished >= self.target_shards.len() as u64 {
                self.enter(RecoveryStage::Access, now_ns);
            }
        }
    }

    fn recovered(&self) -> RecoveredDatabase {
        let is_gone = |shard: &&ObjectId| !self.target_shards.contains(shard);
        RecoveredDatabase {
            recovery: self.recovery,
            counters: self.counters.clone(),
            quotas: self.quotas.clone(),
            gone: self.start_shards.iter().filter(is_gone).cloned().collect(),
        }
    }
}

/// The last recovery of each database, by the database's id: a copy of the rows. A change is stored
/// before it is applied to this copy.
#[derive(Debug, Default)]
pub(super) struct Recoveries {
    rows: BTreeMap<u64, Recovery>,
}

impl Recoveries {
    pub(super) fn load<S: Store>(store: &S) -> StoreResult<Self> {
        let mut rows = BTreeMap::new();
        if store.is_open()? {
            RECOVERIES.each(store, |number, row| drop(rows.insert(number, row)))?;
        }
        Ok(Self { rows })
    }

    fn get(&self, number: u64) -> Option<&Recovery> {
        self.rows.get(&number)
    }

    fn is_running(&self, number: u64) -> bool {
        self.get(number).is_some_and(|row| row.stage != RecoveryStage::Done)
    }

    fn put<S: Store>(&mut self, store: &S, number: u64, row: Recovery) -> StoreResult<()> {
        RECOVERIES.put(store, number, &row)?;
        self.rows.insert(number, row);
        Ok(())
    }

    pub(super) fn remove<S: Store>(&mut self, store: &S, number: u64) -> StoreResult<()> {
        if self.rows.contains_key(&number) {
            RECOVERIES.remove(store, number, number)?;
            self.rows.remove(&number);
        }
        Ok(())
    }

    fn running(&self) -> impl Iterator<Item = (u64, &Recovery)> {
        let rows = self.rows.iter().map(|(number, row)| (*number, row));
        rows.filter(|(_, row)| row.stage != RecoveryStage::Done)
    }

    pub(super) fn due(&self, now_ns: i64) -> Option<u64> {
        let due = self.running().filter(|(_, row)| row.due_ns <= now_ns);
        due.min_by_key(|(number, row)| (row.due_ns, *number)).map(|(number, _)| number)
    }

    pub(super) fn next_due_ns(&self) -> Option<i64> {
        self.running().map(|(_, row)| row.due_ns).min()
    }

    pub(super) fn problems(&self, entries: &Entries) -> Vec<String> {
        let failing = self.running().filter(|(_, row)| row.failures >= JOB_FAILURES_MAX);
        let word = |(number, row): (u64, &Recovery)| {
            let name = entries.get(number).map_or("", |entry| entry.create.name.as_str());
            let (stage, reason) = (row.stage.name(), &row.trouble);
            format!("recovery of database \"{name}\" failed during \"{stage}\": {reason}")
        };
        failing.map(word).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::ids::ObjectId;

    fn frozen(shards: &[&str], registered_ns: i64) -> FrozenDatabase {
        let shards = shards.iter().map(|id| ObjectId((*id).to_owned())).collect();
        FrozenDatabase { shards, registered_ns, ..FrozenDatabase::default() }
    }

    #[test]
    fn recovery_wipes_only_unknown_shards() {
        let mut row = Recovery::new(1, 5, 100);
        row.on_frozen(frozen(&["a", "b", "c"], 0), 100);
        row.count_finished(3, 100);
        assert_eq!((row.stage, row.due_ns), (RecoveryStage::Database, 100 + WIPE_DELAY_NS));
        row.enter(RecoveryStage::Reading, 101);
        row.on_frozen_again(frozen(&["b", "z"], 100), 102);
        assert_eq!((row.stage, row.next(1).len()), (RecoveryStage::Shards, 1));
        assert_eq!(row.recovered().gone, ["a", "c"].map(|id| ObjectId(id.to_owned())));
        row.count_finished(2, 103);
        assert_eq!((row.stage, row.status().back), (RecoveryStage::Access, 2));
    }

    #[test]
    fn abandoned_recovery_restores_all_shards() {
        let mut row = Recovery::new(1, 5, 100);
        row.on_frozen(frozen(&["a"], 0), 100);
        assert!(!row.abandon(101), "nothing has gone back");
        row.count_finished(1, 101);
        row.enter(RecoveryStage::Reading, 102);
        row.on_frozen_again(frozen(&["a", "z"], 0), 103);
        assert!(row.abandon(104));
        assert_eq!((row.stage, row.time_ns, row.requested_ns), (RecoveryStage::Database, 100, 100));
        assert_eq!(row.due_ns, 100 + RECOVERY_AGO_NS_MIN);
        row.enter(RecoveryStage::Reading, row.due_ns);
        row.on_frozen_again(frozen(&["a"], 0), row.due_ns);
        assert_eq!(row.recovered().gone, ["z"].map(|id| ObjectId(id.to_owned())));
        row.count_finished(1, row.due_ns);
        assert!(!row.abandon(row.due_ns), "it may have gone on");
    }

    #[test]
    fn recovery_repeats_after_new_ids() {
        let mut row = Recovery::new(1, 5, 100);
        row.on_frozen(frozen(&[], 0), 100);
        row.enter(RecoveryStage::Reading, 100 + WIPE_DELAY_NS);
        let mut touched = frozen(&["a"], 100 + WIPE_DELAY_NS);
        touched.counters.next_column = 9;
        row.on_frozen_again(touched, 101 + WIPE_DELAY_NS);
        assert_eq!((row.stage, row.counters.next_column), (RecoveryStage::Database, 9));
    }
}
