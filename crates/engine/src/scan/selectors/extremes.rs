//! Implements min() and max() of numbers without extra columns. Values and times are stored in
//! columns instead of points.

use super::min_max::{Extreme, extreme_of};
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Values};
use crate::scan::accumulator::{Accumulator, Finished};
use crate::scan::aggregates::number::Number;
use crate::scan::dense::{Dense, Neighbours};
use crate::scan::error::ScanError;
use crate::scan::page::PartialColumn;
use crate::scan::request::AggregateFunction;
use crate::scan::spans::{Span, keep};
use tidemark_model::bug::OrBug;

pub(in crate::scan) struct Extremes<T> {
    wanted: Extreme,
    values: Vec<T>,
    times_ns: Vec<i64>,
    present: Vec<bool>,
}

impl<T: Number> Extremes<T> {
    /// Creates the states of `Max`, or of `Min` for any other function.
    pub(in crate::scan) fn new(function: AggregateFunction) -> Self {
        let wanted = match function {
            AggregateFunction::Max => Extreme::Largest,
            _ => Extreme::Smallest,
        };
        Self { wanted, values: Vec::new(), times_ns: Vec::new(), present: Vec::new() }
    }

    fn grow(&mut self, slots: usize) {
        let slots = slots.max(self.present.len());
        self.values.resize(slots, T::default());
        self.times_ns.resize(slots, 0);
        self.present.resize(slots, false);
    }

    fn offer(&mut self, slot: usize, value: T, time_ns: i64) {
        if slot >= self.present.len() {
            self.grow(slot + 1);
        }
        let place = self.values.get_mut(slot).zip(self.times_ns.get_mut(slot));
        let (Some((old, old_ns)), Some(present)) = (place, self.present.get_mut(slot)) else {
            return;
        };
        let is_better = match self.wanted {
            Extreme::Largest => value > *old,
            Extreme::Smallest => value < *old,
        };
        if !*present || is_better || value == *old && time_ns < *old_ns {
            (*old, *old_ns, *present) = (value, time_ns, true);
        }
    }

    fn columns(&self, order: &[usize], starts_ns: &[i64]) -> (Vec<i64>, Vec<i64>, Column) {
        let (mut windows_ns, mut times_ns) = (Vec::new(), Vec::new());
        let mut values = Vec::new();
        windows_ns.reserve(order.len());
        times_ns.reserve(order.len());
        values.reserve(order.len());
        // The list ends after the last slot with a value.
        let is_present = |slot: usize| self.present.get(slot).is_some_and(|&present| present);
        for &slot in order.iter().filter(|&&slot| is_present(slot)) {
            windows_ns.push(starts_ns.get(slot).copied().or_bug());
            times_ns.push(self.times_ns.get(slot).copied().or_bug());
            values.push(self.values.get(slot).copied().or_bug());
        }
        (windows_ns, times_ns, T::column(values))
    }
}

impl<T: Number> Accumulator for Extremes<T> {
    fn accumulate(&mut self, spans: &[Span], dense: &Dense<'_>, _: &Neighbours<'_>) {
        let Some(values) = T::of(&dense.values) else { return };
        for span in spans {
            let (Some(values), Some(times_ns)) =
                (values.get(span.rows.clone()), dense.times.get(span.rows.clone()))
            else {
                continue;
            };
            let value = extreme_of(values, self.wanted);
            let at = values.iter().position(|other| *other == value).unwrap_or(0);
            if let Some(&time_ns) = times_ns.get(at) {
                self.offer(span.slot, value, time_ns);
            }
        }
    }

    fn absorb(&mut self, slots: &[usize], partial: &PartialColumn) -> Result<(), ScanError> {
        let wrong = ScanError::States(match self.wanted {
            Extreme::Largest => AggregateFunction::Max,
            Extreme::Smallest => AggregateFunction::Min,
        });
        let [times, values] = partial.states.as_slice() else { return Err(wrong) };
        let (Values::Integer(times_ns), Validity::All) = (&times.values, &times.validity) else {
            return Err(wrong);
        };
        let Some(values) = T::all(values) else { return Err(wrong) };
        if times_ns.len() != slots.len() || values.len() != slots.len() {
            return Err(wrong);
        }
        for ((&slot, &value), &time_ns) in slots.iter().zip(values).zip(times_ns) {
            self.offer(slot, value, time_ns);
        }
        Ok(())
    }

    fn keep(&mut self, order: &[usize]) {
        self.grow(order.iter().max().map_or(0, |last| last + 1));
        self.values = keep(&self.values, order);
        self.times_ns = keep(&self.times_ns, order);
        self.present = keep(&self.present, order);
    }

    fn bytes(&self) -> usize {
        self.present.len() * 24
    }

    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn {
        let (windows_ns, times_ns, values) = self.columns(order, starts_ns);
        let states = vec![Column::full(Values::Integer(times_ns)), values];
        PartialColumn { windows_ns, states, aux: Vec::new() }
    }

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> Finished {
        let (windows_ns, times_ns, values) = self.columns(order, starts_ns);
        Finished { windows_ns, values, times_ns: Some(times_ns), aux: Vec::new() }
    }
}
