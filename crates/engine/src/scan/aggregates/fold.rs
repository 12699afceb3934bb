//! Implements the windows, states and columns of numeric aggregates.

use std::marker::PhantomData;

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

pub(in crate::scan) trait Aggregate<T: Number> {
    type State: Clone;
    const FUNCTION: AggregateFunction;
    const COLUMNS: &'static [FieldType];
    const OUTPUT: FieldType;

    /// `values` must not be empty.
    fn fold(values: &[T]) -> Self::State;

    fn merge(state: &mut Self::State, other: &Self::State);

    fn write(state: &Self::State, columns: &mut [Column]);

    /// Returns `None` if the columns are not those that `write` appends.
    fn read(columns: &[Column], row: usize) -> Option<Self::State>;

    fn finish(state: &Self::State, column: &mut Column);
}

pub(in crate::scan) struct Fold<A: Aggregate<T>, T: Number> {
    states: Vec<Option<A::State>>,
    input: PhantomData<T>,
}

impl<A: Aggregate<T>, T: Number> Default for Fold<A, T> {
    fn default() -> Self {
        Self { states: Vec::new(), input: PhantomData }
    }
}

impl<A: Aggregate<T>, T: Number> Fold<A, T> {
    fn add(&mut self, slot: usize, state: A::State) {
        if slot >= self.states.len() {
            self.states.resize(slot + 1, None);
        }
        match self.states.get_mut(slot) {
            Some(Some(present)) => A::merge(present, &state),
            Some(empty) => *empty = Some(state),
            None => {}
        }
    }

    fn present<'a>(
        &'a self,
        order: &'a [usize],
    ) -> impl Iterator<Item = (usize, &'a A::State)> + 'a {
        order.iter().filter_map(|&slot| Some((slot, self.states.get(slot)?.as_ref()?)))
    }
}

impl<A: Aggregate<T>, T: Number> Accumulator for Fold<A, T> {
    fn accumulate(&mut self, spans: &[Span], dense: &Dense<'_>, _: &Neighbours<'_>) {
        let Some(values) = T::of(&dense.values) else { return };
        for span in spans {
            if let Some(values) = values.get(span.rows.clone())
                && !values.is_empty()
            {
                self.add(span.slot, A::fold(values));
            }
        }
    }

    fn absorb(&mut self, slots: &[usize], partial: &PartialColumn) -> Result<(), ScanError> {
        let end = slots.iter().max().map_or(0, |last| last + 1);
        self.states.resize(self.states.len().max(end), None);
        for (row, &slot) in slots.iter().enumerate() {
            let state = A::read(&partial.states, row).ok_or(ScanError::States(A::FUNCTION))?;
            self.add(slot, state);
        }
        Ok(())
    }

    fn keep(&mut self, order: &[usize]) {
        let last = order.iter().max().map_or(0, |last| last + 1);
        self.states.resize(self.states.len().max(last), None);
        self.states = keep(&self.states, order);
    }

    fn bytes(&self) -> usize {
        self.states.len() * (8 + 8 * A::COLUMNS.len())
    }

    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn {
        let column = |&of: &FieldType| Column::with_capacity(of, order.len());
        let mut states: Vec<Column> = A::COLUMNS.iter().map(column).collect();
        let mut windows_ns = Vec::with_capacity(order.len());
        for (slot, state) in self.present(order) {
            windows_ns.push(starts_ns.get(slot).copied().or_bug());
            A::write(state, &mut states);
        }
        PartialColumn { windows_ns, states, aux: Vec::new() }
    }

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> Finished {
        let mut values = Column::with_capacity(A::OUTPUT, order.len());
        let mut windows_ns = Vec::with_capacity(order.len());
        for (slot, state) in self.present(order) {
            windows_ns.push(starts_ns.get(slot).copied().or_bug());
            A::finish(state, &mut values);
        }
        Finished { windows_ns, values, times_ns: None, aux: Vec::new() }
    }
}
