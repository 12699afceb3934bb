//! Stores the groups of a page by key, with the rows or the partial states read so far.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::accumulator::{Accumulator, accumulator};
use super::bounds::Bounds;
use super::error::ScanError;
use super::keys::SeriesTags;
use super::page::{Group, GroupData, PartialColumn};
use super::predicate::Mask;
use super::request::{AggregateCall, Input, Output, ResultPosition, ScanRequest};
use super::series_rows::{Chosen, Dense, ReadValues, SeriesRows, positions};
use super::spans::WindowNumbers;
use super::stretches::NeededEnd;
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, StringColumn, gather};
use crate::merge::cursor::Direction;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

pub(super) const GROUPS_PER_PAGE_MAX: usize = 8_192;
/// The size of a group in a page without its key and columns, in bytes.
const GROUP_BYTES: usize = 48;
/// The size of a call's states in a page without their windows, in bytes.
const STATE_BYTES: usize = 128;

/// A group drops the rows above its limit when it has this many times the limit, and at least
/// `SHRINK_ROWS_MIN` rows.
const SHRINK_TIMES: usize = 2;
const SHRINK_ROWS_MIN: usize = 1_024;

/// The result of one group so far.
enum GroupResult<'a> {
    Rows(GroupRows<'a>),
    States(GroupStates<'a>),
}

impl<'a> GroupResult<'a> {
    fn new(request: &'a ScanRequest) -> Result<Self, ScanError> {
        Ok(match &request.output {
            Output::Rows { fields, tags, limit, every_row } => Self::Rows(GroupRows {
                fields,
                tag_ids: tags,
                every_row: *every_row,
                direction: request.direction,
                limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
                times_ns: Vec::new(),
                series: Vec::new(),
                columns: fields.iter().map(empty_column).collect(),
                tags: vec![StringColumn::default(); tags.len()],
                open: TimeRange::ALL,
            }),
            Output::Aggregates { calls, window, .. } => Self::States(GroupStates {
                calls,
                accumulators: calls.iter().map(accumulator).collect::<Result<_, _>>()?,
                windows: WindowNumbers::new(window.clone(), request.time.start_ns),
                direction: request.direction,
                limit: request.output.windows_max(),
                is_of_one_end: NeededEnd::of(&request.output).is_some(),
                cut_ns: None,
            }),
        })
    }

    fn rows(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::States(_) => 0,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.bytes(),
            Self::States(states) => states.bytes(),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Rows(rows) => rows.is_done(),
            Self::States(states) => states.is_done(),
        }
    }
}

fn empty_column(input: &Input) -> Column {
    Column::new(input.output_type().unwrap_or(FieldType::Float))
}

struct PageGroup<'a> {
    result: GroupResult<'a>,
    /// Whether the group needs no rows of later stretches.
    is_closed: bool,
}

/// The groups of a page. The *current* group is the group with the key `key`.
pub(super) struct Groups<'a> {
    request: &'a ScanRequest,
    pub(super) bounds: Bounds<'a>,
    groups: HashMap<Vec<String>, PageGroup<'a>, FixedState>,
    /// Whether groups were dropped because they do not fit.
    has_dropped: bool,
    key: Vec<String>,
    bytes: usize,
    rows: usize,
}

impl<'a> Groups<'a> {
    pub(super) fn new(request: &'a ScanRequest) -> Self {
        Self {
            request,
            bounds: Bounds::new(request),
            groups: HashMap::default(),
            has_dropped: false,
            key: vec![String::new(); request.group_by.len()],
            bytes: 0,
            rows: 0,
        }
    }

    /// Makes the group of a series the current group. Returns the group's requested times.
    pub(super) fn reach(&mut self, tags: &SeriesTags) -> TimeRange {
        self.set_key(tags);
        let time = self.bounds.time_of(&self.key);
        match self.groups.get(self.key.as_slice()) {
            Some(PageGroup { is_closed: true, .. }) => TimeRange::new(0, 0),
            Some(PageGroup { result: GroupResult::Rows(rows), .. }) => time.intersect(&rows.open),
            _ => time,
        }
    }

    pub(super) fn is_after_end(&self) -> bool {
        self.bounds.is_after_end(&self.key)
    }

    fn set_key(&mut self, tags: &SeriesTags) {
        for (value, &tag) in self.key.iter_mut().zip(&self.request.group_by) {
            value.clear();
            value.push_str(tags.get(tag));
        }
    }

    /// Adds the rows that `mask` selects from a series. Returns whether a row was used.
    pub(super) fn consume(
        &mut self,
        tags: &SeriesTags,
        series_rows: &SeriesRows,
        mask: &Mask,
    ) -> Result<bool, ScanError> {
        self.set_key(tags);
        self.change(|result| match result {
            GroupResult::Rows(rows) => rows.consume(series_rows, mask, tags),
            GroupResult::States(states) => states.consume(series_rows, mask, tags).map(|()| true),
        })
    }

    /// Adds a group's states or rows from another reader or cache entry.
    pub(super) fn absorb(&mut self, group: &Group) -> Result<(), ScanError> {
        self.key.clone_from(&group.key);
        self.change(|result| match (result, &group.data) {
            (GroupResult::States(held), GroupData::Partials(states)) => held.absorb(states),
            (GroupResult::Rows(held), GroupData::Rows { times_ns, fields, tags }) => {
                held.absorb(times_ns, fields, tags)
            }
            _ => Err(ScanError::Cached),
        })
    }

    /// Changes the result of the current group, and adds the group if necessary.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut GroupResult<'a>) -> Result<T, ScanError>,
    ) -> Result<T, ScanError> {
        let group = match self.groups.get_mut(self.key.as_slice()) {
            Some(group) => group,
            None => {
                let group = PageGroup { result: GroupResult::new(self.request)?, is_closed: false };
                self.bytes += self.group_bytes() + key_bytes(&self.key);
                self.groups.entry(self.key.clone()).or_insert(group)
            }
        };
        let result = &mut group.result;
        let (bytes, rows) = (result.bytes(), result.rows());
        let changed = change(result)?;
        self.bytes = (self.bytes + result.bytes()).saturating_sub(bytes);
        self.rows = (self.rows + result.rows()).saturating_sub(rows);
        Ok(changed)
    }

    /// Returns the number of bytes that a group counts in addition to its key and values.
    fn group_bytes(&self) -> usize {
        let calls = match &self.request.output {
            Output::Aggregates { calls, .. } => calls.len(),
            Output::Rows { .. } => 0,
        };
        GROUP_BYTES + STATE_BYTES * calls
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Closes the complete groups after a stretch has been read.
    pub(super) fn close(&mut self) {
        for group in self.groups.values_mut() {
            group.is_closed = group.result.is_done();
        }
    }

    /// Whether some groups need no rows of later stretches.
    pub(super) fn has_closed(&self) -> bool {
        self.has_dropped || self.groups.values().any(|group| group.is_closed)
    }

    /// Whether a group is complete or outside the bounds.
    pub(super) fn is_group_complete(&self, key: &[String]) -> bool {
        self.groups.get(key).is_some_and(|group| group.is_closed)
            || self.bounds.time_of(key).is_empty()
    }

    pub(super) fn are_closed(&self) -> bool {
        !self.groups.is_empty() && self.groups.values().all(|group| group.is_closed)
    }

    /// Lowers the end of the slice until the groups take at most `bytes_max` bytes. If only one
    /// group remains, the function drops the last windows of this group.
    pub(super) fn lower(&mut self, bytes_max: usize) {
        let group_bytes = self.group_bytes();
        if self.bytes <= bytes_max {
            return;
        }
        let mut order: Vec<(Vec<String>, usize)> = self
            .groups
            .iter()
            .map(|(key, group)| (key.clone(), group_bytes + key_bytes(key) + group.result.bytes()))
            .collect();
        order.sort_by(|(a, _), (b, _)| self.bounds.order(a.cmp(b)));
        let mut held = 0;
        let mut kept = 0;
        for (_, bytes) in &order {
            held += bytes;
            if held > bytes_max && kept > 0 {
                break;
            }
            kept += 1;
        }
        let dropped = order.split_off(kept);
        if let (Some((last, _)), false) = (order.last(), dropped.is_empty()) {
            self.bounds.end_at(last.clone(), TimeRange::ALL);
            self.has_dropped = true;
        }
        for (key, bytes) in dropped {
            self.groups.remove(&key);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        if let [(key, _)] = &order[..]
            && let Some(PageGroup { result: GroupResult::States(states), .. }) =
                self.groups.get_mut(key)
        {
            let before = states.bytes();
            if let Some(time_ns) = states.cut(bytes_max) {
                self.bounds.lower(ResultPosition { group: key.clone(), time_ns });
            }
            self.bytes = (self.bytes + states.bytes()).saturating_sub(before);
        }
    }

    pub(super) fn finish(self) -> (Vec<Group>, Bounds<'a>) {
        let mut groups = Vec::with_capacity(self.groups.len());
        for (key, group) in self.groups {
            let data = match group.result {
                GroupResult::Rows(rows) => rows.finish(),
                GroupResult::States(states) => states.finish(),
            };
            groups.extend(data.map(|data| Group { key, data }));
        }
        let bounds = self.bounds;
        groups.sort_by(|a, b| bounds.order(a.key.cmp(&b.key)));
        (groups, bounds)
    }
}

/// The rows of a group, up to the limit. Rows arrive series by series, in time order.
struct GroupRows<'a> {
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
    open: TimeRange,
}

impl GroupRows<'_> {
    fn is_done(&self) -> bool {
        self.limit.is_some_and(|limit| self.times_ns.len() >= limit)
    }

    fn len(&self) -> usize {
        self.times_ns.len()
    }

    fn bytes(&self) -> usize {
        let fields: usize = self.columns.iter().map(Column::bytes).sum();
        let tags: usize = self.tags.iter().map(StringColumn::bytes).sum();
        self.times_ns.len() * (8 + 4 * self.tags.len()) + fields + tags
    }

    /// Adds the selected rows of one series that have a value in one of the fields. With
    /// `every_row`, adds all selected rows. Returns whether a row was added.
    fn consume(
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
    fn absorb(
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

    fn finish(self) -> Option<GroupData> {
        let tags = self.tags.iter().map(|of_series| coded(of_series, &self.series)).collect();
        let (times_ns, fields) = (self.times_ns, self.columns);
        (!times_ns.is_empty()).then_some(GroupData::Rows { times_ns, fields, tags })
    }
}

/// Returns the size of a key in a page, in bytes: its values, and four bytes for each value.
fn key_bytes(key: &[String]) -> usize {
    key.iter().map(|value| value.len() + 4).sum()
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

/// The partial states of a group.
struct GroupStates<'a> {
    calls: &'a [AggregateCall],
    accumulators: Vec<Box<dyn Accumulator>>,
    windows: WindowNumbers,
    direction: Direction,
    limit: Option<u64>,
    /// Whether each call needs only the first point in the reading direction.
    is_of_one_end: bool,
    /// The first time of the dropped windows, in the direction of the result.
    cut_ns: Option<i64>,
}

impl GroupStates<'_> {
    fn consume(
        &mut self,
        series_rows: &SeriesRows,
        mask: &Mask,
        tags: &SeriesTags,
    ) -> Result<(), ScanError> {
        // Most inputs have no nulls and share one list of rows and windows.
        let mut shared: Option<Option<Chosen<'_>>> = None;
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            let read = match call.function.reads_input() {
                true => series_rows.read(&call.input)?,
                false => Some(series_rows.read_times()),
            };
            let Some(read) = read else { continue };
            let own;
            let chosen = match read.valid.as_deref() {
                None => shared
                    .get_or_insert_with(|| Chosen::new(series_rows, mask, None, &mut self.windows)),
                valid => {
                    own = Chosen::new(series_rows, mask, valid, &mut self.windows);
                    &own
                }
            };
            if let Some(chosen) = chosen {
                accumulator.accumulate(&Dense::new(chosen, read.slice, series_rows, tags));
            }
        }
        Ok(())
    }

    /// Adds the states of another reader or cache entry, which must be in the order of the calls.
    fn absorb(&mut self, states: &[PartialColumn]) -> Result<(), ScanError> {
        let (mut windows, mut starts_of): (Vec<usize>, &[i64]) = (Vec::new(), &[]);
        for (accumulator, state) in self.accumulators.iter_mut().zip(states) {
            // Most calls have values in the same windows.
            if starts_of != state.windows_ns {
                starts_of = &state.windows_ns;
                windows.clear();
                windows.extend(
                    starts_of.iter().map(|&start_ns| self.windows.number_of_state(start_ns)),
                );
            }
            accumulator.absorb(&windows, state)?;
        }
        Ok(())
    }

    /// Drops the last windows, in the direction of the result, until the states take at most
    /// `bytes_max` bytes. Returns the first time of the dropped windows, if any. Always keeps at
    /// least one window and the windows near a clock change.
    fn cut(&mut self, bytes_max: usize) -> Option<i64> {
        let count = self.windows.len();
        let bytes = self.bytes();
        if count < 2 || bytes <= bytes_max {
            return self.cut_ns;
        }
        let fitting = (count.saturating_mul(bytes_max) / bytes.max(1)).clamp(1, count - 1);
        let mut order = self.windows.order(self.direction);
        let border = |window: &usize| self.windows.border_ns(*window, self.direction);
        let Some((at, time_ns)) =
            (fitting..count).find_map(|at| Some((at, border(order.get(at)?)?)))
        else {
            return self.cut_ns;
        };
        order.truncate(at);
        self.windows.keep(&order);
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.keep(&order));
        self.cut_ns = Some(time_ns);
        self.cut_ns
    }

    fn bytes(&self) -> usize {
        self.accumulators.iter().map(|accumulator| accumulator.bytes()).sum()
    }

    /// Whether all requested windows are complete. The caller must have added all rows up to some
    /// time in the reading direction. Only the last window can then be incomplete.
    fn is_done(&self) -> bool {
        let starts_ns = self.windows.starts_ns();
        if self.is_of_one_end {
            let is_empty = |a: &dyn Accumulator| a.partial(&[0], starts_ns).windows_ns.is_empty();
            return self.windows.len() > 0 && !self.accumulators.iter().any(|a| is_empty(&**a));
        }
        self.limit.is_some_and(|limit| self.windows.len() as u64 > limit)
    }

    fn finish(self) -> Option<GroupData> {
        let order = self.windows.order(self.direction);
        let starts_ns = self.windows.starts_ns();
        let partials: Vec<_> =
            self.accumulators.iter().map(|a| a.partial(&order, starts_ns)).collect();
        let any = partials.iter().any(|partial| !partial.windows_ns.is_empty());
        any.then_some(GroupData::Partials(partials))
    }
}
