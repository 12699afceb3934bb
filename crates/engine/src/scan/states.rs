//! Stores the partial states of a group while its series are read.

use super::accumulator::{Accumulator, accumulator};
use super::error::ScanError;
use super::keys::SeriesTags;
use super::page::{GroupData, PartialColumn};
use super::predicate::Mask;
use super::request::{AggregateCall, Output, ScanRequest};
use super::run::{Chosen, Dense, Run};
use super::spans::Slots;
use super::stretches::End;

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
    pub(super) fn new(request: &'a ScanRequest) -> Result<Self, ScanError> {
        let (calls, window): (&[_], _) = match &request.output {
            Output::Aggregates { calls, window, .. } => (calls, window.clone()),
            Output::Rows { .. } => (&[], None),
        };
        Ok(Self {
            calls,
            accumulators: calls.iter().map(accumulator).collect::<Result<_, _>>()?,
            slots: Slots::new(window, request.time.start_ns),
            descending: request.descending,
            limit: request.output.windows_max(),
            is_of_one_end: End::of(&request.output).is_some(),
            cut_ns: None,
        })
    }

    pub(super) fn consume(
        &mut self,
        run: &Run,
        mask: &Mask,
        tags: &SeriesTags,
    ) -> Result<(), ScanError> {
        // Most inputs have no nulls and share one list of rows and windows.
        let mut shared: Option<Option<Chosen<'_>>> = None;
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            let read = match call.function.reads_input() {
                true => run.read(&call.input)?,
                false => Some(run.read_times()),
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
                accumulator.accumulate(&Dense::new(chosen, read.slice, run, tags));
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
