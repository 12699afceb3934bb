//! Runs the tasks of a shard's alarm and retries them after failures.
//!
//! Stored data, such as frames in the WAL and parts, determines which tasks are due. A write
//! therefore needs no extra row to schedule a task. A row counts the tries of a task. At first,
//! each try is stored before it begins, so that the count includes a try that crashes the object.
//! After the task's first success since the start of the object, only failed tries are stored,
//! which saves two row writes per try.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Shard;
use super::due_work::DueWork;
use super::log::FLUSH_WANTED;
use super::manifest::Manifest;
use super::object::Loaded;
use super::refusal::Refusal;
use super::tombstone::{TOMBSTONES_ENOUGH, Tombstone};
use crate::store::{Store, StoreResult, Table, row};
use tidemark_model::bug;
use tidemark_model::limits::JOB_FAILURES_MAX;
use tidemark_model::time::{H_NS, MINUTE_NS, S_NS};

impl<S: Store> Shard<S> {
    /// Runs the first task that is due at `now_ns` and returns the time of the next alarm in
    /// nanoseconds. One call does a bounded amount of work. A failed task is retried later. After
    /// three failures, the statistics list the task, and it runs only once an hour.
    pub fn alarm(&mut self, now_ns: i64) -> Option<i64> {
        if let Ok(Some(task)) = self.first_due(now_ns) {
            self.run(task, now_ns);
        }
        self.next_due(now_ns)
    }

    /// Returns the time at which the next task is due, in nanoseconds, or `None` if no task is
    /// pending. If the shard cannot be read, returns the time of the next attempt.
    pub fn next_due(&mut self, now_ns: i64) -> Option<i64> {
        match self.load() {
            Ok(loaded) => {
                AlarmTask::ALL.into_iter().filter_map(|task| due(loaded, task, now_ns)).min()
            }
            Err(Refusal::Stale) => None,
            Err(_) => Some(now_ns.saturating_add(RETRY_NS)),
        }
    }

    fn first_due(&mut self, now_ns: i64) -> Result<Option<AlarmTask>, Refusal> {
        let loaded = self.load()?;
        let is_due =
            |task: &AlarmTask| due(loaded, *task, now_ns).is_some_and(|due_ns| due_ns <= now_ns);
        Ok(AlarmTask::ALL.into_iter().find(is_due))
    }

    fn run(&mut self, task: AlarmTask, now_ns: i64) {
        let noted = self.note(task, now_ns, None);
        // `Reclaim` frees space, so it must run even if a full storage rejects its row.
        if noted.is_err() && task != AlarmTask::Reclaim {
            return;
        }
        let result = bug::catch(|| match task {
            AlarmTask::Flush => self.flush(now_ns),
            AlarmTask::DeleteUnusedRows => self.delete_unused_rows(),
            AlarmTask::Reclaim => self.reclaim(now_ns),
            AlarmTask::Compact => self.compact(now_ns),
            AlarmTask::Scrub => self.scrub(now_ns),
            AlarmTask::Release => self.end_holds(now_ns),
        });
        let result = result.unwrap_or_else(|bug| Err(self.discard_state(bug.into())));
        if let Err(refusal) = result {
            let _ = self.note(task, now_ns, Some(refusal.to_string()));
        }
    }

    fn note(&mut self, task: AlarmTask, now_ns: i64, error: Option<String>) -> Result<(), Refusal> {
        let loaded = self.load()?;
        loaded.attempts.note(&*loaded.store, task, now_ns, error)
    }

    /// Deletes the log rows of flushed frames, and some unused values.
    pub(super) fn delete_unused_rows(&mut self) -> Result<(), Refusal> {
        let loaded = self.load()?;
        if let Err(error) = loaded.log.wal.delete_unused(&*loaded.store) {
            return Err(self.discard_state(error.into()));
        }
        if !has_unused_values(loaded.manifest()) {
            return self.done(AlarmTask::DeleteUnusedRows);
        }
        let mut draft = loaded.draft();
        let unused = draft.manifest.remove_unused(VALUE_ROWS_DELETED_PER_EVENT);
        self.commit(draft, Some(AlarmTask::DeleteUnusedRows), |loaded| {
            loaded.store.delete_keys(Table::Value, unused)
        })
    }

    pub(super) fn done(&mut self, task: AlarmTask) -> Result<(), Refusal> {
        let loaded = self.load()?;
        let cleared = loaded.attempts.clear(&*loaded.store, task);
        loaded.attempts.on_success(task);
        cleared.map_err(|error| self.discard_state(error.into()))
    }
}

/// The maximum number of values that one event deletes, at most 190 MB. SQLite visits each page of
/// a deleted row. After the expiry of many parts, all values of the shard may be unused.
const VALUE_ROWS_DELETED_PER_EVENT: usize = 100;

/// Whether rows of unused values can be deleted. While a merge runs, they cannot, because the merge
/// may reuse such rows.
fn has_unused_values(manifest: &Manifest) -> bool {
    !manifest.unused().is_empty() && manifest.job().is_none()
}

/// Whether many deletes stay pending until the log is flushed, because the log has frames that are
/// older than the deletes.
fn has_many_deleted_frames<S: Store>(loaded: &Loaded<S>) -> bool {
    let Some(oldest_frame) = loaded.log.wal.frames().keys().next() else { return false };
    let waits = |tombstone: &&Tombstone| *oldest_frame < tombstone.before;
    loaded.deletions.tombstones.values().filter(waits).count() > TOMBSTONES_ENOUGH
}

fn due<S: Store>(loaded: &Loaded<S>, task: AlarmTask, now_ns: i64) -> Option<i64> {
    let (wal, manifest) = (&loaded.log.wal, loaded.manifest());
    let paused_ns = loaded.pace.paused_ns(now_ns);
    let has_frames = !wal.frames().is_empty() || !wal.damaged().is_empty();
    let natural_ns = match task {
        AlarmTask::Flush => {
            let is_flush_wanted =
                loaded.log.size().reaches(&FLUSH_WANTED) || has_many_deleted_frames(loaded);
            has_frames.then_some(if is_flush_wanted { now_ns } else { paused_ns })
        }
        AlarmTask::DeleteUnusedRows => {
            // Deleting a row and inserting another row costs one more row write than reusing a row.
            let is_idle = |work: &DueWork| work.merges.is_empty() && work.scrub.is_empty();
            let has_unused = wal.has_unused()
                || has_unused_values(manifest) && is_idle(&loaded.due_work(now_ns));
            (!has_frames && has_unused).then_some(paused_ns)
        }
        AlarmTask::Reclaim => super::retention::due(loaded, now_ns),
        AlarmTask::Scrub => super::compact::scrub_due(loaded, now_ns),
        AlarmTask::Release => super::backup_restore::due(manifest),
        AlarmTask::Compact => {
            let is_now = manifest.job().is_some() || !loaded.due_work(now_ns).merges.is_empty();
            if is_now { Some(now_ns) } else { loaded.due_work(now_ns).quiet_ns }
        }
    }?;
    Some(natural_ns.max(loaded.attempts.not_before(task)))
}

/// The delay before the first retry of a task. The delay doubles after each failure.
const RETRY_NS: i64 = 30 * S_NS;
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

/// The pause without writes after which the log is flushed and unused rows are deleted.
const PAUSE_NS: i64 = 10 * MINUTE_NS;
/// The shorter pause that replaces `PAUSE_NS` after a bulk load.
const LOAD_PAUSE_NS: i64 = 12 * S_NS;
/// The maximum interval between frames in a bulk load.
const LOAD_GAP_NS: i64 = 4 * S_NS;

/// A record of the intervals between frames, which determine the pause before work that writes
/// rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The time of the last frame since the object was loaded.
    pub(super) last_ns: Option<i64>,
    /// The time of the last delete since the object was loaded.
    pub(super) deleted_ns: Option<i64>,
    /// The longest recent interval. Each later frame reduces this interval by an eighth.
    gap_ns: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { last_ns: None, deleted_ns: None, gap_ns: PAUSE_NS }
    }
}

impl Pace {
    pub(super) fn appended(&mut self, now_ns: i64) {
        let gap_ns = self.last_ns.map_or(0, |last_ns| now_ns.saturating_sub(last_ns));
        self.gap_ns = gap_ns.max(self.gap_ns - self.gap_ns / 8).min(PAUSE_NS);
        self.last_ns = Some(now_ns);
    }

    /// Returns the end of the pause after the last delete. Without the pause, each further delete
    /// could cause a rewrite of the same parts.
    pub(super) fn deletes_ended_ns(&self, now_ns: i64) -> i64 {
        self.deleted_ns.map_or(now_ns, |deleted_ns| deleted_ns.saturating_add(LOAD_PAUSE_NS))
    }

    /// Returns the end of the pause after the last frame. If no frame has arrived since the object
    /// was loaded, the pause has already ended.
    fn paused_ns(&self, now_ns: i64) -> i64 {
        let pause_ns = if self.gap_ns < LOAD_GAP_NS { LOAD_PAUSE_NS } else { PAUSE_NS };
        self.last_ns.map_or(now_ns, |last_ns| last_ns.saturating_add(pause_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause_ns(frames: i64, gap_ns: i64) -> i64 {
        let mut pace = Pace::default();
        (0..frames).for_each(|frame| pace.appended(frame * gap_ns));
        pace.paused_ns(0) - (frames - 1) * gap_ns
    }

    #[test]
    fn flush_pause_follows_write_pace() {
        assert_eq!(pause_ns(50, S_NS / 100), LOAD_PAUSE_NS);
        assert_eq!(pause_ns(20, S_NS / 100), PAUSE_NS);
        assert_eq!(pause_ns(1_000, 10 * S_NS), PAUSE_NS);
        assert_eq!(Pace::default().paused_ns(7), 7);
        let mut pace = Pace::default();
        for minute in 0..100 {
            (0..5).for_each(|frame| pace.appended(minute * MINUTE_NS + frame));
        }
        assert_eq!(pace.paused_ns(0), 99 * MINUTE_NS + 4 + PAUSE_NS);
    }
}
