//! How much there is to flush, and when that is enough.

/// What a flush of the WAL would have to do: all three bound how long it takes.
#[derive(Clone, Copy)]
pub(super) struct FlushSize {
    /// Encoded bytes of the frames.
    pub bytes: u64,
    /// Memory of their rows and series once decoded, bytes.
    pub decoded_bytes: u64,
    /// Rows times fields of each table.
    pub cells: u64,
}

/// At this the alarm flushes.
pub(super) const ENOUGH: FlushSize =
    FlushSize { bytes: 3_600_000, decoded_bytes: 8_000_000, cells: 1_500_000 };
/// An append that would take the WAL past this flushes first: a write that comes meanwhile waits
/// for the flush.
pub(super) const FORCED: FlushSize =
    FlushSize { bytes: 4_000_000, decoded_bytes: 16_000_000, cells: 2_000_000 };

impl FlushSize {
    /// Whether it has as much of any of the three.
    pub(super) fn reaches(&self, limit: &Self) -> bool {
        self.bytes >= limit.bytes
            || self.decoded_bytes >= limit.decoded_bytes
            || self.cells >= limit.cells
    }

    /// Both together.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            decoded_bytes: self.decoded_bytes.saturating_add(other.decoded_bytes),
            cells: self.cells.saturating_add(other.cells),
        }
    }
}
