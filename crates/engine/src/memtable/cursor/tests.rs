//! Compares cursors over random frames with a map to which the same rows were added one by one.

use std::collections::BTreeMap;

use super::*;
use crate::batch::column::StringColumn;
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::batch::{Block, FrameTable};
use crate::memtable::Memtable;
use crate::merge::kway::Merge;
use crate::merge::tests::short::read_some_at_once;
use crate::merge::tests::vector::{Fields, Story, values};
use crate::merge::tests::{Read, rows_of};
use crate::test_seeds::seeds;
use tidemark_model::value::{FieldType, FieldValue};

type Rng = fastrand::Rng;

/// The fields of each row, by measurement, tag values and time.
type Written = BTreeMap<(u32, BTreeMap<u32, String>, i64), Fields>;

type Row = (BTreeMap<u32, String>, i64, Fields);

/// Builds a frame. The id of a field determines its type.
pub(in crate::memtable) fn frame(
    measurement: u32,
    tags: &[u32],
    fields: &[u32],
    rows: &[Row],
) -> FrameTable {
    let mut keys: Vec<&BTreeMap<u32, String>> = rows.iter().map(|row| &row.0).collect();
    keys.dedup();
    let tag_column = |id: &u32| {
        let mut values: Vec<&str> =
            keys.iter().filter_map(|key| key.get(id)).map(|v| &**v).collect();
        values.sort_unstable();
        values.dedup();
        let code = |key: &&BTreeMap<u32, String>| {
            let value = key.get(id).map(|value| &**value);
            value.map_or(0, |value| values.binary_search(&value).unwrap() as u32 + 1)
        };
        let dictionary: StringColumn = values.iter().copied().collect();
        TagColumn { codes: keys.iter().map(code).collect(), dictionary }
    };
    // A series may occur twice in this frame. The memtable combines both occurrences.
    let series =
        SeriesTable { tags: tags.iter().map(tag_column).collect(), len: keys.len() as u32 };
    let number = |row: &Row| keys.iter().position(|key| **key == row.0).unwrap() as u32;
    let field = |id: &u32| {
        let mut column = Column::new(FieldType::ALL[*id as usize % 5]);
        for row in rows {
            match row.2.get(id) {
                Some(value) => assert!(column.push_from(&Column::full(values(value)), 0)),
                None => column.push_null(),
            }
        }
        column
    };
    let block = Block {
        series,
        row_series: rows.iter().map(number).collect(),
        times_ns: rows.iter().map(|row| row.1).collect(),
        fields: fields.iter().map(field).collect(),
    };
    FrameTable {
        measurement: MeasurementId(measurement),
        tag_ids: tags.iter().copied().map(ColumnId).collect(),
        field_ids: fields.iter().copied().map(ColumnId).collect(),
        block,
    }
}

fn value(rng: &mut Rng, id: u32) -> FieldValue {
    match FieldType::ALL[id as usize % 5] {
        FieldType::Float => FieldValue::Float(f64::from(rng.i16(..))),
        FieldType::Integer => FieldValue::Integer(rng.i64(..)),
        FieldType::Unsigned => FieldValue::Unsigned(rng.u64(..)),
        FieldType::String => FieldValue::String("x".repeat(rng.usize(..4)).into()),
        FieldType::Boolean => FieldValue::Boolean(rng.bool()),
    }
}

fn random(rng: &mut Rng, known: &[ColumnId]) -> (Memtable, Written) {
    let (mut memtable, mut written) = (Memtable::new(rng.u64(..)), Written::new());
    let many = if rng.u8(..30) == 0 { 3_000 } else { 12 };
    // The memtable inserts rows of small frames into the order of a large frame.
    let gentle = rng.bool();
    for at in 0..rng.usize(1..8) {
        let measurement = if gentle { 1 } else { rng.u32(1..4) };
        let count = match (gentle, at) {
            (true, 0) => 40..60,
            (true, _) => 1..4,
            (false, _) => 1..many,
        };
        let some = |rng: &mut Rng, from: u32, to: u32| {
            let mut ids: Vec<u32> = (from..to).filter(|_| rng.bool()).collect();
            rng.shuffle(&mut ids);
            ids
        };
        let (tags, fields) = (some(rng, 1, 4), some(rng, 10, 18));
        let rows: Vec<Row> = (0..rng.usize(count))
            .map(|_| {
                let text = |rng: &mut Rng| ["a", "b", "\0"][rng.usize(..3)].to_owned();
                let has = tags.iter().filter(|_| rng.bool()).copied().collect::<Vec<u32>>();
                let key = has.into_iter().map(|id| (id, text(rng))).collect();
                let has = fields.iter().filter(|_| rng.u8(..3) > 0).copied().collect::<Vec<u32>>();
                let values = has.into_iter().map(|id| (id, value(rng, id))).collect();
                (key, rng.i64(0..many as i64 / 2), values)
            })
            .collect();
        memtable.append(&frame(measurement, &tags, &fields, &rows));
        if rng.bool() {
            let sorted = Sorted::new(memtable.tables(), |_, table| tag_order(known, table));
            read(&sorted, TimeRange::ALL, Direction::Ascending, None);
        }
        for (key, time_ns, values) in rows {
            let row = written.entry((measurement, key, time_ns)).or_default();
            row.extend(values);
        }
    }
    (memtable, written)
}

fn read(
    sorted: &Sorted<'_>,
    time: TimeRange,
    direction: Direction,
    from: Option<&SeriesKey>,
) -> Read {
    let mut merge = Merge::new(vec![(u64::MAX, sorted.cursor(direction))], direction).unwrap();
    from.into_iter().for_each(|from| merge.seek(from).unwrap());
    let mut read = Read::new();
    while let Some(key) = merge.next_series().unwrap().cloned() {
        while let Some(picks) = merge.next_rows(time).unwrap() {
            let keys = vec![key.clone(); picks.len()];
            read.extend(rows_of(&mut merge, &picks, &keys));
        }
    }
    read
}

#[test]
fn memtable_cursor_returns_sorted_rows() {
    let mut passed_at_once = 0;
    for seed in seeds(200) {
        let mut rng = Rng::with_seed(seed);
        let known: Vec<ColumnId> = (1..4).filter(|_| rng.bool()).map(ColumnId).collect();
        let (memtable, written) = random(&mut rng, &known);
        let mut orders = BTreeMap::new();
        let sorted = Sorted::new(memtable.tables(), |measurement, table| {
            let order = tag_order(&known, table);
            orders.insert(measurement, order.clone());
            order
        });
        let mut story = Story::new();
        for ((measurement, tags, time_ns), fields) in written {
            let measurement = MeasurementId(measurement);
            let value = |id: &ColumnId| tags.get(&id.0).map_or("", |value| value);
            let key = SeriesKey::new(measurement, orders[&measurement].iter().map(value));
            assert!(story.insert((key, time_ns), fields).is_none());
        }
        let start_ns = rng.i64(0..6);
        let time = match rng.bool() {
            true => TimeRange::ALL,
            false => TimeRange::new(start_ns, start_ns + rng.i64(1..2_000)),
        };
        let to = SeriesKey::new(MeasurementId(rng.u32(1..5)), [["", "a", "b"][rng.usize(..3)]]);
        for direction in [Direction::Ascending, Direction::Descending] {
            for from in [None, Some(&to)] {
                let has = |(key, time_ns): &(SeriesKey, i64)| {
                    let ahead = from.is_none_or(|from| direction.order(key.cmp(from)).is_ge());
                    ahead && time.contains(*time_ns)
                };
                let mut expected: Vec<_> =
                    story.clone().into_iter().filter(|(row, _)| has(row)).collect();
                if direction == Direction::Descending {
                    expected.reverse();
                }
                assert_eq!(read(&sorted, time, direction, from), expected, "seed {seed}");
                let source = vec![(u64::MAX, sorted.cursor(direction))];
                let mut merge = Merge::new(source, direction).unwrap();
                from.into_iter().for_each(|from| merge.seek(from).unwrap());
                let (read, passed) = read_some_at_once(&mut merge, time, &mut rng);
                assert_eq!(read, expected, "seed {seed}");
                passed_at_once += passed;
            }
        }
    }
    assert!(passed_at_once > 125, "{passed_at_once}");
}

#[test]
fn tag_order_prefers_high_cardinality() {
    let mut memtable = Memtable::new(1);
    let tags =
        |host: usize| BTreeMap::from([(1, "eu".into()), (2, host.to_string()), (3, "x".into())]);
    let rows: Vec<Row> =
        (0..5).map(|host| (tags(host), 7, Fields::from([(10, FieldValue::Float(1.0))]))).collect();
    memtable.append(&frame(1, &[3, 1, 2], &[10], &rows));
    let (_, table) = memtable.tables().next().unwrap();
    let ids = |order: Vec<ColumnId>| order.into_iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!(ids(tag_order(&[], table)), [2, 1, 3]);
    assert_eq!(ids(tag_order(&[ColumnId(9), ColumnId(3)], table)), [9, 3, 2, 1]);
}

#[test]
fn memtable_pages_limit_string_bytes() {
    let mut memtable = Memtable::new(1);
    let text = |bytes: usize| Fields::from([(13, FieldValue::String("x".repeat(bytes).into()))]);
    let row =
        |at: usize| (BTreeMap::new(), at as i64, text(if at == 30 { 1_000_000 } else { 50_000 }));
    let rows: Vec<Row> = (0..60).map(row).collect();
    memtable.append(&frame(1, &[], &[13], &rows));
    let sorted = Sorted::new(memtable.tables(), |_, table| tag_order(&[], table));
    let mut cursor = sorted.cursor(Direction::Ascending);
    let (mut rows, mut pages) = (0, 0);
    while let Some(page) = cursor.page(TimeRange::ALL).unwrap() {
        let column = cursor.column(&page, ColumnId(13)).unwrap().unwrap().into_column();
        assert_eq!(column.len(), page.times_ns().len());
        assert!(column.bytes() < 600_000 || column.len() == 1, "{}", column.bytes());
        (rows, pages) = (rows + column.len(), pages + 1);
    }
    assert_eq!((rows, pages), (60, 13));
}

#[test]
fn incremental_sort_equals_full_sort() {
    let (mut distinct, mut doubled) = (0, 0);
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let mut memtable = Memtable::new(seed);
        let times = if rng.bool() { 1 << 40 } else { 300 };
        let hosts = rng.usize(1..40);
        let rows = |rng: &mut Rng, count: usize| -> Vec<Row> {
            let mut row = || {
                let host = format!("h{}", rng.usize(..hosts));
                let value = FieldValue::Float(f64::from(rng.i16(..)));
                (BTreeMap::from([(1, host)]), rng.i64(0..times), Fields::from([(10, value)]))
            };
            (0..count).map(|_| row()).collect()
        };
        let most = if rng.bool() { 100 } else { 4_000 };
        let count = rng.usize(1..most);
        memtable.append(&frame(1, &[1], &[10], &rows(&mut rng, count)));
        let order =
            |memtable: &Memtable| SortedRows::new(memtable.tables().next().unwrap().1, &[0]);
        let mut kept = order(&memtable);
        for _ in 0..12 {
            let count = rng.usize(1..50);
            memtable.append(&frame(1, &[1], &[10], &rows(&mut rng, count)));
            kept = kept.extended(memtable.tables().next().unwrap().1, &[0]);
            assert_eq!(kept, order(&memtable), "seed {seed}");
            match kept.is_distinct {
                true => distinct += 1,
                false => doubled += 1,
            }
        }
    }
    assert!(distinct > 100 && doubled > 100, "{distinct} {doubled}");
}
