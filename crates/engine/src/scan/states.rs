//! Stores the partial states of a group while its series are read.

use super::accumulator::Accumulator;
use super::dense::{Chosen, Neighbours};
use super::error::ScanError;
use super::factory::accumulator;
use super::input::{self, Read};
use super::page::{GroupData, PartialColumn};
use super::predicate::Mask;
use super::request::{AggregateCall, AggregateFunction, Window};
use super::run::Run;
use super::spans::Slots;
use tidemark_model::ids::ColumnId;

pub(super) struct GroupStates<'a> {
    calls: &'a [AggregateCall],
    accumulators: Vec<Box<dyn Accumulator>>,
    slots: Slots,
    descending: bool,
    limit: Option<u64>,
    /// Whether each call needs only the first point in the reading direction.
    is_of_one_end: bool,
    /// The first time of the dropped windows, in the direction of the result.
    cut_ns: Option<i64>,
}

impl<'a> GroupStates<'a> {
    pub(super) fn new(
        calls: &'a [AggregateCall],
        (window, limit): (Option<&Window>, Option<u64>),
        start_ns: i64,
        (descending, is_of_one_end): (bool, bool),
    ) -> Result<Self, ScanError> {
        let accumulators = calls.iter().map(accumulator).collect::<Result<_, _>>()?;
        let slots = Slots::new(window.cloned(), start_ns);
        // At a clock change, the order of windows differs from the order of rows.
        let limit = limit.filter(|_| window.is_some_and(|window| window.zone.is_empty()));
        Ok(Self { calls, accumulators, slots, descending, limit, is_of_one_end, cut_ns: None })
    }

    pub(super) fn consume<'r>(
        &mut self,
        run: &'r Run,
        mask: &Mask,
        tag: &'r dyn Fn(ColumnId) -> &'r str,
    ) -> Result<(), ScanError> {
        let neighbours = Neighbours { tag };
        // Most inputs have no nulls and share one list of rows and windows.
        let mut shared: Option<Option<Chosen<'_>>> = None;
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            let read = match call.function {
                AggregateFunction::Rows
                | AggregateFunction::FirstRow
                | AggregateFunction::LastRow => Some(Read::times(run)),
                _ => input::read(run, &call.input)?,
            };
            let Some(read) = read else { continue };
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
        Ok(())
    }

    /// `states` must be in the order of the calls.
    pub(super) fn absorb(&mut self, states: &[PartialColumn]) -> Result<(), ScanError> {
        let (mut slots, mut slots_of): (Vec<usize>, &[i64]) = (Vec::new(), &[]);
        for (accumulator, state) in self.accumulators.iter_mut().zip(states) {
            // Most calls have values in the same windows.
            if slots_of != state.windows_ns {
                slots_of = &state.windows_ns;
                slots.clear();
                slots.extend(slots_of.iter().map(|&start_ns| self.slots.slot_of(start_ns)));
            }
            accumulator.absorb(&slots, state)?;
        }
        Ok(())
    }

    /// Drops the last windows, in the direction of the result, until the states take at most
    /// `bytes_max` bytes. Returns the first time of the dropped windows, if any. Always keeps at
    /// least one window and the windows near a clock change.
    pub(super) fn cut(&mut self, bytes_max: usize) -> Option<i64> {
        let count = self.slots.len();
        let bytes = self.bytes();
        if count < 2 || bytes <= bytes_max {
            return self.cut_ns;
        }
        let fitting = (count.saturating_mul(bytes_max) / bytes.max(1)).clamp(1, count - 1);
        let mut order = self.slots.order(self.descending);
        let border = |slot: &usize| self.slots.border_ns(*slot, self.descending);
        let Some((at, time_ns)) =
            (fitting..count).find_map(|at| Some((at, border(order.get(at)?)?)))
        else {
            return self.cut_ns;
        };
        order.truncate(at);
        self.slots.keep(&order);
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.keep(&order));
        self.cut_ns = Some(time_ns);
        self.cut_ns
    }

    pub(super) fn bytes(&self) -> usize {
        self.accumulators.iter().map(|accumulator| accumulator.bytes()).sum()
    }

    /// Whether all requested windows are complete. The caller must have added all rows up to some
    /// time in the reading direction. Only the last window can then be incomplete.
    pub(super) fn is_done(&self) -> bool {
        let starts_ns = self.slots.starts_ns();
        if self.is_of_one_end {
            let is_empty = |a: &dyn Accumulator| a.partial(&[0], starts_ns).windows_ns.is_empty();
            return self.slots.len() > 0 && !self.accumulators.iter().any(|a| is_empty(&**a));
        }
        self.limit.is_some_and(|limit| self.slots.len() as u64 > limit)
    }

    pub(super) fn finish(self) -> Option<GroupData> {
        let order = self.slots.order(self.descending);
        let starts_ns = self.slots.starts_ns();
        let partials: Vec<_> =
            self.accumulators.iter().map(|a| a.partial(&order, starts_ns)).collect();
        let any = partials.iter().any(|partial| !partial.windows_ns.is_empty());
        any.then_some(GroupData::Partials(partials))
    }
}
