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
use crate::query::plan::{SelectNode, Subquery};
use crate::query::result::{Column, Values};
use crate::scan::cached::ResultCache;
use crate::scan::reader::{Directories, Estimate, ReadStats, Reader, Rows, Runs, rows_of_one};
use crate::scan::request::{Output, ScanRequest};

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

/// A row's place in a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PlacedRow {
    group: u32,
    /// The row's number among the rows with the same group and time.
    repeat: u32,
    time_ns: i64,
    row: u32,
}

impl ArrivedRows {
    pub(super) fn layout(&mut self, subquery: &Subquery, request: &ScanRequest) -> Layout {
        let is_rows = matches!(request.output, Output::Rows { .. });
        let known = if is_rows { &self.by_position } else { &self.by_time };
        if let Some(layout) = known {
            return layout.clone();
        }
        let placed = if is_rows { self.by_position(&subquery.node) } else { self.by_time() };
        let rows: Vec<u32> = placed.iter().map(|placed| placed.row).collect();
        let columns = subquery.fields.iter().zip(&self.columns);
        let column = |id: ColumnId, column: Column| (id, Rc::new(column));
        let mut columns: Vec<_> =
            columns.map(|(field, of)| column(field.id, of.gather(&rows))).collect();
        let (id, numbers) = if is_rows {
            (TIME_COLUMN, rows.iter().map(|&row| self.time_of(row)).collect())
        } else {
            let number = |&row: &u32| self.first_row + i64::from(row);
            (POSITION_COLUMN, rows.iter().map(number).collect())
        };
        columns.push(column(id, Column::full(Values::Integer(numbers))));
        let layout = self.arranged(request.measurement, &placed, columns);
        let known = if is_rows { &mut self.by_position } else { &mut self.by_time };
        known.insert(layout).clone()
    }

    fn group_of(&self, row: u32) -> u32 {
        self.row_groups.get(row as usize).copied().or_bug()
    }

    fn time_of(&self, row: u32) -> i64 {
        self.times_ns.get(row as usize).copied().or_bug()
    }

    /// Returns the rows in order of the series. Their times are their positions in the result.
    fn by_position(&self, node: &SelectNode) -> Vec<PlacedRow> {
        let (sorted, descending) = (!node.in_order_of_series, node.descending);
        // The points of top() and bottom() are sorted by window.
        let place = |row: u32| {
            let time_ns = self.time_of(row);
            node.window.as_ref().map_or(time_ns, |window| window.start(time_ns))
        };
        let mut rows: Vec<u32> = (0..self.times_ns.len() as u32).collect();
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
        let placed = (0..).zip(rows).map(|(time_ns, row)| PlacedRow {
            group: self.group_of(row),
            repeat: 0,
            time_ns,
            row,
        });
        let mut placed: Vec<PlacedRow> = placed.collect();
        placed.sort();
        placed
    }

    fn by_time(&self) -> Vec<PlacedRow> {
        let placed = (0..self.times_ns.len() as u32).map(|row| PlacedRow {
            group: self.group_of(row),
            repeat: 0,
            time_ns: self.time_of(row),
            row,
        });
        let mut placed: Vec<PlacedRow> = placed.collect();
        placed.sort();
        for same in placed.chunk_by_mut(|a, b| (a.group, a.time_ns) == (b.group, b.time_ns)) {
            (0..).zip(same).for_each(|(repeat, row)| row.repeat = repeat);
        }
        placed.sort();
        placed
    }

    /// Arranges rows in series: consecutive rows with the same group and number.
    fn arranged(
        &self,
        measurement: MeasurementId,
        placed: &[PlacedRow],
        columns: Vec<(ColumnId, Rc<Column>)>,
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
        }
        // The groups may have arrived in descending order.
        series.sort_by(|(a, _), (b, _)| a.cmp(b));
        Layout {
            tag_order: (0..keys as u32).map(ColumnId).chain([REPEAT_TAG]).collect(),
            times_ns: placed.iter().map(|placed| placed.time_ns).collect(),
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
