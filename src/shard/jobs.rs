//! What the alarm does, when it is due, and what happens when it keeps failing.
//!
//! That a job is due follows from what is stored (frames in the WAL, segments), so writes need no
//! row for it. A row exists only from a job's start to its success: it counts the tries, so that a
//! job that takes the whole object down is noticed too.

use super::Shard;
use super::attempts::{Job, RETRY_NS, clear};
use super::flush::ENOUGH;
use super::load::Loaded;
use super::request::Refusal;
use crate::store::Store;

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

    fn note(&mut self, job: Job, now_ns: i64, error: Option<String>) -> Result<(), Refusal> {
        self.load()?;
        let Some(loaded) = self.loaded.as_mut() else { return Ok(()) };
        loaded.jobs.note(&self.store, job, now_ns, error)
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
