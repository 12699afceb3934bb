//! A batch of parsed lines to the shards that keep them.

use super::error::Error;
use super::{Context, Machine};
use crate::batch::Batch;
use crate::protocol::call::{Reply, Step};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::RegisterRefusal;

/// One write.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// The database's name.
    pub database: String,
    /// The policy as the client said it; none or empty is the default one.
    pub policy: Option<String>,
    /// The accepted lines.
    pub batch: Batch,
    /// What to create when the database does not exist; `None` answers that it does not.
    pub auto_create: Option<CreateDatabase>,
}

/// What became of a write whose points were kept, as far as they were not rejected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteOutcome {
    /// Points that are kept, durably.
    pub points_written: u64,
    /// Lines that were not.
    pub rejected: Rejections,
}

/// Rejected lines: the first are named, the rest counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejections {
    /// The `REJECTED_LINES_NAMED_MAX` lowest lines, ascending.
    pub named: Vec<RejectedLine>,
    /// All rejected lines.
    pub total: u64,
    /// Of them, those outside retention.
    pub outside_retention: u64,
}

/// One rejected line.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedLine {
    /// 1-based physical line on which it started.
    pub line: u32,
    /// Why.
    pub cause: LineRefusal,
}

/// Why a line was rejected although it could be parsed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LineRefusal {
    /// Its columns contradict the schema or exceed a limit.
    #[error(transparent)]
    Columns(RegisterRefusal),
    /// It is older than its policy keeps points.
    #[error(
        "data in measurement \"{measurement}\" is outside of the retention period: the oldest \
         accepted timestamp is {oldest_kept_ns}, but the line has {time_ns}"
    )]
    Retention {
        /// The measurement.
        measurement: String,
        /// Oldest accepted time, nanoseconds.
        oldest_kept_ns: i64,
        /// The line's time, nanoseconds.
        time_ns: i64,
    },
}

/// A write in progress. Its answer is an error only when nothing may be said of single lines.
#[derive(Debug)]
pub struct Write {
    request: WriteRequest,
}

impl Write {
    /// Prepares a write.
    pub fn new(request: WriteRequest) -> Self {
        Self { request }
    }
}

impl Machine for Write {
    type Answer = Result<WriteOutcome, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let _ = (context, reply);
        Step::Done(Err(Error::DatabaseNotFound(self.request.database.clone())))
    }
}
