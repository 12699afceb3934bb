//! Records the commits that failed, for `/health` and `/metrics` of all threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tidemark_engine::protocol::call::CommitFailures;

use crate::limits::COMMIT_FAILURE_SHOWN;

#[derive(Debug, Default)]
pub struct FailedCommits {
    /// The number of failed commits since the start of the program.
    count: AtomicU64,
    /// The files whose last commit failed, with the time and the cause.
    failing: Mutex<BTreeMap<String, (Instant, String)>>,
    /// The number of entries of `failing`, so that a successful commit needs no lock.
    failing_files: AtomicUsize,
}

impl FailedCommits {
    /// Records the end of a commit of a file.
    pub fn record(&self, file: &str, result: Result<(), String>) {
        self.record_at(Instant::now(), file, result);
    }

    fn record_at(&self, now: Instant, file: &str, result: Result<(), String>) {
        if result.is_ok() && self.failing_files.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut failing = self.lock();
        match result {
            Ok(()) => {
                failing.remove(file);
                // Another file with a failed commit may get no further write. After a while, the
                // success of any file shows that the disk works again.
                failing.retain(|_, (at, _)| now < *at + COMMIT_FAILURE_SHOWN);
            }
            Err(cause) => {
                self.count.fetch_add(1, Ordering::Relaxed);
                failing.insert(file.to_owned(), (now, cause));
            }
        }
        self.failing_files.store(failing.len(), Ordering::Relaxed);
    }

    pub fn report(&self) -> CommitFailures {
        let failing = self.lock();
        let newest = failing.values().max_by_key(|(at, _)| *at);
        let cause = newest.map(|(_, cause)| {
            format!(
                "the last commit failed ({cause}), so writes return 503: free space on the disk of \
                 the data folder, or repair the disk; the log contains the failures"
            )
        });
        CommitFailures { count: self.count.load(Ordering::Relaxed), cause }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, String)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_ends_own_failure_and_old_failures() {
        let failed = FailedCommits::default();
        let start = Instant::now();
        let full = || Err("storage is full".to_owned());
        failed.record_at(start, "a", Ok(()));
        assert_eq!(failed.report(), CommitFailures::default());
        failed.record_at(start, "a", full());
        failed.record_at(start, "b", Err("disk I/O error".to_owned()));
        failed.record_at(start, "b", Ok(()));
        let cause = failed.report().cause.unwrap();
        assert!(cause.starts_with("the last commit failed (storage is full)"), "{cause}");
        failed.record_at(start, "b", Err("disk I/O error".to_owned()));
        failed.record_at(start + COMMIT_FAILURE_SHOWN / 2, "a", Ok(()));
        assert!(failed.report().cause.unwrap().contains("(disk I/O error)"));
        failed.record_at(start + COMMIT_FAILURE_SHOWN, "a", Ok(()));
        assert_eq!(failed.report(), CommitFailures { count: 3, cause: None });
    }
}
