#![doc = include_str!("FRAME.md")]

mod decode;
mod encode;
mod header;
mod sets;
#[cfg(test)]
mod tests;

pub use decode::{decode, decode_each};
pub use encode::encode;
pub use header::{FrameHeader, TableHeader};

use super::Block;
use super::selection::Selection;
use crate::codec;
use crate::model::ids::{ColumnId, MeasurementId};

/// The version that [`encode()`] writes and [`decode()`] reads.
pub const VERSION: u8 = 1;

/// Rows to be put into a frame, still inside the block they were parsed into.
#[derive(Clone, Copy, Debug)]
pub struct TableRef<'a> {
    /// Their measurement.
    pub measurement: MeasurementId,
    /// Ids of `block.series.tags`, in the same order. Those of tags that no selected row has are
    /// not looked at.
    pub tag_ids: &'a [ColumnId],
    /// Ids of `block.fields`, in the same order. Those of fields that no selected row has are not
    /// looked at: a column whose lines were all rejected needs no true id.
    pub field_ids: &'a [ColumnId],
    /// Where the rows are.
    pub block: &'a Block,
    /// Which rows. A table without rows is left out of the frame.
    pub rows: &'a Selection,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Neither this version nor the one before.
    #[error("frame version {0} is not supported")]
    Version(u8),
    /// The bytes end inside the header.
    #[error("frame header ends early")]
    HeaderTruncated,
    /// The header does not match its checksum.
    #[error("frame header is damaged")]
    HeaderDamaged,
    /// The payload is not what the header says.
    #[error("frame payload is damaged")]
    PayloadDamaged,
    /// More cells than a request may have (`model::limits::CELLS_PER_REQUEST_MAX`).
    #[error("frame has too many cells")]
    TooMany,
    /// A column does not decode.
    #[error("frame column is damaged: {0}")]
    Column(#[from] codec::Error),
}
