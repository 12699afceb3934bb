//! Implements the count() aggregate for all types.

use super::number::Number;
use crate::batch::column::Column;
use crate::scan::accumulator::{Accumulator, Finished};
use crate::scan::dense::{Dense, Neighbours};
use crate::scan::error::ScanError;
use crate::scan::page::PartialColumn;
use crate::scan::request::AggregateFunction;
use crate::scan::spans::{Span, keep};
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldType;

/// The count of each slot. A count of 0 means that the slot has no value.
#[derive(Default)]
pub(in crate::scan) struct CountAccumulator {
    counts: Vec<i64>,
}

impl CountAccumulator {
    fn add(&mut self, slot: usize, count: i64) {
        if slot >= self.counts.len() {
            self.counts.resize(slot + 1, 0);
        }
        if let Some(present) = self.counts.get_mut(slot) {
            *present = present.wrapping_add(count);
        }
    }

    fn columns(&self, order: &[usize], starts_ns: &[i64]) -> (Vec<i64>, Column) {
        let mut column = Column::new(FieldType::Integer);
        let mut windows_ns = Vec::with_capacity(order.len());
        for &slot in order {
            if let Some(&count) = self.counts.get(slot)
                && count != 0
            {
                windows_ns.push(starts_ns.get(slot).copied().or_bug());
                count.push(&mut column);
            }
        }
        (windows_ns, column)
    }
}

impl Accumulator for CountAccumulator {
    fn accumulate(&mut self, spans: &[Span], _: &Dense<'_>, _: &Neighbours<'_>) {
        for span in spans {
            self.add(span.slot, span.rows.len() as i64);
        }
    }

    fn absorb(&mut self, slots: &[usize], partial: &PartialColumn) -> Result<(), ScanError> {
        const WRONG: ScanError = ScanError::States(AggregateFunction::Count);
        let [counts] = partial.states.as_slice() else { return Err(WRONG) };
        for (row, &slot) in slots.iter().enumerate() {
            self.add(slot, i64::get(counts, row).ok_or(WRONG)?);
        }
        Ok(())
    }

    fn keep(&mut self, order: &[usize]) {
        let last = order.iter().max().map_or(0, |last| last + 1);
        self.counts.resize(self.counts.len().max(last), 0);
        self.counts = keep(&self.counts, order);
    }

    fn bytes(&self) -> usize {
        self.counts.len() * 16
    }

    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn {
        let (windows_ns, counts) = self.columns(order, starts_ns);
        PartialColumn { windows_ns, states: vec![counts], aux: Vec::new() }
    }

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> Finished {
        let (windows_ns, values) = self.columns(order, starts_ns);
        Finished { windows_ns, values, times_ns: None, aux: Vec::new() }
    }
}
