//! The partial states of one group while its series are read, within the bytes left on the page.

use super::accumulator::Accumulator;
use super::dense::{Chosen, Neighbours};
use super::error::ScanError;
use super::factory::accumulator;
use super::input;
use super::page::GroupData;
use super::predicate::Mask;
use super::request::{AggregateCall, Window};
use super::source::Run;
use super::spans::Slots;
use crate::model::ids::ColumnId;
use crate::model::time::TimeRange;

/// States of every call over the windows of one group.
pub(super) struct GroupStates<'a> {
    calls: &'a [AggregateCall],
    accumulators: Vec<Box<dyn Accumulator>>,
    slots: Slots,
    bytes_max: usize,
    descending: bool,
    limit: Option<u64>,
    /// Windows have been left to the next page.
    cut: bool,
}

impl<'a> GroupStates<'a> {
    /// # Errors
    /// [`ScanError::Input`].
    pub(super) fn new(
        calls: &'a [AggregateCall],
        (window, limit): (Option<&Window>, Option<u64>),
        start_ns: i64,
        descending: bool,
        bytes_max: usize,
    ) -> Result<Self, ScanError> {
        let accumulators = calls.iter().map(accumulator).collect::<Result<_, _>>()?;
        let slots = Slots::new(window.cloned(), start_ns);
        // Clocks that change put rows into windows out of order.
        let limit = limit.filter(|_| window.is_some_and(|window| window.zone.is_empty()));
        Ok(Self { calls, accumulators, slots, bytes_max, descending, limit, cut: false })
    }

    /// Takes in the rows of `run` that `mask` selects. `open` are the times still wanted: they
    /// shrink at their far end when the page is full.
    ///
    /// # Errors
    /// [`ScanError::ColumnType`].
    pub(super) fn consume<'r>(
        &mut self,
        run: &'r Run,
        mask: &Mask,
        tag: &'r dyn Fn(ColumnId) -> &'r str,
        open: &mut TimeRange,
    ) -> Result<(), ScanError> {
        let neighbours = Neighbours { tag };
        // Most inputs have no nulls: they share one list of rows and windows.
        let mut shared: Option<Option<Chosen<'_>>> = None;
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            let Some(read) = input::read(run, &call.input)? else { continue };
            let own;
            let chosen = match read.valid.as_deref() {
                None => shared.get_or_insert_with(|| Chosen::new(run, mask, None, &mut self.slots)),
                valid => {
                    own = Chosen::new(run, mask, valid, &mut self.slots);
                    &own
                }
            };
            if let Some(chosen) = chosen {
                accumulator.accumulate(&chosen.spans, &chosen.dense(run, read), &neighbours);
            }
        }
        self.shrink(open);
        Ok(())
    }

    /// Drops the windows that do not fit the page and closes their times.
    fn shrink(&mut self, open: &mut TimeRange) {
        while self.slots.windowed() && self.slots.len() > 1 && self.bytes() > self.bytes_max {
            let count = self.slots.len();
            let fitting = count.saturating_mul(self.bytes_max) / self.bytes().max(1);
            let mut order = self.slots.order(self.descending);
            let dropped = order.split_off(fitting.clamp(1, count - 1));
            let (first_ns, last_ns) = self.slots.seen_ns(&dropped);
            if self.descending {
                open.start_ns = open.start_ns.max(last_ns.saturating_add(1));
            } else {
                open.end_ns = open.end_ns.min(first_ns);
            }
            self.slots.keep(&order);
            self.accumulators.iter_mut().for_each(|accumulator| accumulator.keep(&order));
            self.cut = true;
        }
    }

    /// About how many bytes the states take in a page.
    pub(super) fn bytes(&self) -> usize {
        self.accumulators.iter().map(|accumulator| accumulator.bytes()).sum()
    }

    /// Whether every window that is wanted is whole, given that all rows before a time in the
    /// scan's direction have been taken in: only the last window seen may be open.
    pub(super) fn is_done(&self) -> bool {
        self.limit.is_some_and(|limit| self.slots.len() as u64 > limit)
    }

    /// About how many nanoseconds the windows wanted span; `None` without a limit.
    pub(super) fn span_ns(&self) -> Option<i128> {
        // One to see that the last one is whole, one because the first is cut by the range.
        let windows = i128::from(self.limit?) + 2;
        Some(windows * i128::from(self.slots.every_ns()?))
    }

    /// Whether windows have been left to the next page.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// The states; `None` when no call has any.
    pub(super) fn finish(self) -> Option<GroupData> {
        let order = self.slots.order(self.descending);
        let starts_ns = self.slots.starts_ns();
        let partials: Vec<_> =
            self.accumulators.iter().map(|a| a.partial(&order, starts_ns)).collect();
        let any = partials.iter().any(|partial| !partial.windows_ns.is_empty());
        any.then_some(GroupData::Partials(partials))
    }
}
