//! How much there is to flush, and when that is enough.

use crate::batch::FrameTable;
use crate::batch::column::Column;
use crate::batch::slabs::SLAB_COLUMN_BYTES;

/// What a flush of the WAL would have to do: both bound how long it takes.
#[derive(Clone, Copy)]
pub(super) struct FlushSize {
    /// Encoded bytes of the frames.
    pub bytes: u64,
    /// Memory of their rows and series once decoded, as [`table_bytes`] counts it.
    pub decoded_bytes: u64,
}

/// At this the alarm flushes.
pub(super) const ENOUGH: FlushSize = FlushSize { bytes: 3_600_000, decoded_bytes: 8_000_000 };
/// An append that would take the WAL past this flushes first: a write that comes meanwhile waits
/// for the flush. It has two million values at most.
pub(super) const FORCED: FlushSize = FlushSize { bytes: 4_000_000, decoded_bytes: 16_000_000 };

/// What a value counts as at least, bytes: as long takes a boolean to write.
const VALUE_BYTES_MIN: usize = 8;

impl FlushSize {
    /// Whether it has as much of either.
    pub(super) fn reaches(&self, limit: &Self) -> bool {
        self.bytes >= limit.bytes || self.decoded_bytes >= limit.decoded_bytes
    }

    /// Both together.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            decoded_bytes: self.decoded_bytes.saturating_add(other.decoded_bytes),
        }
    }
}

/// Memory that the rows take, bytes, where no value takes less than an integer.
pub(super) fn table_bytes(table: &FrameTable) -> u64 {
    let bytes = |column: &Column| column.bytes().max(column.values.len() * VALUE_BYTES_MIN);
    let fields: usize = table.block.fields.iter().map(bytes).sum();
    (table.block.rows() * 12 + fields + table.field_ids.len() * SLAB_COLUMN_BYTES) as u64
}
