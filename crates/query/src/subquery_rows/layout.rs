//! Stores the rows of a subquery, and arranges them so that a scan can read them.

use std::ops::Range;
use std::rc::Rc;

use crate::plan::{SelectNode, Subquery};
use crate::result::{Column, Values};
use crate::sort::sort;
use crate::work::Work;
use tidemark_engine::merge::cursor::{
    Columns, Direction, PageColumn, PageKeys, ReadError, SeriesCursor,
};
use tidemark_engine::merge::key::SeriesKey;
use tidemark_engine::scan::reader::{Estimate, MergedRows, Reader, rows_of_one};
use tidemark_engine::scan::request::{Output, ScanRequest};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// The field with a row's real time, in scans that replace times with positions.
pub(crate) const TIME_COLUMN: ColumnId = ColumnId(u32::MAX);
/// The field with a row's number, in scans of partial states. 1.x selects the first row of several
/// equal points.
pub(crate) const POSITION_COLUMN: ColumnId = ColumnId(u32::MAX - 2);
/// A tag that distinguishes rows with the same series and time.
pub(super) const REPEAT_TAG: ColumnId = ColumnId(u32::MAX - 1);

/// The work of creating a series of a layout.
const SERIES_WORK: usize = 4;

pub(super) fn is_rows(request: &ScanRequest) -> bool {
    matches!(request.output, Output::Rows { .. })
}

/// The rows of all measurements of the same name, in order of arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct ArrivedRows {
    pub(super) groups: Vec<Rc<[(String, String)]>>,
    pub(super) row_groups: Vec<u32>,
    pub(super) times_ns: Vec<i64>,
    pub(super) columns: Vec<Column>,
    pub(super) bytes: usize,
    pub(super) first_row: i64,
}

/// Rows of a subquery, sorted by series and time, so that a scan can read them.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) tag_order: Vec<ColumnId>,
    pub(super) time: TimeRange,
    pub(super) times_ns: Rc<[i64]>,
    /// The pages of each column.
    pub(super) columns: Rc<[(ColumnId, Vec<Rc<Column>>)]>,
    /// Each series' key and rows, in ascending order of key.
    pub(super) series: Rc<[(SeriesKey, Range<u32>)]>,
}

/// A row's place in a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PlacedRow {
    group: u32,
    /// The row's number among the rows with the same group and time.
    repeat: u32,
    pub(super) time_ns: i64,
    row: u32,
}

impl ArrivedRows {
    pub(super) async fn layout(
        &self,
        subquery: &Subquery,
        request: &ScanRequest,
        work: &Work,
    ) -> Layout {
        let placed = match is_rows(request) {
            true => self.by_position(&subquery.node, work).await,
            false => self.by_time(work).await,
        };
        let rows: Vec<u32> = placed.iter().map(|placed| placed.row).collect();
        let mut columns = Vec::with_capacity(subquery.fields.len() + 1);
        for (field, column) in subquery.fields.iter().zip(&self.columns) {
            let pages = rows.chunks(PAGE_ROWS as usize);
            columns.push((field.id, pages.map(|rows| Rc::new(column.gather(rows))).collect()));
            work.spend(rows.len()).await;
        }
        let id = if is_rows(request) { TIME_COLUMN } else { POSITION_COLUMN };
        let number = |row: u32| match is_rows(request) {
            true => self.time_of(row),
            false => self.first_row + i64::from(row),
        };
        let pages = rows.chunks(PAGE_ROWS as usize).map(|rows| {
            let numbers = rows.iter().map(|&row| number(row)).collect();
            Rc::new(Column::full(Values::Integer(numbers)))
        });
        columns.push((id, pages.collect()));
        work.spend(2 * rows.len()).await;
        self.arranged(request.measurement, &placed, columns, work).await
    }

    fn group_of(&self, row: u32) -> u32 {
        self.row_groups.get(row as usize).copied().or_bug()
    }

    fn time_of(&self, row: u32) -> i64 {
        self.times_ns.get(row as usize).copied().or_bug()
    }

    /// Returns the rows in order of the series. A row's position in the result replaces its time.
    async fn by_position(&self, node: &SelectNode, work: &Work) -> Vec<PlacedRow> {
        let (sorted, direction) = (!node.in_order_of_series, node.direction);
        // The points of top() and bottom() are sorted by window.
        let place = |row: u32| {
            let time_ns = self.time_of(row);
            node.window.as_ref().map_or(time_ns, |window| window.start(time_ns))
        };
        let mut rows: Vec<u32> = (0..self.times_ns.len() as u32).collect();
        // Of equal rows, the last one that arrived is the first one in descending order.
        let arrival = |row: u32| if direction.is_descending() { u32::MAX - row } else { row };
        if sorted && direction.is_descending() {
            let key = |row: u32| (place(row), self.group_of(row), arrival(row));
            sort(&mut rows, |&a, &b| key(a).cmp(&key(b)), work).await;
        } else if sorted {
            let key = |row: u32| (place(row), arrival(row));
            sort(&mut rows, |&a, &b| key(a).cmp(&key(b)), work).await;
        } else if direction.is_descending() {
            // The series arrived in descending order, but 1.x returns them in ascending order.
            let key = |row: u32| (self.group_of(row), arrival(row));
            sort(&mut rows, |&a, &b| key(a).cmp(&key(b)), work).await;
        }
        self.placed((0..).zip(rows), work).await
    }

    pub(super) async fn by_time(&self, work: &Work) -> Vec<PlacedRow> {
        let mut placed = self.placed(self.times_ns.iter().copied().zip(0..), work).await;
        for same in placed.chunk_by_mut(|a, b| (a.group, a.time_ns) == (b.group, b.time_ns)) {
            (0..).zip(same).for_each(|(repeat, row)| row.repeat = repeat);
        }
        sort(&mut placed, Ord::cmp, work).await;
        placed
    }

    /// Sorts rows by group and time. `rows` contains the time and the number of each row.
    async fn placed(&self, rows: impl Iterator<Item = (i64, u32)>, work: &Work) -> Vec<PlacedRow> {
        let placed = rows.map(|(time_ns, row)| {
            let group = self.group_of(row);
            PlacedRow { group, repeat: 0, time_ns, row }
        });
        let mut placed: Vec<PlacedRow> = placed.collect();
        sort(&mut placed, Ord::cmp, work).await;
        placed
    }

    /// Arranges rows in series: consecutive rows with the same group and number.
    pub(super) async fn arranged(
        &self,
        measurement: MeasurementId,
        placed: &[PlacedRow],
        columns: Vec<(ColumnId, Vec<Rc<Column>>)>,
        work: &Work,
    ) -> Layout {
        let keys = self.groups.first().map_or(0, |group| group.len());
        let mut series = Vec::new();
        let mut start = 0;
        for same in placed.chunk_by(|a, b| (a.group, a.repeat) == (b.group, b.repeat)) {
            let Some(&PlacedRow { group, repeat, .. }) = same.first() else { continue };
            let tags = self.groups.get(group as usize);
            let values =
                tags.into_iter().flat_map(|tags| tags.iter().map(|(_, value)| value.as_str()));
            let repeat = if repeat == 0 { String::new() } else { format!("{repeat:08}") };
            let key = SeriesKey::new(measurement, values.chain([repeat.as_str()]));
            let end = start + same.len() as u32;
            series.push((key, start..end));
            start = end;
            work.spend(SERIES_WORK).await;
        }
        // The groups may have arrived in descending order.
        series.sort_by(|(a, _), (b, _)| a.cmp(b));
        let times_ns = || placed.iter().map(|placed| placed.time_ns);
        let first_ns = times_ns().min().unwrap_or_default();
        let last_ns = times_ns().max().unwrap_or_default();
        Layout {
            time: TimeRange::new(first_ns, last_ns.saturating_add(1)),
            tag_order: (0..keys as u32).map(ColumnId).chain([REPEAT_TAG]).collect(),
            times_ns: times_ns().collect(),
            columns: columns.into(),
            series: series.into(),
        }
    }
}

impl Reader for Layout {
    fn tag_order(&self, _: MeasurementId) -> Result<Vec<ColumnId>, ReadError> {
        Ok(self.tag_order.clone())
    }

    fn stretches(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        Ok(vec![time])
    }

    fn merge(
        &self,
        _: &[MeasurementId],
        _: TimeRange,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<MergedRows<'_>, ReadError> {
        let types = self
            .columns
            .iter()
            .filter_map(|(id, pages)| pages.first().map(|page| (*id, page.values.field_type())));
        let mut types: Vec<_> = types.collect();
        types.sort_by_key(|&(id, _)| id);
        let types = types.into();
        let cursor = LayoutCursor { layout: self, types, direction, passed: 0, read: 0 };
        rows_of_one(cursor, direction, from)
    }

    fn estimate(&self, _: MeasurementId, _: TimeRange) -> Result<Estimate, ReadError> {
        Ok(Estimate {
            time: self.time,
            rows: self.times_ns.len() as u64,
            series: self.series.len() as u64,
        })
    }
}

/// The number of rows in a page of a layout. A page may contain rows of several series.
pub(super) const PAGE_ROWS: u32 = 512;

struct LayoutCursor<'a> {
    layout: &'a Layout,
    types: Columns,
    direction: Direction,
    /// The number of series before the current series.
    passed: usize,
    /// The number of rows of the current series that were returned.
    read: u32,
}

impl LayoutCursor<'_> {
    fn current_series(&self) -> Option<&(SeriesKey, Range<u32>)> {
        let place = match self.direction {
            Direction::Ascending => Some(self.passed),
            Direction::Descending => self.layout.series.len().checked_sub(self.passed + 1),
        };
        self.layout.series.get(place?)
    }

    fn times_ns(&self, rows: &Range<u32>) -> &[i64] {
        let rows = rows.start as usize..rows.end as usize;
        self.layout.times_ns.get(rows).unwrap_or_default()
    }

    /// Returns the rows of the current series inside `time`.
    fn rows(&self, time: TimeRange) -> Range<u32> {
        let Some((_, rows)) = self.current_series() else { return 0..0 };
        let times_ns = self.times_ns(rows);
        let before = |end_ns| times_ns.partition_point(|&time_ns| time_ns < end_ns) as u32;
        rows.start + before(time.start_ns)..rows.start + before(time.end_ns)
    }
}

impl SeriesCursor for LayoutCursor<'_> {
    fn key(&self) -> Option<&SeriesKey> {
        self.current_series().map(|(key, _)| key)
    }

    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        let is_before = |(key, _): &(SeriesKey, _)| key < to;
        let before = self.layout.series.partition_point(is_before);
        let passed = match self.direction {
            Direction::Ascending => before,
            Direction::Descending => {
                let is_there = self.layout.series.get(before).is_some_and(|(key, _)| key == to);
                self.layout.series.len() - before - usize::from(is_there)
            }
        };
        if passed > self.passed {
            (self.passed, self.read) = (passed, 0);
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), ReadError> {
        (self.passed, self.read) = (self.passed + 1, 0);
        Ok(())
    }

    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        let Range { start, end } = self.rows(time);
        if end.saturating_sub(start) <= self.read {
            return Ok(None);
        }
        let rows = match self.direction {
            Direction::Ascending => {
                let start = start + self.read;
                start..end.min((start / PAGE_ROWS + 1) * PAGE_ROWS)
            }
            Direction::Descending => {
                let end = end - self.read;
                start.max((end - 1) / PAGE_ROWS * PAGE_ROWS)..end
            }
        };
        self.read += rows.end - rows.start;
        let (page, first) = (rows.start / PAGE_ROWS, rows.start % PAGE_ROWS);
        let page_rows = PAGE_ROWS.min(self.layout.times_ns.len() as u32 - page * PAGE_ROWS);
        let (types, times_ns) = (Rc::clone(&self.types), self.times_ns(&rows).into());
        Ok(Some(PageKeys::of_rows(page.into(), types, first, times_ns, page_rows)))
    }

    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        Ok(!self.rows(time).is_empty())
    }

    fn column(&mut self, keys: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        let known = self.layout.columns.iter().find(|(of, _)| *of == id);
        let page = known.and_then(|(_, pages)| pages.get(keys.page() as usize));
        Ok(page.map(|column| PageColumn::Wide(Rc::clone(column))))
    }
}
