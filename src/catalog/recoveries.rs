//! Keeps what is known of a database that goes back in time: the one place that does not go back
//! with it. A row for each database that ever did, which stays as the answer to a repeat.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lifecycle::Entries;
use crate::model::ids::ObjectId;
use crate::model::limits::{JOB_RETRY_NS, RECOVERY_AGO_NS_MIN, RECOVERY_PAUSES_MAX, WIPE_DELAY_NS};
use crate::model::quota::Quotas;
use crate::model::time::S_NS;
use crate::protocol::recovery::{
    Counters, FrozenDatabase, RecoveredDatabase, RecoveryStage, RecoveryStatus,
};
use crate::store::row;
use crate::store::{KEY_MAX, Store, StoreError, Table};

/// Keys of recoveries among the `entry` rows, by the number of their database; databases lie below.
pub(super) const FIRST_RECOVERY_KEY: u64 = 1 << 52;

/// One recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recovery {
    /// Above that of every earlier one of the database.
    pub recovery: u64,
    /// To when the request wants to go back, nanoseconds.
    pub asked_ns: i64,
    /// To when the objects do, nanoseconds.
    pub time_ns: i64,
    /// When nothing had been changed yet, nanoseconds.
    pub begun_ns: i64,
    pub stage: RecoveryStage,
    /// What no number may be below: the highest that the Database ever was at.
    pub counters: Counters,
    /// As callers knew them when it was begun.
    pub quotas: Quotas,
    /// The shards of when it was begun.
    pub before: Vec<ObjectId>,
    /// Those of the time that it goes back to.
    pub then: Vec<ObjectId>,
    /// How many of the shards are done with in this stage.
    pub at: u64,
    /// Shards that there were, and that have gone back: they stay when the lists go.
    pub shards: u64,
    pub back: u64,
    /// When the alarm takes it up, nanoseconds.
    pub due_ns: i64,
    /// Tries in a row that failed.
    pub failures: u32,
    /// Why the last one did.
    pub trouble: String,
}

impl Recovery {
    /// Nothing is changed yet.
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
            // Later than the time that undoes it, by whatever clock.
            due_ns: now_ns.saturating_add(S_NS),
            failures: 0,
            trouble: String::new(),
        }
    }

    /// How far it is.
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

    /// The alarm tries it: it comes back later if that fails.
    pub(super) fn tried(&mut self, now_ns: i64) {
        let wait_ns = JOB_RETRY_NS << self.failures.min(RECOVERY_PAUSES_MAX);
        self.failures = self.failures.saturating_add(1);
        self.due_ns = now_ns.saturating_add(wait_ns);
    }

    /// Shards that the stage goes on with, at most `count`.
    pub(super) fn next(&self, count: usize) -> Vec<ObjectId> {
        let all = match self.stage {
            RecoveryStage::Closing => &self.before,
            _ => &self.then,
        };
        all.iter().skip(self.at as usize).take(count).cloned().collect()
    }

    /// The Database is frozen, before it goes back: it is for the last time what it was.
    pub(super) fn froze(&mut self, frozen: FrozenDatabase, now_ns: i64) {
        self.counters = self.counters.or_above(&frozen.counters);
        self.quotas = frozen.quotas;
        self.shards = frozen.shards.len() as u64;
        self.before = frozen.shards;
        self.enter(RecoveryStage::Closing, now_ns);
        self.skip_done(now_ns);
    }

    /// The Database is frozen after it went back. What it gave in between to whoever came first it
    /// gave without knowing the higher numbers: then it goes back once more.
    pub(super) fn asked(&mut self, frozen: FrozenDatabase, now_ns: i64) {
        self.counters = self.counters.or_above(&frozen.counters);
        if frozen.registered_ns > self.begun_ns.saturating_add(WIPE_DELAY_NS / 2) {
            return self.enter(RecoveryStage::Database, now_ns);
        }
        self.then = frozen.shards;
        self.enter(RecoveryStage::Shards, now_ns);
        self.skip_done(now_ns);
    }

    /// The Database was not there at that time. It goes back to when this was begun instead.
    pub(super) fn was_not_there(&mut self, now_ns: i64) {
        self.time_ns = self.begun_ns;
        self.enter(RecoveryStage::Database, now_ns);
        self.due_ns = now_ns.max(self.begun_ns.saturating_add(RECOVERY_AGO_NS_MIN));
        "the database was not there at that time: it is what it was before"
            .clone_into(&mut self.trouble);
    }

    /// The request for the time that undoes it comes while it is under way: the objects go to that.
    /// `false` where none has gone back yet, or the Database may have gone on.
    pub(super) fn give_up(&mut self, now_ns: i64) -> bool {
        let before_any_goes_on =
            [RecoveryStage::Database, RecoveryStage::Asking, RecoveryStage::Shards];
        if !before_any_goes_on.contains(&self.stage) {
            return false;
        }
        (self.asked_ns, self.time_ns) = (self.begun_ns, self.begun_ns);
        // Those of the other time that it has not, some of which are back, are wiped in the end.
        let others = self.then.drain(..).filter(|shard| !self.before.contains(shard));
        let others: Vec<ObjectId> = others.collect();
        self.before.extend(others);
        self.enter(RecoveryStage::Database, now_ns);
        // What was sent to take an object to the other time does not come after it.
        let gone_ns = now_ns.saturating_add(WIPE_DELAY_NS);
        self.due_ns = gone_ns.max(self.begun_ns.saturating_add(RECOVERY_AGO_NS_MIN));
        true
    }

    /// So many more shards are done with.
    pub(super) fn did(&mut self, count: u64, now_ns: i64) {
        self.at += count;
        self.succeeded(now_ns);
        self.skip_done(now_ns);
    }

    /// The next stage begins, at once.
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
            // Nothing that was sent before comes after it.
            self.due_ns = now_ns.saturating_add(WIPE_DELAY_NS);
        }
        if self.stage == RecoveryStage::Shards {
            self.back = self.at;
            if self.at >= self.then.len() as u64 {
                self.enter(RecoveryStage::Access, now_ns);
            }
        }
    }

    /// What the Database goes on with.
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

/// The last recovery of each database by its number: a copy of rows. Each change is stored first.
#[derive(Debug, Default)]
pub(super) struct Recoveries {
    rows: BTreeMap<u64, Recovery>,
}

impl Recoveries {
    /// Reads the rows.
    pub(super) fn load<S: Store>(store: &S) -> Result<Self, StoreError> {
        let mut rows = BTreeMap::new();
        if store.is_open()? {
            let keys = FIRST_RECOVERY_KEY..=KEY_MAX;
            row::each_in(store, Table::Entry, keys, &mut |key, head| {
                rows.insert(key - FIRST_RECOVERY_KEY, row::read(Table::Entry, key, head)?);
                Ok(())
            })?;
        }
        Ok(Self { rows })
    }

    /// The last recovery of a database.
    pub(super) fn get(&self, number: u64) -> Option<&Recovery> {
        self.rows.get(&number)
    }

    /// Whether a database goes back.
    pub(super) fn is_under_way(&self, number: u64) -> bool {
        self.get(number).is_some_and(|row| row.stage != RecoveryStage::Done)
    }

    /// Stores one.
    pub(super) fn put<S: Store>(
        &mut self,
        store: &S,
        number: u64,
        row: Recovery,
    ) -> Result<(), StoreError> {
        store.put(Table::Entry, FIRST_RECOVERY_KEY + number, &row::encode(&row)?, &[])?;
        self.rows.insert(number, row);
        Ok(())
    }

    /// The database is gone.
    pub(super) fn remove<S: Store>(&mut self, store: &S, number: u64) -> Result<(), StoreError> {
        if self.rows.contains_key(&number) {
            let key = FIRST_RECOVERY_KEY + number;
            store.delete(Table::Entry, key..=key)?;
            self.rows.remove(&number);
        }
        Ok(())
    }

    fn under_way(&self) -> impl Iterator<Item = (u64, &Recovery)> {
        let rows = self.rows.iter().map(|(number, row)| (*number, row));
        rows.filter(|(_, row)| row.stage != RecoveryStage::Done)
    }

    /// The one that is due longest.
    pub(super) fn due(&self, now_ns: i64) -> Option<u64> {
        let due = self.under_way().filter(|(_, row)| row.due_ns <= now_ns);
        due.min_by_key(|(number, row)| (row.due_ns, *number)).map(|(number, _)| number)
    }

    /// When the next one is due.
    pub(super) fn next_due_ns(&self) -> Option<i64> {
        self.under_way().map(|(_, row)| row.due_ns).min()
    }

    /// Those that keep failing, in words.
    pub(super) fn troubles(&self, entries: &Entries, failures_max: u32) -> Vec<String> {
        let failing = self.under_way().filter(|(_, row)| row.failures >= failures_max);
        let word = |(number, row): (u64, &Recovery)| {
            let name = entries.get(number).map_or("", |entry| entry.create.name.as_str());
            let (stage, why) = (row.stage.name(), &row.trouble);
            format!("database \"{name}\" goes back in time, {stage} failed: {why}")
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
    fn only_what_the_database_has_not_heard_of_is_wiped() {
        let mut row = Recovery::new(1, 5, 100);
        row.froze(frozen(&["a", "b", "c"], 0), 100);
        row.did(3, 100);
        assert_eq!((row.stage, row.due_ns), (RecoveryStage::Database, 100 + WIPE_DELAY_NS));
        row.enter(RecoveryStage::Asking, 101);
        row.asked(frozen(&["b", "z"], 100), 102);
        assert_eq!((row.stage, row.next(1).len()), (RecoveryStage::Shards, 1));
        assert_eq!(row.recovered().gone, ["a", "c"].map(|id| ObjectId(id.to_owned())));
        row.did(2, 103);
        assert_eq!((row.stage, row.status().back), (RecoveryStage::Access, 2));
    }

    #[test]
    fn what_is_given_up_leaves_no_shard_of_the_other_time() {
        let mut row = Recovery::new(1, 5, 100);
        row.froze(frozen(&["a"], 0), 100);
        assert!(!row.give_up(101), "nothing has gone back");
        row.did(1, 101);
        row.enter(RecoveryStage::Asking, 102);
        row.asked(frozen(&["a", "z"], 0), 103);
        assert!(row.give_up(104));
        assert_eq!((row.stage, row.time_ns, row.asked_ns), (RecoveryStage::Database, 100, 100));
        assert_eq!(row.due_ns, 100 + RECOVERY_AGO_NS_MIN);
        row.enter(RecoveryStage::Asking, row.due_ns);
        row.asked(frozen(&["a"], 0), row.due_ns);
        assert_eq!(row.recovered().gone, ["z"].map(|id| ObjectId(id.to_owned())));
        row.did(1, row.due_ns);
        assert!(!row.give_up(row.due_ns), "it may have gone on");
    }

    #[test]
    fn a_database_that_gave_ids_before_it_was_frozen_again_goes_back_once_more() {
        let mut row = Recovery::new(1, 5, 100);
        row.froze(frozen(&[], 0), 100);
        row.enter(RecoveryStage::Asking, 100 + WIPE_DELAY_NS);
        let mut touched = frozen(&["a"], 100 + WIPE_DELAY_NS);
        touched.counters.next_column = 9;
        row.asked(touched, 101 + WIPE_DELAY_NS);
        assert_eq!((row.stage, row.counters.next_column), (RecoveryStage::Database, 9));
    }
}
