//! Collects the rows of a group, up to the limit of the request.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::error::ScanError;
use super::mask::Mask;
use super::page::GroupData;
use super::request::Input;
use super::series_rows::{ReadValues, SeriesRows, positions};
use super::series_tags::SeriesTags;
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, StringColumn, gather};
use crate::merge::cursor::Direction;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

/// A group drops the rows above its limit when it has this many times the limit, and at least
/// `SHRINK_ROWS_MIN` rows.
const SHRINK_TIMES: usize = 2;
const SHRINK_ROWS_MIN: usize = 1_024;

/// The rows of a group, up to the limit. Rows arrive series by series, in time order.
pub(super) struct GroupRows<'a> {
    fields: &'a [Input],
    tag_ids: &'a [ColumnId],
    every_row: bool,
    direction: Direction,
    /// The maximum number of rows. The group keeps the first rows by time.
    limit: Option<usize>,
    times_ns: Vec<i64>,
    /// The position of each row's series in the group.
    series: Vec<u32>,
    columns: Vec<Column>,
    /// One column for each tag, with one value for each series.
    tags: Vec<StringColumn>,
    /// The times that may still contain requested rows.
    pub(super) open: TimeRange,
}

impl<'a> GroupRows<'a> {
    pub(super) fn new(
        fields: &'a [Input],
        tag_ids: &'a [ColumnId],
        every_row: bool,
        limit: Option<u64>,
        direction: Direction,
    ) -> Self {
        let column = |input: &Input| Column::new(input.output_type().unwrap_or(FieldType::Float));
        Self {
            fields,
            tag_ids,
            every_row,
            direction,
            limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            times_ns: Vec::new(),
            series: Vec::new(),
            columns: fields.iter().map(column).collect(),
            tags: vec![StringColumn::default(); tag_ids.len()],
            open: TimeRange::ALL,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.limit.is_some_and(|limit| self.times_ns.len() >= limit)
    }

    pub(super) fn len(&self) -> usize {
        self.times_ns.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let fields: usize = self.columns.iter().map(Column::bytes).sum();
        let tags: usize = self.tags.iter().map(StringColumn::bytes).sum();
        self.times_ns.len() * (8 + 4 * self.tags.len()) + fields + tags
    }

    /// Adds the selected rows of one series that have a value in one of the fields. With
    /// `every_row`, adds all selected rows. Returns whether a row was added.
    pub(super) fn consume(
        &mut self,
        series_rows: &SeriesRows,
        mask: &Mask,
        tags: &SeriesTags,
    ) -> Result<bool, ScanError> {
        let mut reads = Vec::with_capacity(self.fields.len());
        for input in self.fields {
            reads.push(series_rows.read(input)?);
        }
        if !self.every_row && reads.iter().all(Option::is_none) {
            return Ok(false);
        }
        let rows = series_rows.times().len();
        let any = if self.every_row { None } else { any_value(&reads) };
        let mut chosen =
            positions(mask, any.as_deref(), rows).unwrap_or_else(|| (0..rows as u32).collect());
        // One series cannot contribute more rows than the limit.
        if let Some(limit) = self.limit {
            match self.direction {
                Direction::Descending => drop(chosen.drain(..chosen.len().saturating_sub(limit))),
                Direction::Ascending => chosen.truncate(limit),
            }
        }
        if chosen.is_empty() {
            return Ok(false);
        }
        let times = series_rows.times();
        let time = |&p: &u32| times.get(p as usize).copied().or_bug();
        self.times_ns.extend(chosen.iter().map(time));
        // The group needs only its latest row, so rows before this row cannot be in the result.
        if self.limit == Some(1) && self.direction.is_descending() {
            let last_ns = chosen.last().map_or(i64::MIN, time);
            self.open.start_ns = self.open.start_ns.max(last_ns);
        }
        for (column, read) in self.columns.iter_mut().zip(&reads) {
            append(column, read.as_ref(), &chosen);
        }
        let number = self.series.last().map_or(0, |last| last + 1);
        self.series.extend(std::iter::repeat_n(number, chosen.len()));
        for (column, &tag) in self.tags.iter_mut().zip(self.tag_ids) {
            column.push(tags.get(tag));
        }
        self.shrink_if_many();
        Ok(true)
    }

    /// Adds the rows of another reader or cache entry. Each row becomes a separate series.
    pub(super) fn absorb(
        &mut self,
        times_ns: &[i64],
        fields: &[Column],
        tags: &[StringColumn],
    ) -> Result<(), ScanError> {
        if fields.len() != self.columns.len() || tags.len() != self.tags.len() {
            return Err(ScanError::Cached);
        }
        let next = self.series.last().map_or(0, |last| last + 1);
        self.series.extend((next..).take(times_ns.len()));
        self.times_ns.extend(times_ns);
        for (column, more) in self.columns.iter_mut().zip(fields) {
            if !column.extend_from(more) {
                return Err(ScanError::Cached);
            }
        }
        for (column, more) in self.tags.iter_mut().zip(tags) {
            (0..times_ns.len()).for_each(|row| column.push(more.get(row)));
        }
        self.shrink_if_many();
        Ok(())
    }

    fn shrink_if_many(&mut self) {
        if let Some(limit) = self.limit
            && self.times_ns.len() >= limit.saturating_mul(SHRINK_TIMES).max(SHRINK_ROWS_MIN)
        {
            self.shrink(limit);
        }
    }

    /// Keeps only the first `limit` rows by time, and excludes all later times.
    fn shrink(&mut self, limit: usize) {
        let Some(last) = limit.checked_sub(1).filter(|&at| at < self.times_ns.len()) else {
            return;
        };
        let times_ns = self.times_ns.iter().map(|&time_ns| self.direction.to_ascending(time_ns));
        // Rows with equal times are ordered by series, in the order in which the series were added.
        let mut first: Vec<(i64, u32)> = times_ns.zip(0..).collect();
        let last_ns = self.direction.to_ascending(first.select_nth_unstable(last).1.0);
        match self.direction {
            Direction::Descending => self.open.start_ns = self.open.start_ns.max(last_ns),
            Direction::Ascending => {
                self.open.end_ns = self.open.end_ns.min(last_ns.saturating_add(1))
            }
        }
        let mut order: Vec<u32> = first.into_iter().take(limit).map(|(_, row)| row).collect();
        order.sort_unstable();
        self.times_ns = gather(&self.times_ns, &order);
        self.columns = self.columns.iter().map(|column| column.gather(&order)).collect();
        let series = gather(&self.series, &order);
        let mut kept = series.clone();
        kept.dedup();
        self.tags = self
            .tags
            .iter()
            .map(|tags| kept.iter().map(|&s| tags.get(s as usize)).collect())
            .collect();
        self.series = Vec::with_capacity(series.len());
        for (number, same) in (0..).zip(series.chunk_by(|a, b| a == b)) {
            self.series.extend(std::iter::repeat_n(number, same.len()));
        }
    }

    pub(super) fn finish(self) -> Option<GroupData> {
        let tags = self.tags.iter().map(|of_series| coded(of_series, &self.series)).collect();
        let (times_ns, fields) = (self.times_ns, self.columns);
        (!times_ns.is_empty()).then_some(GroupData::Rows { times_ns, fields, tags })
    }
}

/// Returns the text of each row's series as a dictionary column with distinct entries.
fn coded(of_series: &StringColumn, series: &[u32]) -> StringColumn {
    let mut dictionary = StringColumn::default();
    let mut known: HashMap<&str, u32, FixedState> = HashMap::default();
    let mut code_of = |string| {
        let next = dictionary.len() as u32;
        let code = *known.entry(string).or_insert(next);
        if code == next {
            dictionary.push(string);
        }
        code
    };
    let codes_of_series: Vec<u32> = of_series.iter().map(&mut code_of).collect();
    let code = |&series: &u32| codes_of_series.get(series as usize).copied().or_bug();
    let codes = series.iter().map(code).collect();
    StringColumn::coded(dictionary, codes).unwrap_or_default()
}

/// Returns, for each row, whether at least one field has a value. Returns `None` if every row has a
/// value.
fn any_value(reads: &[Option<ReadValues<'_>>]) -> Option<Vec<bool>> {
    let mut any: Option<Vec<bool>> = None;
    for read in reads.iter().flatten() {
        let valid = read.valid.as_ref()?;
        match &mut any {
            None => any = Some(valid.clone()),
            Some(any) => any.iter_mut().zip(valid).for_each(|(any, valid)| *any |= valid),
        }
    }
    any
}

/// Appends the values of `read` at `positions`, or nulls if `read` is `None`.
fn append(column: &mut Column, read: Option<&ReadValues<'_>>, positions: &[u32]) {
    let Some(read) = read else { return column.extend_nulls(positions.len()) };
    let start = column.len();
    if !read.slice.append_to(&mut column.values, positions) {
        return column.extend_nulls(positions.len());
    }
    let valid = read.valid.as_ref();
    if valid.is_none() && column.validity == Validity::All {
        return;
    }
    for (row, &p) in (start..).zip(positions) {
        column.validity.push(row, valid.is_none_or(|v| v.get(p as usize).copied().or_bug()));
    }
}
