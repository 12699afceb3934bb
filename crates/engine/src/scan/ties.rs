//! Implements first() and last() of a group without windows. Among points with the same time, these
//! functions choose the same point as 1.x.
//!
//! 1.x merges its series in a heap, and compares only the first two points that the heap returns.
//! The result is the point with the larger value. For booleans, `first` prefers `false`. Usually
//! these two points belong to the first and the last series in the order of series keys. If the
//! query also returns a string field or a tag, the heap compares these texts instead, and skips
//! points without a text. This module therefore imitates the heap.
//!
//! If more than [`TIED_POINTS_MAX`] points have a text, only some of these points are kept. For
//! `first`, the result then depends on the two points with the first texts. For `last`, it depends
//! on the two points with the last texts. If a point lacks a text, it depends on the first and the
//! last series.

use std::cmp::Ordering;
use std::ops::Range;

use super::accumulator::{Accumulator, FinalValues};
use super::error::ScanError;
use super::page::PartialColumn;
use super::request::{AggregateFunction, AuxColumn};
use super::selectors::{Point, preference, text};
use super::series_rows::Dense;
use tidemark_model::bug::OrBug;
use tidemark_model::limits::TIED_POINTS_MAX;
use tidemark_model::value::{FieldType, FieldValue};

/// The points with the same time that can still be chosen, in series order.
pub(super) struct TiedPoints {
    latest: bool,
    by_text: bool,
    field_type: FieldType,
    aux: Vec<AuxColumn>,
    /// The positions of the series' tags in `aux`.
    tags: Range<usize>,
    points: Vec<Point>,
    /// Whether points were removed that 1.x's heap would contain.
    is_pruned: bool,
}

impl TiedPoints {
    pub(super) fn new(
        latest: bool,
        by_text: bool,
        field_type: FieldType,
        aux: Vec<AuxColumn>,
    ) -> Self {
        let start = usize::from(by_text);
        let tags = start..start + different_tags(aux.get(start..).or_bug());
        Self { latest, by_text, field_type, aux, tags, points: Vec::new(), is_pruned: false }
    }

    fn error(&self) -> ScanError {
        let (latest, by_text) = (self.latest, self.by_text);
        ScanError::States(AggregateFunction::TiedPoints { latest, by_text })
    }

    /// Compares a new time with the time of the current points. `Greater` means that the point with
    /// the new time replaces the current points.
    fn rank(&self, time_ns: i64) -> Ordering {
        let order = self.points.first().map_or(Ordering::Greater, |old| time_ns.cmp(&old.time_ns));
        if self.latest || self.points.is_empty() { order } else { order.reverse() }
    }

    fn offer(&mut self, point: Point) {
        match self.rank(point.time_ns) {
            Ordering::Less => return,
            Ordering::Greater => {
                self.points.clear();
                self.is_pruned = false;
            }
            Ordering::Equal => {}
        }
        let tags = &self.tags;
        let place = self
            .points
            .partition_point(|known| by_series(tags, known, &point) != Ordering::Greater);
        self.points.insert(place, point);
        let kept_max = if self.by_text && !self.is_pruned { TIED_POINTS_MAX } else { 2 };
        if self.points.len() > kept_max {
            self.is_pruned = true;
            let kept = self.candidates();
            let mut position = 0;
            self.points.retain(|_| {
                position += 1;
                kept.contains(&(position - 1))
            });
        }
    }

    /// Returns the positions of the points that can still be chosen after adding further points.
    fn candidates(&self) -> Vec<usize> {
        let mut kept = vec![0, self.points.len().saturating_sub(1)];
        if self.by_text {
            kept.extend(self.points.iter().position(|point| self.text_of(point).is_none()));
            kept.extend(self.by_texts());
        }
        kept
    }

    /// Returns the text that the query returns next to the value. A missing tag has no text.
    fn text_of<'a>(&self, point: &'a Point) -> Option<&'a str> {
        let is_tag = matches!(self.aux.first(), Some(AuxColumn::Tag(_)));
        match point.aux.first()?.as_ref()? {
            FieldValue::String(text) if !(is_tag && text.is_empty()) => Some(text),
            _ => None,
        }
    }

    /// Returns the positions of the two points with the first texts, or the last texts for `last`.
    fn by_texts(&self) -> Vec<usize> {
        let mut all: Vec<(Option<&str>, usize)> =
            self.points.iter().map(|point| self.text_of(point)).zip(0..).collect();
        all.retain(|(text, _)| text.is_some());
        all.sort();
        let surplus = if self.latest { all.len().saturating_sub(2) } else { 0 };
        all.into_iter().skip(surplus).take(2).map(|(_, position)| position).collect()
    }

    /// Returns the two points that 1.x's heap returns first. Go's `container/heap` starts with the
    /// points in series order, for `last` in reverse order.
    fn by_heap(&self) -> Option<(&Point, &Point)> {
        let mut heap: Vec<&Point> = self.points.iter().collect();
        if self.latest {
            heap.reverse();
        }
        let is_before = |a: &Point, b: &Point| match (self.text_of(a), self.text_of(b)) {
            (Some(a), Some(b)) if self.latest => a > b,
            (Some(a), Some(b)) => a < b,
            _ => false,
        };
        for root in (0..heap.len() / 2).rev() {
            sift_down(&mut heap, root, is_before);
        }
        let first = *heap.first()?;
        let last = heap.pop()?;
        if let Some(root) = heap.first_mut() {
            *root = last;
            sift_down(&mut heap, 0, is_before);
        }
        Some((first, heap.first().copied().unwrap_or(first)))
    }

    /// Returns the two points that determine the result after some points were removed.
    fn by_candidates(&self) -> Option<(&Point, &Point)> {
        let all_have_texts = self.points.iter().all(|point| self.text_of(point).is_some());
        let two = match self.by_text && all_have_texts {
            true => self.by_texts(),
            false => vec![0, self.points.len().saturating_sub(1)],
        };
        let first = self.points.get(*two.first()?)?;
        let second = self.points.get(*two.last()?)?;
        Some(if self.latest { (second, first) } else { (first, second) })
    }

    fn chosen(&self) -> Option<&Point> {
        let is_whole = self.by_text && !self.is_pruned;
        let (known, other) = if is_whole { self.by_heap()? } else { self.by_candidates()? };
        let (new, old) = ((other.time_ns, &other.value), (known.time_ns, &known.value));
        let function = if self.latest { AggregateFunction::Last } else { AggregateFunction::First };
        Some(if preference(function, new, old).is_gt() { other } else { known })
    }

    fn finished<'a>(
        &'a self,
        points: impl IntoIterator<Item = &'a Point>,
        starts_ns: &[i64],
    ) -> FinalValues {
        let start_ns = || starts_ns.first().copied().or_bug();
        let points: Vec<_> = points.into_iter().map(|point| (start_ns(), point)).collect();
        Point::finish(&points, self.field_type, &self.aux)
    }
}

impl Accumulator for TiedPoints {
    fn accumulate(&mut self, dense: &Dense<'_>) {
        for span in dense.chosen.spans.iter().filter(|span| !span.rows.is_empty()) {
            let index = if self.latest { span.rows.end - 1 } else { span.rows.start };
            let Some(&time_ns) = dense.chosen.times.get(index) else { continue };
            if self.rank(time_ns) != Ordering::Less {
                let aux = dense.aux(index, &self.aux);
                self.offer(Point { time_ns, value: dense.value(index), aux });
            }
        }
    }

    fn absorb(&mut self, windows: &[usize], partial: &PartialColumn) -> Result<(), ScanError> {
        let point = Point::reader(partial, self.field_type, self.aux.len());
        let point = point.ok_or_else(|| self.error())?;
        for row in 0..windows.len() {
            self.offer(point(row).ok_or_else(|| self.error())?);
        }
        Ok(())
    }

    /// Does nothing, because there is only one window, which always remains.
    fn keep(&mut self, _: &[usize]) {}

    fn bytes(&self) -> usize {
        let texts = self.points.iter().flat_map(|point| &point.aux);
        self.points.len() * (24 + 9 * self.aux.len())
            + texts.map(|value| text(value.as_ref()).len()).sum::<usize>()
    }

    fn partial(&self, _: &[usize], starts_ns: &[i64]) -> PartialColumn {
        self.finished(&self.points, starts_ns).into_states()
    }

    fn finish(&self, _: &[usize], starts_ns: &[i64]) -> FinalValues {
        self.finished(self.chosen(), starts_ns)
    }
}

/// Imitates `down` of Go's `container/heap`.
fn sift_down(heap: &mut [&Point], mut root: usize, is_before: impl Fn(&Point, &Point) -> bool) {
    let before = |heap: &[&Point], a: usize, b: usize| match (heap.get(a), heap.get(b)) {
        (Some(a), Some(b)) => is_before(a, b),
        _ => false,
    };
    loop {
        let (left, right) = (2 * root + 1, 2 * root + 2);
        let child = if before(heap, right, left) { right } else { left };
        if !before(heap, child, root) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

fn different_tags(aux: &[AuxColumn]) -> usize {
    let is_new = |(position, one): (usize, &AuxColumn)| {
        matches!(one, AuxColumn::Tag(_)) && !aux.iter().take(position).any(|before| before == one)
    };
    aux.iter().enumerate().take_while(|&(position, one)| is_new((position, one))).count()
}

/// Compares two series keys by their tags, in the order of tag names.
fn by_series(tags: &Range<usize>, a: &Point, b: &Point) -> Ordering {
    fn value(point: &Point, position: usize) -> &str {
        text(point.aux.get(position).and_then(Option::as_ref))
    }
    let has_further_tag = |point: &Point, from: usize| {
        (from..tags.end).any(|position| !value(point, position).is_empty())
    };
    for position in tags.clone() {
        let (left, right) = (value(a, position), value(b, position));
        let order = match (left.is_empty(), right.is_empty()) {
            (true, true) => continue,
            // A key that has no further tags comes first. Otherwise, the next tag of this key has a
            // later name.
            (true, false) if has_further_tag(a, position) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) if has_further_tag(b, position) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => escaped(left).cmp(escaped(right)),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Returns the tag value in the escaped form of a series key, and the comma that follows it.
fn escaped(value: &str) -> impl Iterator<Item = u8> + '_ {
    let escape = |byte: u8| matches!(byte, b',' | b'=' | b' ').then_some(b'\\');
    value.bytes().flat_map(move |byte| escape(byte).into_iter().chain([byte])).chain([b','])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::column::{Column, Values};
    use crate::merge::cursor::Direction;
    use crate::scan::page::AuxValues;
    use crate::scan::partial::Merge;
    use crate::scan::request::{AggregateCall, Input};
    use tidemark_model::ids::ColumnId;

    fn piece(&(time_ns, series, value): &(i64, &str, f64)) -> PartialColumn {
        PartialColumn {
            windows_ns: vec![0],
            states: vec![
                Column::full(Values::Integer(vec![time_ns])),
                Column::full(Values::Float(vec![value])),
            ],
            aux: vec![AuxValues::Tag([series].into_iter().collect())],
        }
    }

    fn chosen(latest: bool, by_text: bool, points: &[(i64, &str, f64)], shards: usize) -> String {
        let call = AggregateCall {
            function: AggregateFunction::TiedPoints { latest, by_text },
            input: Input { column: ColumnId(0), field_type: FieldType::Float, cast: None },
            aux: vec![AuxColumn::Tag(ColumnId(1))],
        };
        let mut edge = Merge::new(&call).expect("a call");
        for shard in 0..shards {
            let mut own = Merge::new(&call).expect("a call");
            for point in points.iter().skip(shard).step_by(shards) {
                own.add(&piece(point)).expect("a state");
            }
            edge.add(&own.partial(Direction::Ascending)).expect("states");
        }
        let answer = edge.finish(Direction::Ascending);
        let [AuxValues::Tag(series)] = answer.aux.as_slice() else { panic!("a tag") };
        assert_eq!(answer.windows_ns.len(), 1);
        format!("{:?} {}", answer.values.get(0), series.get(0))
    }

    #[test]
    fn tied_points_ignore_shard_count() {
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
            assert_eq!(last(false), "Some(Float(7.0)) b", "as good: the first point is chosen");
            assert_eq!(chosen(true, true, points.get(..2).unwrap(), shards), "Some(Float(9.0)) c");
        }
    }

    /// Returns the point that `first()` chooses. `series` contains the values of the tags `a` and
    /// `b` and the value of each series.
    fn first_of(by_text: bool, series: &[(&str, &str, f64)], shards: usize) -> Option<FieldValue> {
        chosen_of((false, if by_text { 2 } else { 0 }), series, shards)
    }

    /// Returns the chosen point. `shown` is the tag that the query returns: 1 is `a`, 2 is `b`, and
    /// 0 is none.
    fn chosen_of(
        (latest, shown): (bool, u32),
        series: &[(&str, &str, f64)],
        shards: usize,
    ) -> Option<FieldValue> {
        let by_text = shown > 0;
        let tags = [ColumnId(1), ColumnId(2)].map(AuxColumn::Tag);
        let text = by_text.then_some(AuxColumn::Tag(ColumnId(shown)));
        let call = AggregateCall {
            function: AggregateFunction::TiedPoints { latest, by_text },
            input: Input { column: ColumnId(0), field_type: FieldType::Float, cast: None },
            aux: text.into_iter().chain(tags).collect(),
        };
        let piece = |&(a, b, value): &(&str, &str, f64)| {
            let shown = if shown == 1 { a } else { b };
            let texts = by_text.then_some(shown).into_iter().chain([a, b]);
            let aux = texts.map(|text| AuxValues::Tag([text].into_iter().collect()));
            PartialColumn { aux: aux.collect(), ..piece(&(1, "", value)) }
        };
        let mut edge = Merge::new(&call).expect("a call");
        for shard in 0..shards {
            let mut own = Merge::new(&call).expect("a call");
            for one in series.iter().skip(shard).step_by(shards) {
                own.add(&piece(one)).expect("a state");
            }
            edge.add(&own.partial(Direction::Ascending)).expect("states");
        }
        edge.finish(Direction::Ascending).values.get(0)
    }

    /// The expected results come from InfluxDB 1.6.7.
    #[test]
    fn ties_order_series_by_escaped_key() {
        let lacking = [("1", "", 5.0), ("2", "", 9.0), ("", "1", 1.0)];
        let escaped = [("x", "", 5.0), ("x-1", "", 9.0), ("x", "z", 7.0), ("x y", "", 8.0)];
        for shards in 1..=4 {
            assert_eq!(first_of(false, &lacking, shards), Some(FieldValue::Float(5.0)));
            assert_eq!(first_of(true, &lacking, shards), Some(FieldValue::Float(5.0)), "no text");
            assert_eq!(first_of(false, &escaped, shards), Some(FieldValue::Float(8.0)));
        }
    }

    #[test]
    fn ties_without_text_follow_influxdb_1() {
        // The query is `last(v), a` over the series `a=1`, `a=2` and `b=1`. The heap never compares
        // `b=1`.
        let series = [("1", "", 5.0), ("2", "", 9.0), ("", "1", 1.0)];
        for shards in 1..=4 {
            assert_eq!(chosen_of((true, 1), &series, shards), Some(FieldValue::Float(9.0)));
        }
    }

    #[test]
    fn tied_points_are_limited() {
        let names: Vec<String> = (0..2 * TIED_POINTS_MAX).map(|at| format!("{at:04}")).collect();
        let points: Vec<(i64, &str, f64)> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (5, name.as_str(), -1.0 - at as f64))
            .collect();
        for shards in 1..=3 {
            assert_eq!(chosen(false, true, &points, shards), "Some(Float(-1.0)) 0000");
        }
        let mut merge =
            TiedPoints::new(false, true, FieldType::Float, vec![AuxColumn::Tag(ColumnId(1))]);
        for point in &points {
            merge.absorb(&[0], &piece(point)).expect("a state");
            assert!(merge.points.len() <= TIED_POINTS_MAX);
        }
        assert!(merge.points.len() <= 5);
    }

    #[test]
    fn tied_points_reject_mismatched_states() {
        let mut merge = TiedPoints::new(false, false, FieldType::Float, Vec::new());
        assert!(merge.absorb(&[0], &piece(&(1, "a", 1.0))).is_err(), "a column too many");
        let mut merge =
            TiedPoints::new(false, false, FieldType::Integer, vec![AuxColumn::Tag(ColumnId(1))]);
        assert!(merge.absorb(&[0], &piece(&(1, "a", 1.0))).is_err(), "another type");
    }
}
