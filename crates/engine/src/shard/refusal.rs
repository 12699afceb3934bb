//! Defines the reasons why a shard rejects a request. `messages.rs` converts them to replies.

use crate::batch::frame::FrameError;
use crate::merge::cursor::ReadError;
use crate::protocol::quota::{RateExceeded, StorageExceeded};
use crate::store::StoreError;
use tidemark_model::bug::Bug;
use tidemark_model::ids::{ColumnId, MeasurementId};

/// The reason why a shard rejected a request. A rejected write has stored no rows, except after
/// `Store`, where the outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum Refusal {
    /// The shard is not open, was wiped, or has a newer generation or schema version. The sender
    /// must refresh its state and retry.
    #[error("the request refers to an outdated state of the shard")]
    Stale,
    /// The frame has rows outside the shard's range. The sender must refresh the shard map and
    /// divide the rows again.
    #[error("the write has points outside the shard's time range")]
    OutOfRange,
    /// The write or delete reaches times that a split is moving. The sender must repeat the request
    /// later.
    #[error("a split is moving these times to another shard")]
    Changing,
    #[error("column {} has another type on this shard", column.0)]
    TypeConflict { measurement: MeasurementId, column: ColumnId },
    #[error("measurement {} was dropped", measurement.0)]
    RetiredMeasurement { measurement: MeasurementId },
    /// The storage of the object is full. The shard rejects writes but continues to accept reads
    /// and deletes.
    #[error(
        "the shard's storage is full ({bytes} of {limit} bytes): delete data or split its group"
    )]
    Full {
        bytes: u64,
        /// The limit, `SHARD_FULL_BYTES`.
        limit: u64,
    },
    /// The shard has too many unmerged parts. The sender must repeat the write after a second.
    #[error("the shard must first merge {parts} parts: repeat the write in a second")]
    Behind { parts: u64 },
    #[error("{0}")]
    RateExceeded(RateExceeded),
    #[error("{0}")]
    StorageExceeded(StorageExceeded),
    #[error("malformed frame: {0}")]
    Malformed(String),
    #[error("{0}")]
    Invalid(String),
    #[error("damaged block: {block}")]
    Damaged { block: String },
    /// The code has a bug. After the bug was reported, the event stored no rows.
    #[error(transparent)]
    Internal(#[from] Bug),
    /// The store failed. A write may have succeeded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged { what } => Self::Damaged { block: what },
            ReadError::Storage(reason) => Self::Store(StoreError::Failed(reason)),
            ReadError::ColumnType { .. } => Self::Damaged { block: error.to_string() },
            ReadError::TooManySources(_) | ReadError::TooMuchText => {
                Self::Invalid(error.to_string())
            }
        }
    }
}
