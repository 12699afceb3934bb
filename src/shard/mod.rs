//! A shard: the columnar store of some of a policy's series over one time range.
//!
//! The only module that knows WAL, memtable and segments together. Every function is synchronous:
//! an event is never interleaved with another, and the platform's output gate holds a reply until
//! what it promises is durable. A shard that is not open answers [`Refusal::Stale`] and writes
//! nothing.

pub mod budget;
pub mod request;

use std::rc::Rc;

use crate::protocol::shard::{ShardSettings, Stamp};
use crate::scan::page::{ScanPage, SummaryPage};
use crate::scan::request::{ScanRequest, SummaryRequest};
use crate::store::Store;
use budget::Budget;
use request::{AppendReply, Deletion, Refusal, Stats, VerifyPage};

/// One Shard object.
pub struct Shard<S: Store> {
    store: S,
    budget: Rc<Budget>,
}

impl<S: Store> Shard<S> {
    /// A shard over its storage. Reads nothing yet.
    pub fn new(store: S, budget: Rc<Budget>) -> Self {
        Self { store, budget }
    }

    /// Creates the tables and records the settings; an open shard takes newer settings only.
    ///
    /// # Errors
    /// [`Refusal::Stale`] for an older generation or another policy than the one it is open for.
    pub fn open(&mut self, settings: &ShardSettings, now_ns: i64) -> Result<(), Refusal> {
        let _ = (settings, now_ns, &self.budget);
        self.store.open()?;
        Ok(())
    }

    /// Takes newer settings and retires measurements. A repeat does nothing.
    ///
    /// # Errors
    /// [`Refusal::Stale`] for an older generation and when the shard is not open.
    pub fn configure(&mut self, settings: &ShardSettings, now_ns: i64) -> Result<(), Refusal> {
        let _ = (settings, now_ns);
        Err(Refusal::Stale)
    }

    /// Stores one frame, wholly or not at all.
    ///
    /// # Errors
    /// Every [`Refusal`].
    pub fn append(
        &mut self,
        frame: &[u8],
        stamp: &Stamp,
        now_ns: i64,
    ) -> Result<AppendReply, Refusal> {
        let _ = (frame, stamp, now_ns);
        Err(Refusal::Stale)
    }

    /// One page of a scan.
    ///
    /// # Errors
    /// [`Refusal::Stale`], [`Refusal::Invalid`], [`Refusal::Damaged`], [`Refusal::Store`].
    pub fn scan(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ScanPage, Refusal> {
        let _ = (request, stamp);
        Err(Refusal::Stale)
    }

    /// One page of what exists.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn summary(
        &mut self,
        request: &SummaryRequest,
        stamp: &Stamp,
    ) -> Result<SummaryPage, Refusal> {
        let _ = (request, stamp);
        Err(Refusal::Stale)
    }

    /// Hides matching rows that are stored now. Durable and visible at once.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when not open or of an older generation; [`Refusal::Store`].
    pub fn delete(&mut self, deletion: &Deletion, stamp: &Stamp) -> Result<(), Refusal> {
        let _ = (deletion, stamp);
        Err(Refusal::Stale)
    }

    /// Drops everything. Afterwards the shard is not open; a repeat does nothing.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub fn wipe(&mut self) -> Result<(), Refusal> {
        Ok(self.store.wipe()?)
    }

    /// Runs what is due at `now_ns`, bounded, and answers when to come back (nanoseconds).
    /// Never fails: a failing job is tried again later, and set aside after three failures.
    pub fn alarm(&mut self, now_ns: i64) -> Option<i64> {
        let _ = now_ns;
        None
    }

    /// When the next job is due, nanoseconds; `None` when nothing is.
    pub fn next_due(&mut self, now_ns: i64) -> Option<i64> {
        let _ = now_ns;
        None
    }

    /// Counters and sizes.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when not open; [`Refusal::Store`].
    pub fn stats(&mut self) -> Result<Stats, Refusal> {
        Err(Refusal::Stale)
    }

    /// Checks stored blocks from `resume` on (`None`: from the start), a bounded number of them.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when not open; [`Refusal::Store`].
    pub fn verify(&mut self, resume: Option<u64>) -> Result<VerifyPage, Refusal> {
        let _ = resume;
        Err(Refusal::Stale)
    }
}
