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

mod layout;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::Poll;

use self::layout::{ArrivedRows, Layout, is_rows};
pub(crate) use self::layout::{POSITION_COLUMN, TIME_COLUMN};
use self::read::{read_all, read_slice};
use super::error::{QueryError, Result};
use super::math;
use super::plan::{DerivedFrom, PlannedScan, SelectNode, Subquery};
use super::result::{Column, ResultColumn, SeriesChunk, StringColumn, Values};
use super::work::{Computation, Work};
use crate::admission::BufferMemory;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::page::{Group, GroupData, PartialColumn, ScanPage};
use tidemark_engine::scan::partial;
use tidemark_engine::scan::request::{Output, ResultPosition, ScanRequest};
use tidemark_model::limits::{SUBQUERY_BYTES_MAX, WORK_PER_TURN};
use tidemark_model::value::FieldType;

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

/// A subquery's result, which the executor scans for the outer statement.
#[derive(Debug)]
pub(crate) struct SubqueryResult {
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

impl SubqueryResult {
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

    /// Whether all rows are stored, so that a scan can read them several times.
    pub(crate) fn is_stored(&self) -> bool {
        self.mode == Mode::Whole
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
/// The work of merging two states, in addition to one unit for each window.
const MERGE_WORK: usize = 4;

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
