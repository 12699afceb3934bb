//! Stores the result of a subquery so that the outer statement can scan the result like a
//! measurement.
//!
//! The complete result is stored only if the rows must be sorted:
//! - If each series of the subquery is a group of the outer statement, or if only one series
//!   exists, the outer statement receives the rows in batches while the subquery runs.
//! - If the outer statement needs only partial states, each batch is merged into the states.
//! - Otherwise, all rows are stored, up to a limit, and sorted.
//!
//! Each series of the subquery becomes a series of the derived measurement. Group tags become both
//! tags and fields. Columns become fields.
//!
//! Scans that return rows use the order of 1.x: by time, or by series if a selector selected points
//! over the whole range. In these scans, a row's position replaces its time, and a field contains
//! the real time. Scans that return partial states use the real times.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;

use super::error::{QueryError, Result};
use super::executor::PAGE_BYTES_PER_UNIT;
use super::math;
use super::plan::{DerivedFrom, PlannedScan, SelectNode, Subquery};
use super::result::{Column, ResultColumn, SeriesChunk, StringColumn, Values};
use super::sort::sort;
use super::stream::Slice;
use super::work::{Computation, Work};
use crate::admission::BufferMemory;
use crate::merge::cursor::{Columns, Direction, PageColumn, PageKeys, ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::model::bug::OrBug;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::limits::{PAGE_BYTES_MAX, SUBQUERY_BYTES_MAX, WORK_PER_TURN};
use crate::model::regex::Patterns;
use crate::model::time::TimeRange;
use crate::model::value::FieldType;
use crate::scan::page::{Group, GroupData, PartialColumn, ScanPage};
use crate::scan::partial;
use crate::scan::reader::{Estimate, MergedRows, ReadStats, Reader, rows_of_one};
use crate::scan::request::{Output, ResultPosition, Resume, ScanRequest};
use crate::scan::{self, PageLimits};

/// The field with a row's real time, in scans that replace times with positions.
pub(crate) const TIME_COLUMN: ColumnId = ColumnId(u32::MAX);
/// The field with a row's number, in scans of partial states. 1.x selects the first row of several
/// equal points.
pub(crate) const POSITION_COLUMN: ColumnId = ColumnId(u32::MAX - 2);
/// A tag that distinguishes rows with the same series and time.
const REPEAT_TAG: ColumnId = ColumnId(u32::MAX - 1);

/// The sizes of the steps in which a statement reads the rows of its subqueries.
#[derive(Clone, Copy, Debug)]
pub struct SubquerySteps {
    /// The size of a batch of rows in bytes. A batch may be larger if the states of earlier batches
    /// are large.
    pub batch_bytes: usize,
    /// The maximum number of values that are read before the statement may pause.
    pub cells: u64,
}

impl SubquerySteps {
    /// The sizes outside tests.
    pub const DEFAULT: Self = Self { batch_bytes: 1 << 17, cells: WORK_PER_TURN };
}

/// Specifies which part of the result is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// All rows.
    Whole,
    /// One batch, which the outer statement reads before the next one arrives.
    Streamed,
    /// One batch, and the states of all earlier batches.
    Folded,
}

/// Partial states of groups, in ascending order of key.
type States = Vec<(Vec<String>, Vec<PartialColumn>)>;

/// The states of each scan.
type Folded = Vec<(usize, States)>;

/// The result of one subquery, from which the executor serves the scans of the outer statement.
#[derive(Debug)]
pub(crate) struct Derived {
    subquery: Rc<Subquery>,
    scans: Rc<[PlannedScan]>,
    work: Work,
    mode: Mode,
    steps: SubquerySteps,
    tables: BTreeMap<Rc<str>, Rc<ArrivedRows>>,
    /// The layouts of complete tables, by measurement and by whether the scan returns rows.
    layouts: BTreeMap<(Rc<str>, bool), Layout>,
    bytes: usize,
    memory: BufferMemory,
    current: Option<Rc<str>>,
    /// Whether the subquery has returned all rows.
    pub(crate) is_done: bool,
    /// The measurements whose remaining rows are not needed.
    finished: BTreeSet<Rc<str>>,
    sent: u64,
    arrived: i64,
    /// The pages in progress, by scan.
    reading: BTreeMap<usize, Computation<Result<(Layout, ScanPage)>>>,
    folding: Option<Computation<Result<Folded>>>,
    folded: Folded,
    is_folded: bool,
}

impl Derived {
    /// `own` contains the scans of `node` that read the subquery.
    pub(crate) fn new(
        node: &SelectNode,
        own: Vec<usize>,
        subquery: Rc<Subquery>,
        scans: &Rc<[PlannedScan]>,
        memory: BufferMemory,
        work: &Work,
        steps: SubquerySteps,
    ) -> Self {
        Self {
            mode: mode(node, &own, &subquery, scans),
            subquery,
            scans: Rc::clone(scans),
            work: work.clone(),
            steps,
            tables: BTreeMap::new(),
            layouts: BTreeMap::new(),
            bytes: 0,
            memory,
            current: None,
            is_done: false,
            finished: BTreeSet::new(),
            sent: 0,
            arrived: 0,
            reading: BTreeMap::new(),
            folding: None,
            folded: own.into_iter().map(|scan| (scan, States::new())).collect(),
            is_folded: false,
        }
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.mode == Mode::Streamed
    }

    /// Adds rows of the subquery. No folding may be in progress.
    pub(crate) fn push(&mut self, chunk: &SeriesChunk) -> Result<()> {
        let Some(name) = &chunk.name else { return Ok(()) };
        let Some(ResultColumn::Time(times_ns)) = chunk.values.first() else { return Ok(()) };
        if self.finished.contains(name) {
            self.current = Some(Rc::clone(name));
            return Ok(());
        }
        let fields = &self.subquery.fields;
        let first_row = self.arrived;
        self.arrived += times_ns.len() as i64;
        let table = self.tables.entry(Rc::clone(name)).or_insert_with(|| {
            let columns = fields.iter().map(|field| Column::new(field.field_type)).collect();
            Rc::new(ArrivedRows { columns, first_row, ..ArrivedRows::default() })
        });
        let table = Rc::make_mut(table);
        let mut bytes = 12 * times_ns.len();
        if table.groups.last().is_none_or(|last| *last != chunk.tags) {
            let tag_bytes =
                |(key, value): &(String, String)| key.len() + value.len() + size_of_val(value) * 2;
            bytes += chunk.tags.iter().map(tag_bytes).sum::<usize>();
            table.groups.push(Rc::clone(&chunk.tags));
        }
        let group = table.groups.len().saturating_sub(1) as u32;
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
                    Some(Column::full(Values::String(StringColumn::repeated(value, chunk.rows))))
                }
            };
            match next {
                // A string that repeats is stored once, but the scan copies the text of each row.
                Some(next) if column.extend_from(&next) => {
                    bytes = bytes.saturating_add(next.bytes().max(next.values.text_bytes()));
                }
                _ => {
                    column.extend_nulls(chunk.rows);
                    bytes = bytes.saturating_add(NULL_BYTES * chunk.rows);
                }
            }
        }
        table.bytes = table.bytes.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        self.current = Some(Rc::clone(name));
        if self.mode == Mode::Folded && self.bytes >= self.steps.batch_bytes {
            self.begin_folding();
        }
        self.check()
    }

    fn check(&mut self) -> Result<()> {
        if self.bytes > SUBQUERY_BYTES_MAX {
            return Err(QueryError::Subquery { limit: SUBQUERY_BYTES_MAX as u64 });
        }
        // Sorting needs up to three times as much memory as the rows.
        Ok(self.memory.set(3 * self.bytes)?)
    }

    /// Executes the scan at position `scan`. Returns `Pending` if the statement must pause before
    /// the same page is requested again, and no page if the subquery must first return more rows.
    pub(crate) fn page(
        &mut self,
        scan: usize,
        request: &ScanRequest,
    ) -> Result<Poll<Option<ScanPage>>> {
        let ready = |page| Ok(Poll::Ready(Some(page)));
        let scans = Rc::clone(&self.scans);
        let Some(planned) = scans.get(scan) else { return ready(ScanPage::default()) };
        if self.mode == Mode::Folded && self.is_folded {
            if !self.tables.is_empty() && self.folding.is_none() {
                self.begin_folding();
            }
            return match self.fold()? {
                true => ready(self.folded_page(scan, request.direction)),
                false => Ok(Poll::Pending),
            };
        }
        let is_streamed = self.mode == Mode::Streamed;
        let name = Rc::clone(&planned.measurement);
        let layout_of = (Rc::clone(&name), is_rows(request));
        let mut reading = match self.reading.remove(&scan) {
            Some(reading) => reading,
            None if is_streamed && !self.has_batch(&name) => return Ok(Poll::Ready(None)),
            None => {
                let Some(table) = self.tables.get(&name).map(Rc::clone) else {
                    self.sent = 0;
                    return ready(ScanPage::default());
                };
                if is_streamed {
                    self.tables.remove(&name);
                    self.bytes = self.bytes.saturating_sub(table.bytes);
                }
                let known = self.layouts.get(&layout_of).cloned();
                let (subquery, request) = (Rc::clone(&self.subquery), request.clone());
                let (cells, work) = (self.steps.cells, self.work.clone());
                Computation::new(async move {
                    let layout = match known {
                        Some(layout) => layout,
                        None => table.layout(&subquery, &request, &work).await,
                    };
                    let page = match is_streamed {
                        true => read_all(&layout, &request, cells, &work).await?,
                        false => read_slice(&layout, &request, cells, &work).await?,
                    };
                    Ok((layout, page))
                })
            }
        };
        let Some(result) = reading.proceed() else {
            self.reading.insert(scan, reading);
            return Ok(Poll::Pending);
        };
        let (layout, page) = result?;
        if is_streamed {
            return ready(self.batch(page.groups, request));
        }
        self.layouts.insert(layout_of, layout);
        ready(page)
    }

    /// Drops the remaining rows of a measurement, because the outer statement is done with it.
    pub(crate) fn finish(&mut self, measurement: &str) {
        let rest = self.tables.remove(measurement);
        self.bytes = self.bytes.saturating_sub(rest.map_or(0, |table| table.bytes));
        self.finished.insert(measurement.into());
        self.sent = 0;
    }

    /// Whether the rows of a measurement suffice for a batch, or are complete.
    fn has_batch(&self, measurement: &str) -> bool {
        let place = |name: &str| self.subquery.node.inputs.iter().position(|i| *i.name == *name);
        let is_past = self.current.as_ref().is_some_and(|now| place(now) > place(measurement));
        let bytes = self.tables.get(measurement).map_or(0, |table| table.bytes);
        bytes >= self.steps.batch_bytes || self.is_done || is_past
    }

    /// Returns the page with the rows of a batch.
    fn batch(&mut self, groups: Vec<Group>, request: &ScanRequest) -> ScanPage {
        for group in &groups {
            if let GroupData::Rows { times_ns, .. } = &group.data {
                self.sent += times_ns.len() as u64;
            }
        }
        // A single group needs only as many rows as the limit.
        let is_enough = match &request.output {
            Output::Rows { limit: Some(limit), .. } => {
                request.group_by.is_empty() && self.sent >= *limit
            }
            _ => false,
        };
        if is_enough {
            self.sent = 0;
            return ScanPage { groups, ..ScanPage::default() };
        }
        let last = groups.last().map(|group| group.key.clone());
        let group = last.or_else(|| request.resume.from.as_ref().map(|from| from.group.clone()));
        let time_ns = request.direction.to_ascending(i64::MAX);
        let until = ResultPosition { group: group.unwrap_or_default(), time_ns };
        ScanPage { groups, until: Some(until), ..ScanPage::default() }
    }

    fn begin_folding(&mut self) {
        self.is_folded = true;
        let (folded, tables) = (std::mem::take(&mut self.folded), std::mem::take(&mut self.tables));
        let (scans, subquery) = (Rc::clone(&self.scans), Rc::clone(&self.subquery));
        let (cells, work) = (self.steps.cells, self.work.clone());
        self.folding = Some(Computation::new(fold(folded, tables, scans, subquery, cells, work)));
    }

    /// Merges arrived rows into the states. Returns `false` if the statement must pause first.
    pub(crate) fn fold(&mut self) -> Result<bool> {
        let Some(folding) = &mut self.folding else { return Ok(true) };
        let Some(folded) = folding.proceed() else { return Ok(false) };
        self.folding = None;
        self.folded = folded?;
        let states = self.folded.iter().flat_map(|(_, states)| states);
        self.bytes = states.map(|(key, states)| group_bytes(key, states)).sum();
        // `bytes` includes the states, which must not fill the next batch alone. The next batch may
        // use half of the remaining memory.
        let bytes_max = usize::midpoint(self.bytes, SUBQUERY_BYTES_MAX);
        self.steps.batch_bytes = self.steps.batch_bytes.max(2 * self.bytes).min(bytes_max);
        self.check()?;
        Ok(true)
    }

    fn folded_page(&mut self, scan: usize, direction: Direction) -> ScanPage {
        let own = self.folded.iter_mut().find(|(of, _)| *of == scan);
        let states = own.map(|(_, states)| std::mem::take(states)).unwrap_or_default();
        let group = |(key, states)| Group { key, data: GroupData::Partials(states) };
        let mut groups: Vec<Group> = states.into_iter().map(group).collect();
        if direction.is_descending() {
            groups.reverse();
        }
        ScanPage { groups, ..ScanPage::default() }
    }
}

/// Merges a batch into the states of all scans.
async fn fold(
    mut folded: Folded,
    tables: BTreeMap<Rc<str>, Rc<ArrivedRows>>,
    scans: Rc<[PlannedScan]>,
    subquery: Rc<Subquery>,
    cells: u64,
    work: Work,
) -> Result<Folded> {
    for (name, table) in tables {
        let mut layout = None;
        for (scan, states) in &mut folded {
            let planned = scans.get(*scan).filter(|planned| planned.measurement == name);
            let Some(PlannedScan { request, .. }) = planned else { continue };
            let layout = match &layout {
                Some(layout) => layout,
                None => layout.insert(table.layout(&subquery, request, &work).await),
            };
            *states = merged(std::mem::take(states), layout, request, cells, &work).await?;
        }
    }
    Ok(folded)
}

/// Merges earlier states of a scan with the rows of a batch.
async fn merged(
    before: States,
    layout: &Layout,
    request: &ScanRequest,
    cells: u64,
    work: &Work,
) -> Result<States> {
    let Output::Aggregates { calls, .. } = &request.output else { return Ok(before) };
    let mut all = read_all(layout, request, cells, work).await?.groups;
    if request.direction.is_descending() {
        all.reverse();
    }
    let mut merged = States::with_capacity(before.len().max(all.len()));
    let mut before = before.into_iter().peekable();
    for Group { key, data } in all {
        let GroupData::Partials(states) = data else { continue };
        merged.extend(std::iter::from_fn(|| before.next_if(|(known, _)| *known <= key)));
        // A group may continue on the next page.
        match merged.last_mut().filter(|(known, _)| *known == key) {
            None => merged.push((key, states)),
            Some((_, known)) => {
                for ((call, into), from) in calls.iter().zip(known).zip(&states) {
                    let merged = partial::merge(call, into, from);
                    merged.map_err(|_| QueryError::Page("a scan of a subquery"))?;
                    let windows = into.windows_ns.len() + from.windows_ns.len();
                    work.spend(MERGE_WORK + windows).await;
                }
            }
        }
    }
    merged.extend(before);
    Ok(merged)
}

fn group_bytes(key: &[String], states: &[PartialColumn]) -> usize {
    key.iter().map(|value| value.len() + size_of::<String>()).sum::<usize>()
        + states.iter().map(PartialColumn::bytes).sum::<usize>()
}

/// The size of a null in a column, in bytes.
const NULL_BYTES: usize = size_of::<f64>();
/// The number of values whose condition is checked in one unit of work: a check takes about 5 ns,
/// and a unit of work 50 ns.
const FILTER_CELLS_PER_UNIT: u64 = 10;
/// The work of passing a series to a call. The work of reading the series' rows is counted
/// separately.
const CALL_WORK: u64 = 4;
/// The maximum number of times that a piece of a scan passes a series to a call. Without this
/// limit, a piece with many short series would take too long, because the calls need more time than
/// reading the rows.
const CALLED_PER_PIECE: usize = 25_000;
/// The number of cells that a scan counts for a series in addition to its rows.
const SERIES_CELLS: u64 = 10;
/// The work of creating a series of a layout.
const SERIES_WORK: usize = 4;
/// The work of merging two states, in addition to one unit for each window.
const MERGE_WORK: usize = 4;

async fn read_slice(
    layout: &Layout,
    request: &ScanRequest,
    cells: u64,
    work: &Work,
) -> Result<ScanPage> {
    let calls = match &request.output {
        Output::Aggregates { calls, .. } => calls.len(),
        Output::Rows { .. } => 0,
    };
    let mut gathered = Slice::new(request, false);
    let mut request = request.clone();
    let patterns = Patterns::limited();
    loop {
        let limits = PageLimits {
            bytes: PAGE_BYTES_MAX,
            decoded_bytes: u64::MAX,
            cells: cells.min(piece_cells(layout, &request, calls)),
            tile: scan::TileLimits::DEFAULT,
        };
        patterns.work().renew();
        let piece = scan::scan_with(layout, &request, limits, &patterns);
        let piece = piece.map_err(|_| QueryError::Page("a scan of a subquery"))?;
        let ReadStats { cells, filter_cells, series, .. } = piece.stats;
        let units = cells
            .saturating_add(filter_cells / FILTER_CELLS_PER_UNIT)
            .saturating_add(series.saturating_mul(calls as u64 * CALL_WORK));
        work.add(piece.groups.iter().map(Group::bytes).sum::<usize>() / PAGE_BYTES_PER_UNIT);
        gathered.add(0, piece.groups, &request.output)?;
        if let Some(until) = piece.until {
            // Earlier pieces may contain groups and windows after the new end. The next slice reads
            // them again.
            gathered.lower(until.clone());
            request.resume.until = Some(until);
        }
        let units = usize::try_from(units).unwrap_or(usize::MAX);
        work.spend(units.saturating_add(patterns.take_work())).await;
        request.resume.position = piece.position;
        if request.resume.position.is_none() {
            break;
        }
    }
    let mut groups = Vec::new();
    for (key, mut parts) in gathered.into_groups(work).await {
        while let Some(mut data) = parts.next() {
            if is_rows(&request) {
                restore_times(&mut data);
            }
            let group = Group { key: key.clone(), data };
            work.spend(group.bytes() / PAGE_BYTES_PER_UNIT).await;
            groups.push(group);
        }
    }
    Ok(ScanPage { groups, until: request.resume.until, ..ScanPage::default() })
}

/// Returns the maximum number of cells of the next piece, so that the piece passes about
/// [`CALLED_PER_PIECE`] series to `calls` calls. Long series need no smaller pieces, and each piece
/// merges the states of all earlier pieces.
fn piece_cells(layout: &Layout, request: &ScanRequest, calls: usize) -> u64 {
    let Some(series_max) = CALLED_PER_PIECE.checked_div(calls) else { return u64::MAX };
    let series_max = series_max.max(1);
    let all = &layout.series;
    let left = match &request.resume.position {
        None => 0..all.len(),
        Some(position) => {
            let reached = all.partition_point(|(key, _)| key.as_bytes() < &*position.series);
            let is_known = |(key, _): &(SeriesKey, _)| key.as_bytes() == position.series;
            let is_whole = position.time_ns.is_none() && all.get(reached).is_some_and(is_known);
            match request.direction {
                Direction::Ascending => reached + usize::from(is_whole)..all.len(),
                Direction::Descending => 0..all.len().min(reached + usize::from(!is_whole)),
            }
        }
    };
    if left.len() <= series_max {
        return u64::MAX;
    }
    let next = match request.direction {
        Direction::Ascending => left.start..left.start + series_max,
        Direction::Descending => left.end - series_max..left.end,
    };
    let columns = calls.min(layout.columns.len()) as u64;
    let cells = |(_, rows): &(SeriesKey, Range<u32>)| SERIES_CELLS + columns * rows.len() as u64;
    all.get(next).unwrap_or_default().iter().map(cells).sum()
}

/// Reads all slices of the result, and returns their groups.
async fn read_all(
    layout: &Layout,
    request: &ScanRequest,
    cells: u64,
    work: &Work,
) -> Result<ScanPage> {
    let mut request = ScanRequest { resume: Resume::default(), ..request.clone() };
    let mut groups = Vec::new();
    loop {
        let slice = read_slice(layout, &request, cells, work).await?;
        groups.extend(slice.groups);
        match std::mem::take(&mut request.resume).after(slice.until, None) {
            None => return Ok(ScanPage { groups, ..ScanPage::default() }),
            Some(next) => request.resume = next,
        }
    }
}

fn is_rows(request: &ScanRequest) -> bool {
    matches!(request.output, Output::Rows { .. })
}

fn mode(node: &SelectNode, own: &[usize], subquery: &Subquery, scans: &[PlannedScan]) -> Mode {
    let keys = subquery.node.group_keys.len() as u32;
    let requests = || own.iter().filter_map(|&scan| scans.get(scan)).map(|scan| &*scan.request);
    // Each measurement has one feed with one scan, so no other scan waits for the streamed rows.
    let is_alone = || {
        let mut inputs = node.inputs.iter();
        inputs.all(|input| matches!(&input.feeds[..], [one] if one.len() == 1))
    };
    let is_group = |request: &ScanRequest| request.group_by.iter().map(|id| id.0).eq(0..keys);
    let is_states = |request: &ScanRequest| matches!(request.output, Output::Aggregates { .. });
    let alone = node.subqueries.len() == 1 && own.len() == node.inputs.len() && is_alone();
    if alone && requests().all(is_group) {
        return Mode::Streamed;
    }
    if requests().all(is_states) { Mode::Folded } else { Mode::Whole }
}

/// Returns the scans that read each subquery of `node`.
pub(crate) fn scans_of_subqueries(node: &SelectNode, scans: &[PlannedScan]) -> Vec<Vec<usize>> {
    let mut of_subqueries = vec![Vec::new(); node.subqueries.len()];
    for binding in node.inputs.iter().flat_map(|input| input.feeds.iter().flatten()) {
        let subquery = scans.get(binding.scan).and_then(|scan| scan.subquery);
        if let Some(own) = subquery.and_then(|subquery| of_subqueries.get_mut(subquery)) {
            own.push(binding.scan);
        }
    }
    of_subqueries
}

fn restore_times(data: &mut GroupData) {
    let GroupData::Rows { times_ns, fields, .. } = data else { return };
    if let Some(Column { values: Values::Integer(real), .. }) = fields.pop() {
        *times_ns = real;
    }
}

/// Converts a column like 1.x: a number is converted to the outer expression's numeric type.
/// Returns `None` for any other conversion.
fn converted(column: &Column, to: FieldType) -> Option<Column> {
    if column.values.field_type() == to {
        return Some(column.clone());
    }
    fn each<A: Copy, B>(values: &[A], convert: impl Fn(A) -> B) -> Vec<B> {
        values.iter().map(|&value| convert(value)).collect()
    }
    let values = match (&column.values, to) {
        (Values::Float(v), FieldType::Integer) => Values::Integer(each(v, |v| v as i64)),
        (Values::Float(v), FieldType::Unsigned) => Values::Unsigned(each(v, |v| v as u64)),
        (Values::Integer(v), FieldType::Unsigned) => Values::Unsigned(each(v, |v| v as u64)),
        (Values::Unsigned(v), FieldType::Integer) => Values::Integer(each(v, |v| v as i64)),
        (values, FieldType::Float) => Values::Float(math::floats(values)?),
        _ => return None,
    };
    Some(Column { values, validity: column.validity.clone() })
}

/// The rows of all measurements of the same name, in order of arrival.
#[derive(Clone, Debug, Default)]
struct ArrivedRows {
    groups: Vec<Rc<[(String, String)]>>,
    row_groups: Vec<u32>,
    times_ns: Vec<i64>,
    columns: Vec<Column>,
    bytes: usize,
    first_row: i64,
}

/// Rows of a subquery, sorted by series and time, so that a scan can read them.
#[derive(Clone, Debug)]
struct Layout {
    tag_order: Vec<ColumnId>,
    time: TimeRange,
    times_ns: Rc<[i64]>,
    /// The pages of each column.
    columns: Rc<[(ColumnId, Vec<Rc<Column>>)]>,
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
    async fn layout(&self, subquery: &Subquery, request: &ScanRequest, work: &Work) -> Layout {
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

    /// Returns the rows in order of the series. Their times are their positions in the result.
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

    async fn by_time(&self, work: &Work) -> Vec<PlacedRow> {
        let mut placed = self.placed(self.times_ns.iter().copied().zip(0..), work).await;
        for same in placed.chunk_by_mut(|a, b| (a.group, a.time_ns) == (b.group, b.time_ns)) {
            (0..).zip(same).for_each(|(repeat, row)| row.repeat = repeat);
        }
        sort(&mut placed, Ord::cmp, work).await;
        placed
    }

    /// Returns the rows, which have these times and numbers, in order of group and time.
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
    async fn arranged(
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
const PAGE_ROWS: u32 = 512;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::stream::tests::request;
    use crate::query::work::tests::run;
    use crate::scan::request::{AggregateCall, AggregateFunction, Input, Position, Window};

    /// A number of units that is larger than any step of this test needs.
    const EXCESS: usize = 1_000_000;
    const COLUMN: ColumnId = ColumnId(1);
    const INPUT: Input = Input { column: COLUMN, field_type: FieldType::Integer, cast: None };

    /// Returns series of these rows. The column contains `value` of each row.
    fn layout(
        series: impl Iterator<Item = (String, Range<i64>)>,
        value: impl Fn(&PlacedRow) -> i64,
        work: &Work,
    ) -> Layout {
        let mut arrived = ArrivedRows::default();
        for (group, (host, times_ns)) in (0..).zip(series) {
            arrived.groups.push([("host".to_owned(), host)].into());
            arrived.times_ns.extend(times_ns);
            arrived.row_groups.resize(arrived.times_ns.len(), group);
        }
        let (placed, _) = run(work, EXCESS, arrived.by_time(work));
        let pages = placed
            .chunks(PAGE_ROWS as usize)
            .map(|rows| Rc::new(Column::full(Values::Integer(rows.iter().map(&value).collect()))));
        let columns = vec![(COLUMN, pages.collect())];
        run(work, EXCESS, arrived.arranged(MeasurementId(1), &placed, columns, work)).0
    }

    /// The first piece contains only late windows. The early windows of the last host then fill the
    /// slice, so that the slice ends before these late windows.
    #[test]
    fn windows_after_lowered_end_count_once() {
        let hosts = (0..25).map(|host| (format!("a{host:02}"), 200_000..210_000));
        let hosts = hosts.chain([("b".to_owned(), 0..100_000)]);
        let work = Work::default();
        let layout = layout(hosts, |_| 1, &work);
        let function = AggregateFunction::Count;
        let calls = vec![AggregateCall { function, input: INPUT, aux: Vec::new() }];
        let window = Some(Window { every_ns: 1, offset_ns: 0, zone: Vec::new() });
        let request = request(Output::Aggregates { calls, window, limit: None });
        let (page, pauses) = run(&work, EXCESS, read_all(&layout, &request, WORK_PER_TURN, &work));
        // Each batch of rows counts only its own rows.
        assert!(pauses <= 30, "{pauses} pauses");
        let count = |group: &Group| {
            let GroupData::Partials(states) = &group.data else { panic!("{group:?}") };
            let Values::Integer(counts) = &states[0].states[0].values else { panic!("{states:?}") };
            counts.iter().sum::<i64>()
        };
        assert_eq!(page.unwrap().groups.iter().map(count).sum::<i64>(), 350_000);
    }

    #[test]
    fn only_short_series_make_pieces_smaller() {
        const LONG: u32 = 1_000_000;
        let key = |n: u32| SeriesKey::new(MeasurementId(0), [format!("{n:06}").as_str()]);
        let short = (1..=60_000).map(|n| (key(n), LONG + n - 1..LONG + n));
        let layout = Layout {
            tag_order: vec![REPEAT_TAG],
            time: TimeRange::ALL,
            times_ns: Rc::default(),
            columns: vec![(ColumnId(1), Vec::new())].into(),
            series: std::iter::once((key(0), 0..LONG)).chain(short).collect(),
        };
        let cells = |direction: Direction, position: Option<(u32, Option<i64>)>, calls: usize| {
            let position = position.map(|(series, time_ns)| Position {
                order: Vec::new(),
                stretch: TimeRange::ALL,
                series: key(series).as_bytes().to_vec(),
                time_ns,
            });
            let output = Output::Aggregates { calls: Vec::new(), window: None, limit: None };
            let resume = Resume { position, ..Resume::default() };
            let request = ScanRequest { direction, resume, ..request(output) };
            piece_cells(&layout, &request, calls)
        };
        let short = SERIES_CELLS + 1;
        let long = u64::from(LONG) - 1;
        assert_eq!(cells(Direction::Ascending, None, 0), u64::MAX);
        assert_eq!(cells(Direction::Ascending, None, 1), 25_000 * short + long);
        assert_eq!(cells(Direction::Ascending, Some((0, Some(5))), 1), 25_000 * short + long);
        assert_eq!(cells(Direction::Ascending, Some((0, None)), 1), 25_000 * short);
        assert_eq!(cells(Direction::Ascending, Some((0, None)), 50), 500 * short);
        assert_eq!(cells(Direction::Ascending, Some((35_000, None)), 1), u64::MAX);
        assert_eq!(cells(Direction::Descending, None, 1), 25_000 * short);
        assert_eq!(cells(Direction::Descending, Some((25_000, Some(5))), 1), 25_000 * short);
        assert_eq!(cells(Direction::Descending, Some((25_001, None)), 1), 25_000 * short);
        assert_eq!(cells(Direction::Descending, Some((25_000, None)), 1), u64::MAX);
    }

    /// The rows of the series are not in the order of the result.
    #[test]
    fn rows_of_many_series_are_sorted_in_turns() {
        /// The work of a piece of the scan.
        const PIECE_WORK: usize = 400_000;
        let work = Work::default();
        let hosts = (0..100).map(|host| (format!("h{host:02}"), 0..3_000));
        // `read_all` takes the times from the last field.
        let layout = layout(hosts, |row| row.time_ns, &work);
        let (fields, tags) = (vec![INPUT], Vec::new());
        let request = request(Output::Rows { fields, tags, limit: None, every_row: false });
        let reading = read_all(&layout, &request, WORK_PER_TURN, &work);
        let (page, pauses) = run(&work, PIECE_WORK, reading);
        assert!(pauses >= 5, "{pauses} pauses");
        let mut read_ns = Vec::new();
        for group in page.unwrap().groups {
            let GroupData::Rows { times_ns, .. } = group.data else { panic!("{:?}", group.key) };
            read_ns.extend(times_ns);
        }
        assert_eq!(read_ns.len(), 300_000);
        assert!(read_ns.is_sorted());
    }
}
