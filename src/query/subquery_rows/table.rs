//! Arranges the rows of a subquery so that they can be scanned.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{REPEAT_TAG, TIME_COLUMN};
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::sorted;
use crate::model::sorted::sort_positions;
use crate::model::time::TimeRange;
use crate::query::operators::series::gather_or_null;
use crate::query::plan::Subquery;
use crate::query::result::{Column, Values};
use crate::scan::request::{Output, ScanRequest, Window};
use crate::scan::source::{Part, ReadStats, Rows, Run, Source, SourceError};

/// The rows of one measurement's name, as they came.
#[derive(Debug, Default)]
pub(super) struct ArrivedRows {
    pub(super) groups: Vec<Rc<[(String, String)]>>,
    pub(super) row_groups: Vec<u32>,
    pub(super) times_ns: Vec<i64>,
    pub(super) columns: Vec<Column>,
    pub(super) bytes: usize,
    pub(super) by_position: Option<Layout>,
    pub(super) by_time: Option<Layout>,
}

/// Rows arranged for a scan.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    part: Part,
    /// One per series.
    runs: Vec<Run>,
}

impl ArrivedRows {
    /// Arranged for a request.
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
            self.by_position.insert(self.by_position(ids, sorted, node.descending, window)).clone()
        } else {
            self.by_time.insert(self.by_time(ids)).clone()
        }
    }

    fn group_of(&self, row: u32) -> u32 {
        self.row_groups.get(row as usize).copied().unwrap_or_default()
    }

    fn time_of(&self, row: u32) -> i64 {
        self.times_ns.get(row as usize).copied().unwrap_or_default()
    }

    fn by_position(
        &self,
        ids: impl Iterator<Item = ColumnId>,
        sorted: bool,
        descending: bool,
        window: Option<&Window>,
    ) -> Layout {
        // Points of top() and bottom() stand where their window does.
        let place = |row: u32| {
            let time_ns = self.time_of(row);
            window.map_or(time_ns, |window| window.start(time_ns))
        };
        let count = self.times_ns.len() as u32;
        let mut rows: Vec<u32> = (0..count).collect();
        if sorted && descending {
            let key = |row| (place(row), self.group_of(row));
            sort_positions(&mut rows, &|a, b| key(b).cmp(&key(a)));
        } else if sorted {
            sort_positions(&mut rows, &|a, b| place(a).cmp(&place(b)));
        } else if descending {
            // The series came in descending order, and stand in ascending order (1.x).
            sort_positions(&mut rows, &|a, b| self.group_of(b).cmp(&self.group_of(a)));
        }
        if descending {
            rows.reverse();
        }
        let mut placed: Vec<(u32, i64, u32)> =
            rows.iter().zip(0_i64..).map(|(&row, at)| (self.group_of(row), at, row)).collect();
        sorted::sort(&mut placed);
        let series = placed.iter().map(|&(group, ..)| (group, 0)).collect::<Vec<_>>();
        let times_ns = placed.iter().map(|&(_, at, _)| at).collect();
        let rows: Vec<u32> = placed.iter().map(|&(.., row)| row).collect();
        let mut layout = self.arranged(&series, times_ns, &rows, ids);
        layout.add_times(rows.iter().map(|&row| self.time_of(row)).collect());
        layout
    }

    fn by_time(&self, ids: impl Iterator<Item = ColumnId>) -> Layout {
        let mut placed: Vec<(u32, u32, i64, u32)> = (0..self.times_ns.len() as u32)
            .map(|row| (self.group_of(row), 0, self.time_of(row), row))
            .collect();
        sorted::sort(&mut placed);
        let mut before = None;
        let mut repeat = 0;
        for (group, repeated, time_ns, _) in &mut placed {
            repeat = if before == Some((*group, *time_ns)) { repeat + 1 } else { 0 };
            before = Some((*group, *time_ns));
            *repeated = repeat;
        }
        sorted::sort(&mut placed);
        let series = placed.iter().map(|&(group, repeat, ..)| (group, repeat)).collect::<Vec<_>>();
        let times_ns = placed.iter().map(|&(_, _, time_ns, _)| time_ns).collect();
        let rows: Vec<u32> = placed.iter().map(|&(.., row)| row).collect();
        self.arranged(&series, times_ns, &rows, ids)
    }

    /// Rows `rows` with these times; equal neighbours in `row_series` are one series.
    fn arranged(
        &self,
        row_series: &[(u32, u32)],
        times_ns: Vec<i64>,
        rows: &[u32],
        ids: impl Iterator<Item = ColumnId>,
    ) -> Layout {
        let picked: Vec<Option<u32>> = rows.iter().copied().map(Some).collect();
        let columns: Vec<(ColumnId, Column)> =
            ids.zip(&self.columns).map(|(id, c)| (id, gather_or_null(c, &picked))).collect();
        let mut all: Vec<(u32, u32)> = row_series.to_vec();
        all.dedup();
        let keys = self.groups.first().map_or(0, |group| group.len());
        let mut tags = Vec::with_capacity(keys + 1);
        for key in 0..keys {
            tags.push(dictionary(all.iter().map(|&(group, _)| {
                let group = self.groups.get(group as usize);
                group.and_then(|tags| tags.get(key)).map_or_else(String::new, |tag| tag.1.clone())
            })));
        }
        tags.push(dictionary(all.iter().map(|&(_, repeat)| match repeat {
            0 => String::new(),
            repeat => format!("{repeat:08}"),
        })));
        let tag_ids = (0..keys as u32).map(ColumnId).chain([REPEAT_TAG]).collect();
        let time = TimeRange::new(
            times_ns.iter().min().copied().unwrap_or_default(),
            times_ns.iter().max().copied().unwrap_or_default().saturating_add(1),
        );
        let part = Part {
            time,
            tag_ids,
            series: Rc::new(SeriesTable { tags, len: all.len() as u32 }),
            field_ids: columns.iter().map(|(id, _)| *id).collect(),
            rows: rows.len() as u64,
            tombstones: false,
        };
        let block = Rc::new(Rows { times_ns, columns });
        let mut runs = Vec::with_capacity(all.len());
        let mut start = 0;
        for series in row_series.chunk_by(|a, b| a == b) {
            let end = start + series.len();
            runs.push(Run { block: Rc::clone(&block), rows: start..end });
            start = end;
        }
        Layout { part, runs }
    }
}

impl Layout {
    /// Adds the real times as a field.
    fn add_times(&mut self, times_ns: Vec<i64>) {
        let Some(first) = self.runs.first() else { return };
        let mut block = Rows::clone(&first.block);
        block.columns.push((TIME_COLUMN, Column::full(Values::Integer(times_ns))));
        let block = Rc::new(block);
        self.runs.iter_mut().for_each(|run| run.block = Rc::clone(&block));
        let ids = self.part.field_ids.iter().copied().chain([TIME_COLUMN]);
        self.part.field_ids = ids.collect();
    }
}

/// Values of one tag as a dictionary.
fn dictionary(values: impl Iterator<Item = String>) -> TagColumn {
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    let mut column = TagColumn::default();
    for value in values {
        let code = if value.is_empty() {
            0
        } else if let Some(&code) = known.get(&value) {
            code
        } else {
            column.dictionary.push(&value);
            let code = known.len() as u32 + 1;
            known.insert(value, code);
            code
        };
        column.codes.push(code);
    }
    column
}

impl Source for Layout {
    fn parts(
        &mut self,
        _measurement: MeasurementId,
        _time: TimeRange,
    ) -> Result<Vec<Part>, SourceError> {
        Ok(vec![self.part.clone()])
    }

    fn runs(
        &mut self,
        _part: usize,
        series: u32,
        _time: TimeRange,
        _columns: &[ColumnId],
    ) -> Result<Vec<Run>, SourceError> {
        Ok(self.runs.get(series as usize).cloned().into_iter().collect())
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}
