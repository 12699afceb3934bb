//! What the alarm does, when it is due, and what happens when it keeps failing.
//!
//! That a job is due follows from what is stored (frames in the WAL, segments), so writes need no
//! row for it. A row exists only from a job's start to its success: it counts the tries, so that a
//! job that takes the whole object down is noticed too.

use serde::{Deserialize, Serialize};

use super::Shard;
use super::flush::ENOUGH;
use super::load::{Loaded, each_head};
use super::request::Refusal;
use crate::model::limits::JOB_FAILURES_MAX;
use crate::model::sorted_map::SortedMap;
use crate::model::time::{H_NS, S_NS};
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// A job that failed is tried again after this long, and twice as long after each failure.
const RETRY_NS: i64 = 30 * S_NS;
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
    const ALL: [Self; 4] = [Self::Flush, Self::Tidy, Self::Reclaim, Self::Compact];

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

    fn not_before(&self, job: Job) -> i64 {
        self.attempts.get(&job.key()).map_or(i64::MIN, |attempt| attempt.due_ns)
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

impl<S: Store> Shard<S> {
    /// Runs the first job that is due at `now_ns`, bounded, and answers when to come back
    /// (nanoseconds). Never fails: a failing job is tried again later, and set aside after three
    /// failures: named, and tried once an hour.
    pub fn alarm(&mut self, now_ns: i64) -> Option<i64> {
        if let Ok(Some(job)) = self.first_due(now_ns) {
            self.run(job, now_ns);
        }
        self.next_due(now_ns)
    }

    /// When the next job is due, nanoseconds; `None` when nothing is. A shard that cannot be read
    /// asks to come back later.
    pub fn next_due(&mut self, now_ns: i64) -> Option<i64> {
        let dues = match self.load() {
            Ok(loaded) => {
                let all = Job::ALL.into_iter();
                all.filter_map(|job| due(loaded, job, now_ns)).collect::<Vec<_>>()
            }
            Err(Refusal::Stale) => return None,
            Err(_) => return Some(now_ns.saturating_add(RETRY_NS)),
        };
        dues.into_iter().min()
    }

    fn first_due(&mut self, now_ns: i64) -> Result<Option<Job>, Refusal> {
        let loaded = self.load()?;
        let is_due = |job: &Job| due(loaded, *job, now_ns).is_some_and(|due_ns| due_ns <= now_ns);
        Ok(Job::ALL.into_iter().find(is_due))
    }

    fn run(&mut self, job: Job, now_ns: i64) {
        let noted = self.note(job, now_ns, None);
        // Storage in which not even this fits is no reason not to make room in it.
        if noted.is_err() && job != Job::Reclaim {
            return;
        }
        let result = match job {
            Job::Flush => self.flush(),
            Job::Tidy => self.delete_dead_slots(),
            Job::Reclaim => self.reclaim(now_ns),
            Job::Compact => self.compact(),
        };
        if let Err(refusal) = result {
            // What cannot be stored is known until the object is unloaded.
            let _ = self.note(job, now_ns, Some(refusal.to_string()));
        }
    }

    /// Writes the job's row: before its work one more try, after it failed why.
    fn note(&mut self, job: Job, now_ns: i64, error: Option<String>) -> Result<(), Refusal> {
        let loaded = self.load()?;
        let before = loaded.jobs.attempts.get(&job.key()).cloned().unwrap_or_default();
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
        loaded.jobs.attempts.insert(job.key(), attempt);
        Ok(self.store.put(Table::Job, job.key(), &head, b"")?)
    }

    pub(super) fn delete_dead_slots(&mut self) -> Result<(), Refusal> {
        self.load()?;
        let Some(loaded) = self.loaded.as_mut() else { return Ok(()) };
        let deleted = loaded.wal.delete_dead(&self.store);
        let deleted = deleted.and_then(|()| clear(&self.store, Job::Tidy, &loaded.jobs));
        loaded.jobs.succeeded(Job::Tidy);
        deleted.map_err(|error| self.lost(error.into()))
    }
}

/// When a job is due; `None` when there is nothing to do or it was set aside.
fn due(loaded: &Loaded, job: Job, now_ns: i64) -> Option<i64> {
    let wal = &loaded.wal;
    let paused_ns = loaded.pace.paused_ns(now_ns);
    let has_frames = !wal.frames().is_empty() || !wal.damaged().is_empty();
    let natural_ns = match job {
        Job::Flush => {
            let is_enough = wal.bytes() >= ENOUGH.bytes || wal.decoded_bytes() >= ENOUGH.decoded;
            has_frames.then_some(if is_enough { now_ns } else { paused_ns })
        }
        Job::Tidy => (!has_frames && wal.has_dead()).then_some(paused_ns),
        Job::Reclaim => super::retention::due(loaded, now_ns),
        Job::Compact => {
            let plan = loaded.plan.get_or_init(|| super::retention::plan(loaded));
            (!plan.merge.is_empty()).then_some(now_ns)
        }
    }?;
    Some(natural_ns.max(loaded.jobs.not_before(job)))
}
