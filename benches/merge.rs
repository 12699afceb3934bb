//! Native benchmark of merging sorted sources, in rows per second of CPU time. Run `cargo bench
//! --bench merge`.
//!
//! The sources hold decoded pages, so the times contain only the merge.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::hint::black_box;
use std::rc::Rc;

use cpu_time::ThreadTime;
use tidemark::batch::column::{Column, Values};
use tidemark::merge::cursor::{Columns, Direction, PageColumn, PageKeys, ReadError, SeriesCursor};
use tidemark::merge::key::SeriesKey;
use tidemark::merge::kway::Merge;
use tidemark::merge::picks::Picks;
use tidemark::model::ids::{ColumnId, MeasurementId};
use tidemark::model::time::TimeRange;
use tidemark::model::value::FieldType;

const PAGE_ROWS: usize = 1_024;
const COLUMNS: u32 = 10;
/// The number of rows in all sources together.
const ROWS: usize = 1 << 21;
/// The columns of this number of merged rows are read together.
const TOGETHER: usize = 1_024;

struct Made {
    keys: Rc<[SeriesKey]>,
    at: usize,
    series_rows: usize,
    /// The number of returned rows of the current series.
    taken: usize,
    /// All pages share the times of a series.
    times_ns: Vec<Rc<[i64]>>,
    columns: Columns,
    column: Rc<Column>,
}

impl SeriesCursor for Made {
    fn key(&self) -> Option<&SeriesKey> {
        self.keys.get(self.at)
    }

    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        self.at = self.keys.partition_point(|key| key < to).max(self.at);
        Ok(())
    }

    fn step(&mut self) -> Result<(), ReadError> {
        (self.at, self.taken) = (self.at + 1, 0);
        Ok(())
    }

    fn page(&mut self, _: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        if self.taken == self.series_rows {
            return Ok(None);
        }
        let first = self.at * self.series_rows + self.taken;
        let start = first % PAGE_ROWS;
        let rows = (PAGE_ROWS - start).min(self.series_rows - self.taken);
        let times = &self.times_ns[self.taken / PAGE_ROWS];
        self.taken += rows;
        let (columns, rows) = (Rc::clone(&self.columns), start as u32..(start + rows) as u32);
        Ok(Some(PageKeys::new((first / PAGE_ROWS) as u64, columns, Rc::clone(times), rows)))
    }

    fn has_rows(&mut self, _: TimeRange) -> Result<bool, ReadError> {
        Ok(self.taken < self.series_rows)
    }

    fn column(&mut self, _: &PageKeys, _: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        Ok(Some(PageColumn::Wide(Rc::clone(&self.column))))
    }
}

/// `time(row)` returns the time of a row. `series_rows` must be a multiple or a divisor of the page
/// size.
fn source(count: usize, series_rows: usize, time: impl Fn(usize) -> i64) -> Made {
    let keys = (0..ROWS / count / series_rows).map(|n| format!("host_{n:07}")).map(|host| {
        SeriesKey::new(MeasurementId(1), [host.as_str(), "eu-central-1", "production"])
    });
    let page = |page: usize| {
        let row = |row: usize| time((page * PAGE_ROWS + row) % series_rows.max(PAGE_ROWS));
        (0..PAGE_ROWS).map(row).collect()
    };
    // With short series, every series of a page has the same times.
    let short = |_| (0..PAGE_ROWS).map(|row| time(row % series_rows)).collect();
    let times_ns = match series_rows < PAGE_ROWS {
        true => vec![short(0)],
        false => (0..series_rows / PAGE_ROWS).map(page).collect(),
    };
    Made {
        keys: keys.collect(),
        at: 0,
        series_rows,
        taken: 0,
        times_ns,
        columns: (0..COLUMNS).map(|id| (ColumnId(id), FieldType::Float)).collect(),
        column: Rc::new(Column::full(Values::Float(vec![1.5; PAGE_ROWS]))),
    }
}

fn main() {
    println!(
        "{:<12} {:>8} {:>10} {:>12} {:>12} {:>12}",
        "shape", "sources", "rows of a", "rows out", "keys M/s", "with columns"
    );
    for count in [1, 2, 8, 64] {
        for series_rows in [1, 16, PAGE_ROWS * 32] {
            for shape in ["disjoint", "interleaved", "overwriting"] {
                if count > 1 || shape == "disjoint" {
                    run(shape, count, series_rows);
                }
            }
        }
    }
}

fn run(shape: &str, count: usize, series_rows: usize) {
    let (mut read, mut seconds) = ((0, 0), [f64::MAX; 2]);
    for (columns, best) in [0, COLUMNS].into_iter().zip(&mut seconds) {
        for _ in 0..3 {
            let make = |at: usize| {
                let time = move |row: usize| match shape {
                    "disjoint" => (at * series_rows + row) as i64,
                    "interleaved" => (row * count + at) as i64,
                    _ => row as i64,
                };
                (at as u64, source(count, series_rows, time))
            };
            let merge = Merge::new((0..count).map(make).collect(), Direction::Ascending).unwrap();
            let start = ThreadTime::now();
            read = drain(merge, columns);
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    // The rate counts input rows, because they determine the cost of a compaction.
    let [keys, all] = seconds.map(|seconds| read.1 as f64 / seconds / 1e6);
    println!("{shape:<12} {count:>8} {series_rows:>10} {:>12} {keys:>12.1} {all:>12.1}", read.0);
}

fn drain(mut merge: Merge<Made>, columns: u32) -> (usize, usize) {
    let (mut out, mut read) = (0, 0);
    let mut held = Picks::default();
    let mut flush = |merge: &mut Merge<Made>, held: &mut Picks| {
        let picks = std::mem::take(held);
        (out, read) = (out + picks.len(), read + picks.len() + picks.overwritten());
        for id in 0..columns {
            black_box(merge.column(&picks, ColumnId(id)).unwrap());
        }
    };
    while merge.next_series().unwrap().is_some() {
        while let Some(picks) = merge.next_rows(TimeRange::ALL).unwrap() {
            held.extend(picks);
            if held.len() >= TOGETHER {
                flush(&mut merge, &mut held);
            }
        }
    }
    flush(&mut merge, &mut held);
    (out, read)
}
