//! Compares merges of random sources with a map to which the same rows were added one by one.

pub(crate) mod short;
pub(crate) mod vector;

use std::collections::BTreeSet;
use std::rc::Rc;

use self::vector::{Fields, Story, VectorCursor};
use super::condition::{TagCondition, Text};
use super::cursor::{
    CURSORS_MAX, Columns, Direction, PageColumn, PageKeys, ReadError, SeriesCursor,
};
use super::hide::{CompiledDeletion, HiddenRows, VisibleCursor};
use super::key::SeriesKey;
use super::kway::Merge;
use super::picks::Picks;
use super::sequences::{Extent, Sequences};
use crate::test_seeds::seeds;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};

type Rng = fastrand::Rng;

pub(crate) type Read = Vec<((SeriesKey, i64), Fields)>;

struct Part {
    extent: Extent,
    story: Story,
}

const TIMES: i64 = 40;

fn key(rng: &mut Rng) -> SeriesKey {
    let value = |rng: &mut Rng| ["", "a", "b", "\0"][rng.usize(..4)];
    let values: Vec<&str> = (0..rng.usize(..3)).map(|_| value(rng)).collect();
    SeriesKey::new(MeasurementId(rng.u32(1..4)), values)
}

fn value(rng: &mut Rng, column: u32) -> FieldValue {
    match column % 5 {
        0 => FieldValue::Float(f64::from(rng.i16(..))),
        1 => FieldValue::Integer(rng.i64(..)),
        2 => FieldValue::Unsigned(rng.u64(..)),
        3 => FieldValue::String("x".repeat(rng.usize(..4)).into()),
        _ => FieldValue::Boolean(rng.bool()),
    }
}

fn row(rng: &mut Rng, columns: u32) -> Fields {
    let mut fields = Fields::new();
    for _ in 0..rng.u32(1..=columns) {
        let column = rng.u32(..columns);
        fields.insert(column, value(rng, column));
    }
    fields
}

/// Returns random parts in any order, with disjoint sequences and in some cases with disjoint
/// times.
fn parts(rng: &mut Rng) -> Vec<Part> {
    let count = match rng.u16(..1_000) {
        0 => 300,
        1..50 => rng.usize(20..=64),
        _ => rng.usize(1..7),
    };
    let columns = rng.u32(1..8);
    let keys: Vec<SeriesKey> = (0..rng.usize(1..6)).map(|_| key(rng)).collect();
    let width = [1, TIMES / 8, TIMES / 2, TIMES][rng.usize(..4)].max(1);
    let mut parts: Vec<Part> = (0..count as u64)
        .map(|at| {
            let start_ns = rng.i64(0..=TIMES - width);
            let time = TimeRange::new(start_ns, start_ns + width);
            let story = (0..rng.usize(1..40))
                .map(|_| {
                    let key = keys[rng.usize(..keys.len())].clone();
                    ((key, rng.i64(time.start_ns..time.end_ns)), row(rng, columns))
                })
                .collect();
            let sequences = Sequences { lo: at * 3 + 1, hi: at * 3 + 3, applied: rng.u64(..20) };
            Part { extent: Extent { sequences, time }, story }
        })
        .collect();
    rng.shuffle(&mut parts);
    parts
}

fn hidden(rng: &mut Rng) -> (Vec<CompiledDeletion>, BTreeSet<MeasurementId>) {
    let tombstone = |rng: &mut Rng| {
        let start_ns = rng.i64(0..TIMES);
        let time = match rng.u8(..3) {
            0 => TimeRange::ALL,
            _ => TimeRange::new(start_ns, start_ns + rng.i64(0..TIMES / 2)),
        };
        let literal = Text::Literal(["", "a", "b"][rng.usize(..3)].into());
        let condition = match rng.u8(..3) {
            0 => TagCondition::Constant(true),
            _ => {
                let (left, right) = (Text::Tag(rng.usize(..3)), literal);
                TagCondition::Equal { left, right, negated: rng.bool() }
            }
        };
        let measurement = MeasurementId(rng.u32(1..4));
        let (sequence, before) = (rng.u64(..20), rng.u64(..20));
        CompiledDeletion { sequence, before, measurement, time, condition }
    };
    let count = [0, 1, 5][rng.usize(..3)];
    let tombstones = (0..count).map(|_| tombstone(rng)).collect();
    let mut retired = BTreeSet::new();
    if rng.u8(..4) == 0 {
        retired.insert(MeasurementId(rng.u32(1..4)));
    }
    (tombstones, retired)
}

fn story_of(
    parts: &[Part],
    (tombstones, retired): &(Vec<CompiledDeletion>, BTreeSet<MeasurementId>),
) -> Story {
    let mut sorted: Vec<&Part> = parts.iter().collect();
    sorted.sort_by_key(|part| part.extent.sequences.hi);
    let mut story = Story::new();
    for Part { extent, story: written } in sorted {
        for ((key, time_ns), fields) in written {
            let hides = |t: &CompiledDeletion| {
                extent.sequences.hi < t.before
                    && extent.sequences.applied < t.sequence
                    && t.measurement == key.measurement()
                    && t.time.contains(*time_ns)
                    && t.condition.holds(&key.values().collect::<Vec<_>>())
            };
            let gone = retired.contains(&key.measurement());
            if !gone && !tombstones.iter().any(hides) {
                let row = story.entry((key.clone(), *time_ns)).or_default();
                row.extend(fields.iter().map(|(&id, value)| (id, value.clone())));
            }
        }
    }
    story
}

fn merge_of(
    parts: &[Part],
    hidden: &Rc<HiddenRows>,
    page_rows: usize,
    direction: Direction,
    rng: &mut Rng,
) -> Merge<VisibleCursor<VectorCursor>> {
    let cursor = |part: &Part, rng: &mut Rng| {
        let cursor = VectorCursor::new(&part.story, page_rows, direction, rng);
        let hide = VisibleCursor::new(cursor, Rc::clone(hidden), &part.extent, direction).unwrap();
        (part.extent.sequences.hi, hide)
    };
    let sources = parts.iter().map(|part| cursor(part, rng)).collect();
    Merge::new(sources, direction).unwrap()
}

pub(crate) fn rows_of<C: SeriesCursor>(
    merge: &mut Merge<C>,
    picks: &Picks,
    keys: &[SeriesKey],
) -> Read {
    assert_eq!((picks.len(), picks.times_ns().len()), (keys.len(), keys.len()));
    assert!(!picks.is_empty());
    let rows = keys.iter().cloned().zip(picks.times_ns().iter().copied());
    let mut rows: Read = rows.map(|row| (row, Fields::new())).collect();
    for &(id, field_type) in picks.columns().iter() {
        let Some(column) = merge.column(picks, id).unwrap() else { continue };
        assert_eq!((column.len(), column.values.field_type()), (rows.len(), field_type));
        assert!(
            (0..rows.len()).any(|at| column.validity.is_valid(at)) || picks.only_page().is_some()
        );
        for (at, row) in rows.iter_mut().enumerate() {
            row.1.extend(column.get(at).map(|value| (id.0, value)));
        }
    }
    rows
}

/// Also reads some of the rows separately, and compares both results.
fn rows_and_some_of<C: SeriesCursor>(
    merge: &mut Merge<C>,
    (picks, keys): &(Picks, Vec<SeriesKey>),
) -> Read {
    let rows = rows_of(merge, picks, keys);
    let places = || (0..keys.len()).filter(|at| (at * at + keys.len()) % 3 == 0);
    if places().next().is_some() {
        let some = picks.only(&places().map(|at| at as u32).collect::<Vec<_>>());
        let of_some: Vec<SeriesKey> = places().map(|at| keys[at].clone()).collect();
        let expected: Read = places().map(|at| rows[at].clone()).collect();
        assert_eq!(rows_of(merge, &some, &of_some), expected);
    }
    rows
}

fn read<C: SeriesCursor>(merge: &mut Merge<C>, time: TimeRange, together: usize) -> Read {
    let mut rows = Read::new();
    let mut held = (Picks::default(), Vec::new());
    while let Some(key) = merge.next_series().unwrap().cloned() {
        assert_eq!(merge.key(), Some(&key));
        while let Some(picks) = merge.next_rows(time).unwrap() {
            held.1.extend(std::iter::repeat_n(key.clone(), picks.len()));
            held.0.extend(picks);
            if held.1.len() >= together {
                rows.extend(rows_and_some_of(merge, &held));
                held = (Picks::default(), Vec::new());
            }
        }
        assert!(merge.next_rows(time).unwrap().is_none());
    }
    assert!(merge.next_series().unwrap().is_none() && merge.key().is_none());
    if !held.0.is_empty() {
        rows.extend(rows_and_some_of(merge, &held));
    }
    rows
}

pub(crate) fn visible_rows(story: &Story, time: TimeRange, direction: Direction) -> Read {
    let inside = story.iter().filter(|((_, time_ns), _)| time.contains(*time_ns));
    let mut rows: Read = inside.map(|(row, fields)| (row.clone(), fields.clone())).collect();
    if direction == Direction::Descending {
        rows.reverse();
    }
    rows
}

pub(crate) fn any_direction(rng: &mut Rng) -> Direction {
    if rng.bool() { Direction::Ascending } else { Direction::Descending }
}

#[test]
fn merged_sources_match_map_model() {
    for seed in seeds(750) {
        let mut rng = Rng::with_seed(seed);
        let (parts, hidden, direction) =
            (parts(&mut rng), hidden(&mut rng), any_direction(&mut rng));
        let story = story_of(&parts, &hidden);
        let (tombstones, retired) = hidden;
        let hidden = Rc::new(HiddenRows::new(tombstones, retired));
        let start_ns = rng.i64(0..TIMES);
        let time = match rng.bool() {
            true => TimeRange::ALL,
            false => TimeRange::new(start_ns, start_ns + rng.i64(1..TIMES)),
        };
        let page_rows = [1, 3, 10, 100][rng.usize(..4)];
        let mut merge = merge_of(&parts, &hidden, page_rows, direction, &mut rng);
        let read = read(&mut merge, time, [1, 1, 20, 1_000][rng.usize(..4)]);
        assert_eq!(read, visible_rows(&story, time, direction), "seed {seed}");
    }
}

#[test]
fn merge_seek_continues_at_any_key() {
    for seed in seeds(500) {
        let mut rng = Rng::with_seed(seed);
        let (parts, hidden, direction) =
            (parts(&mut rng), hidden(&mut rng), any_direction(&mut rng));
        let story = story_of(&parts, &hidden);
        let (tombstones, retired) = hidden;
        let hidden = Rc::new(HiddenRows::new(tombstones, retired));
        let mut merge = merge_of(&parts, &hidden, 5, direction, &mut rng);
        let mut left = visible_rows(&story, TimeRange::ALL, direction);
        loop {
            if rng.u8(..3) == 0 {
                let values = ["", "a", "b"].map(|_| ["", "a", "b"][rng.usize(..3)]);
                let (m, count) = (MeasurementId(rng.u32(..5)), rng.usize(..3));
                let to = match rng.bool() {
                    true => SeriesKey::new(m, values[..count].iter().copied()),
                    false => SeriesKey::past(m, values[..count].iter().copied()),
                };
                merge.seek(&to).unwrap();
                left.retain(|((key, _), _)| direction.order(key.cmp(&to)).is_ge());
            }
            let Some(key) = merge.next_series().unwrap().cloned() else { break };
            let at = left.iter().take_while(|((held, _), _)| *held != key).count();
            let of_it = left.iter().filter(|((held, _), _)| *held == key).count();
            // Only series without rows may be skipped.
            assert!(of_it == 0 || at == 0, "seed {seed}");
            let mut taken = Read::new();
            while rng.u8(..4) > 0
                && let Some(picks) = merge.next_rows(TimeRange::ALL).unwrap()
            {
                let keys = vec![key.clone(); picks.len()];
                taken.extend(rows_of(&mut merge, &picks, &keys));
            }
            assert!(taken.len() <= of_it, "seed {seed}");
            if of_it > 0 {
                assert_eq!(taken, left[..taken.len()], "seed {seed}");
                left.drain(..of_it);
            }
        }
        assert_eq!(left, [], "seed {seed}");
    }
}

#[test]
fn merge_grouping_does_not_change_rows() {
    for seed in seeds(200) {
        let mut rng = Rng::with_seed(seed);
        let mut parts = parts(&mut rng);
        let hidden = hidden(&mut rng);
        let story = story_of(&parts, &hidden);
        let (tombstones, retired) = hidden;
        let known = tombstones.iter().map(|t| t.sequence).max().unwrap_or_default();
        let hidden = Rc::new(HiddenRows::new(tombstones, retired));
        while parts.len() > 1 {
            parts.sort_by_key(|part| part.extent.sequences.lo);
            let start = rng.usize(..parts.len());
            let count = rng.usize(1..=parts.len() - start);
            let some: Vec<Part> = parts.drain(start..start + count).collect();
            let mut merge = merge_of(&some, &hidden, 7, Direction::Ascending, &mut rng);
            let story: Story = read(&mut merge, TimeRange::ALL, 50).into_iter().collect();
            let mut extent = Extent::hull(some.iter().map(|part| part.extent)).unwrap();
            assert!(extent.is_convex(parts.iter().map(|part| &part.extent)), "seed {seed}");
            let sequences = some.iter().map(|part| part.extent.sequences);
            extent.sequences = Sequences::of_merge(sequences, known).unwrap();
            parts.push(Part { extent, story });
        }
        let mut merge = merge_of(&parts, &hidden, 9, Direction::Ascending, &mut rng);
        let read = read(&mut merge, TimeRange::ALL, 1);
        assert_eq!(read, visible_rows(&story, TimeRange::ALL, Direction::Ascending), "seed {seed}");
    }
}

fn simple(values: &[(i64, FieldValue)]) -> VectorCursor {
    let key = SeriesKey::new(MeasurementId(1), ["a"]);
    let row = |(time_ns, value): &(i64, FieldValue)| {
        ((key.clone(), *time_ns), Fields::from([(1, value.clone())]))
    };
    let story = values.iter().map(row).collect();
    let mut rng = Rng::with_seed(1);
    VectorCursor::new(&story, 1, Direction::Ascending, &mut rng)
}

#[test]
fn disjoint_pages_merge_without_copies() {
    let integer = |time_ns| (time_ns, FieldValue::Integer(time_ns));
    let (a, b) = (simple(&[integer(1), integer(5)]), simple(&[integer(3)]));
    let mut merge = Merge::new(vec![(1, a), (2, b)], Direction::Ascending).unwrap();
    merge.next_series().unwrap();
    for time_ns in [1, 3, 5] {
        let picks = merge.next_rows(TimeRange::ALL).unwrap().unwrap();
        assert_eq!(picks.times_ns(), [time_ns]);
        let column = merge.column(&picks, ColumnId(1)).unwrap().unwrap();
        // The cursor and this test share the column, because the merge does not copy it.
        assert_eq!(Rc::strong_count(&column), 2);
        assert_eq!(column.get(0), Some(FieldValue::Integer(time_ns)));
    }
}

#[test]
fn merge_decodes_column_once_per_page() {
    let mut story = Story::new();
    for series in 0..100 {
        let key = SeriesKey::new(MeasurementId(1), [series.to_string().as_str()]);
        for column in 1..4 {
            let row = story.entry((key.clone(), 7)).or_default();
            row.insert(column, FieldValue::Integer(series));
        }
    }
    let mut rng = Rng::with_seed(1);
    let cursor = |rng: &mut Rng| VectorCursor::new(&story, 1_000, Direction::Ascending, rng);
    let sources: Vec<VectorCursor> = vec![cursor(&mut rng), cursor(&mut rng)];
    let pages: usize = 2 * 3 * 100;
    let counts: Vec<_> = sources.iter().map(|cursor| Rc::clone(&cursor.decoded)).collect();
    let sources = (1..).zip(sources).collect();
    let mut merge = Merge::new(sources, Direction::Ascending).unwrap();
    let rows = read(&mut merge, TimeRange::ALL, usize::MAX);
    assert_eq!(rows.len(), 100);
    let decoded: usize = counts.iter().map(|count| count.get()).sum();
    assert!(decoded <= pages / 10, "{decoded}");
}

#[test]
fn mixed_column_types_are_damage() {
    let sources = || {
        let old = simple(&[(1, FieldValue::Float(1.0)), (2, FieldValue::Float(1.0))]);
        vec![(1, old), (2, simple(&[(2, FieldValue::Integer(2))]))]
    };
    let mut merge = Merge::new(sources(), Direction::Ascending).unwrap();
    merge.next_series().unwrap();
    let alone = merge.next_rows(TimeRange::ALL).unwrap().unwrap();
    let column = merge.column(&alone, ColumnId(1)).unwrap().unwrap();
    assert_eq!(column.get(0), Some(FieldValue::Float(1.0)));
    let both = merge.next_rows(TimeRange::ALL).unwrap().unwrap();
    let error = merge.column(&both, ColumnId(1)).unwrap_err();
    let (expected, found) = (FieldType::ALL[1], FieldType::ALL[0]);
    assert_eq!(error, ReadError::ColumnType { column: ColumnId(1), expected, found });
    assert_eq!(merge.column(&both, ColumnId(2)), Ok(None));
}

#[test]
fn merge_limits_source_count() {
    let sources = |count: usize| (0..count as u64).map(|at| (at, simple(&[]))).collect();
    assert!(Merge::new(sources(CURSORS_MAX), Direction::Ascending).is_ok());
    let refused = Merge::new(sources(CURSORS_MAX + 1), Direction::Ascending).map(drop);
    assert_eq!(refused, Err(ReadError::TooManySources(CURSORS_MAX + 1)));
}

struct Page(SeriesKey, Rc<[i64]>);

impl SeriesCursor for Page {
    fn key(&self) -> Option<&SeriesKey> {
        Some(&self.0)
    }
    fn seek(&mut self, _: &SeriesKey) -> Result<(), ReadError> {
        Ok(())
    }
    fn step(&mut self) -> Result<(), ReadError> {
        Ok(())
    }
    fn page(&mut self, _: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        let rows = 0..self.1.len() as u32;
        Ok(Some(PageKeys::new(0, Columns::default(), Rc::clone(&self.1), rows)))
    }
    fn has_rows(&mut self, _: TimeRange) -> Result<bool, ReadError> {
        Ok(true)
    }
    fn column(&mut self, _: &PageKeys, _: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        Ok(None)
    }
}

#[test]
fn unordered_page_fails_merge() {
    // The second page's times do not ascend, so no row of the first page becomes complete.
    let cases = [(Direction::Ascending, [5, 0]), (Direction::Descending, [11, 5])];
    for (direction, disorder) in cases {
        let key = SeriesKey::new(MeasurementId(1), []);
        let page = |times_ns: [i64; 2]| Page(key.clone(), Rc::from(times_ns));
        let sources = vec![(1, page([1, 10])), (2, page(disorder))];
        let mut merge = Merge::new(sources, direction).unwrap();
        merge.next_series().unwrap();
        let damaged = merge.next_rows(TimeRange::ALL).map(drop);
        assert!(matches!(damaged, Err(ReadError::Damaged { .. })), "{damaged:?}");
    }
}
