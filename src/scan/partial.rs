//! Merges the partial states of pages and shards and finishes them: the edge's half of a scan.

use super::accumulator::Accumulator;
use super::error::ScanError;
use super::factory::accumulator;
use super::page::PartialColumn;
use super::request::AggregateCall;
use super::spans::Slots;

pub use super::accumulator::Finished;

/// The states of one call over one group, from any number of pages and shards in any order.
pub struct Merge {
    slots: Slots,
    accumulator: Box<dyn Accumulator>,
}

impl std::fmt::Debug for Merge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merge").field("windows", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Merge {
    /// No states yet.
    ///
    /// # Errors
    /// [`ScanError::Input`] when the function does not take the input's type.
    pub fn new(call: &AggregateCall) -> Result<Self, ScanError> {
        Ok(Self { slots: Slots::new(None, 0), accumulator: accumulator(call)? })
    }

    /// Adds the states of one page. States of one window may come in several pieces.
    ///
    /// # Errors
    /// [`ScanError::States`] when they do not have the function's shape; the merge is then of no
    /// further use.
    pub fn add(&mut self, partial: &PartialColumn) -> Result<(), ScanError> {
        let slots: Vec<usize> =
            partial.windows_ns.iter().map(|&start_ns| self.slots.slot(start_ns)).collect();
        self.accumulator.absorb(&slots, partial)
    }

    /// Number of windows seen.
    pub fn windows(&self) -> usize {
        self.slots.len()
    }

    /// The merged states, as a page would hold them.
    pub fn partial(&self, descending: bool) -> PartialColumn {
        self.accumulator.partial(&self.slots.order(descending), self.slots.starts_ns())
    }

    /// The answers.
    pub fn finish(&self, descending: bool) -> Finished {
        self.accumulator.finish(&self.slots.order(descending), self.slots.starts_ns())
    }
}

/// Merges `from` into `into`, both being states of `call`; ascending.
///
/// # Errors
/// Those of [`Merge::new`] and [`Merge::add`]; `into` is then unchanged.
pub fn merge(
    call: &AggregateCall,
    into: &mut PartialColumn,
    from: &PartialColumn,
) -> Result<(), ScanError> {
    let mut merge = Merge::new(call)?;
    merge.add(into)?;
    merge.add(from)?;
    *into = merge.partial(false);
    Ok(())
}

/// The answers that `states` of `call` stand for, ascending.
///
/// # Errors
/// Those of [`Merge::new`] and [`Merge::add`].
pub fn finish(call: &AggregateCall, states: &PartialColumn) -> Result<Finished, ScanError> {
    let mut merge = Merge::new(call)?;
    merge.add(states)?;
    Ok(merge.finish(false))
}
