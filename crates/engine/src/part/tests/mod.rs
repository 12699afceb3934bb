//! Compares the rows read from parts with the rows that were written.

mod hostile;
mod merged;
mod outline;
mod pages;
mod recorded;
mod resume;
mod shapes;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use siphasher::sip::SipHasher24;

use super::block::Error;
use super::cursor::PartCursor;
use super::directory::Directory;
use super::values::Values;
use super::writer::{Groups, Limits, PartWriter, Value, Written};
use crate::merge::cursor::{Direction, ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::sequences::Sequences;
use crate::merge::tests::vector::{Fields, Story, VectorCursor};
use crate::merge::tests::{Read, any_direction, visible_rows};
use crate::test_seeds::seeds;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::series::{id_hash, tag_hash};
use tidemark_model::series_sketch::SeriesSketch;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

type Rng = fastrand::Rng;

const SEED: u64 = 3;

const TAGS: u32 = 3;

#[derive(Clone)]
struct Bytes {
    values: Rc<Vec<(Vec<u8>, Vec<u8>)>>,
    of: Range<usize>,
}

impl Bytes {
    fn new(values: &[Value]) -> Self {
        let bytes = |(number, value): (u64, &Value)| (value.head(number), value.body.clone());
        let values: Vec<_> = (100..).zip(values).map(bytes).collect();
        Self { of: 0..values.len(), values: Rc::new(values) }
    }

    fn of(&self, part: &Written) -> Self {
        Self { of: part.values.clone(), ..self.clone() }
    }

    fn at(&self, value: usize) -> Result<&(Vec<u8>, Vec<u8>), ReadError> {
        let at = Some(self.of.start + value).filter(|at| self.of.contains(at));
        let value = at.and_then(|at| self.values.get(at));
        value.ok_or_else(|| ReadError::Damaged { what: "no such value".into() })
    }
}

impl Values for Bytes {
    fn count(&self) -> usize {
        self.of.len()
    }

    fn directory(&mut self, value: usize) -> Result<Rc<Directory>, ReadError> {
        let decoded = Directory::decode(&self.at(value)?.0);
        decoded.map(|(_, directory)| Rc::new(directory)).map_err(|e| self.damaged(value, e))
    }

    fn with<T>(
        &mut self,
        value: usize,
        bytes: Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        let bytes = self.at(value)?.1.get(bytes.start as usize..bytes.end as usize);
        read(bytes.ok_or_else(|| self.damaged(value, Error::Checksum))?)
            .map_err(|error| self.damaged(value, error))
    }

    fn damaged(&self, value: usize, error: Error) -> ReadError {
        ReadError::Damaged { what: format!("value {value}: {error}") }
    }
}

struct Counted {
    bytes: Bytes,
    reads: Rc<Cell<(u32, u32)>>,
}

impl Values for Counted {
    fn count(&self) -> usize {
        self.bytes.count()
    }

    fn directory(&mut self, value: usize) -> Result<Rc<Directory>, ReadError> {
        let (directories, blocks) = self.reads.get();
        self.reads.set((directories + 1, blocks));
        self.bytes.directory(value)
    }

    fn with<T>(
        &mut self,
        value: usize,
        bytes: Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        let (directories, blocks) = self.reads.get();
        self.reads.set((directories, blocks + 1));
        self.bytes.with(value, bytes, read)
    }

    fn damaged(&self, value: usize, error: Error) -> ReadError {
        self.bytes.damaged(value, error)
    }
}

fn tag_order(_: MeasurementId) -> Result<Vec<ColumnId>, ReadError> {
    Ok((0..TAGS).map(|tag| ColumnId(90 + tag)).collect())
}

fn small(rng: &mut Rng) -> Limits {
    Limits {
        value_bytes: rng.usize(1_500..6_000),
        directory_bytes: rng.usize(300..2_000),
        page_rows: rng.usize(2..20),
        page_rows_enough: rng.usize(2..10),
        page_cells: rng.usize(2..60),
        page_text_bytes: rng.usize(10..200),
        group_pages: rng.usize(1..6),
        group_cells: rng.usize(10..300),
        group_key_bytes: rng.usize(10..300),
        group_text_bytes: rng.usize(10..500),
        group_cells_read: rng.usize(10..2_000),
    }
}

fn value(rng: &mut Rng, column: u32) -> FieldValue {
    match column % 5 {
        0 => FieldValue::Float(f64::from(rng.i16(..)) / 4.0),
        1 => FieldValue::Integer(rng.i64(..)),
        2 => FieldValue::Unsigned(rng.u64(..100)),
        3 => FieldValue::String(["a", "bc", "", "long text"][rng.usize(..4)].into()),
        _ => FieldValue::Boolean(rng.bool()),
    }
}

fn story(rng: &mut Rng, times: i64) -> Story {
    let mut story = Story::new();
    for _ in 0..rng.usize(1..12) {
        let values: Vec<&str> =
            (0..rng.u32(..=TAGS)).map(|_| ["", "a", "b\0", "ü"][rng.usize(..4)]).collect();
        let key = SeriesKey::new(MeasurementId(rng.u32(1..4)), values);
        let columns: Vec<u32> = (0..rng.usize(1..6)).map(|_| rng.u32(..12)).collect();
        for _ in 0..[1, 3, 80][rng.usize(..3)] {
            let mut fields = Fields::new();
            for &column in &columns {
                if rng.u8(..4) > 0 {
                    fields.insert(column, value(rng, column));
                }
            }
            if !fields.is_empty() {
                story.entry((key.clone(), rng.i64(0..times))).or_default().extend(fields);
            }
        }
    }
    story
}

fn write(
    story: &Story,
    width: i64,
    times: i64,
    limits: Limits,
    rng: &mut Rng,
) -> (Vec<Value>, Vec<Written>) {
    let mut writer = PartWriter::new(limits, SEED);
    let (mut values, mut parts) = (Vec::new(), Vec::new());
    for slot in 0..=times / width {
        let time = TimeRange::new(slot * width, (slot + 1) * width);
        let merge = |rng: &mut Rng| {
            let cursor = VectorCursor::new(story, 7, Direction::Ascending, rng);
            Merge::new(vec![(1, cursor)], Direction::Ascending).unwrap()
        };
        writer.begin(slot as u64 + 5, Sequences { lo: 1, hi: 9, applied: 4 });
        let mut groups = Groups::new(merge(rng), limits, time, None).unwrap();
        while let Some(group) = groups.next(&mut tag_order).unwrap() {
            writer.add(&group);
            if rng.u8(..3) == 0 {
                // After an eviction of the object, the writer finds the remaining rows again.
                let resume_after = group.last();
                groups = Groups::new(merge(rng), limits, time, resume_after.as_ref()).unwrap();
            }
            if rng.bool() {
                values.extend(writer.take_closed());
            }
        }
        parts.extend(writer.end());
    }
    values.extend(writer.finish());
    (values, parts)
}

fn rows<C: SeriesCursor>(cursor: &mut C, time: TimeRange, direction: Direction) -> Read {
    let key = cursor.key().unwrap().clone();
    let mut all = Read::new();
    while let Some(page) = cursor.page(time).unwrap() {
        assert!(!page.times_ns().is_empty());
        let mut rows: Read =
            page.times_ns().iter().map(|&t| ((key.clone(), t), Fields::new())).collect();
        for &(id, field_type) in page.columns().iter() {
            let Some(column) = cursor.column(&page, id).unwrap() else { continue };
            let column = column.into_column();
            assert_eq!(column.values.field_type(), field_type);
            for (row, at) in rows.iter_mut().zip(page.rows()) {
                row.1.extend(column.get(at as usize).map(|value| (id.0, value)));
            }
        }
        if direction == Direction::Descending {
            rows.reverse();
        }
        all.extend(rows);
    }
    all
}

fn check_written(part: &Written, story: &Story) {
    let times = story.keys().map(|(_, time_ns)| *time_ns);
    assert_eq!((Some(part.min_ns), Some(part.max_ns)), (times.clone().min(), times.max()));
    let series: BTreeMap<&SeriesKey, ()> = story.keys().map(|(key, _)| (key, ())).collect();
    assert_eq!((part.rows, part.series), (story.len() as u64, series.len() as u64));
    let mut sketch = SeriesSketch::default();
    for key in series.keys() {
        let tags = (90..).zip(key.values()).map(|(tag, v)| tag_hash(SEED, ColumnId(tag), &v));
        sketch.add(id_hash(SEED, key.measurement(), tags.fold(0, u64::wrapping_add)));
    }
    assert_eq!(part.sketch, sketch);
    let hash = |key: &&SeriesKey| SipHasher24::new_with_keys(SEED, 0).hash(key.as_bytes());
    assert_eq!(part.series_sum, series.keys().map(hash).fold(0, u64::wrapping_add));
    let values: usize = story.values().map(Fields::len).sum();
    assert!(part.cells >= (2 * story.len() + values) as u64 && part.bytes > 0);
}

const TIMES: i64 = 120;

#[test]
fn parts_return_written_rows() {
    let mut seen = (0, 0);
    for seed in seeds(200) {
        let mut rng = Rng::with_seed(seed);
        let (story, limits) = (story(&mut rng, TIMES), small(&mut rng));
        let width = [20, 50, 1_000][rng.usize(..3)];
        let (values, parts) = write(&story, width, TIMES, limits, &mut rng);
        for value in &values {
            let bytes = value.head(7);
            assert_eq!(Directory::decode(&bytes), Ok((7, value.directory.clone())), "seed {seed}");
        }
        seen = (seen.0.max(values.len()), seen.1.max(parts.len()));
        let bytes = Bytes::new(&values);
        for part in &parts {
            let slot = part.id as i64 - 5;
            let inside = TimeRange::new(slot * width, (slot + 1) * width);
            let own: Story =
                visible_rows(&story, inside, Direction::Ascending).into_iter().collect();
            check_written(part, &own);
            let direction = any_direction(&mut rng);
            let start_ns = rng.i64(0..TIMES);
            let time = [TimeRange::ALL, TimeRange::new(start_ns, start_ns + 30)][rng.usize(..2)];
            let mut cursor = PartCursor::new(bytes.of(part), part.id, direction, None).unwrap();
            let mut read = Read::new();
            while cursor.key().is_some() {
                read.extend(rows(&mut cursor, time, direction));
                cursor.step().unwrap();
            }
            assert_eq!(read, visible_rows(&own, time, direction), "seed {seed}");
        }
    }
    assert!(seen.0 > 4 && seen.1 > 2, "{seen:?}");
}

#[test]
fn part_cursor_seeks_any_key() {
    for seed in seeds(200) {
        let mut rng = Rng::with_seed(seed);
        let (story, limits) = (story(&mut rng, TIMES), small(&mut rng));
        let (values, parts) = write(&story, 1_000, TIMES, limits, &mut rng);
        let [part] = &parts[..] else { continue };
        let direction = any_direction(&mut rng);
        let place = |rng: &mut Rng| {
            let values = ["", "a", "b\0", "z"].map(|_| ["", "a", "b\0", "ü"][rng.usize(..4)]);
            let (m, count) = (MeasurementId(rng.u32(..5)), rng.usize(..=TAGS as usize));
            match rng.bool() {
                true => SeriesKey::new(m, values[..count].iter().copied()),
                false => SeriesKey::past(m, values[..count].iter().copied()),
            }
        };
        let mut left = visible_rows(&story, TimeRange::ALL, direction);
        let from = Some(place(&mut rng)).filter(|_| rng.bool());
        let of = Bytes::new(&values).of(part);
        let mut cursor = PartCursor::new(of, part.id, direction, from.as_ref()).unwrap();
        let keep = |left: &mut Read, to: &SeriesKey| {
            left.retain(|((key, _), _)| direction.order(key.cmp(to)).is_ge());
        };
        from.iter().for_each(|to| keep(&mut left, to));
        while let Some(key) = cursor.key().cloned() {
            assert_eq!(left.first().map(|row| &row.0.0), Some(&key), "seed {seed}");
            if rng.bool() {
                let to = place(&mut rng);
                cursor.seek(&to).unwrap();
                keep(&mut left, &to);
                continue;
            }
            let count = left.iter().take_while(|row| row.0.0 == key).count();
            if rng.bool() {
                let read = rows(&mut cursor, TimeRange::ALL, direction);
                assert_eq!(read, left[..count], "seed {seed}");
            } else if rng.bool() {
                cursor.page(TimeRange::ALL).unwrap();
            }
            left.drain(..count);
            cursor.step().unwrap();
        }
        assert_eq!(left, [], "seed {seed}");
    }
}
