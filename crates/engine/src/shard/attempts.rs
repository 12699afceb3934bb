//! Counts the tries of the tasks of a shard's alarm.
//!
//! A row counts the tries of a task. At first, each try is stored before it begins, so that the
//! count includes a try that crashes the object. After the task's first success since the start of
//! the object, only failed tries are stored, which saves two row writes per try.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::store::{Store, StoreResult, Table, row};
use tidemark_model::limits::JOB_FAILURES_MAX;
use tidemark_model::time::{H_NS, S_NS};

/// The delay before the first retry of a task. The delay doubles after each failure.
pub(super) const RETRY_NS: i64 = 30 * S_NS;
/// The delay before each retry after `JOB_FAILURES_MAX` failures. The retries continue, because the
/// cause of the failures may have disappeared.
const SET_ASIDE_NS: i64 = H_NS;

/// The tasks of an alarm. If several tasks are due, the first of them in `ALL` runs first. The
/// discriminant is the key of the task's row.
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

/// The tries of a task since its last success.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Attempt {
    tries: u32,
    due_ns: i64,
    /// The text is empty if the object crashed during the try.
    error: String,
}

/// The tries of all tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    attempts: BTreeMap<u64, Attempt>,
    /// The keys of the tasks that have a stored row.
    stored: BTreeSet<u64>,
    /// The keys of the tasks that have succeeded since the start of the object. A new try of such a
    /// task is not stored, because a task that crashes the object usually does so in its first try.
    succeeded: BTreeSet<u64>,
}

impl Attempts {
    pub(super) fn read<S: Store>(store: &S) -> StoreResult<Self> {
        let mut read = Self::default();
        row::each(store, Table::Job, &mut |key, head| {
            read.attempts.insert(key, row::decode(head).unwrap_or_default());
            read.stored.insert(key);
            Ok(())
        })?;
        Ok(read)
    }

    pub(super) fn on_success(&mut self, task: AlarmTask) {
        self.attempts.remove(&task.key());
        self.stored.remove(&task.key());
        self.succeeded.insert(task.key());
    }

    /// Deletes the stored row of a task that succeeded. The caller must call this function in the
    /// transaction that stores the task's result.
    pub(super) fn clear<S: Store>(&self, store: &S, task: AlarmTask) -> StoreResult<()> {
        match self.stored.contains(&task.key()) {
            true => store.delete(Table::Job, task.key()..=task.key()),
            false => Ok(()),
        }
    }

    pub(super) fn not_before(&self, task: AlarmTask) -> i64 {
        self.attempts.get(&task.key()).map_or(i64::MIN, |attempt| attempt.due_ns)
    }

    /// Records a try. The caller calls this function without an error before the work begins, and
    /// again with an error if the try failed.
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
        let trouble = |task: AlarmTask| {
            let Attempt { tries, error, .. } = self.attempts.get(&task.key())?;
            let text = || format!("{} failed {tries} times: {error}", task.name());
            (*tries >= JOB_FAILURES_MAX).then(text)
        };
        AlarmTask::ALL.into_iter().filter_map(trouble).collect()
    }
}
