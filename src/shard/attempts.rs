//! Which jobs a shard has, and how often each was tried since it last succeeded.

use serde::{Deserialize, Serialize};

use super::request::Refusal;
use super::table_rows::each_head;
use crate::model::limits::JOB_FAILURES_MAX;
use crate::model::sorted_map::SortedMap;
use crate::model::time::{H_NS, S_NS};
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// A job that failed is tried again after this long, and twice as long after each failure.
pub(super) const RETRY_NS: i64 = 30 * S_NS;
/// One that was set aside is tried once more after this long: what was in its way may be gone.
const SET_ASIDE_NS: i64 = H_NS;

/// The shard's jobs, in the order in which they run. The number is the key of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Job {
    /// The WAL into segments.
    Flush = 1,
    /// Rows of dead slots go, after a pause.
    Tidy = 2,
    /// Segments that nobody may see any more go.
    Reclaim = 3,
    /// Small runs into larger ones.
    Compact = 4,
}

impl Job {
    pub(super) const ALL: [Self; 4] = [Self::Flush, Self::Tidy, Self::Reclaim, Self::Compact];

    const fn key(self) -> u64 {
        self as u64
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Tidy => "deleting flushed WAL rows",
            Self::Reclaim => "dropping expired segments",
            Self::Compact => "compaction",
        }
    }
}

/// A job that was started and has not succeeded since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Attempt {
    tries: u32,
    /// Not before this time, nanoseconds.
    due_ns: i64,
    /// Why the last try failed; empty when it did not live to tell.
    error: String,
}

/// Attempts by the key of their row.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    attempts: SortedMap<u64, Attempt>,
}

impl Jobs {
    pub(super) fn read<S: Store>(store: &S) -> Result<Self, StoreError> {
        let mut jobs = Self::default();
        each_head(store, Table::Job, 0, |key, head| {
            // An unreadable row only forgets how often a job was tried.
            jobs.attempts.insert(key, row::decode(&head).unwrap_or_default());
        })?;
        Ok(jobs)
    }

    pub(super) fn succeeded(&mut self, job: Job) {
        self.attempts.remove(&job.key());
    }

    fn is_set_aside(&self, job: Job) -> bool {
        self.attempts.get(&job.key()).is_some_and(|attempt| attempt.tries >= JOB_FAILURES_MAX)
    }

    /// The earliest time of its next try, nanoseconds.
    pub(super) fn not_before(&self, job: Job) -> i64 {
        self.attempts.get(&job.key()).map_or(i64::MIN, |attempt| attempt.due_ns)
    }

    /// Writes the job's row: before its work one more try, after it failed why.
    pub(super) fn note<S: Store>(
        &mut self,
        store: &S,
        job: Job,
        now_ns: i64,
        error: Option<String>,
    ) -> Result<(), Refusal> {
        let before = self.attempts.get(&job.key()).cloned().unwrap_or_default();
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
        // Known even if it cannot be stored: the next try waits.
        self.attempts.insert(job.key(), attempt);
        Ok(store.put(Table::Job, job.key(), &head, b"")?)
    }

    /// Jobs that failed too often, in words.
    pub(super) fn set_aside(&self) -> Vec<String> {
        let aside = Job::ALL.into_iter().filter(|&job| self.is_set_aside(job));
        aside
            .map(|job| {
                let attempt = self.attempts.get(&job.key()).cloned().unwrap_or_default();
                format!("{} failed {} times: {}", job.name(), attempt.tries, attempt.error)
            })
            .collect()
    }
}

/// Deletes the job's row.
pub(super) fn delete<S: Store>(store: &S, job: Job) -> Result<(), StoreError> {
    store.delete(Table::Job, job.key()..=job.key())
}

/// Deletes the job's row, if it has one. Inside the transaction that finishes the job.
pub(super) fn clear<S: Store>(store: &S, job: Job, jobs: &Jobs) -> Result<(), StoreError> {
    match jobs.attempts.contains_key(&job.key()) {
        true => delete(store, job),
        false => Ok(()),
    }
}
