//! What the alarm does, when it is due, and what happens when it keeps failing.
//!
//! That something is due follows from what is stored (frames in the WAL, parts), so writes need no
//! row for it. A row exists from a duty's first try in a life of the object to its success: it
//! counts the tries, so that one that takes the whole object down is noticed too. Later tries in
//! that life are counted in memory, which saves two rows each.

use super::Shard;
use super::attempts::{self, Duty, RETRY_NS};
use super::flush_size::ENOUGH;
use super::load::Loaded;
use super::request::Refusal;
use crate::store::{Store, Table};

impl<S: Store> Shard<S> {
    /// Does the first duty that is due at `now_ns`, bounded, and answers when to come back
    /// (nanoseconds). Never fails: a failing one is tried again later, and set aside after three
    /// failures: named, and tried once an hour.
    pub fn alarm(&mut self, now_ns: i64) -> Option<i64> {
        if let Ok(Some(duty)) = self.first_due(now_ns) {
            self.run(duty, now_ns);
        }
        self.next_due(now_ns)
    }

    /// When the next duty is due, nanoseconds; `None` when nothing is. A shard that cannot be read
    /// asks to come back later.
    pub fn next_due(&mut self, now_ns: i64) -> Option<i64> {
        let dues = match self.load() {
            Ok(loaded) => {
                let all = Duty::ALL.into_iter();
                all.filter_map(|duty| due(loaded, duty, now_ns)).collect::<Vec<_>>()
            }
            Err(Refusal::Stale) => return None,
            Err(_) => return Some(now_ns.saturating_add(RETRY_NS)),
        };
        dues.into_iter().min()
    }

    fn first_due(&mut self, now_ns: i64) -> Result<Option<Duty>, Refusal> {
        let loaded = self.load()?;
        let is_due =
            |duty: &Duty| due(loaded, *duty, now_ns).is_some_and(|due_ns| due_ns <= now_ns);
        Ok(Duty::ALL.into_iter().find(is_due))
    }

    fn run(&mut self, duty: Duty, now_ns: i64) {
        let noted = self.note(duty, now_ns, None);
        // Storage in which not even this fits is no reason not to make room in it.
        if noted.is_err() && duty != Duty::Reclaim {
            return;
        }
        let result = match duty {
            Duty::Flush => self.flush(now_ns),
            Duty::Tidy => self.tidy(),
            Duty::Reclaim => self.reclaim(now_ns),
            Duty::Compact => self.compact(now_ns),
            Duty::Scrub => self.scrub(now_ns),
            Duty::Release => self.end_holds(now_ns),
        };
        if let Err(refusal) = result {
            // What cannot be stored is known until the object is unloaded.
            let _ = self.note(duty, now_ns, Some(refusal.to_string()));
        }
    }

    fn note(&mut self, duty: Duty, now_ns: i64, error: Option<String>) -> Result<(), Refusal> {
        self.load()?;
        let Some(loaded) = self.loaded.as_mut() else { return Ok(()) };
        loaded.attempts.note(&*self.store, duty, now_ns, error)
    }

    /// Deletes rows of the log that are flushed, and rows of values that nothing needs.
    pub(super) fn tidy(&mut self) -> Result<(), Refusal> {
        self.load()?;
        let Some(loaded) = self.loaded.as_mut() else { return Ok(()) };
        if let Err(error) = loaded.wal.delete_dead(&*self.store) {
            return Err(self.lost(error.into()));
        }
        let dead: Vec<(u64, u64)> = match has_dead_values(loaded) {
            true => loaded.manifest.dead().ranges().to_vec(),
            false => Vec::new(),
        };
        if dead.is_empty() {
            return self.done(Duty::Tidy);
        }
        let mut manifest = loaded.manifest.clone();
        manifest.forget_dead();
        let delete = |store: &S, (first, end)| store.delete(Table::Value, first..=end - 1);
        self.commit(
            manifest,
            Some(Duty::Tidy),
            |_| (),
            |store, _| dead.iter().try_for_each(|&range: &(u64, u64)| delete(store, range)),
        )
    }

    /// A duty was done, or there was nothing to do, and nothing is to be stored with that.
    pub(super) fn done(&mut self, duty: Duty) -> Result<(), Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let cleared = attempts::clear(&*self.store, duty, &loaded.attempts);
        loaded.attempts.succeeded(duty);
        cleared.map_err(|error| self.lost(error.into()))
    }
}

/// Whether values are dead that no merge will write again soon.
fn has_dead_values(loaded: &Loaded) -> bool {
    !loaded.manifest.dead().is_empty() && loaded.manifest.job().is_none()
}

/// When a duty is due; `None` when there is nothing to do.
fn due(loaded: &Loaded, duty: Duty, now_ns: i64) -> Option<i64> {
    let wal = &loaded.wal;
    let paused_ns = loaded.pace.paused_ns(now_ns);
    let has_frames = !wal.frames().is_empty() || !wal.damaged().is_empty();
    let natural_ns = match duty {
        Duty::Flush => {
            let is_enough = loaded.flush_size().reaches(&ENOUGH);
            has_frames.then_some(if is_enough { now_ns } else { paused_ns })
        }
        Duty::Tidy => {
            // Rows that will soon be written again cost one row, not two.
            let is_at_rest = || loaded.plan(now_ns).is_at_rest();
            let has_dead = wal.has_dead() || has_dead_values(loaded) && is_at_rest();
            (!has_frames && has_dead).then_some(paused_ns)
        }
        Duty::Reclaim => super::retention::due(loaded, now_ns),
        Duty::Scrub => super::compact::scrub_due(loaded, now_ns),
        Duty::Release => super::backup::due(loaded),
        Duty::Compact => {
            let is_now = loaded.manifest.job().is_some() || !loaded.plan(now_ns).merges.is_empty();
            if is_now { Some(now_ns) } else { loaded.plan(now_ns).quiet_ns }
        }
    }?;
    Some(natural_ns.max(loaded.attempts.not_before(duty)))
}
