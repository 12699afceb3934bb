//! The limits for the work of an event.

use crate::part::writer;
use crate::scan::TileLimits;

/// The default of [`Limits::step_cells`]. Such a step takes about 20 ms, during which writes wait.
const STEP_CELLS: u64 = 200_000;

/// The number of cells that one series counts as in a merge step, because its key is read, compared
/// and written.
pub(super) const SERIES_CELLS: u64 = 10;

/// The numbers of cells that a group, and each of its columns, count as in a merge step. Writing
/// them takes about as long as writing so many values.
pub(super) const GROUP_CELLS: u64 = 400;
pub(super) const COLUMN_CELLS: u64 = 30;

/// The number of bytes of texts that count as a cell in a merge step, because they are compressed
/// again.
pub(super) const BYTES_PER_CELL: u64 = 4;

/// The number of cells that a series counts as in a merge step if the series has no visible rows
/// within the time range of the output.
pub(super) const SKIPPED_SERIES_CELLS: u64 = 3;
const SKIPPED_MAX: u64 = 1_000;

/// The limits for the work of an event.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The limits of written parts.
    pub part: writer::Limits,
    /// The number of cells (values and times) that a merge step writes. A step may exceed this
    /// number by one group. A series counts as several cells.
    pub step_cells: u64,
    /// The minimum size of a cached time range.
    pub tile: TileLimits,
}

impl Limits {
    /// Returns the number of series without rows after which a merge checks the limit of its step.
    pub(super) fn skipped_max(&self) -> u64 {
        (self.step_cells / SKIPPED_SERIES_CELLS).clamp(1, SKIPPED_MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { part: writer::Limits::default(), step_cells: STEP_CELLS, tile: TileLimits::DEFAULT }
    }
}
