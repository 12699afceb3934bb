//! Keeps what a subquery answered, so that the statement around it can scan the answer like a
//! measurement.
//!
//! Where the order permits it, the answer is not held as a whole. If each series of the subquery is
//! a group of the statement around it, or if there is only one series, rows are handed on in
//! batches as they come. If only states are asked for, they are folded batch by batch. Everything
//! else has to be sorted first, and is held up to a limit.
//!
//! Each series of the subquery is a series here; its group tags are tags, and its columns and group
//! tags are fields. Rows are kept in two orders. Scans of rows see them one by one as 1.x does: by
//! time, except that points which a selector chose over the whole range stand in the order of their
//! series. For such a scan the position of a row stands in for its time, and the real time is a
//! field. Scans of states see real times.

mod table;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::error::QueryError;
use super::plan::{DerivedFrom, PlannedScan, SelectNode, Subquery};
use super::result::{Column, ResultColumn, SeriesChunk, StringColumn, Values};
use super::stream::Slice;
use crate::admission::Held;
use crate::model::ids::ColumnId;
use crate::model::limits::{PAGE_BYTES_MAX, SUBQUERY_BYTES_MAX};
use crate::model::value::FieldType;
use crate::scan::page::{Group, GroupData, PartialColumn, ScanPage};
use crate::scan::partial;
use crate::scan::request::{Output, Place, Resume, ScanRequest};
use crate::scan::{self, PageLimits};
use table::{ArrivedRows, Layout};

/// The real time of a row, where the position stands in for it.
pub(crate) const TIME_COLUMN: ColumnId = ColumnId(u32::MAX);
/// Tells rows of one series and time apart.
const REPEAT_TAG: ColumnId = ColumnId(u32::MAX - 1);
/// Rows handed on or folded together, bytes.
pub(crate) const BATCH_BYTES: usize = 1 << 17;

/// How much of the answer is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The whole answer is held.
    Held,
    /// One batch is held; it is handed on before the next one comes.
    Streamed,
    /// One batch is held, and the states that the batches before came to.
    Folded,
}

/// States of groups, ascending by key.
type States = Vec<(Vec<String>, Vec<PartialColumn>)>;

/// The answer of one subquery.
#[derive(Debug)]
pub(crate) struct Derived {
    subquery: Rc<Subquery>,
    mode: Mode,
    /// A batch is full with so many.
    batch_bytes: usize,
    tables: BTreeMap<Rc<str>, ArrivedRows>,
    bytes: usize,
    held: Held,
    /// The measurement of the last rows.
    current: Option<Rc<str>>,
    /// There are no more rows.
    is_done: bool,
    /// Rows handed on of the measurement at hand.
    sent: u64,
    /// By scan of it, the scan's position first.
    folded: Vec<(usize, States)>,
    is_folded: bool,
}

impl Derived {
    /// For the subquery at position `index` of `node`; a batch is full with so many bytes.
    pub(crate) fn new(
        (node, index): (&SelectNode, usize),
        subquery: Rc<Subquery>,
        scans: &[PlannedScan],
        (held, batch_bytes): (Held, usize),
    ) -> Self {
        Self {
            mode: mode(node, index, &subquery, scans),
            subquery,
            batch_bytes,
            tables: BTreeMap::new(),
            bytes: 0,
            held,
            current: None,
            is_done: false,
            sent: 0,
            folded: (scans_of(node, index, scans).into_iter())
                .map(|scan| (scan, States::new()))
                .collect(),
            is_folded: false,
        }
    }

    /// Whether pages can be had before the last row came.
    pub(crate) fn is_streamed(&self) -> bool {
        self.mode == Mode::Streamed
    }

    /// There are no more rows.
    pub(crate) fn finish(&mut self) {
        self.is_done = true;
    }

    /// Keeps the next rows.
    ///
    /// # Errors
    /// [`QueryError::Subquery`]
    pub(crate) fn push(
        &mut self,
        chunk: &SeriesChunk,
        scans: &[PlannedScan],
    ) -> Result<(), QueryError> {
        let Some(name) = &chunk.name else { return Ok(()) };
        let Some(ResultColumn::Time(times_ns)) = chunk.values.first() else { return Ok(()) };
        let fields = &self.subquery.fields;
        let table = self.tables.entry(Rc::clone(name)).or_insert_with(|| ArrivedRows {
            columns: fields.iter().map(|field| Column::new(field.field_type)).collect(),
            ..ArrivedRows::default()
        });
        if table.groups.last().is_none_or(|last| *last != chunk.tags) {
            table.groups.push(Rc::clone(&chunk.tags));
        }
        let group = table.groups.len().saturating_sub(1) as u32;
        let mut bytes = 12 * times_ns.len();
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
                Some(next) if column.extend_from(&next) => bytes += next.bytes(),
                _ => column.extend_nulls(chunk.rows),
            }
        }
        table.bytes += bytes;
        self.bytes += bytes;
        self.current = Some(Rc::clone(name));
        if self.mode == Mode::Folded && self.bytes >= self.batch_bytes {
            self.fold(scans)?;
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), QueryError> {
        if self.bytes > SUBQUERY_BYTES_MAX {
            return Err(QueryError::Subquery { limit: SUBQUERY_BYTES_MAX as u64 });
        }
        // What they take while they are sorted.
        Ok(self.held.set(3 * self.bytes)?)
    }

    /// Answers a scan of `measurement`, the one at position `scan`; `None` as long as rows must
    /// come first.
    ///
    /// # Errors
    /// [`QueryError::Page`], [`QueryError::Subquery`]
    pub(crate) fn page(
        &mut self,
        scan: usize,
        scans: &[PlannedScan],
        request: &ScanRequest,
    ) -> Result<Option<ScanPage>, QueryError> {
        let Some(planned) = scans.get(scan) else { return Ok(Some(ScanPage::default())) };
        let measurement = planned.measurement.as_str();
        match self.mode {
            Mode::Streamed => self.next_page(measurement, request),
            Mode::Folded if self.is_folded => {
                self.fold(scans)?;
                Ok(Some(self.folded_page(scan, request.descending)))
            }
            Mode::Folded | Mode::Held => {
                let Some(table) = self.tables.get_mut(measurement) else {
                    return Ok(Some(ScanPage::default()));
                };
                ask(&table.layout(&self.subquery, request), request).map(Some)
            }
        }
    }

    /// The next batch of what is handed on as it comes, as a slice of its own.
    fn next_page(
        &mut self,
        measurement: &str,
        request: &ScanRequest,
    ) -> Result<Option<ScanPage>, QueryError> {
        let place = |name: &str| self.subquery.node.inputs.iter().position(|i| *i.name == *name);
        let is_past = self.current.as_ref().is_some_and(|now| place(now) > place(measurement));
        let is_through = self.is_done || is_past;
        let bytes = self.tables.get(measurement).map_or(0, |table| table.bytes);
        if bytes < self.batch_bytes && !is_through {
            return Ok(None);
        }
        let Some(mut table) = self.tables.remove(measurement) else {
            self.sent = 0;
            return Ok(Some(ScanPage::default()));
        };
        self.bytes = self.bytes.saturating_sub(table.bytes);
        // Where a batch begins is known here: whoever asks wants the next one.
        let whole = ScanRequest { resume: Resume::default(), ..request.clone() };
        let groups = ask_all(&table.layout(&self.subquery, request), &whole)?;
        for group in &groups {
            if let GroupData::Rows { times_ns, .. } = &group.data {
                self.sent += times_ns.len() as u64;
            }
        }
        // Of one group no more is needed than its limit.
        let is_enough = match &request.output {
            Output::Rows { limit: Some(limit), .. } => {
                request.group_by.is_empty() && self.sent >= *limit
            }
            _ => false,
        };
        if is_enough {
            self.sent = 0;
            return Ok(Some(ScanPage { groups, ..ScanPage::default() }));
        }
        let last = groups.last().map(|group| group.key.clone());
        let group = last.or_else(|| request.resume.from.as_ref().map(|from| from.group.clone()));
        let end_ns = if request.descending { i64::MIN } else { i64::MAX };
        let until = Place { group: group.unwrap_or_default(), time_ns: end_ns };
        Ok(Some(ScanPage { groups, until: Some(until), ..ScanPage::default() }))
    }

    /// Turns the rows at hand into states.
    fn fold(&mut self, scans: &[PlannedScan]) -> Result<(), QueryError> {
        self.is_folded = true;
        self.bytes = 0;
        let mut tables = std::mem::take(&mut self.tables);
        for (scan, states) in &mut self.folded {
            let Some(planned) = scans.get(*scan) else { continue };
            if let Some(table) = tables.get_mut(planned.measurement.as_str()) {
                let layout = &table.layout(&self.subquery, &planned.request);
                *states = folded(std::mem::take(states), layout, &planned.request)?;
            }
            self.bytes +=
                states.iter().map(|(key, states)| group_bytes(key, states)).sum::<usize>();
        }
        // What the states take is no part of the next batch.
        self.batch_bytes = self.batch_bytes.max(2 * self.bytes);
        self.check()
    }

    /// The states of a scan.
    fn folded_page(&mut self, scan: usize, descending: bool) -> ScanPage {
        let own = self.folded.iter_mut().find(|(of, _)| *of == scan);
        let states = own.map(|(_, states)| std::mem::take(states)).unwrap_or_default();
        let group = |(key, states)| Group { key, data: GroupData::Partials(states) };
        let mut groups: Vec<Group> = states.into_iter().map(group).collect();
        if descending {
            groups.reverse();
        }
        ScanPage { groups, ..ScanPage::default() }
    }
}

/// The states of the rows at hand, merged with those of the rows before.
fn folded(before: States, layout: &Layout, request: &ScanRequest) -> Result<States, QueryError> {
    let Output::Aggregates { calls, .. } = &request.output else { return Ok(before) };
    let mut all = ask_all(layout, request)?;
    if request.descending {
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
                }
            }
        }
    }
    merged.extend(before);
    Ok(merged)
}

/// About what the states of a group take.
fn group_bytes(key: &[String], states: &[PartialColumn]) -> usize {
    key.iter().map(|value| value.len() + size_of::<String>()).sum::<usize>()
        + states.iter().map(PartialColumn::bytes).sum::<usize>()
}

/// A slice of a scan of rows at hand, and all of it.
fn ask(layout: &Layout, request: &ScanRequest) -> Result<ScanPage, QueryError> {
    let limits = PageLimits {
        bytes: PAGE_BYTES_MAX,
        decoded_bytes: u64::MAX,
        tile: scan::TileLimits::DEFAULT,
    };
    let mut gathered = Slice::new(request, false);
    let mut request = request.clone();
    loop {
        let piece = scan::scan(layout, &request, limits);
        let piece = piece.map_err(|_| QueryError::Page("a scan of a subquery"))?;
        gathered.add(0, piece.groups, &request.output)?;
        if piece.position.is_none() {
            let until = piece.until.or(request.resume.until);
            let mut groups = Vec::new();
            for (key, mut complete) in gathered.take() {
                while let (Some(data), _) = complete.next() {
                    let is_states = matches!(data, GroupData::Partials(_));
                    groups.push(Group { key: key.clone(), data });
                    if is_states {
                        break;
                    }
                }
            }
            if matches!(request.output, Output::Rows { .. }) {
                groups.iter_mut().for_each(|group| restore_times(&mut group.data));
            }
            return Ok(ScanPage { groups, until, ..ScanPage::default() });
        }
        let resume = &mut request.resume;
        (resume.until, resume.position) = (piece.until.or(resume.until.take()), piece.position);
    }
}

/// Every slice of a scan of rows at hand.
fn ask_all(layout: &Layout, request: &ScanRequest) -> Result<Vec<Group>, QueryError> {
    let mut request = request.clone();
    let mut all = Vec::new();
    loop {
        let slice = ask(layout, &request)?;
        all.extend(slice.groups);
        match std::mem::take(&mut request.resume).after(slice.until, None) {
            None => return Ok(all),
            Some(next) => request.resume = next,
        }
    }
}

/// How much of the subquery at position `index` of `node` has to be held.
fn mode(node: &SelectNode, index: usize, subquery: &Subquery, scans: &[PlannedScan]) -> Mode {
    let keys = subquery.node.group_keys.len() as u32;
    let own = scans_of(node, index, scans);
    let requests = || own.iter().filter_map(|&scan| scans.get(scan)).map(|scan| &scan.request);
    // One feed of one scan for each measurement: nothing else waits while its pages come.
    let alone = node.inputs.iter().all(|input| matches!(&input.feeds[..], [one] if one.len() == 1));
    let is_group = |request: &ScanRequest| request.group_by.iter().map(|id| id.0).eq(0..keys);
    let is_states = |request: &ScanRequest| matches!(request.output, Output::Aggregates { .. });
    let alone = alone && node.subqueries.len() == 1 && own.len() == node.inputs.len();
    if alone && requests().all(is_group) {
        return Mode::Streamed;
    }
    if requests().all(is_states) { Mode::Folded } else { Mode::Held }
}

/// The positions of the scans of a node's subquery.
fn scans_of(node: &SelectNode, index: usize, scans: &[PlannedScan]) -> Vec<usize> {
    let bindings = node.inputs.iter().flat_map(|input| input.feeds.iter().flatten());
    let of = bindings.map(|binding| binding.scan);
    of.filter(|&scan| scans.get(scan).is_some_and(|s| s.subquery == Some(index))).collect()
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
