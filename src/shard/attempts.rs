//! Which duties a shard has, and how often each was tried since it was last done.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::request::Refusal;
use super::table_rows::each_head;
use crate::model::limits::JOB_FAILURES_MAX;
use crate::model::time::{H_NS, S_NS};
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// A duty that failed is tried again after this long, and twice as long after each failure.
pub(super) const RETRY_NS: i64 = 30 * S_NS;
/// One that was set aside is tried once more after this long: what was in its way may be gone.
const SET_ASIDE_NS: i64 = H_NS;

/// What the alarm may have to do; what is due first in the order of `ALL` runs first. The number is
/// the key of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Duty {
    /// The WAL into parts.
    Flush = 1,
    /// Rows of dead slots and of dead values go, after a pause.
    Tidy = 2,
    /// Parts that nobody may see any more go.
    Reclaim = 3,
    /// Small parts into larger ones.
    Compact = 4,
    /// Parts are looked at for what is hidden of them.
    Scrub = 5,
    /// Values are held no longer for backups that nobody has finished.
    Release = 6,
}

impl Duty {
    pub(super) const ALL: [Self; 6] =
        [Self::Flush, Self::Tidy, Self::Reclaim, Self::Scrub, Self::Compact, Self::Release];

    const fn key(self) -> u64 {
        self as u64
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Tidy => "deleting rows that nothing needs",
            Self::Reclaim => "dropping expired parts",
            Self::Compact => "compaction",
            Self::Scrub => "looking for deleted rows",
            Self::Release => "ending the holds of backups",
        }
    }
}

/// A duty that was begun and not done since.
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
pub(super) struct Attempts {
    attempts: BTreeMap<u64, Attempt>,
    /// Those that are stored. Of a duty that was done in this life none is: what takes the
    /// whole object down does so in its first run too, and two rows a run are saved.
    stored: BTreeSet<u64>,
    succeeded: BTreeSet<u64>,
}

impl Attempts {
    pub(super) fn read<S: Store>(store: &S) -> Result<Self, StoreError> {
        let mut read = Self::default();
        each_head(store, Table::Job, 0, |key, head| {
            // An unreadable row only forgets how often it was tried.
            read.attempts.insert(key, row::decode(&head).unwrap_or_default());
            read.stored.insert(key);
        })?;
        Ok(read)
    }

    pub(super) fn succeeded(&mut self, duty: Duty) {
        self.attempts.remove(&duty.key());
        self.stored.remove(&duty.key());
        self.succeeded.insert(duty.key());
    }

    fn is_set_aside(&self, duty: Duty) -> bool {
        self.attempts.get(&duty.key()).is_some_and(|attempt| attempt.tries >= JOB_FAILURES_MAX)
    }

    /// The earliest time of its next try, nanoseconds.
    pub(super) fn not_before(&self, duty: Duty) -> i64 {
        self.attempts.get(&duty.key()).map_or(i64::MIN, |attempt| attempt.due_ns)
    }

    /// Writes the duty's row: before its work one more try, after it failed why.
    pub(super) fn note<S: Store>(
        &mut self,
        store: &S,
        duty: Duty,
        now_ns: i64,
        error: Option<String>,
    ) -> Result<(), Refusal> {
        let before = self.attempts.get(&duty.key()).cloned().unwrap_or_default();
        let is_stored = error.is_some() || !self.succeeded.contains(&duty.key());
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
        self.attempts.insert(duty.key(), attempt);
        if is_stored {
            store.put(Table::Job, duty.key(), &head, b"")?;
            self.stored.insert(duty.key());
        }
        Ok(())
    }

    /// Duties that failed too often, in words.
    pub(super) fn set_aside(&self) -> Vec<String> {
        let aside = Duty::ALL.into_iter().filter(|&duty| self.is_set_aside(duty));
        aside
            .map(|duty| {
                let attempt = self.attempts.get(&duty.key()).cloned().unwrap_or_default();
                format!("{} failed {} times: {}", duty.name(), attempt.tries, attempt.error)
            })
            .collect()
    }
}

/// Deletes the duty's row, if it has one. Inside the transaction that does it.
pub(super) fn clear<S: Store>(
    store: &S,
    duty: Duty,
    attempts: &Attempts,
) -> Result<(), StoreError> {
    match attempts.stored.contains(&duty.key()) {
        true => store.delete(Table::Job, duty.key()..=duty.key()),
        false => Ok(()),
    }
}
