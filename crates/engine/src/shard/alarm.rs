//! Runs the tasks of a shard's alarm.
//!
//! Stored data, such as frames in the WAL and parts, determines which tasks are due. A write
//! therefore needs no extra row to schedule a task.

use super::Shard;
use super::attempts::{AlarmTask, RETRY_NS};
use super::loaded::Loaded;
use super::log::FLUSH_WANTED;
use super::manifest::Manifest;
use super::parts::DueWork;
use super::refusal::Refusal;
use super::tombstone::{TOMBSTONES_ENOUGH, Tombstone};
use crate::store::{Store, Table};
use tidemark_model::bug;

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
