//! Computes the partial states of a group.

use super::accumulator::Accumulator;
use super::error::ScanError;
use super::functions::accumulator;
use super::mask::Mask;
use super::page::{GroupData, PartialColumn};
use super::request::{AggregateCall, ScanRequest, Window};
use super::series_rows::{Chosen, Dense, SeriesRows};
use super::series_tags::SeriesTags;
use super::spans::WindowNumbers;
use crate::merge::cursor::Direction;

/// The partial states of a group.
pub(super) struct GroupStates<'a> {
    calls: &'a [AggregateCall],
    accumulators: Vec<Box<dyn Accumulator>>,
    windows: WindowNumbers,
    direction: Direction,
    limit: Option<u64>,
    /// Whether each call needs only the first point in the reading direction.
    is_of_one_end: bool,
    /// The first time of the dropped windows, in the direction of the result.
    cut_ns: Option<i64>,
}

impl<'a> GroupStates<'a> {
    /// Creates the states of the calls of `request` without windows.
    pub(super) fn new(
        request: &ScanRequest,
        calls: &'a [AggregateCall],
        window: Option<Window>,
    ) -> Result<Self, ScanError> {
        Ok(Self {
            calls,
            accumulators: calls.iter().map(accumulator).collect::<Result<_, _>>()?,
            windows: WindowNumbers::new(window, request.time.start_ns),
            direction: request.direction,
            limit: request.output.windows_max(),
            is_of_one_end: request.output.needed_end().is_some(),
            cut_ns: None,
        })
    }

    pub(super) fn consume(
        &mut self,
        series_rows: &SeriesRows,
        mask: &Mask,
        tags: &SeriesTags,
    ) -> Result<(), ScanError> {
        // Most inputs have no nulls and share one list of rows and windows.
        let mut shared: Option<Option<Chosen<'_>>> = None;
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            let read = match call.function.reads_input() {
                true => series_rows.read(&call.input)?,
                false => Some(series_rows.read_times()),
            };
            let Some(read) = read else { continue };
            let own;
            let chosen = match read.valid.as_deref() {
                None => shared
                    .get_or_insert_with(|| Chosen::new(series_rows, mask, None, &mut self.windows)),
                valid => {
                    own = Chosen::new(series_rows, mask, valid, &mut self.windows);
                    &own
                }
            };
            if let Some(chosen) = chosen {
                accumulator.accumulate(&Dense::new(chosen, read.slice, series_rows, tags));
            }
        }
        Ok(())
    }

    /// Adds the states of another reader or cache entry, which must be in the order of the calls.
    pub(super) fn absorb(&mut self, states: &[PartialColumn]) -> Result<(), ScanError> {
        let (mut windows, mut starts_of): (Vec<usize>, &[i64]) = (Vec::new(), &[]);
        for (accumulator, state) in self.accumulators.iter_mut().zip(states) {
            // Most calls have values in the same windows.
            if starts_of != state.windows_ns {
                starts_of = &state.windows_ns;
                windows.clear();
                windows.extend(
                    starts_of.iter().map(|&start_ns| self.windows.number_of_state(start_ns)),
                );
            }
            accumulator.absorb(&windows, state)?;
        }
        Ok(())
    }

    /// Drops the last windows, in the direction of the result, until the states take at most
    /// `bytes_max` bytes. Returns the first time of the dropped windows, if any. Always keeps at
    /// least one window and the windows near a clock change.
    pub(super) fn cut(&mut self, bytes_max: usize) -> Option<i64> {
        let count = self.windows.len();
        let bytes = self.bytes();
        if count < 2 || bytes <= bytes_max {
            return self.cut_ns;
        }
        let fitting = (count.saturating_mul(bytes_max) / bytes.max(1)).clamp(1, count - 1);
        let mut order = self.windows.order(self.direction);
        let border = |window: &usize| self.windows.border_ns(*window, self.direction);
        let Some((at, time_ns)) =
            (fitting..count).find_map(|at| Some((at, border(order.get(at)?)?)))
        else {
            return self.cut_ns;
        };
        order.truncate(at);
        self.windows.keep(&order);
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
        let starts_ns = self.windows.starts_ns();
        if self.is_of_one_end {
            let is_empty = |a: &dyn Accumulator| a.partial(&[0], starts_ns).windows_ns.is_empty();
            return self.windows.len() > 0 && !self.accumulators.iter().any(|a| is_empty(&**a));
        }
        self.limit.is_some_and(|limit| self.windows.len() as u64 > limit)
    }

    pub(super) fn finish(self) -> Option<GroupData> {
        let order = self.windows.order(self.direction);
        let starts_ns = self.windows.starts_ns();
        let partials: Vec<_> =
            self.accumulators.iter().map(|a| a.partial(&order, starts_ns)).collect();
        let any = partials.iter().any(|partial| !partial.windows_ns.is_empty());
        any.then_some(GroupData::Partials(partials))
    }
}
