//! Stores the state of point-in-time recoveries. The Catalog stores this state because a recovery
//! does not reset the Catalog.
//!
//! Each database that was ever recovered has one row. The row is never removed, so that repeated
//! requests receive the same reply.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lifecycle::{Entries, FIRST_RECOVERY_KEY};
use crate::model::ids::ObjectId;
use crate::model::limits::{JOB_RETRY_NS, RECOVERY_AGO_NS_MIN, RECOVERY_PAUSES_MAX, WIPE_DELAY_NS};
use crate::model::quota::Quotas;
use crate::model::time::S_NS;
use crate::protocol::recovery::{
    Counters, FrozenDatabase, RecoveredDatabase, RecoveryStage, RecoveryStatus,
};
use crate::store::row::Rows;
use crate::store::{KEY_MAX, Store, StoreResult, Table};

/// The recoveries. The number of a row is the database's id.
const ROWS: Rows<Recovery> = Rows::within(Table::Entry, FIRST_RECOVERY_KEY, KEY_MAX);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recovery {
    /// The number of the recovery, which is higher than the numbers of all earlier recoveries of
    /// the database.
    pub recovery: u64,
    /// The requested target time, in nanoseconds.
    pub asked_ns: i64,
    /// The time to which the objects are being reset, in nanoseconds.
    pub time_ns: i64,
    /// A time before the first change of the recovery, in nanoseconds.
    pub begun_ns: i64,
    pub stage: RecoveryStage,
    /// The highest counters that the Database ever reported. Later ids and versions must not be
    /// lower.
    pub counters: Counters,
    /// The database's quotas at the start of the recovery.
    pub quotas: Quotas,
    /// The shards at the start of the recovery.
    pub before: Vec<ObjectId>,
    /// The shards at the target time.
    pub then: Vec<ObjectId>,
    /// The number of shards that finished the current stage.
    pub at: u64,
    /// The number of shards at the start, and the number of reset shards. Both numbers remain after
    /// the lists are cleared.
    pub shards: u64,
    pub back: u64,
    /// The time of the alarm's next attempt, in nanoseconds.
    pub due_ns: i64,
    /// The number of consecutive failed attempts.
    pub failures: u32,
    pub trouble: String,
}

impl Recovery {
    /// Creates a recovery that has not changed any state.
    pub(super) fn new(recovery: u64, time_ns: i64, now_ns: i64) -> Self {
        Self {
            recovery,
            asked_ns: time_ns,
            time_ns,
            begun_ns: now_ns,
            stage: RecoveryStage::Freezing,
            counters: Counters::default(),
            quotas: Quotas::default(),
            before: Vec::new(),
            then: Vec::new(),
            at: 0,
            shards: 0,
            back: 0,
            // The attempt starts a second after `begun_ns`, so that the clocks of other objects are
            // also past `begun_ns`.
            due_ns: now_ns.saturating_add(S_NS),
            failures: 0,
            trouble: String::new(),
        }
    }

    pub(super) fn status(&self) -> RecoveryStatus {
        RecoveryStatus {
            time_ns: self.time_ns,
            begun_ns: self.begun_ns,
            stage: self.stage,
            shards: self.shards,
            back: self.back,
            trouble: self.trouble.clone(),
        }
    }

    pub(super) fn count_attempt(&mut self, now_ns: i64) {
        let wait_ns = JOB_RETRY_NS << self.failures.min(RECOVERY_PAUSES_MAX);
        self.failures = self.failures.saturating_add(1);
        self.due_ns = now_ns.saturating_add(wait_ns);
    }

    pub(super) fn next(&self, count: usize) -> Vec<ObjectId> {
        let all = match self.stage {
            RecoveryStage::Closing => &self.before,
            _ => &self.then,
        };
        all.iter().skip(self.at as usize).take(count).cloned().collect()
    }

    /// Stores the state of the frozen Database before the Database is reset.
    pub(super) fn on_frozen(&mut self, frozen: FrozenDatabase, now_ns: i64) {
        self.counters = self.counters.or_above(&frozen.counters);
        self.quotas = frozen.quotas;
        self.shards = frozen.shards.len() as u64;
        self.before = frozen.shards;
        self.enter(RecoveryStage::Closing, now_ns);
        self.skip_done(now_ns);
    }

    /// Stores the state of the frozen Database after the Database was reset.
    ///
    /// Between the reset and this freeze, the Database may have assigned ids without knowing the
    /// higher counters. In that case the Database is reset again.
    pub(super) fn on_frozen_again(&mut self, frozen: FrozenDatabase, now_ns: i64) {
        self.counters = self.counters.or_above(&frozen.counters);
        if frozen.registered_ns > self.begun_ns.saturating_add(WIPE_DELAY_NS / 2) {
            return self.enter(RecoveryStage::Database, now_ns);
        }
        self.then = frozen.shards;
        self.enter(RecoveryStage::Shards, now_ns);
        self.skip_done(now_ns);
    }

    /// Handles a Database that did not exist at the target time. The Database is then reset to the
    /// start of the recovery.
    pub(super) fn on_missing_database(&mut self, now_ns: i64) {
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
    pub(super) fn abandon(&mut self, now_ns: i64) -> bool {
        let before_any_goes_on =
            [RecoveryStage::Database, RecoveryStage::Asking, RecoveryStage::Shards];
        if !before_any_goes_on.contains(&self.stage) {
            return false;
        }
        (self.asked_ns, self.time_ns) = (self.begun_ns, self.begun_ns);
        // Some of these shards may have been reset. The Database does not use these shards, so they
        // are wiped at the end.
        let others = self.then.drain(..).filter(|shard| !self.before.contains(shard));
        let others: Vec<ObjectId> = others.collect();
        self.before.extend(others);
        self.enter(RecoveryStage::Database, now_ns);
        // The delay ensures that messages for the other target time cannot arrive after the reset.
        let gone_ns = now_ns.saturating_add(WIPE_DELAY_NS);
        self.due_ns = gone_ns.max(self.begun_ns.saturating_add(RECOVERY_AGO_NS_MIN));
        true
    }

    pub(super) fn count_finished(&mut self, count: u64, now_ns: i64) {
        self.at += count;
        self.succeeded(now_ns);
        self.skip_done(now_ns);
    }

    pub(super) fn enter(&mut self, stage: RecoveryStage, now_ns: i64) {
        (self.stage, self.at) = (stage, 0);
        self.succeeded(now_ns);
        if stage == RecoveryStage::Done {
            (self.before, self.then) = (Vec::new(), Vec::new());
        }
    }

    fn succeeded(&mut self, now_ns: i64) {
        (self.failures, self.due_ns) = (0, now_ns);
        if self.time_ns == self.asked_ns {
            self.trouble.clear();
        }
    }

    fn skip_done(&mut self, now_ns: i64) {
        if self.stage == RecoveryStage::Closing && self.at >= self.before.len() as u64 {
            self.enter(RecoveryStage::Database, now_ns);
            // The delay ensures that messages that were sent before this stage cannot arrive after
            // the reset.
            self.due_ns = now_ns.saturating_add(WIPE_DELAY_NS);
        }
        if self.stage == RecoveryStage::Shards {
            self.back = self.at;
            if self.at >= self.then.len() as u64 {
                self.enter(RecoveryStage::Access, now_ns);
            }
        }
    }

    pub(super) fn recovered(&self) -> RecoveredDatabase {
        let is_gone = |shard: &&ObjectId| !self.then.contains(shard);
        RecoveredDatabase {
            recovery: self.recovery,
            counters: self.counters.clone(),
            quotas: self.quotas.clone(),
            gone: self.before.iter().filter(is_gone).cloned().collect(),
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
            ROWS.each(store, |number, row| drop(rows.insert(number, row)))?;
        }
        Ok(Self { rows })
    }

    pub(super) fn get(&self, number: u64) -> Option<&Recovery> {
        self.rows.get(&number)
    }

    pub(super) fn is_running(&self, number: u64) -> bool {
        self.get(number).is_some_and(|row| row.stage != RecoveryStage::Done)
    }

    pub(super) fn put<S: Store>(
        &mut self,
        store: &S,
        number: u64,
        row: Recovery,
    ) -> StoreResult<()> {
        ROWS.put(store, number, &row)?;
        self.rows.insert(number, row);
        Ok(())
    }

    pub(super) fn remove<S: Store>(&mut self, store: &S, number: u64) -> StoreResult<()> {
        if self.rows.contains_key(&number) {
            ROWS.remove(store, number, number)?;
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

    pub(super) fn problems(&self, entries: &Entries, failures_max: u32) -> Vec<String> {
        let failing = self.running().filter(|(_, row)| row.failures >= failures_max);
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
        row.enter(RecoveryStage::Asking, 101);
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
        row.enter(RecoveryStage::Asking, 102);
        row.on_frozen_again(frozen(&["a", "z"], 0), 103);
        assert!(row.abandon(104));
        assert_eq!((row.stage, row.time_ns, row.asked_ns), (RecoveryStage::Database, 100, 100));
        assert_eq!(row.due_ns, 100 + RECOVERY_AGO_NS_MIN);
        row.enter(RecoveryStage::Asking, row.due_ns);
        row.on_frozen_again(frozen(&["a"], 0), row.due_ns);
        assert_eq!(row.recovered().gone, ["z"].map(|id| ObjectId(id.to_owned())));
        row.count_finished(1, row.due_ns);
        assert!(!row.abandon(row.due_ns), "it may have gone on");
    }

    #[test]
    fn recovery_repeats_after_new_ids() {
        let mut row = Recovery::new(1, 5, 100);
        row.on_frozen(frozen(&[], 0), 100);
        row.enter(RecoveryStage::Asking, 100 + WIPE_DELAY_NS);
        let mut touched = frozen(&["a"], 100 + WIPE_DELAY_NS);
        touched.counters.next_column = 9;
        row.on_frozen_again(touched, 101 + WIPE_DELAY_NS);
        assert_eq!((row.stage, row.counters.next_column), (RecoveryStage::Database, 9));
    }
}
