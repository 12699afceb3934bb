//! What a subquery answered, kept so that the outer statement can scan it like a measurement.
//!
//! Each inner series is a series, its group tags are tags, its columns and group tags are fields.
//! Rows are kept in two orders. Scans of rows see them one by one as 1.x does: by time, except
//! that points chosen by a selector over the whole range stand in the order of their series. The
//! position stands in for the time, the real one is a field. Scans of states see real times.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::error::QueryError;
use super::plan::{DerivedFrom, Subquery};
use super::result::{Column, ResultColumn, SeriesChunk, StringColumn, Values};
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::limits::PAGE_BYTES_MAX;
use crate::model::sorted;
use crate::model::sorted::sort_positions;
use crate::model::sorted_map::SortedMap;
use crate::model::time::TimeRange;
use crate::model::value::FieldType;
use crate::query::operators::series::gather_or_null;
use crate::scan::page::{GroupData, ScanPage};
use crate::scan::request::{Output, ScanRequest, Window};
use crate::scan::source::{Part, ReadStats, Rows, Run, Source, SourceError};
use crate::scan::{self, PageLimits};

/// The real time of a row, where the position stands in for it.
pub(crate) const TIME_COLUMN: ColumnId = ColumnId(u32::MAX);
/// Tells rows of one series and time apart.
const REPEAT_TAG: ColumnId = ColumnId(u32::MAX - 1);
/// What one subquery may hold.
const BYTES_MAX: usize = 32 << 20;

/// The answer of one subquery.
#[derive(Debug)]
pub(crate) struct Derived {
    subquery: Rc<Subquery>,
    tables: SortedMap<Rc<str>, Table>,
    bytes: usize,
}

/// The rows of one measurement's name, as they came.
#[derive(Debug, Default)]
struct Table {
    groups: Vec<Rc<[(String, String)]>>,
    row_groups: Vec<u32>,
    times_ns: Vec<i64>,
    columns: Vec<Column>,
    by_position: Option<Layout>,
    by_time: Option<Layout>,
}

/// Rows arranged for a scan.
#[derive(Clone, Debug)]
struct Layout {
    part: Part,
    /// One per series.
    runs: Vec<Run>,
}

impl Derived {
    pub(crate) fn new(subquery: Rc<Subquery>) -> Self {
        Self { subquery, tables: SortedMap::new(), bytes: 0 }
    }

    /// Keeps the next rows.
    ///
    /// # Errors
    /// [`QueryError::TooLarge`]
    pub(crate) fn push(&mut self, chunk: &SeriesChunk) -> Result<(), QueryError> {
        let Some(name) = &chunk.name else { return Ok(()) };
        let Some(ResultColumn::Time(times_ns)) = chunk.values.first() else { return Ok(()) };
        let fields = &self.subquery.fields;
        let table = self.tables.entry(Rc::clone(name)).or_insert_with(|| Table {
            columns: fields.iter().map(|field| Column::new(field.field_type)).collect(),
            ..Table::default()
        });
        if table.groups.last().is_none_or(|last| *last != chunk.tags) {
            table.groups.push(Rc::clone(&chunk.tags));
        }
        let group = table.groups.len().saturating_sub(1) as u32;
        self.bytes += 12 * times_ns.len();
        table.times_ns.extend_from_slice(times_ns);
        table.row_groups.resize(table.times_ns.len(), group);
        for (column, field) in table.columns.iter_mut().zip(fields) {
            let next = match field.from {
                DerivedFrom::Column(index) => match chunk.values.get(index) {
                    Some(
                        ResultColumn::Values(next) | ResultColumn::Filled { column: next, .. },
                    ) => converted(next, field.field_type),
                    Some(ResultColumn::Time(_) | ResultColumn::Null) | None => None,
                },
                DerivedFrom::Key(index) => {
                    let value = chunk.tags.get(index).map_or("", |(_, value)| value);
                    let same = std::iter::repeat_n(value, chunk.rows).collect::<StringColumn>();
                    Some(Column::full(Values::String(same)))
                }
            };
            match next {
                Some(next) if column.extend_from(&next) => self.bytes += next.bytes(),
                _ => column.extend_nulls(chunk.rows),
            }
        }
        if self.bytes > BYTES_MAX {
            let (what, limit, unit) = ("a subquery's result", BYTES_MAX as u64, "bytes");
            return Err(QueryError::TooLarge { what, limit, unit });
        }
        Ok(())
    }

    /// Answers a scan of `measurement`.
    ///
    /// # Errors
    /// [`QueryError::Page`]
    pub(crate) fn page(
        &mut self,
        measurement: &str,
        request: &ScanRequest,
    ) -> Result<ScanPage, QueryError> {
        let nothing = || ScanPage { groups: Vec::new(), resume: None, stats: ReadStats::default() };
        let node = &self.subquery.node;
        let Some(table) = self.tables.get_mut(measurement) else { return Ok(nothing()) };
        let is_rows = matches!(request.output, Output::Rows { .. });
        let mut layout = if is_rows {
            let sorted = !node.keeps_point_time;
            let fields = &self.subquery.fields;
            if table.by_position.is_none() {
                let ids = fields.iter().map(|field| field.id);
                let window = node.window.as_ref();
                table.by_position = Some(table.by_position(ids, sorted, node.descending, window));
            }
            table.by_position.clone()
        } else {
            if table.by_time.is_none() {
                let ids = self.subquery.fields.iter().map(|field| field.id);
                table.by_time = Some(table.by_time(ids));
            }
            table.by_time.clone()
        }
        .ok_or(QueryError::Page("a subquery"))?;
        let limits = PageLimits { bytes: PAGE_BYTES_MAX, decoded_bytes: u64::MAX };
        let page = scan::scan(&mut layout, request, limits);
        let mut page = page.map_err(|_| QueryError::Page("a scan of a subquery"))?;
        if is_rows {
            page.groups.iter_mut().for_each(|group| restore_times(&mut group.data));
        }
        Ok(page)
    }
}

/// Puts real times in the place of positions.
fn restore_times(data: &mut GroupData) {
    let GroupData::Rows { times_ns, fields, .. } = data else { return };
    if let Some(Column { values: Values::Integer(real), .. }) = fields.pop() {
        *times_ns = real;
    }
}

/// As 1.x reads a subquery's column: numbers become numbers of the type that the expression has by
/// the rules for names, other types leave nothing.
fn converted(column: &Column, to: FieldType) -> Option<Column> {
    if column.values.field_type() == to {
        return Some(column.clone());
    }
    let values = match (&column.values, to) {
        (Values::Float(v), FieldType::Integer) => {
            Values::Integer(v.iter().map(|&v| v as i64).collect())
        }
        (Values::Float(v), FieldType::Unsigned) => {
            Values::Unsigned(v.iter().map(|&v| v as u64).collect())
        }
        (Values::Integer(v), FieldType::Float) => {
            Values::Float(v.iter().map(|&v| v as f64).collect())
        }
        (Values::Integer(v), FieldType::Unsigned) => {
            Values::Unsigned(v.iter().map(|&v| v as u64).collect())
        }
        (Values::Unsigned(v), FieldType::Float) => {
            Values::Float(v.iter().map(|&v| v as f64).collect())
        }
        (Values::Unsigned(v), FieldType::Integer) => {
            Values::Integer(v.iter().map(|&v| v as i64).collect())
        }
        _ => return None,
    };
    Some(Column { values, validity: column.validity.clone() })
}

impl Table {
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
        let mut layout = self.layout(&series, times_ns, &rows, ids);
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
        self.layout(&series, times_ns, &rows, ids)
    }

    /// Rows `rows` with these times; equal neighbours in `row_series` are one series.
    fn layout(
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
