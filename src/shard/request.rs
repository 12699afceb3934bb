//! What a shard is asked and what it answers, as plain values: `protocol` carries them.

use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;
use crate::scan::request::Predicate;
use crate::store::StoreError;

/// An acknowledged write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AppendReply {
    /// Bytes of storage that the shard uses; past `SHARD_SPLIT_BYTES` its group splits.
    pub bytes_stored: u64,
    /// The write sequence that the frame got.
    pub sequence: u64,
    /// Rows taken.
    pub rows: u64,
}

/// One DELETE of one measurement.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Deletion {
    /// Which measurement.
    pub measurement: MeasurementId,
    /// On tags only; `None` deletes every series.
    pub predicate: Option<Predicate>,
    /// Only rows inside go.
    pub time: TimeRange,
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

/// Counters and sizes of a shard, for SHOW STATS and DIAGNOSTICS. All but the sizes survive
/// eviction up to the last flush.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// What bills and what happened, since the shard was opened.
    pub counters: Counters,
    /// Bytes of storage.
    pub bytes_stored: u64,
    /// Encoded bytes in the WAL above the head.
    pub wal_bytes: u64,
    /// Frames in the WAL above the head.
    pub wal_frames: u64,
    /// Memory held by memtable and caches, bytes.
    pub memory_bytes: u64,
    /// Live segments.
    pub segments: u64,
    /// Jobs that failed three times, and frames and blocks found damaged, in words.
    pub troubles: Vec<String>,
}

/// Monotone counters, saved by every flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Rows of points accepted.
    pub points: u64,
    /// Frames accepted.
    pub frames: u64,
    /// Storage rows billed as written.
    pub rows_written: u64,
    /// Storage rows billed as read.
    pub rows_read: u64,
    /// Flushes.
    pub flushes: u64,
    /// Compactions.
    pub compactions: u64,
}

/// One bounded step of verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VerifyPage {
    /// Blocks whose checksum was computed.
    pub blocks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is damaged, in the words that queries use.
    pub damaged: Vec<String>,
    /// Where to go on; `None` at the end.
    pub resume: Option<u64>,
}
