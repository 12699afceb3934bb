//! The first or last point of a group without windows, as 1.x meets it.
//!
//! 1.x reads one point too many there and looks at no other: of all points of that time the two
//! that its merge brings first. Those are of the first and the last series; or, where a text is
//! shown beside the value, the two whose text comes first (for `last`: last). Of the two the larger
//! value is the answer, but `false` for `first`.

use std::cmp::Ordering;

use super::first_last::First;
use super::first_last::Last;
use super::selected::{Selector, compare, push};
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, StringColumn, Values};
use crate::model::value::{FieldType, FieldValue};
use crate::scan::accumulator::{Accumulator, Finished};
use crate::scan::dense::{Dense, Neighbours};
use crate::scan::error::ScanError;
use crate::scan::page::{BesideColumn, PartialColumn};
use crate::scan::request::{AggregateFunction, Beside};
use crate::scan::spans::Span;

#[derive(Clone, Debug)]
struct Point {
    time_ns: i64,
    value: FieldValue,
    beside: Vec<Option<FieldValue>>,
}

/// At most two points of one time, in order of the texts that lead what stands beside them.
pub(in crate::scan) struct Met {
    latest: bool,
    by_text: bool,
    field_type: FieldType,
    beside: Vec<Beside>,
    points: Vec<Point>,
}

impl Met {
    pub(in crate::scan) fn new(
        (latest, by_text): (bool, bool),
        field_type: FieldType,
        beside: Vec<Beside>,
    ) -> Self {
        Self { latest, by_text, field_type, beside, points: Vec::new() }
    }

    fn error(&self) -> ScanError {
        let (latest, by_text) = (self.latest, self.by_text);
        ScanError::States(AggregateFunction::Met { latest, by_text })
    }

    /// How a time compares with that of the points: greater takes their place.
    fn rank(&self, time_ns: i64) -> Ordering {
        let order = self.points.first().map_or(Ordering::Greater, |old| time_ns.cmp(&old.time_ns));
        if self.latest || self.points.is_empty() { order } else { order.reverse() }
    }

    fn offer(&mut self, point: Point) {
        match self.rank(point.time_ns) {
            Ordering::Less => return,
            Ordering::Greater => self.points.clear(),
            Ordering::Equal => {}
        }
        self.points.push(point);
        self.points.sort_by(|a, b| by_texts(&a.beside, &b.beside));
        if self.points.len() > 2 {
            // Of three the middle one goes, or the one at the far end.
            self.points.remove(match (self.by_text, self.latest) {
                (false, _) => 1,
                (true, false) => 2,
                (true, true) => 0,
            });
        }
    }

    /// The answer of the two.
    fn chosen(&self) -> Option<&Point> {
        let (first, second) = (self.points.first()?, self.points.last()?);
        let (met, other) = if self.latest { (second, first) } else { (first, second) };
        let (new, old) = ((other.time_ns, &other.value), (met.time_ns, &met.value));
        let order = if self.latest { Last::prefers(new, old) } else { First::prefers(new, old) };
        Some(if order == Ordering::Greater { other } else { met })
    }

    fn columns(&self, points: &[&Point], starts_ns: &[i64]) -> (Vec<i64>, Vec<i64>, Column) {
        let mut values = Column::new(self.field_type);
        points.iter().for_each(|point| push(&mut values, Some(&point.value)));
        let start_ns = starts_ns.first().copied().unwrap_or_default();
        let times_ns = points.iter().map(|point| point.time_ns).collect();
        (vec![start_ns; points.len()], times_ns, values)
    }

    fn beside_columns(&self, points: &[&Point]) -> Vec<BesideColumn> {
        let column = |(position, beside): (usize, &Beside)| {
            let values = points.iter().map(|point| point.beside.get(position)?.as_ref());
            match beside {
                Beside::Tag(_) => BesideColumn::Tag(values.map(text).collect::<StringColumn>()),
                Beside::Field(input) => {
                    let mut column = Column::new(input.output_type().unwrap_or(input.field_type));
                    values.for_each(|value| push(&mut column, value));
                    BesideColumn::Field(column)
                }
            }
        };
        self.beside.iter().enumerate().map(column).collect()
    }
}

impl Accumulator for Met {
    fn accumulate(&mut self, spans: &[Span], dense: &Dense<'_>, neighbours: &Neighbours<'_>) {
        for span in spans.iter().filter(|span| !span.rows.is_empty()) {
            let index = if self.latest { span.rows.end - 1 } else { span.rows.start };
            let Some(&time_ns) = dense.times.get(index) else { continue };
            if self.rank(time_ns) != Ordering::Less {
                let beside = dense.beside(index, &self.beside, neighbours);
                self.offer(Point { time_ns, value: dense.value(index), beside });
            }
        }
    }

    fn absorb(&mut self, slots: &[usize], partial: &PartialColumn) -> Result<(), ScanError> {
        let [times, values] = partial.states.as_slice() else { return Err(self.error()) };
        let (Values::Integer(times_ns), Validity::All) = (&times.values, &times.validity) else {
            return Err(self.error());
        };
        if values.values.field_type() != self.field_type
            || partial.beside.len() != self.beside.len()
        {
            return Err(self.error());
        }
        for row in 0..slots.len() {
            let (Some(&time_ns), Some(value)) = (times_ns.get(row), values.get(row)) else {
                return Err(self.error());
            };
            let beside = partial.beside.iter().map(|column| match column {
                BesideColumn::Field(column) => column.get(row),
                BesideColumn::Tag(column) => Some(FieldValue::String(column.get(row).into())),
            });
            self.offer(Point { time_ns, value, beside: beside.collect() });
        }
        Ok(())
    }

    /// Without windows there is one slot, which stays.
    fn keep(&mut self, _: &[usize]) {}

    fn bytes(&self) -> usize {
        let texts = self.points.iter().flat_map(|point| &point.beside);
        self.points.len() * (24 + 9 * self.beside.len())
            + texts.map(|value| text(value.as_ref()).len()).sum::<usize>()
    }

    fn partial(&self, _: &[usize], starts_ns: &[i64]) -> PartialColumn {
        let points: Vec<&Point> = self.points.iter().collect();
        let (windows_ns, times_ns, values) = self.columns(&points, starts_ns);
        let states = vec![Column::full(Values::Integer(times_ns)), values];
        PartialColumn { windows_ns, states, beside: self.beside_columns(&points) }
    }

    fn finish(&self, _: &[usize], starts_ns: &[i64]) -> Finished {
        let points: Vec<&Point> = self.chosen().into_iter().collect();
        let (windows_ns, times_ns, values) = self.columns(&points, starts_ns);
        let beside = self.beside_columns(&points);
        Finished { windows_ns, values, times_ns: Some(times_ns), beside }
    }
}

fn text(value: Option<&FieldValue>) -> &str {
    match value {
        Some(FieldValue::String(text)) => text,
        _ => "",
    }
}

/// Order of the texts in front, as far as there are any.
fn by_texts(a: &[Option<FieldValue>], b: &[Option<FieldValue>]) -> Ordering {
    let texts = a.iter().zip(b).map_while(|pair| match pair {
        (Some(a @ FieldValue::String(_)), Some(b @ FieldValue::String(_))) => Some(compare(a, b)),
        _ => None,
    });
    texts.fold(Ordering::Equal, Ordering::then)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::ColumnId;
    use crate::scan::partial::Merge;
    use crate::scan::request::{AggregateCall, Input};

    /// One point per (time, series, value), as its shard would send it alone.
    fn piece(&(time_ns, series, value): &(i64, &str, f64)) -> PartialColumn {
        PartialColumn {
            windows_ns: vec![0],
            states: vec![
                Column::full(Values::Integer(vec![time_ns])),
                Column::full(Values::Float(vec![value])),
            ],
            beside: vec![BesideColumn::Tag([series].into_iter().collect())],
        }
    }

    /// The value and series chosen, the points being split over so many shards.
    fn chosen(latest: bool, by_text: bool, points: &[(i64, &str, f64)], shards: usize) -> String {
        let call = AggregateCall {
            function: AggregateFunction::Met { latest, by_text },
            input: Input { column: ColumnId(0), field_type: FieldType::Float, cast: None },
            beside: vec![Beside::Tag(ColumnId(1))],
        };
        let mut edge = Merge::new(&call).expect("a call");
        for shard in 0..shards {
            let mut own = Merge::new(&call).expect("a call");
            for point in points.iter().skip(shard).step_by(shards) {
                own.add(&piece(point)).expect("a state");
            }
            edge.add(&own.partial(false)).expect("states");
        }
        let answer = edge.finish(false);
        let [BesideColumn::Tag(series)] = answer.beside.as_slice() else { panic!("a tag") };
        assert_eq!(answer.windows_ns.len(), 1);
        format!("{:?} {}", answer.values.get(0), series.get(0))
    }

    #[test]
    fn two_points_are_looked_at_whatever_the_shards() {
        let points = [
            (5, "c", 9.0),
            (5, "a", 3.0),
            (9, "b", 7.0),
            (5, "d", 4.0),
            (5, "b", 8.0),
            (9, "a", 7.0),
        ];
        for shards in 1..=7 {
            let first = |by_text| chosen(false, by_text, &points, shards);
            let last = |by_text| chosen(true, by_text, &points, shards);
            assert_eq!(first(false), "Some(Float(4.0)) d", "of a and d");
            assert_eq!(first(true), "Some(Float(8.0)) b", "of a and b");
            assert_eq!(last(false), "Some(Float(7.0)) b", "as good: that which is met first");
            assert_eq!(chosen(true, true, points.get(..2).unwrap(), shards), "Some(Float(9.0)) c");
        }
    }

    #[test]
    fn states_of_another_shape_are_refused() {
        let mut merge = Met::new((false, false), FieldType::Float, Vec::new());
        assert!(merge.absorb(&[0], &piece(&(1, "a", 1.0))).is_err(), "a column too many");
        let mut merge =
            Met::new((false, false), FieldType::Integer, vec![Beside::Tag(ColumnId(1))]);
        assert!(merge.absorb(&[0], &piece(&(1, "a", 1.0))).is_err(), "another type");
    }
}
