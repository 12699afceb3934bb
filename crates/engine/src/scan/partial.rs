//! Merges and finishes partial states at the edge, from several pages and shards.

use super::accumulator::Accumulator;
use super::error::ScanError;
use super::functions::accumulator;
use super::page::PartialColumn;
use super::request::AggregateCall;
use super::spans::WindowNumbers;
use crate::merge::cursor::Direction;

pub use super::accumulator::FinalValues;

/// The states of a call over a group, from any number of pages and shards in any order.
pub struct Merge {
    windows: WindowNumbers,
    accumulator: Box<dyn Accumulator>,
}

impl std::fmt::Debug for Merge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merge").field("windows", &self.windows.len()).finish_non_exhaustive()
    }
}

impl Merge {
    /// Creates a merge without states.
    ///
    /// # Errors
    /// Returns [`ScanError::Input`] if the function does not support the input's type.
    pub fn new(call: &AggregateCall) -> Result<Self, ScanError> {
        Ok(Self { windows: WindowNumbers::new(None, 0), accumulator: accumulator(call)? })
    }

    /// Adds the states of a page. Several pages may contain states of the same window.
    ///
    /// # Errors
    /// Returns [`ScanError::States`] if the columns do not match the function. The merge is
    /// unusable after an error.
    pub fn add(&mut self, partial: &PartialColumn) -> Result<(), ScanError> {
        let windows: Vec<usize> =
            partial.windows_ns.iter().map(|&start_ns| self.windows.number(start_ns)).collect();
        self.accumulator.absorb(&windows, partial)
    }

    /// Returns the number of windows that have a state.
    pub fn windows(&self) -> usize {
        self.windows.len()
    }

    /// Returns the merged states in the form of a page.
    pub fn partial(&self, direction: Direction) -> PartialColumn {
        self.accumulator.partial(&self.windows.order(direction), self.windows.starts_ns())
    }

    /// Returns the final values.
    pub fn finish(&self, direction: Direction) -> FinalValues {
        self.accumulator.finish(&self.windows.order(direction), self.windows.starts_ns())
    }
}

/// Merges the states `from` into `into`. Both lists must be ascending states of `call`. After an
/// error, `into` is unchanged.
pub fn merge(
    call: &AggregateCall,
    into: &mut PartialColumn,
    from: &PartialColumn,
) -> Result<(), ScanError> {
    let mut merge = Merge::new(call)?;
    merge.add(into)?;
    merge.add(from)?;
    *into = merge.partial(Direction::Ascending);
    Ok(())
}

/// Returns the final values of `states` in ascending order.
pub fn finish(call: &AggregateCall, states: &PartialColumn) -> Result<FinalValues, ScanError> {
    let mut merge = Merge::new(call)?;
    merge.add(states)?;
    Ok(merge.finish(Direction::Ascending))
}
