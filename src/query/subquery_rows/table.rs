//! Arranges the rows of a subquery for scanning.

use std::cmp::Reverse;
use std::ops::Range;
use std::rc::Rc;

use super::{POSITION_COLUMN, REPEAT_TAG, TIME_COLUMN};
use crate::merge::cursor::{Columns, Direction, PageColumn, PageKeys, ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::model::bug::OrBug;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;
use crate::query::operators::series::gather_or_null;
use crate::query::plan::Subquery;
use crate::query::result::{Column, Values};
use crate::scan::cached::ResultCache;
use crate::scan::reader::{Directories, Estimate, ReadStats, Reader, Rows, Runs, rows_of_one};
use crate::scan::request::{Output, ScanRequest, Window};

/// The rows of all measurements of the same name, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct ArrivedRows {
    pub(super) groups: Vec<Rc<[(String, String)]>>,
    pub(super) row_groups: Vec<u32>,
    pub(super) times_ns: Vec<i64>,
    pub(super) columns: Vec<Column>,
    pub(super) bytes: usize,
    pub(super) first_row: i64,
    pub(super) by_position: Option<Layout>,
    pub(super) by_time: Option<Layout>,
}

#[derive(Clone, Debug)]
pub(super) struct Layout {
    tag_order: Vec<ColumnId>,
    times_ns: Rc<[i64]>,
    columns: Rc<[(ColumnId, Rc<Column>)]>,
    /// Each series' key and rows, in ascending order of key.
    series: Rc<[(SeriesKey, Range<u32>)]>,
}

impl ArrivedRows {
    pub(super) fn layout(&mut self, subquery: &Subquery, request: &ScanRequest) -> Layout {
        let node = &subquery.node;
        let ids = subquery.fields.iter().map(|field| field.id);
        let is_rows = matches!(request.output, Output::Rows { .. });
        let known = if is_rows { &self.by_position } else { &self.by_time };
        if let Some(layout) = known {
            return layout.clone();
        }
        if is_rows {
            let (sorted, window) = (!node.in_order_of_series, node.window.as_ref());
            let layout =
                self.by_position(request.measurement, ids, sorted, node.descending, window);
            self.by_position.insert(layout).clone()
        } else {
            self.by_time.insert(self.by_time(request.measurement, ids)).clone()
        }
    }

    fn group_of(&self, row: u32) -> u32 {
        self.row_groups.get(row as usize).copied().or_bug()
    }

    fn time_of(&self, row: u32) -> i64 {
        self.times_ns.get(row as usize).copied().or_bug()
    }

    fn by_position(
        &self,
        measurement: MeasurementId,
        ids: impl Iterator<Item = ColumnId>,
        sorted: bool,
        descending: bool,
        window: Option<&Window>,
    ) -> Layout {
        // The points of top() and bottom() are sorted by window.
        let place = |row: u32| {
            let time_ns = self.time_of(row);
            window.map_or(time_ns, |window| window.start(time_ns))
        };
        let count = self.times_ns.len() as u32;
        let mut rows: Vec<u32> = (0..count).collect();
        if sorted && descending {
            rows.sort_by_key(|&row| Reverse((place(row), self.group_of(row))));
        } else if sorted {
            rows.sort_by_key(|&row| place(row));
        } else if descending {
            // The series arrived in descending order, but 1.x returns them in ascending order.
            rows.sort_by_key(|&row| Reverse(self.group_of(row)));
        }
        if descending {
            rows.reverse();
        }
        let mut placed: Vec<(u32, i64, u32)> =
            rows.iter().zip(0_i64..).map(|(&row, at)| (self.group_of(row), at, row)).collect();
        placed.sort();
        let series = placed.iter().map(|&(group, ..)| (group, 0)).collect::<Vec<_>>();
        let times_ns = placed.iter().map(|&(_, at, _)| at).collect();
        let rows: Vec<u32> = placed.iter().map(|&(.., row)| row).collect();
        let real = rows.iter().map(|&row| self.time_of(row)).collect();
        let real = (TIME_COLUMN, Rc::new(Column::full(Values::Integer(real))));
        let mut columns = self.columns(&rows, ids);
        columns.push(real);
        self.arranged(measurement, &series, times_ns, columns)
    }

    fn by_time(&self, measurement: MeasurementId, ids: impl Iterator<Item = ColumnId>) -> Layout {
        let mut placed: Vec<(u32, u32, i64, u32)> = (0..self.times_ns.len() as u32)
            .map(|row| (self.group_of(row), 0, self.time_of(row), row))
            .collect();
        placed.sort();
        let mut before = None;
        let mut repeat = 0;
        for (group, repeated, time_ns, _) in &mut placed {
            repeat = if before == Some((*group, *time_ns)) { repeat + 1 } else { 0 };
            before = Some((*group, *time_ns));
            *repeated = repeat;
        }
        placed.sort();
        let series = placed.iter().map(|&(group, repeat, ..)| (group, repeat)).collect::<Vec<_>>();
        let times_ns = placed.iter().map(|&(_, _, time_ns, _)| time_ns).collect();
        let rows: Vec<u32> = placed.iter().map(|&(.., row)| row).collect();
        let numbers = rows.iter().map(|&row| self.first_row + i64::from(row)).collect();
        let mut columns = self.columns(&rows, ids);
        columns.push((POSITION_COLUMN, Rc::new(Column::full(Values::Integer(numbers)))));
        self.arranged(measurement, &series, times_ns, columns)
    }

    fn columns(
        &self,
        rows: &[u32],
        ids: impl Iterator<Item = ColumnId>,
    ) -> Vec<(ColumnId, Rc<Column>)> {
        let picked: Vec<Option<u32>> = rows.iter().copied().map(Some).collect();
        let column = |column: &Column| Rc::new(gather_or_null(column, &picked));
        ids.zip(&self.columns).map(|(id, of)| (id, column(of))).collect()
    }

    /// Arranges rows with the given times. Equal consecutive entries in `row_series` form a series.
    /// An entry contains the group, and the row's number among the rows with the same group and
    /// time.
    fn arranged(
        &self,
        measurement: MeasurementId,
        row_series: &[(u32, u32)],
        times_ns: Vec<i64>,
        columns: Vec<(ColumnId, Rc<Column>)>,
    ) -> Layout {
        let keys = self.groups.first().map_or(0, |group| group.len());
        let mut series = Vec::new();
        let mut start = 0;
        for same in row_series.chunk_by(|a, b| a == b) {
            let Some(&(group, repeat)) = same.first() else { continue };
            let tags = self.groups.get(group as usize);
            let values =
                tags.into_iter().flat_map(|tags| tags.iter().map(|(_, value)| value.as_str()));
            let repeat = if repeat == 0 { String::new() } else { format!("{repeat:08}") };
            let key = SeriesKey::new(measurement, values.chain([repeat.as_str()]));
            let end = start + same.len() as u32;
            series.push((key, start..end));
            start = end;
        }
        // The groups may have arrived in descending order.
        series.sort_by(|(a, _), (b, _)| a.cmp(b));
        Layout {
            tag_order: (0..keys as u32).map(ColumnId).chain([REPEAT_TAG]).collect(),
            times_ns: times_ns.into(),
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
    ) -> Result<Rows<'_>, ReadError> {
        let types = self.columns.iter().map(|(id, column)| (*id, column.values.field_type()));
        let mut types: Vec<_> = types.collect();
        types.sort_by_key(|&(id, _)| id);
        let types = types.into();
        let cursor = LayoutCursor { layout: self, types, direction, passed: 0, is_read: false };
        rows_of_one(cursor, direction, from)
    }

    fn estimate(&self, _: MeasurementId, _: TimeRange) -> Result<Estimate, ReadError> {
        let first_ns = self.times_ns.iter().min().copied().unwrap_or_default();
        let last_ns = self.times_ns.iter().max().copied().unwrap_or_default();
        Ok(Estimate {
            time: TimeRange::new(first_ns, last_ns.saturating_add(1)),
            rows: self.times_ns.len() as u64,
            series: self.series.len() as u64,
        })
    }

    fn runs(&self) -> Option<&dyn Runs> {
        None
    }

    fn directories(&self) -> Option<&dyn Directories> {
        None
    }

    fn result_cache(&self) -> Option<&dyn ResultCache> {
        None
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}

struct LayoutCursor<'a> {
    layout: &'a Layout,
    types: Columns,
    direction: Direction,
    /// The number of series before the current series.
    passed: usize,
    is_read: bool,
}

impl LayoutCursor<'_> {
    fn current_series(&self) -> Option<&(SeriesKey, Range<u32>)> {
        let place = match self.direction {
            Direction::Ascending => Some(self.passed),
            Direction::Descending => self.layout.series.len().checked_sub(self.passed + 1),
        };
        self.layout.series.get(place?)
    }

    fn keys(&self, time: TimeRange) -> Option<PageKeys> {
        let (_, rows) = self.current_series()?;
        let times_ns = Rc::clone(&self.layout.times_ns);
        PageKeys::new(0, Rc::clone(&self.types), times_ns, rows.clone()).within(time)
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
            (self.passed, self.is_read) = (passed, false);
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), ReadError> {
        (self.passed, self.is_read) = (self.passed + 1, false);
        Ok(())
    }

    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        let is_read = std::mem::replace(&mut self.is_read, true);
        Ok(self.keys(time).filter(|_| !is_read))
    }

    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        Ok(self.keys(time).is_some())
    }

    fn column(&mut self, _: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        let known = self.layout.columns.iter().find(|(of, _)| *of == id);
        Ok(known.map(|(_, column)| PageColumn::Wide(Rc::clone(column))))
    }
}
