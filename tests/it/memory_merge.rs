//! What a merge holds, counted by the allocator: as many sources as there may be, each decoding
//! its pages when they are asked for.

use std::rc::Rc;

use tidemark::batch::column::{Column, Values};
use tidemark::merge::cursor::CURSORS_MAX;
use tidemark::merge::cursor::{Columns, Direction, PageKeys, ReadError, SeriesCursor};
use tidemark::merge::key::SeriesKey;
use tidemark::merge::kway::Merge;
use tidemark::model::ids::{ColumnId, MeasurementId};
use tidemark::model::time::TimeRange;
use tidemark::model::value::FieldType;

use crate::allocator::{live, peak_since};

/// Of a source at its merge's peak: times of a page, a column and what is made of them.
const SOURCE_BYTES_MAX: isize = 40_000;
const PAGE_ROWS: i64 = 1_024;
const PAGES: i64 = 20;
const COLUMNS: u32 = 10;

/// One series; its time `n` is `first + n * step`.
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

    fn columns(&self) -> Columns {
        Rc::clone(&self.columns)
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

    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<Rc<Column>>, ReadError> {
        if let Some((held, of, column)) = &self.last
            && (*held, *of) == (page.page(), id)
        {
            return Ok(Some(Rc::clone(column)));
        }
        let values = (0..PAGE_ROWS).map(|row| row as f64 + f64::from(id.0)).collect();
        let column = Rc::new(Column::full(Values::Float(values)));
        self.last = Some((page.page(), id, Rc::clone(&column)));
        Ok(Some(column))
    }
}

fn source(first: i64, step: i64) -> Made {
    let columns = (0..COLUMNS).map(|id| (ColumnId(id), FieldType::Float)).collect();
    let key = Some(SeriesKey::new(MeasurementId(1), ["host"]));
    Made { key, columns, first, step, page: 0, last: None }
}

/// Rows of the merge, and what it held at its peak.
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
fn a_merge_of_all_that_may_be_holds_a_page_and_a_column_of_each() {
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
