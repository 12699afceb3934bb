//! Measures the shard's memory for rows with different columns. It must depend on the columns of
//! each row, and not on the union of all columns. `LONG_TESTS=1` writes three times as many rows.

use std::time::Instant;

use tidemark_engine::batch::column::{Column, Values};
use tidemark_engine::batch::series_table::{SeriesTable, TagColumn};
use tidemark_engine::batch::{Block, FrameTable};
use tidemark_engine::scan::request::Deletion;
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::store::Store;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::limits::MEMTABLE_BYTES_MAX;
use tidemark_model::time::TimeRange;

use crate::allocator::{live, peak_since};
use crate::engine::{STAMP, encode_tables, run_due};
use crate::every_row::{Row, every_row};
use crate::memory_shard::opened;
use crate::world::is_long;

const NOW_NS: i64 = 1_700_000_000_000_000_000;
const PAUSE_NS: i64 = 700_000_000_000;
const COLUMNS: u32 = 1_000;
const ROWS_PER_FRAME: usize = 5_000;
/// The maximum memory of an event, in bytes. If every row had all columns, an event would need
/// hundreds of megabytes.
const PEAK_BYTES_MAX: isize = 24_000_000;

struct TableRows {
    first_ns: i64,
    rows: usize,
    columns: Vec<ColumnId>,
}

fn encode(tables: &[TableRows]) -> Vec<u8> {
    let tables: Vec<FrameTable> = tables
        .iter()
        .map(|rows| FrameTable {
            measurement: MeasurementId(1),
            tag_ids: vec![ColumnId(1)],
            field_ids: rows.columns.clone(),
            block: block(rows),
        })
        .collect();
    encode_tables(&tables)
}

fn block(rows: &TableRows) -> Block {
    let tag = TagColumn { dictionary: ["a"].into_iter().collect(), codes: vec![1] };
    let values: Vec<i64> = (0..rows.rows as i64).map(|row| rows.first_ns + row).collect();
    Block {
        series: SeriesTable { tags: vec![tag], len: 1 },
        row_series: vec![0; rows.rows],
        times_ns: values.iter().map(|at| NOW_NS + at).collect(),
        fields: vec![Column::full(Values::Integer(values)); rows.columns.len()],
    }
}

fn count(shard: &mut Shard<MemoryStore>, columns: &[ColumnId]) -> usize {
    let counted = shard.with_reader(&STAMP, &[MeasurementId(1)], |reader| {
        let mut count = 0;
        let see = &mut |(_, _, values): Row<'_>| count += values.len();
        every_row(reader, MeasurementId(1), TimeRange::ALL, columns, see)?;
        Ok(count)
    });
    counted.unwrap()
}

/// After the write, measures a query of two columns, a replay, a flush, a delete, and the merge
/// that removes the deleted rows.
#[expect(clippy::disallowed_methods, reason = "how long it takes is printed, nothing else")]
fn measure(what: &str, frames: &[Vec<u8>], columns: &[ColumnId], values: usize) {
    let store = MemoryStore::new();
    let mut shard = opened(&store, &Budget::new(MEMTABLE_BYTES_MAX, 1));
    let event = |shard: &mut Shard<MemoryStore>, name: &str, run: &mut dyn FnMut(&mut _)| {
        let (base, from) = (live() - store.bytes().unwrap() as isize, Instant::now());
        let stored = store.bytes().unwrap() as isize;
        run(shard);
        let peak = peak_since() - base - stored;
        println!("{what}: {name}: {peak} bytes at the peak, {:?}", from.elapsed());
        assert!(peak < PEAK_BYTES_MAX, "{what}: {name}: {peak}");
    };
    event(&mut shard, "appends", &mut |shard| {
        for frame in frames {
            shard.append(frame, &STAMP, NOW_NS).unwrap();
        }
    });
    event(&mut shard, "query", &mut |shard| assert_eq!(count(shard, columns), values));
    let mut shard = Shard::new(store.clone(), Budget::new(MEMTABLE_BYTES_MAX, 1), u64::MAX);
    event(&mut shard, "replay", &mut |shard| assert_eq!(count(shard, columns), values));
    event(&mut shard, "alarm", &mut |shard| {
        while shard.stats().unwrap().wal_frames > 0 {
            shard.alarm(NOW_NS + PAUSE_NS);
        }
    });
    let first = TimeRange::new(NOW_NS, NOW_NS + 1);
    let deletion = Deletion { measurement: MeasurementId(1), predicate: None, time: first };
    shard.delete(u64::MAX, &[deletion], &STAMP, 0).unwrap();
    event(&mut shard, "merge", &mut |shard| {
        run_due(shard, NOW_NS + PAUSE_NS);
    });
    let stats = shard.stats().unwrap();
    assert_eq!((stats.tombstones, stats.troubles), (0, Vec::new()));
    event(&mut shard, "scan", &mut |shard| assert!(count(shard, columns) < values));
}

fn scale() -> usize {
    if is_long() { 3 } else { 1 }
}

#[test]
fn wide_row_adds_little_memory() {
    let wide = encode(&[TableRows {
        first_ns: 0,
        rows: 1,
        columns: (10..10 + COLUMNS).map(ColumnId).collect(),
    }]);
    let narrow = |number: usize| {
        let first_ns = (1 + number * ROWS_PER_FRAME) as i64;
        encode(&[TableRows { first_ns, rows: ROWS_PER_FRAME, columns: vec![ColumnId(10)] }])
    };
    let count = 20 * scale();
    let mut frames: Vec<Vec<u8>> = (0..count).map(narrow).collect();
    frames.insert(0, wide);
    let columns = [ColumnId(10), ColumnId(9 + COLUMNS)];
    let values = 2 + count * ROWS_PER_FRAME;
    measure("wide first", &frames, &columns, values);
    frames.rotate_left(1);
    measure("wide last", &frames, &columns, values);
}

#[test]
fn disjoint_columns_need_little_memory() {
    let frame = |number: usize| {
        let table = |column: u32| TableRows {
            first_ns: (number * COLUMNS as usize) as i64 + i64::from(column),
            rows: 1,
            columns: vec![ColumnId(10 + column)],
        };
        let tables: Vec<TableRows> = (0..COLUMNS).map(table).collect();
        encode(&tables)
    };
    let count = 8 * scale();
    let frames: Vec<Vec<u8>> = (0..count).map(frame).collect();
    let columns: Vec<ColumnId> = (10..10 + COLUMNS).map(ColumnId).collect();
    measure("disjoint", &frames, &columns[..2], 2 * count);
    let everything = count * COLUMNS as usize;
    let store = MemoryStore::new();
    let mut shard = opened(&store, &Budget::new(MEMTABLE_BYTES_MAX, 1));
    frames.iter().for_each(|frame| _ = shard.append(frame, &STAMP, NOW_NS).unwrap());
    assert_eq!(self::count(&mut shard, &columns), everything);
}
