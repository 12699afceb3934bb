//! Measures the memory of a merge with the maximum number of sources, which decode their pages on
//! demand. Also measures a shard's merge of the maximum number of parts.

use std::rc::Rc;

use tidemark_engine::batch::Block;
use tidemark_engine::batch::column::{Column, Values};
use tidemark_engine::batch::series_table::{SeriesTable, TagColumn};
use tidemark_engine::merge::cursor::CURSORS_MAX;
use tidemark_engine::merge::cursor::{
    Columns, Direction, PageColumn, PageKeys, ReadError, SeriesCursor,
};
use tidemark_engine::merge::key::SeriesKey;
use tidemark_engine::merge::kway::Merge;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::store::Store;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::limits::MEMTABLE_BYTES_MAX;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

use crate::allocator::{live, peak_since};
use crate::engine::{STAMP, encode_block};
use crate::memory_shard::opened;

/// The maximum memory of one source during the merge, in bytes: the times of a page, an encoded
/// column, and the decoded values of this column.
const SOURCE_BYTES_MAX: isize = 40_000;
const PAGE_ROWS: i64 = 1_024;
const PAGES: i64 = 2;
const COLUMNS: u32 = 10;
const SOURCE_COLUMNS: u32 = 3;

/// A series whose `n`th time is `first + n * step`.
struct Made {
    key: Option<SeriesKey>,
    columns: Columns,
    first: i64,
    step: i64,
    page: i64,
    last: Option<(u64, ColumnId, Rc<Column>)>,
}

impl SeriesCursor for Made {
    fn key(&self) -> Option<&SeriesKey> {
        self.key.as_ref()
    }

    fn seek(&mut self, _: &SeriesKey) -> Result<(), ReadError> {
        Ok(())
    }

    fn step(&mut self) -> Result<(), ReadError> {
        self.key = None;
        Ok(())
    }

    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        assert_eq!(time, TimeRange::ALL);
        if self.page == PAGES {
            return Ok(None);
        }
        let start = self.page * PAGE_ROWS;
        let time_ns = |row: i64| self.first + (start + row) * self.step;
        let times_ns: Rc<[i64]> = (0..PAGE_ROWS).map(time_ns).collect();
        let rows = 0..times_ns.len() as u32;
        self.page += 1;
        Ok(Some(PageKeys::new(self.page as u64, Rc::clone(&self.columns), times_ns, rows)))
    }

    fn has_rows(&mut self, _: TimeRange) -> Result<bool, ReadError> {
        Ok(self.page < PAGES)
    }

    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        if let Some((held, of, column)) = &self.last
            && (*held, *of) == (page.page(), id)
        {
            return Ok(Some(PageColumn::Wide(Rc::clone(column))));
        }
        let values = (0..PAGE_ROWS).map(|row| row as f64 + f64::from(id.0)).collect();
        let column = Rc::new(Column::full(Values::Float(values)));
        self.last = Some((page.page(), id, Rc::clone(&column)));
        Ok(Some(PageColumn::Wide(column)))
    }
}

fn source(first: i64, step: i64) -> Made {
    let columns = (0..SOURCE_COLUMNS).map(|id| (ColumnId(id), FieldType::Float)).collect();
    let key = Some(SeriesKey::new(MeasurementId(1), ["host"]));
    Made { key, columns, first, step, page: 0, last: None }
}

fn merged(sources: Vec<(u64, Made)>, direction: Direction) -> (i64, isize) {
    let before = live();
    let mut merge = Merge::new(sources, direction).unwrap();
    let mut rows = 0;
    while merge.next_series().unwrap().is_some() {
        while let Some(picks) = merge.next_rows(TimeRange::ALL).unwrap() {
            rows += picks.len() as i64;
            for &(id, _) in picks.columns().iter() {
                let column = merge.column(&picks, id).unwrap().unwrap();
                assert_eq!(column.len(), picks.len());
            }
        }
    }
    (rows, peak_since() - before)
}

#[test]
fn largest_merge_bounds_memory_per_source() {
    let all = CURSORS_MAX as i64;
    let sources = |first: fn(i64) -> i64, step: i64| {
        (0..all).map(|at| (at as u64, source(first(at), step))).collect::<Vec<_>>()
    };
    let rows = all * PAGES * PAGE_ROWS;
    let shapes = [
        ("one after the other", sources(|at| at * 1_000_000, 1), rows),
        ("row by row in turn", sources(|at| at, all), rows),
        ("each over all others", sources(|_| 0, 1), rows / all),
    ];
    for (shape, sources, expected) in shapes {
        let (rows, peak) = merged(sources, Direction::Ascending);
        println!("{shape}: {} KB for each of {all} sources", peak / all as isize / 1_000);
        assert_eq!(rows, expected, "{shape}");
        assert!(peak <= CURSORS_MAX as isize * SOURCE_BYTES_MAX, "{shape}: {peak}");
    }
}

const NOW_NS: i64 = 1_700_000_000_000_000_000;
const PARTS: usize = 16;
const PART_ROWS: usize = 70_000;
const HOSTS: usize = 100;
/// The maximum memory of a merge between two steps: 4.5 MB of part bodies that the cursors have
/// read, a page of each body, and the unfinished output value.
const JOB_BYTES_MAX: isize = 9_000_000;
/// The memory during a step also includes the encoded group and the copies in the store.
const STEP_BYTES_MAX: isize = 16_000_000;

/// The minimum number of stored bytes for each storage row that the merge reads, on average.
const SLICE_BYTES_MIN: u64 = 80_000;

/// Encodes the rows of one part. All parts have the same hundred series, and their rows alternate
/// in time.
fn floats(part: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(part as u64);
    let names: Vec<String> = (0..HOSTS).map(|host| format!("host_{host}")).collect();
    let dictionary = names.iter().map(String::as_str).collect();
    let tag = TagColumn { dictionary, codes: (1..=HOSTS as u32).collect() };
    let mut field = || Values::Float((0..PART_ROWS).map(|_| 1.0 + rng.f64()).collect());
    let block = Block {
        series: SeriesTable { tags: vec![tag], len: HOSTS as u32 },
        row_series: (0..PART_ROWS).map(|row| (row % HOSTS) as u32).collect(),
        times_ns: (0..PART_ROWS)
            .map(|row| NOW_NS + (row / HOSTS * PARTS + part) as i64 * 1_000_000_000)
            .collect(),
        fields: (0..COLUMNS).map(|_| Column::full(field())).collect(),
    };
    let field_ids: Vec<ColumnId> = (10..10 + COLUMNS).map(ColumnId).collect();
    encode_block(block, &[ColumnId(1)], &field_ids)
}

#[test]
fn merge_of_large_parts_bounds_memory() {
    let store = MemoryStore::new();
    let mut shard = opened(&store, &Budget::new(MEMTABLE_BYTES_MAX, 1));
    for part in 0..=PARTS {
        // Each append flushes the previous frame. The last frame remains in the log.
        shard.append(&floats(part), &STAMP, NOW_NS).unwrap();
    }
    let stats = shard.stats().unwrap();
    assert_eq!((stats.parts, stats.counters.compactions), (PARTS as u64, 0));
    let stored = store.bytes().unwrap() as isize;
    let base = live() - stored;
    assert!(stored > PARTS as isize * 4_000_000, "{stored}");
    let (mut steps, mut highest, mut held) = (0, 0, 0);
    let read_before = store.row_counts();
    while shard.stats().unwrap().counters.compactions == 0 {
        live();
        let stored_before = store.bytes().unwrap() as isize;
        shard.alarm(NOW_NS);
        highest = highest.max(peak_since() - stored_before - base);
        held = held.max(live() - store.bytes().unwrap() as isize - base);
        steps += 1;
    }
    let read = store.row_counts().since(read_before).read;
    println!("{steps} steps: {highest} bytes at the peak, {held} between two, {read} rows read");
    // If a group crosses the boundary between two slices, the merge must not read it again for each
    // column.
    assert!(read < stored as u64 / SLICE_BYTES_MIN, "{read} of {stored} bytes");
    assert!(steps > 16, "{steps}");
    assert!(highest < STEP_BYTES_MAX && held < JOB_BYTES_MAX, "{highest} {held}");
}
