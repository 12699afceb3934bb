//! Turns pages of many shards into the statement's rows, asking for the pages it needs.

use super::error::QueryError;
use super::plan::Plan;
use super::result::SeriesChunk;
use crate::scan::page::ScanPage;
use crate::scan::request::ScanRequest;

/// One shard's answer to one scan of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Position in [`Plan::scans`].
    pub scan: u32,
    /// Which of that scan's shards, counting from 0.
    pub shard: u32,
}

/// A page that is needed before the executor can go on.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamNeed {
    /// Whom to ask; the page comes back under the same id.
    pub stream: StreamId,
    /// What to ask, resume key included.
    pub request: ScanRequest,
}

/// What the executor wants or has.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecStep {
    /// Supply all of these (in any order), then call `next` again.
    Need(Vec<StreamNeed>),
    /// The next rows.
    Chunk(SeriesChunk),
    /// There are no more rows.
    Done,
}

/// Executes one plan.
#[derive(Debug)]
pub struct Executor {
    _plan: Plan,
}

impl Executor {
    /// Starts `plan`; `shards[i]` is how many shards scan `i` of the plan touches (0: none, it
    /// then has no rows).
    pub fn new(plan: Plan, _shards: &[u32]) -> Self {
        Self { _plan: plan }
    }

    /// The next step. Call again after supplying what a [`ExecStep::Need`] asked for.
    ///
    /// # Errors
    /// [`QueryError`]; the executor is then of no further use.
    pub fn next(&mut self) -> Result<ExecStep, QueryError> {
        Ok(ExecStep::Done)
    }

    /// Hands in the page that a [`StreamNeed`] asked for.
    pub fn supply(&mut self, _stream: StreamId, _page: ScanPage) {}
}
