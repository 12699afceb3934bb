//! Defines the common interface of aggregates and selectors.

use super::dense::{Dense, Neighbours};
use super::error::ScanError;
use super::page::{AuxValues, PartialColumn};
use super::spans::Span;
use crate::batch::column::Column;

/// The states of a call over a group's windows, indexed by slot. A slot without a value has no
/// state and no result.
pub(super) trait Accumulator {
    fn accumulate(&mut self, spans: &[Span], dense: &Dense<'_>, neighbours: &Neighbours<'_>);

    /// Adds states that another accumulator wrote. Row i belongs to `slots[i]`.
    fn absorb(&mut self, slots: &[usize], partial: &PartialColumn) -> Result<(), ScanError>;

    /// Keeps only the states of these slots, and renumbers the slots 0, 1, 2 and so on.
    fn keep(&mut self, order: &[usize]);

    fn bytes(&self) -> usize;

    /// `starts_ns` is indexed by slot. The result omits slots without a value.
    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn;

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> Finished;
}

/// The final values of a call over a group, in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The start of each window, in nanoseconds.
    pub windows_ns: Vec<i64>,
    /// The function's value. An undefined value, such as the stddev of a single value, is NaN.
    pub values: Column,
    /// Selectors only: the time of the selected point, in nanoseconds.
    pub times_ns: Option<Vec<i64>>,
    /// Selectors only: the columns taken from the selected point, in the order of the call.
    pub aux: Vec<AuxValues>,
}
