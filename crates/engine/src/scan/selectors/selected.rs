//! Implements the windows, points and columns of selectors.

use std::cmp::Ordering;
use std::marker::PhantomData;

use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, StringColumn, Values};
use crate::scan::accumulator::{Accumulator, Finished};
use crate::scan::dense::{Dense, Neighbours};
use crate::scan::error::ScanError;
use crate::scan::page::{AuxValues, PartialColumn};
use crate::scan::request::{AggregateFunction, AuxColumn};
use crate::scan::spans::{Span, keep};
use tidemark_model::bug::OrBug;
use tidemark_model::value::{FieldType, FieldValue};

pub(in crate::scan) trait Selector {
    const FUNCTION: AggregateFunction;

    /// The rows belong to one series, and their times ascend without duplicates.
    fn choose(dense: &Dense<'_>, rows: std::ops::Range<usize>) -> usize;

    /// `Greater` means that `new` is chosen, and `Less` means that `old` is chosen.
    fn prefers(new: (i64, &FieldValue), old: (i64, &FieldValue)) -> Ordering;
}

/// A chosen point. If two points are equal, the point with the smaller extra columns is chosen. The
/// result is therefore independent of the order of shards.
#[derive(Clone, Debug)]
struct Point {
    time_ns: i64,
    value: FieldValue,
    aux: Vec<Option<FieldValue>>,
}

pub(in crate::scan) struct Selected<S: Selector> {
    field_type: FieldType,
    aux: Vec<AuxColumn>,
    points: Vec<Option<Point>>,
    text_bytes: usize,
    selector: PhantomData<S>,
}

impl<S: Selector> Selected<S> {
    pub(in crate::scan) fn new(field_type: FieldType, aux: Vec<AuxColumn>) -> Self {
        Self { field_type, aux, points: Vec::new(), text_bytes: 0, selector: PhantomData }
    }

    /// `Greater` means that the new point replaces the slot's point.
    fn rank(&self, slot: usize, time_ns: i64, value: &FieldValue) -> Ordering {
        match self.points.get(slot) {
            Some(Some(old)) => S::prefers((time_ns, value), (old.time_ns, &old.value)),
            _ => Ordering::Greater,
        }
    }

    fn put(&mut self, slot: usize, point: Point) {
        if slot >= self.points.len() {
            self.points.resize(slot + 1, None);
        }
        if let Some(place) = self.points.get_mut(slot) {
            self.text_bytes += text_bytes(&point);
            if let Some(old) = place.replace(point) {
                self.text_bytes = self.text_bytes.saturating_sub(text_bytes(&old));
            }
        }
    }

    fn offer(&mut self, slot: usize, point: Point) {
        let better = match self.rank(slot, point.time_ns, &point.value) {
            Ordering::Equal => match self.points.get(slot) {
                Some(Some(old)) => compare_all(&point.aux, &old.aux) == Ordering::Less,
                _ => true,
            },
            order => order == Ordering::Greater,
        };
        if better {
            self.put(slot, point);
        }
    }

    fn present<'a>(&'a self, order: &'a [usize]) -> impl Iterator<Item = (usize, &'a Point)> + 'a {
        order.iter().filter_map(|&slot| Some((slot, self.points.get(slot)?.as_ref()?)))
    }

    fn columns(&self, order: &[usize], starts_ns: &[i64]) -> (Vec<i64>, Vec<i64>, Column) {
        let (mut windows_ns, mut times_ns) = (Vec::new(), Vec::new());
        let mut values = Column::new(self.field_type);
        for (slot, point) in self.present(order) {
            windows_ns.push(starts_ns.get(slot).copied().or_bug());
            times_ns.push(point.time_ns);
            push(&mut values, Some(&point.value));
        }
        (windows_ns, times_ns, values)
    }

    fn aux_values(&self, order: &[usize]) -> Vec<AuxValues> {
        let column = |(position, aux): (usize, &AuxColumn)| {
            let values = self.present(order).map(|(_, p)| p.aux.get(position)?.as_ref());
            match aux {
                AuxColumn::Tag(_) => AuxValues::Tag(
                    values
                        .map(|value| match value {
                            Some(FieldValue::String(text)) => &**text,
                            _ => "",
                        })
                        .collect::<StringColumn>(),
                ),
                AuxColumn::Field(input) => {
                    let mut column = Column::new(input.output_type().unwrap_or(input.field_type));
                    values.for_each(|value| push(&mut column, value));
                    AuxValues::Field(column)
                }
            }
        };
        self.aux.iter().enumerate().map(column).collect()
    }
}

impl<S: Selector> Accumulator for Selected<S> {
    fn accumulate(&mut self, spans: &[Span], dense: &Dense<'_>, neighbours: &Neighbours<'_>) {
        for span in spans.iter().filter(|span| !span.rows.is_empty()) {
            let index = S::choose(dense, span.rows.clone());
            let Some(&time_ns) = dense.times.get(index) else { continue };
            let value = dense.value(index);
            if self.rank(span.slot, time_ns, &value) != Ordering::Less {
                let aux = dense.aux(index, &self.aux, neighbours);
                self.offer(span.slot, Point { time_ns, value, aux });
            }
        }
    }

    fn absorb(&mut self, slots: &[usize], partial: &PartialColumn) -> Result<(), ScanError> {
        let wrong = ScanError::States(S::FUNCTION);
        let [times, values] = partial.states.as_slice() else { return Err(wrong) };
        let (Values::Integer(times_ns), Validity::All) = (&times.values, &times.validity) else {
            return Err(wrong);
        };
        if values.values.field_type() != self.field_type || partial.aux.len() != self.aux.len() {
            return Err(wrong);
        }
        for (row, &slot) in slots.iter().enumerate() {
            let (Some(&time_ns), Some(value)) = (times_ns.get(row), values.get(row)) else {
                return Err(wrong);
            };
            let aux = partial.aux.iter().map(|column| match column {
                AuxValues::Field(column) => column.get(row),
                AuxValues::Tag(column) => Some(FieldValue::String(column.get(row).into())),
            });
            self.offer(slot, Point { time_ns, value, aux: aux.collect() });
        }
        Ok(())
    }

    fn keep(&mut self, order: &[usize]) {
        let last = order.iter().max().map_or(0, |last| last + 1);
        self.points.resize(self.points.len().max(last), None);
        self.points = keep(&self.points, order);
        self.text_bytes = self.points.iter().flatten().map(text_bytes).sum();
    }

    fn bytes(&self) -> usize {
        self.points.len() * (24 + 9 * self.aux.len()) + self.text_bytes
    }

    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn {
        let (windows_ns, times_ns, values) = self.columns(order, starts_ns);
        let states = vec![Column::full(Values::Integer(times_ns)), values];
        PartialColumn { windows_ns, states, aux: self.aux_values(order) }
    }

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> Finished {
        let (windows_ns, times_ns, values) = self.columns(order, starts_ns);
        let aux = self.aux_values(order);
        Finished { windows_ns, values, times_ns: Some(times_ns), aux }
    }
}

pub(in crate::scan) fn push(column: &mut Column, value: Option<&FieldValue>) {
    let row = column.len();
    match (&mut column.values, value) {
        (Values::Float(to), Some(FieldValue::Float(value))) => to.push(*value),
        (Values::Integer(to), Some(FieldValue::Integer(value))) => to.push(*value),
        (Values::Unsigned(to), Some(FieldValue::Unsigned(value))) => to.push(*value),
        (Values::Boolean(to), Some(FieldValue::Boolean(value))) => to.push(*value),
        (Values::String(to), Some(FieldValue::String(value))) => to.push(value),
        _ => return column.push_null(),
    }
    column.validity.push(row, true);
}

/// Values of different types are equal.
pub(in crate::scan) fn compare(a: &FieldValue, b: &FieldValue) -> Ordering {
    match (a, b) {
        (FieldValue::Float(a), FieldValue::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (FieldValue::Integer(a), FieldValue::Integer(b)) => a.cmp(b),
        (FieldValue::Unsigned(a), FieldValue::Unsigned(b)) => a.cmp(b),
        (FieldValue::Boolean(a), FieldValue::Boolean(b)) => a.cmp(b),
        (FieldValue::String(a), FieldValue::String(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

fn compare_all(a: &[Option<FieldValue>], b: &[Option<FieldValue>]) -> Ordering {
    let sides = a.iter().zip(b).map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => compare(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    sides.fold(Ordering::Equal, Ordering::then)
}

fn text_bytes(point: &Point) -> usize {
    let text = |value: &FieldValue| match value {
        FieldValue::String(text) => text.len(),
        _ => 0,
    };
    text(&point.value) + point.aux.iter().flatten().map(text).sum::<usize>()
}
