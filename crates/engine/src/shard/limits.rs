//! Defines the limits for the work of an event. Tests use lower limits, so that little data has
//! many parts and many merge steps.

use crate::part::writer;
use crate::scan::TileLimits;

/// A step takes about 20 ms, during which writes wait. A step completes its last group, and may
/// therefore process more cells.
const STEP_CELLS: u64 = 200_000;

/// The series key is read, compared and written.
pub(super) const SERIES_CELLS: u64 = 10;

/// The limits for the work of an event.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The limits of written parts.
    pub part: writer::Limits,
    /// The number of cells that a merge step writes. A step may exceed this number by one group. A
    /// series counts as several cells.
    pub step_cells: u64,
    /// The minimum size of a cached time range.
    pub tile: TileLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self { part: writer::Limits::default(), step_cells: STEP_CELLS, tile: TileLimits::DEFAULT }
    }
}
