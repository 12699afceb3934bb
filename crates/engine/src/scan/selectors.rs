//! Implements selectors: functions that choose a point of each window. Numbers without extra
//! columns have a faster min() and max() in [`super::aggregates`].

use std::cmp::Ordering;
use std::ops::Range;

use super::accumulator::{Accumulator, FinalValues};
use super::error::ScanError;
use super::number::{Number, largest, smallest};
use super::page::{AuxValues, PartialColumn};
use super::request::{AggregateFunction, AuxColumn};
use super::series_rows::{Dense, ValueSlice};
use super::spans::{keep, state_mut};
use crate::batch::column::{Column, Values};
use tidemark_model::bug::OrBug;
use tidemark_model::value::{FieldType, FieldValue};

/// A chosen point. If two points are equal, the point with the smaller extra columns is chosen. The
/// result is therefore independent of the order of shards.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) time_ns: i64,
    pub(super) value: FieldValue,
    pub(super) aux: Vec<Option<FieldValue>>,
}

impl Point {
    /// Returns a function that reads the point in a row of `partial`. Returns `None` if the columns
    /// have another shape.
    pub(super) fn reader(
        partial: &PartialColumn,
        field_type: FieldType,
        aux: usize,
    ) -> Option<impl Fn(usize) -> Option<Self>> {
        let [times, values] = partial.states.as_slice() else { return None };
        let times_ns = i64::all(times)?;
        let is_same = values.values.field_type() == field_type && partial.aux.len() == aux;
        is_same.then_some(move |row| {
            let (&time_ns, value) = (times_ns.get(row)?, values.get(row)?);
            let aux = partial.aux.iter().map(|column| match column {
                AuxValues::Field(column) => column.get(row),
                AuxValues::Tag(column) => Some(FieldValue::String(column.get(row).into())),
            });
            Some(Self { time_ns, value, aux: aux.collect() })
        })
    }

    /// Returns the final values. The start of a window precedes its point in `points`.
    pub(super) fn finish(
        points: &[(i64, &Self)],
        field_type: FieldType,
        aux: &[AuxColumn],
    ) -> FinalValues {
        let mut values = Column::new(field_type);
        points.iter().for_each(|(_, point)| push(&mut values, Some(&point.value)));
        let column = |(position, aux): (usize, &AuxColumn)| {
            let values = points.iter().map(|(_, point)| point.aux.get(position)?.as_ref());
            match aux {
                AuxColumn::Tag(_) => AuxValues::Tag(values.map(text).collect()),
                AuxColumn::Field(input) => {
                    let mut column = Column::new(input.output_type().unwrap_or(input.field_type));
                    values.for_each(|value| push(&mut column, value));
                    AuxValues::Field(column)
                }
            }
        };
        FinalValues {
            windows_ns: points.iter().map(|(start_ns, _)| *start_ns).collect(),
            values,
            times_ns: Some(points.iter().map(|(_, point)| point.time_ns).collect()),
            aux: aux.iter().enumerate().map(column).collect(),
        }
    }

    fn text_bytes(&self) -> usize {
        text(Some(&self.value)).len()
            + self.aux.iter().map(|value| text(value.as_ref()).len()).sum::<usize>()
    }
}

/// Returns the text of a string value, or '' for other values.
pub(super) fn text(value: Option<&FieldValue>) -> &str {
    match value {
        Some(FieldValue::String(text)) => text,
        _ => "",
    }
}

fn push(column: &mut Column, value: Option<&FieldValue>) {
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

/// The points that min(), max(), first() or last() has chosen, one for each window.
pub(super) struct Selected {
    function: AggregateFunction,
    field_type: FieldType,
    aux: Vec<AuxColumn>,
    points: Vec<Option<Point>>,
    text_bytes: usize,
}

impl Selected {
    pub(super) fn new(
        function: AggregateFunction,
        field_type: FieldType,
        aux: Vec<AuxColumn>,
    ) -> Self {
        Self { function, field_type, aux, points: Vec::new(), text_bytes: 0 }
    }

    /// Compares a new point with the window's point. `Greater` means that the new point replaces
    /// the window's point.
    fn rank(&self, window: usize, time_ns: i64, value: &FieldValue) -> Ordering {
        match self.points.get(window) {
            Some(Some(old)) => {
                preference(self.function, (time_ns, value), (old.time_ns, &old.value))
            }
            _ => Ordering::Greater,
        }
    }

    fn offer(&mut self, window: usize, point: Point) {
        let better = match self.rank(window, point.time_ns, &point.value) {
            Ordering::Equal => match self.points.get(window) {
                Some(Some(old)) => compare_all(&point.aux, &old.aux) == Ordering::Less,
                _ => true,
            },
            order => order == Ordering::Greater,
        };
        if better {
            self.text_bytes += point.text_bytes();
            if let Some(old) = state_mut(&mut self.points, window).replace(point) {
                self.text_bytes = self.text_bytes.saturating_sub(old.text_bytes());
            }
        }
    }
}

impl Accumulator for Selected {
    fn accumulate(&mut self, dense: &Dense<'_>) {
        for span in dense.chosen.spans.iter().filter(|span| !span.rows.is_empty()) {
            let index = choose(self.function, &dense.values, span.rows.clone());
            let Some(&time_ns) = dense.chosen.times.get(index) else { continue };
            let value = dense.value(index);
            if self.rank(span.window, time_ns, &value) != Ordering::Less {
                let aux = dense.aux(index, &self.aux);
                self.offer(span.window, Point { time_ns, value, aux });
            }
        }
    }

    fn absorb(&mut self, windows: &[usize], partial: &PartialColumn) -> Result<(), ScanError> {
        let wrong = ScanError::States(self.function);
        let point = Point::reader(partial, self.field_type, self.aux.len());
        let Some(point) = point else { return Err(wrong) };
        for (row, &window) in windows.iter().enumerate() {
            let Some(point) = point(row) else { return Err(wrong) };
            self.offer(window, point);
        }
        Ok(())
    }

    fn keep(&mut self, order: &[usize]) {
        keep(&mut self.points, order);
        self.text_bytes = self.points.iter().flatten().map(Point::text_bytes).sum();
    }

    fn bytes(&self) -> usize {
        self.points.len() * (24 + 9 * self.aux.len()) + self.text_bytes
    }

    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn {
        self.finish(order, starts_ns).into_states()
    }

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> FinalValues {
        let present = |&window: &usize| {
            let point = self.points.get(window)?.as_ref()?;
            Some((starts_ns.get(window).copied().or_bug(), point))
        };
        let points: Vec<(i64, &Point)> = order.iter().filter_map(present).collect();
        Point::finish(&points, self.field_type, &self.aux)
    }
}

/// Returns the row that a selector chooses among `rows` of one series. The times of the rows ascend
/// without duplicates.
fn choose(function: AggregateFunction, values: &ValueSlice<'_>, rows: Range<usize>) -> usize {
    fn find<T: Copy + PartialOrd + Default>(
        values: &[T],
        rows: Range<usize>,
        is_max: bool,
    ) -> usize {
        let values = values.get(rows.clone()).or_bug();
        // There are two passes: the first has no branches, and the second ends at the first match.
        let extreme = if is_max { largest(values) } else { smallest(values) };
        rows.start + values.iter().position(|value| *value == extreme).unwrap_or(0)
    }
    let is_max = match function {
        AggregateFunction::Min => false,
        AggregateFunction::Max => true,
        AggregateFunction::Last => return rows.end.saturating_sub(1),
        _ => return rows.start,
    };
    match values {
        ValueSlice::Float(values) => find(values, rows, is_max),
        ValueSlice::Integer(values) => find(values, rows, is_max),
        ValueSlice::Unsigned(values) => find(values, rows, is_max),
        ValueSlice::Boolean(values) => find(values, rows, is_max),
        ValueSlice::Text(..) => rows.start,
    }
}

/// Compares two points. `Greater` means that `new` is chosen, and `Less` means that `old` is
/// chosen.
///
/// Among equal values, min() and max() choose the value of the earliest point (1.x
/// `query/functions.go`, `FloatMinReduce` and `FloatMaxReduce`). If several points have the same
/// time, first() and last() choose the largest value, except that first() of booleans prefers
/// `false` (`FloatLastReduce` and `BooleanFirstReduce`).
pub(super) fn preference(
    function: AggregateFunction,
    new: (i64, &FieldValue),
    old: (i64, &FieldValue),
) -> Ordering {
    let (by_time, by_value) = (new.0.cmp(&old.0), compare(new.1, old.1));
    match (function, new.1) {
        (AggregateFunction::Min, _) => by_value.reverse().then(by_time.reverse()),
        (AggregateFunction::Max, _) => by_value.then(by_time.reverse()),
        (AggregateFunction::Last, _) => by_time.then(by_value),
        (_, FieldValue::Boolean(_)) => by_time.reverse().then(by_value.reverse()),
        _ => by_time.reverse().then(by_value),
    }
}

/// Compares two values. Values of different types are equal.
fn compare(a: &FieldValue, b: &FieldValue) -> Ordering {
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
