//! What an aggregate or selector looks like to the driver of a scan.

use super::dense::{Dense, Neighbours};
use super::error::ScanError;
use super::page::{BesideColumn, PartialColumn};
use super::spans::Span;
use crate::batch::column::Column;

/// The states of one call over the windows of one group, by slot. A slot without a value has no
/// state: it is in no answer.
pub(super) trait Accumulator {
    /// Takes in values, cut into windows.
    fn accumulate(&mut self, spans: &[Span], dense: &Dense<'_>, neighbours: &Neighbours<'_>);

    /// Takes in states that another accumulator wrote; row i belongs to `slots[i]`.
    ///
    /// # Errors
    /// [`ScanError::States`] when they do not have this function's shape.
    fn absorb(&mut self, slots: &[usize], partial: &PartialColumn) -> Result<(), ScanError>;

    /// Keeps the states of these slots, which become 0, 1, 2 and so on.
    fn keep(&mut self, order: &[usize]);

    /// About how many bytes the states take in a page.
    fn bytes(&self) -> usize;

    /// The states of `order`'s slots; those without a value are left out. `starts_ns` by slot.
    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn;

    /// The answers of `order`'s slots; those without a value are left out. `starts_ns` by slot.
    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> Finished;
}

/// The answers of one call over one group, one per window that has a value, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Start of each window, nanoseconds.
    pub windows_ns: Vec<i64>,
    /// The function's value; NaN where it has none (stddev of one value).
    pub values: Column,
    /// Selectors: the time of the selected point, nanoseconds.
    pub times_ns: Option<Vec<i64>>,
    /// Selectors: the columns taken beside the selected point, in the order of the call.
    pub beside: Vec<BesideColumn>,
}
