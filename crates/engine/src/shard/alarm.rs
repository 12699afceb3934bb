//! Runs the duties of a shard's alarm and retries them after failures.
//!
//! Stored data, such as frames in the WAL and parts, determines which duties are due. A write
//! therefore needs no extra row to schedule a duty. A duty's first try after the object starts
//! writes a row that counts tries, so that a try that crashes the object is also counted. Later
//! tries are counted only in memory, which saves two row writes per try.

use super::Shard;
use super::attempts::{self, AlarmTask, RETRY_NS};
use super::flush_size::ENOUGH;
use super::load::Loaded;
use super::manifest::Manifest;
use super::request::Refusal;
use crate::store::{Store, Table};
use tidemark_model::bug;

impl<S: Store> Shard<S> {
    /// Runs the first duty that is due at `now_ns` and returns the time of the next alarm in
    /// nanoseconds. One call does a bounded amount of work. A failed duty is retried later. After
    /// three failures, the statistics list the duty, and it runs only once an hour.
    pub fn alarm(&mut self, now_ns: i64) -> Option<i64> {
        if let Ok(Some(task)) = self.first_due(now_ns) {
            self.run(task, now_ns);
        }
        self.next_due(now_ns)
    }

    /// Returns the time at which the next duty is due, in nanoseconds, or `None` if no duty is
    /// pending. If the shard cannot be read, returns the time of the next attempt.
    pub fn next_due(&mut self, now_ns: i64) -> Option<i64> {
        let dues = match self.load() {
            Ok(loaded) => {
                let all = AlarmTask::ALL.into_iter();
                all.filter_map(|task| due(loaded, task, now_ns)).collect::<Vec<_>>()
            }
            Err(Refusal::Stale) => return None,
            Err(_) => return Some(now_ns.saturating_add(RETRY_NS)),
        };
        dues.into_iter().min()
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
        let result = result.unwrap_or_else(|bug| Err(self.lost(bug.into())));
        if let Err(refusal) = result {
            let _ = self.note(task, now_ns, Some(refusal.to_string()));
        }
    }

    fn note(&mut self, task: AlarmTask, now_ns: i64, error: Option<String>) -> Result<(), Refusal> {
        let loaded = self.load()?;
        loaded.attempts.note(&*loaded.store, task, now_ns, error)
    }

    pub(super) fn delete_unused_rows(&mut self) -> Result<(), Refusal> {
        let loaded = self.load()?;
        if let Err(error) = loaded.log.delete_dead(&*loaded.store) {
            return Err(self.lost(error.into()));
        }
        let dead: Vec<(u64, u64)> = match has_dead_values(loaded.manifest()) {
            true => loaded.manifest().dead().ranges().to_vec(),
            false => Vec::new(),
        };
        if dead.is_empty() {
            return self.done(AlarmTask::DeleteUnusedRows);
        }
        let mut draft = loaded.draft();
        draft.manifest.forget_dead();
        self.commit(draft, Some(AlarmTask::DeleteUnusedRows), |loaded| {
            let mut keys = dead.iter().map(|&(first, end)| first..=end - 1);
            keys.try_for_each(|keys| loaded.store.delete(Table::Value, keys))
        })
    }

    pub(super) fn done(&mut self, task: AlarmTask) -> Result<(), Refusal> {
        let loaded = self.load()?;
        let cleared = attempts::clear(&*loaded.store, task, &loaded.attempts);
        loaded.attempts.succeeded(task);
        cleared.map_err(|error| self.lost(error.into()))
    }
}

/// A running merge could reuse the rows of dead values.
fn has_dead_values(manifest: &Manifest) -> bool {
    !manifest.dead().is_empty() && manifest.job().is_none()
}

fn due<S: Store>(loaded: &Loaded<S>, task: AlarmTask, now_ns: i64) -> Option<i64> {
    let (wal, manifest) = (loaded.log.wal(), loaded.manifest());
    let paused_ns = loaded.pace.paused_ns(now_ns);
    let has_frames = !wal.frames().is_empty() || !wal.damaged().is_empty();
    let natural_ns = match task {
        AlarmTask::Flush => {
            let is_enough = loaded.log.size().reaches(&ENOUGH);
            has_frames.then_some(if is_enough { now_ns } else { paused_ns })
        }
        AlarmTask::DeleteUnusedRows => {
            // Deleting a row and inserting another row costs one more row write than reusing a row.
            let is_idle = || loaded.plan(now_ns).is_idle();
            let has_dead = wal.has_dead() || has_dead_values(manifest) && is_idle();
            (!has_frames && has_dead).then_some(paused_ns)
        }
        AlarmTask::Reclaim => super::retention::due(loaded, now_ns),
        AlarmTask::Scrub => super::compact::scrub_due(loaded, now_ns),
        AlarmTask::Release => super::backup::due(manifest),
        AlarmTask::Compact => {
            let is_now = manifest.job().is_some() || !loaded.plan(now_ns).merges.is_empty();
            if is_now { Some(now_ns) } else { loaded.plan(now_ns).quiet_ns }
        }
    }?;
    Some(natural_ns.max(loaded.attempts.not_before(task)))
}
