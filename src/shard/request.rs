//! What a shard is asked and what it answers, as plain values: `protocol` carries them.

use crate::model::ids::{ColumnId, MeasurementId};
use crate::protocol::quota::{OverRate, OverSeries, OverStored};
pub use crate::protocol::shard::{Counters, Stats, VerifyPage};
pub use crate::scan::request::Deletion;
use crate::store::StoreError;

/// An acknowledged write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendReply {
    /// Bytes of storage that the shard uses; past `SHARD_SPLIT_BYTES` its group splits.
    pub bytes_stored: u64,
    /// The write sequence that the frame got.
    pub sequence: u64,
    /// Rows taken.
    pub rows: u64,
    /// Hashes of series of which no row was taken, and why.
    pub rejected: Option<(OverSeries, Vec<u64>)>,
}

/// Why a shard did not do what it was asked. Nothing of a refused write is stored, except that
/// after `Store` its outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not open, wiped, or it has seen a newer generation or schema version: refresh and retry.
    #[error("the shard knows newer state than the request")]
    Stale,
    /// The frame has rows outside the shard's range: refresh the map and split it again.
    #[error("the write has points outside the shard's time range")]
    OutOfRange,
    /// The write or delete reaches behind the fence of a split: repeat it later.
    #[error("a split is moving these times to another shard")]
    Changing,
    /// A column has another type on this shard.
    #[error("column {} has another type on this shard", column.0)]
    TypeConflict {
        /// Of which measurement.
        measurement: MeasurementId,
        /// Which column.
        column: ColumnId,
    },
    /// The measurement was dropped.
    #[error("measurement {} was dropped", measurement.0)]
    RetiredMeasurement {
        /// Which.
        measurement: MeasurementId,
    },
    /// The object is full: writes are refused; reads and deletes go on.
    #[error(
        "the shard's storage is full ({bytes} of {limit} bytes): delete data or split its group"
    )]
    Full {
        /// Bytes used.
        bytes: u64,
        /// `SHARD_FULL_BYTES`.
        limit: u64,
    },
    /// So many parts wait to be merged that a write must wait too: repeat it in a second.
    #[error("the shard has {parts} parts to merge: repeat the write in a second")]
    Behind {
        /// How many.
        parts: u64,
    },
    /// A limit of what may be done in a minute is reached.
    #[error("{0}")]
    OverRate(OverRate),
    /// A limit of what may be stored is reached.
    #[error("{0}")]
    OverStored(OverStored),
    /// The frame cannot be decoded.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// The question cannot be evaluated.
    #[error("{0}")]
    Invalid(String),
    /// Stored data that the request needs fails its checksum.
    #[error("damaged block: {block}")]
    Damaged {
        /// Which.
        block: String,
    },
    /// The store failed; whether a write happened is unknown.
    #[error("{0}")]
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
