//! Reads one page of a slice: one time range (stretch) after another, and in each stretch the
//! series by key.
//!
//! A slice is the part of a result between two positions. A result is ordered by group key, then by
//! time. Series are read in key order, which may differ from the group order. A page therefore
//! collects all groups of the slice together. The page can end at any row, when the event reaches
//! its work limit. The caller combines the pages of all shards, and can use the slice only after
//! its last page.

mod closed;
mod first_groups;
mod tiled;

use std::ops::Range;
use std::rc::Rc;

use self::tiled::Scanned;
use super::error::ScanError;
use super::groups::{GROUPS_PER_PAGE_MAX, Groups};
use super::keys::{KeyFilter, NextSeries};
use super::mask::Mask;
use super::page::{
    CALL_CELLS, PageLimits, SERIES_CELLS, SERIES_PER_PAGE_MAX, STATES_PER_PAGE_MAX, ScanPage,
};
use super::predicate::{self, BATCH_CELLS_MAX, Filter};
use super::read_stats::ReadStats;
use super::reader::{MergedRows, Reader};
use super::request::{AggregateCall, AuxColumn, Input, Output, Position, ScanRequest};
use super::series_rows::{DecodedRows, SeriesRows};
use super::stretches::Stretches;
use super::tiles::Caching;
use crate::batch::column::{Column, Values};
use crate::merge::cursor::{Direction, ROW_TEXT_BYTES_MAX, ReadError};
use crate::merge::key::SeriesKey;
use crate::merge::picks::Picks;
use tidemark_model::bug;
use tidemark_model::ids::ColumnId;
use tidemark_model::regex::Patterns;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

/// The number of rows whose columns are read together. A batch may contain rows of many series.
const BATCH_ROWS: usize = 1_024;
/// The maximum number of part pages in a batch.
const BATCH_PAGES: usize = 64;
/// The maximum number of part pages in a batch with text columns: a part page may contain 256 KB of
/// text.
const BATCH_PAGES_OF_TEXT: usize = 2;
/// The maximum number of states that the series of a batch create, if each series is a group.
const BATCH_STATES: usize = 16_384;
/// The maximum number of calls for the series of a batch, if the request has no groups.
const BATCH_CALLS: usize = 262_144;
/// The size of the stored text, in bytes, at which a batch ends. Two part pages have more text than
/// this only if a page consists of a single row with more text.
const BATCH_TEXT_BYTES: usize = 512 << 10;
/// The number of series without a value in their latest row after which the scan reads these series
/// again. Reading them again needs a new merge.
const REREAD_SERIES_MIN: usize = 64;
/// The maximum share of selected rows, as 1 / `FEW_SHARE`, for which a batch drops the other rows.
const FEW_SHARE: usize = 4;
/// The maximum number of rows in a page. The limit bounds the caller's memory, because the caller
/// decodes tags to strings.
const ROWS_PER_PAGE_MAX: usize = 1 << 16;

/// Returns the page of the result that `request` names.
pub fn scan(
    reader: &dyn Reader,
    request: &ScanRequest,
    limits: PageLimits,
) -> Result<ScanPage, ScanError> {
    scan_with(reader, request, limits, &Patterns::limited())
}

/// Scans like [`scan`]. Several scans of an event share `patterns`, and therefore the limit of
/// regex steps.
pub fn scan_with(
    reader: &dyn Reader,
    request: &ScanRequest,
    limits: PageLimits,
    patterns: &Patterns,
) -> Result<ScanPage, ScanError> {
    let filter = Filter::compile(request.predicate.as_ref(), patterns)?;
    let order = reader.tag_order(request.measurement)?;
    if let Some(position) = &request.resume.position
        && !order.starts_with(&position.order)
    {
        return Err(ScanError::Reordered);
    }
    let mut stretches = Stretches::new(reader, request, limits.tile)?;
    let (columns, condition_columns) = columns(request);
    let calls = match &request.output {
        Output::Aggregates { calls, .. } => calls.len(),
        Output::Rows { .. } => 0,
    };
    let batch_calls = if request.group_by.is_empty() { BATCH_CALLS } else { BATCH_STATES };
    let mut page_scan = PageScan {
        reader,
        request,
        limits: PageLimits {
            decoded_bytes: reader.stats().bytes_decoded.saturating_add(limits.decoded_bytes),
            ..limits
        },
        caching: Caching::of(request),
        group_order: GroupOrder::of(&request.group_by, &order),
        keys: KeyFilter::new(request.measurement, request.direction, &filter, order),
        groups: Groups::new(request),
        batch: Batch::default(),
        batch_pages: match inputs(request).any(|input| input.field_type == FieldType::String) {
            true => BATCH_PAGES_OF_TEXT,
            false => BATCH_PAGES,
        },
        batch_series: (batch_calls / calls.max(1)).max(1),
        calls: calls as u64,
        needs_ends: request.output.needed_end().is_some(),
        reads_latest_row_first: request.wants_newest() && condition_columns.is_empty(),
        lists_groups: true,
        series_to_reread: Vec::new(),
        columns,
        condition_columns,
        scanned: Scanned::new(Vec::new()),
        costs: ReadStats::default(),
    };
    let position = page_scan.run(&mut stretches)?;
    let ReadStats { rows_kept, series, cells, filter_cells, .. } = page_scan.costs;
    let rows_scanned = page_scan.scanned.total();
    let cells = cells.saturating_add(rows_scanned.saturating_sub(rows_kept));
    let (groups, bounds) = page_scan.groups.finish();
    let stats = reader.stats();
    let stats = ReadStats { rows_scanned, rows_kept, series, cells, filter_cells, ..stats };
    Ok(ScanPage { groups, until: bounds.lowered(), position, stats })
}

/// The order of groups when series are read in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupOrder {
    /// The groups are contiguous and in the order of the result.
    InOrder,
    /// The groups are contiguous, but in another order.
    Apart,
    /// The series of different groups are mixed.
    Mixed,
}

impl GroupOrder {
    fn of(group_by: &[ColumnId], order: &[ColumnId]) -> Self {
        // A tag without any series has no effect on the groups.
        let known: Vec<ColumnId> =
            group_by.iter().copied().filter(|tag| order.contains(tag)).collect();
        match order.get(..known.len()) {
            Some(first) if *first == known => Self::InOrder,
            Some(first) if first.iter().all(|tag| known.contains(tag)) => Self::Apart,
            _ => Self::Mixed,
        }
    }
}

/// Returns the field columns to read, in ascending order, and the columns that the condition reads.
fn columns(request: &ScanRequest) -> (Vec<ColumnId>, Vec<ColumnId>) {
    let mut condition_columns = predicate::field_columns(request.predicate.as_ref());
    let mut columns = condition_columns.clone();
    columns.extend(inputs(request).map(|input| input.column));
    for list in [&mut columns, &mut condition_columns] {
        list.sort();
        list.dedup();
    }
    (columns, condition_columns)
}

fn inputs(request: &ScanRequest) -> impl Iterator<Item = &Input> {
    let (fields, calls): (&[Input], &[AggregateCall]) = match &request.output {
        Output::Rows { fields, .. } => (fields, &[]),
        Output::Aggregates { calls, .. } => (&[], calls),
    };
    let of_calls = calls.iter().flat_map(|call| {
        let fields = call.aux.iter().filter_map(|aux| match aux {
            AuxColumn::Field(input) => Some(input),
            AuxColumn::Tag(_) => None,
        });
        let own = call.function.reads_input().then_some(&call.input);
        own.into_iter().chain(fields)
    });
    fields.iter().chain(of_calls)
}

/// The scan of one page.
struct PageScan<'a> {
    reader: &'a dyn Reader,
    request: &'a ScanRequest,
    limits: PageLimits,
    keys: KeyFilter<'a>,
    caching: Caching,
    group_order: GroupOrder,
    groups: Groups<'a>,
    batch: Batch,
    batch_pages: usize,
    /// The maximum number of series in a batch.
    batch_series: usize,
    /// The number of calls of the request.
    calls: u64,
    /// Whether the calls need only the first or only the last points of each group.
    needs_ends: bool,
    /// The field columns to read.
    columns: Vec<ColumnId>,
    /// The field columns that the condition reads.
    condition_columns: Vec<ColumnId>,
    /// Whether the scan first reads only the latest row of each series. If this row has a value,
    /// the scan needs no other row of the series.
    reads_latest_row_first: bool,
    /// Whether the page lists the groups of each run, so that it can skip runs in which all groups
    /// are complete.
    lists_groups: bool,
    /// The series of the last batch whose latest row has a value in none of the fields. The scan
    /// must read all rows of these series.
    series_to_reread: Vec<SeriesKey>,
    scanned: Scanned,
    /// The page's costs in the fields `cells`, `filter_cells`, `rows_kept` and `series`. The reader
    /// counts the other costs.
    costs: ReadStats,
}

/// Rows with known series and times, whose columns the scan reads next: first the columns of the
/// condition, and then the other columns of the rows that satisfy the condition.
#[derive(Default)]
struct Batch {
    picks: Picks,
    /// The series of the rows, and the end of each series' rows. Times ascend within an entry.
    series: Vec<(SeriesKey, usize)>,
    /// The cost of the condition for these rows, in cells.
    filter_cells: u64,
    /// The stored size of the text in the rows' pages, in bytes, if the scan reads text.
    text_bytes: usize,
}

impl PageScan<'_> {
    /// Returns the start of the next page, if any.
    fn run(&mut self, stretches: &mut Stretches) -> Result<Option<Position>, ScanError> {
        let mut position = self.request.resume.position.as_ref();
        if let Some(stretch) = stretches.first() {
            self.end_after_first_groups(stretch)?;
        }
        while let Some(stretch) = stretches.next() {
            let resumed = position.take();
            // The previous page may have ended before this stretch.
            let resume_at = resumed.filter(|resume_at| **resume_at != self.beginning(stretch));
            let is_first = self.groups.len() == 0;
            let is_tile = match self.caching {
                Caching::Tiles => true,
                Caching::FirstStretch => is_first,
                Caching::Nothing => false,
            };
            let end = match is_tile {
                true => self.tile(stretch, resume_at, stretches)?,
                false => self.stretch(stretch, resume_at)?,
            };
            if end.is_some() {
                return Ok(end);
            }
            if stretches.is_enough(&self.groups, resumed.is_some()) {
                let from = self.request.resume.from.as_ref();
                let one_group = from.map_or_else(Vec::new, |from| from.group.clone());
                self.groups.bounds.end_at(one_group, stretch);
                break;
            }
            self.groups.close();
            self.skip_closed(stretches)?;
            // The only group needs no rows of later stretches.
            if self.request.group_by.is_empty() && self.groups.are_closed() {
                break;
            }
        }
        Ok(None)
    }

    fn first(&self) -> SeriesKey {
        let first = self.keys.first();
        let Some(from) = &self.request.resume.from else { return first };
        if self.group_order != GroupOrder::InOrder {
            return first;
        }
        let known = self.request.group_by.iter().zip(&from.group);
        let known = known.filter(|(tag, _)| self.keys.tags.order().contains(tag));
        let (values, measurement) =
            (known.map(|(_, value)| value.as_str()), self.request.measurement);
        match self.request.direction {
            Direction::Ascending => first.max(SeriesKey::new(measurement, values)),
            Direction::Descending => first.min(SeriesKey::past(measurement, values)),
        }
    }

    /// Returns the next series, and adds the cost of the search to the page's costs.
    fn next_series(&mut self, merge: &mut MergedRows<'_>) -> Result<NextSeries, ScanError> {
        let next = self.keys.next(merge, self.reader)?;
        self.costs.filter_cells += std::mem::take(&mut self.keys.cells);
        if let NextSeries::Matching(_) = next {
            self.costs.cells += SERIES_CELLS;
        }
        Ok(next)
    }

    /// Returns the group of the current series.
    fn group_key(&self) -> Vec<String> {
        let tags = self.request.group_by.iter();
        tags.map(|&tag| self.keys.tags.get(tag).to_owned()).collect()
    }

    fn stretch(
        &mut self,
        stretch: TimeRange,
        resume_at: Option<&Position>,
    ) -> Result<Option<Position>, ScanError> {
        let last = resume_at.map(|position| SeriesKey::from_bytes(position.series.clone()));
        let last = last.map(|key| key.ok_or(ScanError::Reordered)).transpose()?;
        let from = last.clone().unwrap_or_else(|| self.first());
        let measurement = [self.request.measurement];
        let mut merge = self.reader.merge(&measurement, stretch, self.request.direction, &from)?;
        loop {
            let key = match self.next_series(&mut merge)? {
                NextSeries::Matching(key) => key,
                NextSeries::Skipped(key) => {
                    // Each page passes at least one further series.
                    if Some(&key) != last.as_ref() && self.is_full(self.batch.picks.len()) {
                        return self.end(&mut merge, stretch, &key, None).map(Some);
                    }
                    continue;
                }
                NextSeries::End => break,
            };
            let mut time = stretch;
            let mut is_reread = false;
            if last.as_ref() == Some(&key) {
                match resume_at.and_then(|position| position.time_ns) {
                    Some(time_ns) => time = time.intersect(&self.groups.bounds.range_from(time_ns)),
                    None => continue,
                }
                // The previous page ended while it read all rows of this series. This page
                // continues with all rows, and not only with the latest row.
                is_reread = std::mem::take(&mut self.reads_latest_row_first);
            }
            self.costs.series += 1;
            let done_ns = self.read_series(&mut merge, &key, time)?;
            if is_reread {
                self.read_batch(&mut merge)?;
                self.reads_latest_row_first = true;
            }
            if let Some(done_ns) = done_ns {
                return self.end(&mut merge, stretch, &key, Some(done_ns)).map(Some);
            }
            // Only `read_batch` extends the list, and it also empties the batch. If the list is
            // long enough, the batch is therefore empty.
            if self.series_to_reread.len() >= REREAD_SERIES_MIN
                && let Some(end) = self.reread_series(stretch)?
            {
                return Ok(Some(end));
            }
            if self.is_full(self.batch.picks.len()) {
                return self.end(&mut merge, stretch, &key, None).map(Some);
            }
            if self.group_order == GroupOrder::InOrder && self.groups.is_after_end() {
                break;
            }
        }
        self.read_batch(&mut merge)?;
        self.reread_series(stretch)
    }

    /// Reads all rows of the series in `series_to_reread`. If the page is full, returns the start
    /// of the next page. The next page then also repeats the later series of the batch. The
    /// repetition does not change the result, because each group has only one row.
    fn reread_series(&mut self, stretch: TimeRange) -> Result<Option<Position>, ScanError> {
        let again = std::mem::take(&mut self.series_to_reread);
        let measurement = [self.request.measurement];
        // The series are in the order of the first read.
        let Some(first) = again.first() else { return Ok(None) };
        let mut merge = self.reader.merge(&measurement, stretch, self.request.direction, first)?;
        self.reads_latest_row_first = false;
        let mut end = None;
        for key in &again {
            merge.seek(key)?;
            if merge.next_series()? != Some(key) {
                continue;
            }
            self.keys.tags.set(key);
            let done_ns = self.read_series(&mut merge, key, stretch)?;
            if done_ns.is_some() || self.is_full(self.batch.picks.len()) {
                end = Some(self.position(stretch, key, done_ns));
                break;
            }
        }
        self.read_batch(&mut merge)?;
        self.reads_latest_row_first = true;
        Ok(end)
    }

    /// Adds the rows of the current series inside `time` to the batch, and reads full batches. If
    /// the page is full before the end of the series, returns the first unread time. The page does
    /// not end inside a series of which it reads only the latest row.
    fn read_series(
        &mut self,
        merge: &mut MergedRows<'_>,
        key: &SeriesKey,
        time: TimeRange,
    ) -> Result<Option<i64>, ScanError> {
        loop {
            let open = self.groups.set_current(&self.keys.tags).intersect(&time);
            if open.is_empty() {
                return Ok(None);
            }
            let Some(picks) = merge.next_rows(time)? else { return Ok(None) };
            let mut picks = picks.ascending();
            if self.reads_latest_row_first {
                picks = picks.last_row();
            }
            let (Some(&first_ns), Some(&last_ns)) =
                (picks.times_ns().first(), picks.times_ns().last())
            else {
                continue;
            };
            let is_through = match self.request.direction {
                Direction::Ascending => first_ns >= open.end_ns,
                Direction::Descending => last_ns < open.start_ns,
            };
            if is_through {
                return Ok(None);
            }
            if last_ns < open.start_ns || open.end_ns <= first_ns {
                continue;
            }
            let (picks, next_ns) = self.first_rows(picks, open);
            self.batch.filter_cells += self.keys.filter.series_cells(picks.len());
            let pages = self.batch.picks.pages_read();
            self.batch.picks.extend(picks);
            if self.batch_pages == BATCH_PAGES_OF_TEXT {
                self.batch.text_bytes += merge.text_bytes(&self.batch.picks, pages)?;
            }
            let end = self.batch.picks.len();
            // Later rows of the series can extend its last entry only if the direction is
            // ascending, because times must ascend within an entry.
            match (self.request.direction, self.batch.series.last_mut()) {
                (Direction::Ascending, Some((last, last_end))) if last == key => *last_end = end,
                _ => self.batch.series.push((key.clone(), end)),
            }
            if next_ns.is_some()
                || end >= BATCH_ROWS
                || self.batch.series.len() >= self.batch_series
                || self.batch.picks.pages_read() >= self.batch_pages
                || self.batch.text_bytes >= BATCH_TEXT_BYTES
                || self.batch.filter_cells >= self.batch_cells_max()
            {
                self.read_batch(merge)?;
                let after_ns = match self.request.direction {
                    Direction::Ascending => last_ns.saturating_add(1),
                    Direction::Descending => first_ns.saturating_sub(1),
                };
                let is_full = !self.reads_latest_row_first && self.is_full(0);
                if let Some(end_ns) = next_ns.or_else(|| is_full.then_some(after_ns)) {
                    return Ok(Some(end_ns));
                }
            }
            if self.reads_latest_row_first {
                return Ok(None);
            }
        }
    }

    /// Returns the maximum cost of the condition for the rows of a batch, in cells.
    fn batch_cells_max(&self) -> u64 {
        self.limits.cells.min(BATCH_CELLS_MAX)
    }

    /// Returns the rows inside `open` that one batch can check, and the time of the next row.
    fn first_rows(&self, picks: Picks, open: TimeRange) -> (Picks, Option<i64>) {
        let rows_max = self.keys.filter.batch_rows_max(self.batch_cells_max());
        if picks.len() <= rows_max {
            return (picks, None);
        }
        let times_ns = picks.times_ns();
        let start = times_ns.partition_point(|&time_ns| time_ns < open.start_ns);
        let end = times_ns.partition_point(|&time_ns| time_ns < open.end_ns);
        if end.saturating_sub(start) <= rows_max {
            return (picks, None);
        }
        let (rows, next) = match self.request.direction {
            Direction::Ascending => (start..start + rows_max, start + rows_max),
            Direction::Descending => (end - rows_max..end, end - rows_max - 1),
        };
        let next_ns = times_ns.get(next).copied();
        // A part page has fewer than 2^32 rows.
        (picks.only(&rows.map(|row| row as u32).collect::<Vec<u32>>()), next_ns)
    }

    fn end(
        &mut self,
        merge: &mut MergedRows<'_>,
        stretch: TimeRange,
        key: &SeriesKey,
        time_ns: Option<i64>,
    ) -> Result<Position, ScanError> {
        self.read_batch(merge)?;
        let earlier = self.reread_series(stretch)?;
        Ok(earlier.unwrap_or_else(|| self.position(stretch, key, time_ns)))
    }

    fn position(&self, stretch: TimeRange, key: &SeriesKey, time_ns: Option<i64>) -> Position {
        let (order, series) = (self.keys.tags.order().to_vec(), key.as_bytes().to_vec());
        Position { order, stretch, series, time_ns }
    }

    fn is_full(&self, rows: usize) -> bool {
        let cells = self.costs.cells + (rows * self.columns.len()) as u64;
        let of_calls = CALL_CELLS * self.calls * self.costs.series;
        cells + self.costs.filter_cells + of_calls > self.limits.cells
            || self.costs.series >= SERIES_PER_PAGE_MAX
            || self.calls * self.groups.created() as u64 >= STATES_PER_PAGE_MAX
            || self.reader.stats().bytes_decoded > self.limits.decoded_bytes
            || self.groups.len() >= GROUPS_PER_PAGE_MAX
            || self.groups.rows() >= ROWS_PER_PAGE_MAX
            || (!self.gathers() && self.groups.bytes() >= self.limits.bytes)
    }

    /// Whether the next page may contain further states of the current groups. In this case, the
    /// page does not end when its byte limit is reached. The scan drops the groups that do not fit,
    /// and reads the remaining groups completely.
    fn gathers(&self) -> bool {
        let is_states = matches!(self.request.output, Output::Aggregates { .. });
        // A page that ended within the first stretch would forget which groups are complete, so the
        // next page would read all rows of these groups.
        is_states
            && (self.needs_ends || self.group_order == GroupOrder::Mixed || self.groups.len() <= 1)
    }

    /// Reads the columns of the batch's rows, and adds the selected rows to their groups.
    fn read_batch(&mut self, merge: &mut MergedRows<'_>) -> Result<(), ScanError> {
        let Batch { picks, series, .. } = std::mem::take(&mut self.batch);
        if picks.is_empty() {
            return Ok(());
        }
        let mut rows =
            DecodedRows { times_ns: picks.times_ns().to_vec(), ..DecodedRows::default() };
        self.costs.cells += read(merge, &picks, &self.condition_columns, &mut rows)?;
        let block = Rc::new(rows);
        self.keys.filter.begin_batch();
        let mut chosen: Vec<SelectedRows> = Vec::with_capacity(series.len());
        let mut start = 0;
        for (key, end) in series {
            self.keys.tags.set(&key);
            let series_rows = SeriesRows { block: Rc::clone(&block), rows: start..end };
            start = end;
            let time = self.groups.set_current(&self.keys.tags);
            let Some(series_rows) = series_rows.trim(time) else { continue };
            self.scanned.add(series_rows.times());
            self.costs.filter_cells += self.keys.filter.series_cells(series_rows.times().len());
            let mask = self.keys.filter.select(&series_rows, &self.keys.tags)?;
            if mask != Mask::None {
                chosen.push((key, series_rows.rows, mask));
            }
        }
        if chosen.is_empty() {
            return Ok(());
        }
        let mut rows = Rc::unwrap_or_clone(block);
        let picks = keep_few(picks, &mut rows, &mut chosen);
        self.costs.cells += read(merge, &picks, &self.columns, &mut rows)?;
        let block = Rc::new(rows);
        for (key, rows, mask) in chosen {
            self.keys.tags.set(&key);
            let series_rows = SeriesRows { block: Rc::clone(&block), rows };
            let is_taken = self.groups.consume(&self.keys.tags, &series_rows, &mask)?;
            if self.reads_latest_row_first && !is_taken {
                self.series_to_reread.push(key);
            }
        }
        if self.gathers() {
            self.groups.lower(self.limits.bytes);
        }
        Ok(())
    }
}

/// The rows of a series in a batch, and a mask of the selected rows.
type SelectedRows = (SeriesKey, Range<usize>, Mask);

/// Keeps only the selected rows if they are few. The remaining columns are then decoded only for
/// these rows.
fn keep_few(picks: Picks, rows: &mut DecodedRows, chosen: &mut [SelectedRows]) -> Picks {
    let all = |of: &Range<usize>, mask: &Mask| mask.rows(of.clone()).count();
    let count = chosen.iter().map(|(_, of, mask)| all(of, mask)).sum::<usize>();
    if count > picks.len() / FEW_SHARE {
        return picks;
    }
    let mut places = Vec::with_capacity(count);
    for (_, of, mask) in chosen {
        let start = places.len();
        // A batch has fewer than 2^32 rows.
        places.extend(mask.rows(of.clone()).map(|row| row as u32));
        (*of, *mask) = (start..places.len(), Mask::All);
    }
    let picks = picks.only(&places);
    rows.times_ns = picks.times_ns().to_vec();
    for column in rows.columns.values_mut() {
        *column = Rc::new(column.gather(&places));
    }
    picks
}

/// Returns the number of decoded values.
fn read(
    merge: &mut MergedRows<'_>,
    picks: &Picks,
    columns: &[ColumnId],
    rows: &mut DecodedRows,
) -> Result<u64, ScanError> {
    let text_bytes_of = |column: &Rc<Column>| match &column.values {
        Values::String(texts) => texts.parts().0.len(),
        _ => 0,
    };
    let mut text_bytes = rows.columns.values().map(text_bytes_of).sum::<usize>();
    let mut cells = 0;
    for &id in columns {
        if !rows.columns.contains_key(&id) {
            cells += picks.rows_read() as u64;
            let column = merge.column(picks, id)?;
            text_bytes += column.as_ref().map_or(0, text_bytes_of);
            if text_bytes > ROW_TEXT_BYTES_MAX {
                return Err(ReadError::TooMuchText.into());
            }
            bug::ensure(column.iter().all(|column| column.has_rows(rows.times_ns.len())));
            rows.columns.extend(column.map(|column| (id, column)));
        }
    }
    Ok(cells)
}
