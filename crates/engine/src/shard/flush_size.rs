//! Measures the log, and defines the sizes at which the log is flushed.

use crate::batch::FrameTable;
use crate::batch::column::Column;
use crate::batch::slabs::SLAB_COLUMN_BYTES;

/// Both fields limit the duration of a flush.
#[derive(Clone, Copy)]
pub(super) struct FlushSize {
    pub bytes: u64,
    pub decoded_bytes: u64,
}

/// The size at which the alarm flushes.
pub(super) const ENOUGH: FlushSize = FlushSize { bytes: 3_600_000, decoded_bytes: 8_000_000 };
/// If a frame would let the log exceed this size, the append first flushes the log. Writes that
/// arrive during the flush wait. The log contains at most two million values: 16 MB at 8 bytes
/// each.
pub(super) const FORCED: FlushSize = FlushSize { bytes: 4_000_000, decoded_bytes: 16_000_000 };

/// Writing a boolean takes as long as writing an integer.
const VALUE_BYTES_MIN: usize = 8;

impl FlushSize {
    pub(super) fn reaches(&self, limit: &Self) -> bool {
        self.bytes >= limit.bytes || self.decoded_bytes >= limit.decoded_bytes
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            decoded_bytes: self.decoded_bytes.saturating_add(other.decoded_bytes),
        }
    }
}

/// Counts at least `VALUE_BYTES_MIN` per value.
pub(super) fn table_bytes(table: &FrameTable) -> u64 {
    let bytes = |column: &Column| column.bytes().max(column.values.len() * VALUE_BYTES_MIN);
    let fields: usize = table.block.fields.iter().map(bytes).sum();
    (table.block.rows() * 12 + fields + table.field_ids.len() * SLAB_COLUMN_BYTES) as u64
}
