//! How much one event of a shard's work takes. Tests take less, so that a little data lies as much
//! does and a merge of it has many steps.

use crate::part::writer;
use crate::scan::TileLimits;

/// Values, times and series of a step of a merge: it goes on until it has passed so many. That is a
/// group, if it is a large one, and some 20 ms, in which writes wait.
const STEP_CELLS: u64 = 200_000;

/// Cells whose reading takes some 100 ms of a small machine.
const ANSWER_CELLS: u64 = 500_000;

/// What a series takes of an event, in cells: its key is read, compared and written.
pub(super) const SERIES_CELLS: u64 = 10;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of what is written.
    pub part: writer::Limits,
    /// Cells that a step of a merge writes, one group more at most. A series counts as some.
    pub step_cells: u64,
    /// What a kept stretch of time has at least.
    pub tile: TileLimits,
    /// Cells for which what they came to is kept at rest: it is a row.
    pub answer_cells: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            part: writer::Limits::default(),
            step_cells: STEP_CELLS,
            tile: TileLimits::DEFAULT,
            answer_cells: ANSWER_CELLS,
        }
    }
}
