//! Defines the common interface of aggregates and selectors.

use super::error::ScanError;
use super::page::{AuxValues, PartialColumn};
use super::series_rows::Dense;
use crate::batch::column::{Column, Values};

/// The states of a call over a group's windows, indexed by the numbers of the windows
/// ([`WindowNumbers`](super::spans::WindowNumbers)). A window without a value has no state and no
/// result.
pub(super) trait Accumulator {
    fn accumulate(&mut self, dense: &Dense<'_>);

    /// Adds states that another accumulator wrote. Row i belongs to `windows[i]`.
    fn absorb(&mut self, windows: &[usize], partial: &PartialColumn) -> Result<(), ScanError>;

    /// Keeps only the states of these windows, and renumbers the windows 0, 1, 2 and so on.
    fn keep(&mut self, order: &[usize]);

    fn bytes(&self) -> usize;

    /// Returns the states of the windows in `order`. `starts_ns` is indexed by the number of the
    /// window. The result omits windows without a value.
    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn;

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> FinalValues;
}

/// The final values of a call over a group, in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct FinalValues {
    /// The start of each window, in nanoseconds.
    pub windows_ns: Vec<i64>,
    /// The function's value. An undefined value, such as the stddev of a single value, is NaN.
    pub values: Column,
    /// Selectors only: the time of the selected point, in nanoseconds.
    pub times_ns: Option<Vec<i64>>,
    /// Selectors only: the columns taken from the selected point, in the order of the call.
    pub aux: Vec<AuxValues>,
}

impl FinalValues {
    /// Returns the states of a selector, which are its points.
    pub(super) fn into_states(self) -> PartialColumn {
        let times = self.times_ns.map(|times_ns| Column::full(Values::Integer(times_ns)));
        let states = times.into_iter().chain([self.values]).collect();
        PartialColumn { windows_ns: self.windows_ns, states, aux: self.aux }
    }
}
