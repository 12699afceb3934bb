//! Turns a request into one page: groups in order of their key until the page is full.

use std::cmp::Ordering;

use super::error::ScanError;
use super::group_rows::{Full, GroupRows, ROWS_PER_PAGE_MAX};
use super::group_states::GroupStates;
use super::page::{Group, GroupData, PageLimits, ScanPage};
use super::predicate::{self, Filter};
use super::request::{Beside, Output, ResumeKey, ScanRequest};
use super::series_index::{Selection, SeriesIndex};
use super::source::{Part, ReadStats, Source};
use super::walk::{Sink, Walk, eras};
use crate::model::ids::ColumnId;
use crate::model::sorted;

/// Bytes of a group on a page beside its key and columns.
const GROUP_BYTES: usize = 16;
/// Bytes of a column on a page beside its values: type, lengths and methods.
const COLUMN_BYTES: usize = 16;

/// One page of the answer to `request`.
pub(super) fn page(
    source: &mut dyn Source,
    request: &ScanRequest,
    limits: PageLimits,
) -> Result<ScanPage, ScanError> {
    let decoded_before = source.stats().bytes_decoded;
    let mut filter = Filter::compile(request.predicate.as_ref())?;
    let parts = match request.time.is_empty() {
        true => Vec::new(),
        false => parts(source, request, &mut filter)?,
    };
    let eras = eras(&parts, request.time, request.descending);
    let index = SeriesIndex::build(parts, &request.group_by, &mut filter);
    let columns = columns(request);
    let mut deciding = predicate::field_columns(request.predicate.as_ref());
    sorted::sort(&mut deciding);
    deciding.dedup();
    if deciding.len() == columns.len() {
        deciding.clear();
    }
    let mut walk = Walk {
        source,
        time: request.time,
        descending: request.descending,
        decoded_max: decoded_before.saturating_add(limits.decoded_bytes),
        index: &index,
        filter: &filter,
        columns: &columns,
        deciding: &deciding,
        eras: &eras,
        rows_scanned: 0,
    };
    let (groups, resume) = groups(&mut walk, request, limits)?;
    let mut stats = walk.source.stats();
    stats.rows_scanned = walk.rows_scanned;
    stats.series = index.series() as u64;
    Ok(ScanPage { groups, resume, stats })
}

/// What a scan would read: its series are found, no rows are.
pub(super) fn explain(
    source: &mut dyn Source,
    request: &ScanRequest,
) -> Result<ReadStats, ScanError> {
    let mut filter = Filter::compile(request.predicate.as_ref())?;
    let parts = parts(source, request, &mut filter)?;
    let index = SeriesIndex::build(parts, &request.group_by, &mut filter);
    Ok(ReadStats { series: index.series() as u64, ..source.stats() })
}

fn parts(
    source: &mut dyn Source,
    request: &ScanRequest,
    filter: &mut Filter,
) -> Result<Vec<Part>, ScanError> {
    let mut wanted = Selection { filter, predicate: request.predicate.as_ref() };
    Ok(source.parts_with(request.measurement, request.time, &mut wanted)?)
}

/// Field columns that have to be decoded, ascending.
fn columns(request: &ScanRequest) -> Vec<ColumnId> {
    let mut columns = predicate::field_columns(request.predicate.as_ref());
    match &request.output {
        Output::Rows { fields, .. } => columns.extend(fields.iter().map(|input| input.column)),
        Output::Aggregates { calls, .. } => {
            for call in calls {
                columns.push(call.input.column);
                columns.extend(call.beside.iter().filter_map(|beside| match beside {
                    Beside::Field(input) => Some(input.column),
                    Beside::Tag(_) => None,
                }));
            }
        }
    }
    sorted::sort(&mut columns);
    columns.dedup();
    columns
}

fn groups(
    walk: &mut Walk<'_>,
    request: &ScanRequest,
    limits: PageLimits,
) -> Result<(Vec<Group>, Option<ResumeKey>), ScanError> {
    let (mut groups, mut bytes, mut rows) = (Vec::new(), 0, 0);
    let mut begun = false;
    let count = walk.index.groups();
    for position in 0..count {
        let group = if request.descending { count - 1 - position } else { position };
        let from = match against_resume(walk.index, group, request) {
            Ordering::Less => continue,
            Ordering::Equal => request.resume.as_ref(),
            Ordering::Greater => None,
        };
        let full = bytes >= limits.bytes || rows >= ROWS_PER_PAGE_MAX || walk.decoded_enough();
        if begun && full {
            let (group, time_ns) = (walk.index.group_key(group), walk.first_open(request.time));
            let next = ResumeKey { group, time_ns, skip: 0, sent: 0, ahead: None };
            return Ok((groups, Some(next)));
        }
        begun = true;
        let room = (limits.bytes.saturating_sub(bytes), ROWS_PER_PAGE_MAX - rows);
        let mut sink = sink(request, from, room)?;
        let next = walk.group(group, from, &mut sink)?;
        let key = walk.index.group_key(group);
        if let Some((data, used)) = finish(sink, request, walk.index) {
            bytes += used + GROUP_BYTES + COLUMN_BYTES * columns_of(&data);
            bytes += key.iter().map(|value| value.len() + 4).sum::<usize>();
            if let GroupData::Rows { times_ns, .. } = &data {
                rows += times_ns.len();
            }
            groups.push(Group { key, data });
        }
        if next.is_some() {
            return Ok((groups, next));
        }
    }
    Ok((groups, None))
}

/// Columns that a group has on a page, times included.
fn columns_of(data: &GroupData) -> usize {
    match data {
        GroupData::Rows { fields, tags, .. } => 1 + fields.len() + tags.len(),
        GroupData::Partials(partials) => {
            partials.iter().map(|partial| 1 + partial.states.len() + partial.beside.len()).sum()
        }
    }
}

/// Whether a group lies before, at or behind the one where the last page ended.
fn against_resume(index: &SeriesIndex, group: usize, request: &ScanRequest) -> Ordering {
    let Some(resume) = &request.resume else { return Ordering::Greater };
    let order = index.compare_group(group, &resume.group);
    if request.descending { order.reverse() } else { order }
}

/// Where a group's rows or states go: `room` is bytes and rows left on the page.
fn sink<'r>(
    request: &'r ScanRequest,
    from: Option<&ResumeKey>,
    room: (usize, usize),
) -> Result<Sink<'r>, ScanError> {
    Ok(match &request.output {
        Output::Rows { fields, limit, .. } => {
            let full = |f: &ResumeKey| Full { time_ns: f.time_ns, skip: f.skip, sent: f.sent };
            Sink::Rows(GroupRows::new(fields, request.descending, *limit, room, from.map(full)))
        }
        Output::Aggregates { calls, window, limit } => Sink::States(GroupStates::new(
            calls,
            (window.as_ref(), *limit),
            request.time.start_ns,
            request.descending,
            room.0,
        )?),
    })
}

/// What the group adds to the page, and its bytes.
fn finish(
    sink: Sink<'_>,
    request: &ScanRequest,
    index: &SeriesIndex,
) -> Option<(GroupData, usize)> {
    match sink {
        Sink::States(states) => {
            let bytes = states.bytes();
            Some((states.finish()?, bytes))
        }
        Sink::Rows(rows) => {
            let bytes = rows.bytes();
            let tags = match &request.output {
                Output::Rows { tags, .. } => tags.as_slice(),
                Output::Aggregates { .. } => &[],
            };
            Some((rows.finish(tags, |series, tag| index.tag(series, tag))?, bytes))
        }
    }
}
