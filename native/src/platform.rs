//! Provides the clock, random numbers and new object ids of this host.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidemark_engine::protocol::call::{CommitFailures, ObjectKind, PlacementError, Platform};
use tidemark_model::configurable_limits::Limits;
use tidemark_model::ids::ObjectId;

use crate::failed_commits::FailedCommits;

/// The platform services that the engine's state machines use.
#[derive(Debug)]
pub struct NativePlatform {
    pub limits: Limits,
    pub has_backups: bool,
    pub failed_commits: Arc<FailedCommits>,
}

impl Platform for NativePlatform {
    fn now_ns(&self) -> i64 {
        now_ns()
    }

    fn random_u64(&self) -> u64 {
        random_u64()
    }

    fn has_sql(&self) -> bool {
        cfg!(feature = "sql")
    }

    fn has_backups(&self) -> bool {
        self.has_backups
    }

    fn commit_failures(&self) -> Option<CommitFailures> {
        Some(self.failed_commits.report())
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn new_object_id(
        &self,
        _: ObjectKind,
        jurisdiction: Option<&str>,
    ) -> Result<ObjectId, PlacementError> {
        if let Some(jurisdiction) = jurisdiction {
            return Err(PlacementError::Jurisdiction(jurisdiction.to_owned()));
        }
        Ok(ObjectId(format!("{:016x}{:016x}", random_u64(), random_u64())))
    }
}

pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The number of random bytes that one system call reads. Each request needs 16 bytes for its id.
const RANDOM_BYTES_READ: usize = 256;

thread_local! {
    /// The random numbers that were read and not used.
    static RANDOM: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

pub fn random_u64() -> u64 {
    RANDOM.with_borrow_mut(|unused| {
        loop {
            if let Some(bits) = unused.pop() {
                return bits;
            }
            let mut bytes = [0; RANDOM_BYTES_READ];
            if let Err(reason) = getrandom::fill(&mut bytes) {
                // Ids and seeds that an attacker can guess are unsafe, so the program ends.
                eprintln!("the operating system does not provide random numbers: {reason}");
                std::process::abort()
            }
            unused.extend(bytes.as_chunks().0.iter().copied().map(u64::from_ne_bytes));
        }
    })
}
