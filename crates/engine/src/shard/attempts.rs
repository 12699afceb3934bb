//! Defines the duties of a shard's alarm, and counts the failed tries of each duty.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::request::Refusal;
use super::table_rows::each_head;
use crate::store::row;
use crate::store::{Store, StoreResult, Table};
use tidemark_model::limits::JOB_FAILURES_MAX;
use tidemark_model::time::{H_NS, S_NS};

/// The delay doubles after each failure.
pub(super) const RETRY_NS: i64 = 30 * S_NS;
/// A duty that was set aside is tried again because the cause of its failures may have disappeared.
const SET_ASIDE_NS: i64 = H_NS;

/// If several duties are due, the first in the order of `ALL` runs first. The discriminant is the
/// key of the duty's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum AlarmTask {
    Flush = 1,
    /// After a pause, deletes unused value rows and the log rows of flushed frames.
    DeleteUnusedRows = 2,
    /// Deletes parts that have expired, or whose rows a drop has removed.
    Reclaim = 3,
    Compact = 4,
    /// Searches parts for rows that deletes hide.
    Scrub = 5,
    /// Ends the expired holds that unfinished backups left.
    Release = 6,
}

impl AlarmTask {
    pub(super) const ALL: [Self; 6] = [
        Self::Flush,
        Self::DeleteUnusedRows,
        Self::Reclaim,
        Self::Scrub,
        Self::Compact,
        Self::Release,
    ];

    const fn key(self) -> u64 {
        self as u64
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::DeleteUnusedRows => "deleting unused rows",
            Self::Reclaim => "dropping expired parts",
            Self::Compact => "compaction",
            Self::Scrub => "removing deleted rows from parts",
            Self::Release => "releasing the values that backups held",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Attempt {
    tries: u32,
    due_ns: i64,
    /// The text is empty if the object crashed during the try.
    error: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    attempts: BTreeMap<u64, Attempt>,
    /// The keys of the stored rows. After the first success of a duty since the start of the
    /// object, new tries are not stored, because a duty that crashes the object crashes it in the
    /// first try.
    stored: BTreeSet<u64>,
    succeeded: BTreeSet<u64>,
}

impl Attempts {
    pub(super) fn read<S: Store>(store: &S) -> StoreResult<Self> {
        let mut read = Self::default();
        each_head(store, Table::Job, 0, |key, head| {
            read.attempts.insert(key, row::decode(&head).unwrap_or_default());
            read.stored.insert(key);
        })?;
        Ok(read)
    }

    pub(super) fn succeeded(&mut self, task: AlarmTask) {
        self.attempts.remove(&task.key());
        self.stored.remove(&task.key());
        self.succeeded.insert(task.key());
    }

    fn is_set_aside(&self, task: AlarmTask) -> bool {
        self.attempts.get(&task.key()).is_some_and(|attempt| attempt.tries >= JOB_FAILURES_MAX)
    }

    pub(super) fn not_before(&self, task: AlarmTask) -> i64 {
        self.attempts.get(&task.key()).map_or(i64::MIN, |attempt| attempt.due_ns)
    }

    /// Without an error, counts a new try before the work begins. With an error, records why the
    /// try failed.
    pub(super) fn note<S: Store>(
        &mut self,
        store: &S,
        task: AlarmTask,
        now_ns: i64,
        error: Option<String>,
    ) -> Result<(), Refusal> {
        let before = self.attempts.get(&task.key()).cloned().unwrap_or_default();
        let is_stored = error.is_some() || !self.succeeded.contains(&task.key());
        let attempt = match error {
            None => {
                let tries = before.tries.saturating_add(1);
                let is_last = tries >= JOB_FAILURES_MAX;
                let wait_ns = if is_last { SET_ASIDE_NS } else { RETRY_NS << before.tries };
                Attempt { tries, due_ns: now_ns.saturating_add(wait_ns), error: String::new() }
            }
            Some(error) => Attempt { error, ..before },
        };
        let head = row::encode(&attempt)?;
        // The entry in memory delays the next try even if the row cannot be stored.
        self.attempts.insert(task.key(), attempt);
        if is_stored {
            store.put(Table::Job, task.key(), &head, b"")?;
            self.stored.insert(task.key());
        }
        Ok(())
    }

    pub(super) fn set_aside(&self) -> Vec<String> {
        let aside = AlarmTask::ALL.into_iter().filter(|&task| self.is_set_aside(task));
        aside
            .map(|task| {
                let attempt = self.attempts.get(&task.key()).cloned().unwrap_or_default();
                format!("{} failed {} times: {}", task.name(), attempt.tries, attempt.error)
            })
            .collect()
    }
}

/// The caller must call this function in the transaction that stores the duty's result.
pub(super) fn clear<S: Store>(store: &S, task: AlarmTask, attempts: &Attempts) -> StoreResult<()> {
    match attempts.stored.contains(&task.key()) {
        true => store.delete(Table::Job, task.key()..=task.key()),
        false => Ok(()),
    }
}
