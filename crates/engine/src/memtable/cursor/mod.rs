//! Reads the rows in memory as a sorted source of a merge. Series are ordered by key and rows by
//! time. If rows have the same series and time, the last write wins for each field.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use super::MeasurementTable;
use super::sorted_rows::SortedRows;
use crate::batch::column::Column;
use crate::batch::order::Distinct;
use crate::batch::slabs::Layout;
use crate::merge::cursor::{
    Columns, Direction, PageColumn, PageKeys, ReadError, RunLimits, SeriesCursor, ShortSeries,
};
use crate::merge::key::SeriesKey;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

/// The number of chunks that a cursor keeps. Rows that are read together may start in one chunk and
/// end in the next.
const CHUNKS_KEPT: usize = 2;
/// The lowest bits of a page's name contain the page's first row. The next `CHUNK_BITS` bits
/// contain the chunk.
const ROW_BITS: u32 = 16;
const CHUNK_BITS: u32 = 24;
/// The maximum size of the text in a page, in bytes. A row with more text has a separate page.
const PAGE_TEXT_BYTES: u64 = 256_000;

/// Returns the tags of a measurement in the order in which they form its series keys.
///
/// The `known` tags come first, so that sorted parts remain sorted. The table's other tags follow,
/// starting with the tag that has the most distinct values.
pub fn tag_order(known: &[ColumnId], table: &MeasurementTable) -> Vec<ColumnId> {
    let tags = table.tag_ids().iter().zip(&table.series().tags);
    let new = tags.filter(|(id, _)| !known.contains(id));
    let mut new: Vec<(Reverse<usize>, ColumnId)> =
        new.map(|(&id, tag)| (Reverse(tag.dictionary.len()), id)).collect();
    new.sort();
    known.iter().copied().chain(new.into_iter().map(|(_, id)| id)).collect()
}

/// A memtable in key order. A measurement is sorted when a cursor first reaches it. The order takes
/// about four bytes per row and sixteen bytes per series.
pub struct Sorted<'a> {
    tables: Vec<SortedTable<'a>>,
}

struct SortedTable<'a> {
    measurement: MeasurementId,
    table: &'a MeasurementTable,
    /// The positions of the table's tags in key order, or `None` for a tag that the table lacks.
    tags: Vec<Option<usize>>,
    columns: Columns,
    rows: OnceCell<Rc<SortedRows>>,
}

impl<'a> Sorted<'a> {
    /// Sorts these tables, which must be in ascending order of their ids. `order` returns the tag
    /// order of a measurement, which must include all of the table's tags: see [`tag_order`].
    pub fn new(
        tables: impl Iterator<Item = (MeasurementId, &'a MeasurementTable)>,
        mut order: impl FnMut(MeasurementId, &MeasurementTable) -> Vec<ColumnId>,
    ) -> Self {
        let sorted = |(measurement, table): (MeasurementId, &'a MeasurementTable)| {
            let place = |id| table.tag_ids().iter().position(|&held| held == id);
            let tags = order(measurement, table).into_iter().map(place).collect();
            let columns = table.fields().fields().collect();
            SortedTable { measurement, table, tags, columns, rows: OnceCell::new() }
        };
        Self { tables: tables.map(sorted).collect() }
    }

    /// Returns only the rows inside `time`, so that the chunks of a cursor contain no other rows.
    #[must_use]
    pub fn within(&self, time: TimeRange) -> Self {
        let within = |table: &SortedTable<'a>| SortedTable {
            measurement: table.measurement,
            table: table.table,
            tags: table.tags.clone(),
            columns: Rc::clone(&table.columns),
            rows: OnceCell::from(Rc::new(table.rows().within(table.table, time))),
        };
        Self { tables: self.tables.iter().map(within).collect() }
    }

    /// Creates a cursor over all rows.
    pub fn cursor(&'a self, direction: Direction) -> MemtableCursor<'a> {
        let mut cursor = MemtableCursor {
            sorted: self,
            direction,
            table: 0,
            series: 0,
            key: None,
            chunk: 0,
            pieces: VecDeque::new(),
            kept: VecDeque::new(),
            last: None,
        };
        cursor.enter(0);
        cursor
    }
}

impl SortedTable<'_> {
    fn rows(&self) -> &SortedRows {
        self.rows.get_or_init(|| {
            let tags: Vec<usize> = self.tags.iter().copied().flatten().collect();
            self.table.by_key(&tags)
        })
    }

    fn set_key(&self, place: usize, key: &mut SeriesKey) {
        let series = self.rows().series_at(place) as usize;
        let tags = &self.table.series().tags;
        let value = |tag: &Option<usize>| {
            tag.and_then(|tag| tags.get(tag)).map_or("", |tag| tag.get(series))
        };
        key.set(self.measurement, self.tags.iter().map(value));
    }
}

/// A cursor over the rows of a memtable: see [`Sorted::cursor`].
pub struct MemtableCursor<'a> {
    sorted: &'a Sorted<'a>,
    direction: Direction,
    /// The number of tables that the cursor has passed, in its direction.
    table: usize,
    series: usize,
    key: Option<SeriesKey>,
    chunk: usize,
    /// The pieces of the last chunk's pages that are not yet returned.
    pieces: VecDeque<PageKeys>,
    /// The most recently used chunk is first.
    kept: VecDeque<Chunk<'a>>,
    last: Option<(u64, ColumnId, Option<Rc<Column>>)>,
}

impl<'a> MemtableCursor<'a> {
    fn table(&self) -> Option<(usize, &'a SortedTable<'a>)> {
        let at = self.ascending_position(self.table, self.sorted.tables.len())?;
        Some((at, self.sorted.tables.get(at)?))
    }

    fn place(&self) -> Option<usize> {
        self.ascending_position(self.series, self.table()?.1.rows().series())
    }

    /// Converts a position in the cursor's direction to an ascending position among `count` items.
    fn ascending_position(&self, at: usize, count: usize) -> Option<usize> {
        match self.direction {
            Direction::Ascending => (at < count).then_some(at),
            Direction::Descending => count.checked_sub(at + 1),
        }
    }

    /// Moves to series `series` of the current table, or to the next table if the series does not
    /// exist.
    fn enter(&mut self, series: usize) {
        (self.series, self.chunk) = (series, 0);
        self.pieces.clear();
        while self.table().is_some() && self.place().is_none() {
            (self.table, self.series) = (self.table + 1, 0);
        }
        let Some(((_, table), place)) = self.table().zip(self.place()) else {
            self.key = None;
            return;
        };
        let key = self.key.get_or_insert_with(|| SeriesKey::new(table.measurement, []));
        table.set_key(place, key);
    }

    fn ready(&mut self, at: usize, number: usize) -> Option<&Chunk<'a>> {
        let known = self.kept.iter().position(|chunk| chunk.at == (at, number));
        let chunk = match known.and_then(|place| self.kept.remove(place)) {
            Some(chunk) => chunk,
            None => {
                let table = self.sorted.tables.get(at)?;
                Chunk::new((at, number), table.table, table.rows(), &table.columns)
            }
        };
        self.kept.truncate(CHUNKS_KEPT - 1);
        self.kept.push_front(chunk);
        self.kept.front()
    }

    /// Returns a column of a chunk's rows. If the cursor no longer keeps the chunk, this function
    /// reads only the values of this column and does not load the whole chunk again.
    fn read_column(&self, at: (usize, usize), rows: Range<usize>, id: ColumnId) -> Option<Column> {
        match self.kept.iter().find(|chunk| chunk.at == at) {
            Some(chunk) => read_column(&chunk.layout, rows, id),
            None => {
                let table = self.sorted.tables.get(at.0)?;
                read_column(&layout(at.1, table.table, table.rows()), rows, id)
            }
        }
    }

    /// Reads the next chunk of the current series that may have rows inside `time`. Returns `false`
    /// after the last chunk.
    fn read(&mut self, time: TimeRange) -> bool {
        let Some(((at, table), place)) = self.table().zip(self.place()) else { return false };
        let (direction, rows) = (self.direction, table.rows());
        let chunks = rows.chunks_of(place);
        let Some(number) =
            self.ascending_position(self.chunk, chunks.len()).map(|n| chunks.start + n)
        else {
            return false;
        };
        self.chunk += 1;
        if !rows.may_be_within(place, number, time, table.table.times_ns()) {
            return true;
        }
        // `pieces` is empty here, but its allocation is reused.
        let held = std::mem::take(&mut self.pieces);
        let Some(chunk) = self.ready(at, number) else { return false };
        let columns = &chunk.columns;
        let of_series = rows.rows_in(place, number, chunk.rows);
        let mut pieces = held;
        for &(first, ref times_ns) in &chunk.pages {
            let end = first + times_ns.len();
            let (start, end) = (of_series.start.max(first), of_series.end.min(end));
            let name = name(at, number, first);
            let piece = (start.saturating_sub(first)) as u32..(end.saturating_sub(first)) as u32;
            let keys = PageKeys::new(name, Rc::clone(columns), Rc::clone(times_ns), piece);
            match (direction, keys.within(time)) {
                (_, None) => {}
                (Direction::Ascending, Some(keys)) => pieces.push_back(keys),
                (Direction::Descending, Some(keys)) => pieces.push_front(keys),
            }
        }
        self.pieces = pieces;
        true
    }
}

impl SeriesCursor for MemtableCursor<'_> {
    fn key(&self) -> Option<&SeriesKey> {
        self.key.as_ref()
    }

    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        let is_before = |key: &SeriesKey| self.direction.order(key.cmp(to)).is_lt();
        if !self.key.as_ref().is_some_and(is_before) {
            return Ok(());
        }
        let measurement = to.measurement();
        while let Some((_, table)) = self.table()
            && self.direction.order(table.measurement.cmp(&measurement)).is_lt()
        {
            (self.table, self.series) = (self.table + 1, 0);
        }
        let mut series = self.series;
        if let Some((_, table)) = self.table() {
            let mut key = SeriesKey::new(table.measurement, []);
            let mut end = table.rows().series();
            while series < end {
                let middle = series + (end - series) / 2;
                let Some(place) = self.ascending_position(middle, table.rows().series()) else {
                    break;
                };
                table.set_key(place, &mut key);
                match self.direction.order(key.cmp(to)).is_lt() {
                    true => series = middle + 1,
                    false => end = middle,
                }
            }
        }
        self.enter(series);
        Ok(())
    }

    fn step(&mut self) -> Result<(), ReadError> {
        self.enter(self.series + 1);
        Ok(())
    }

    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        while self.pieces.is_empty() && self.read(time) {}
        Ok(self.pieces.pop_front())
    }

    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        let (chunk, pieces) = (self.chunk, std::mem::take(&mut self.pieces));
        self.chunk = 0;
        let has_rows = self.page(time)?.is_some();
        (self.chunk, self.pieces) = (chunk, pieces);
        Ok(has_rows)
    }

    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        if let Some((held, of, column)) = &self.last
            && (*held, *of) == (page.page(), id)
        {
            return Ok(column.clone().map(PageColumn::Wide));
        }
        let (at, first) = position_of(page.page());
        let rows = first..first + page.page_rows() as usize;
        let column = self.read_column(at, rows, id).map(Rc::new);
        self.last = Some((page.page(), id, column.clone()));
        Ok(column.map(PageColumn::Wide))
    }

    fn short_series(&mut self, limits: &RunLimits<'_>) -> Result<Option<ShortSeries>, ReadError> {
        let Some(((at, table), place)) = self.table().zip(self.place()) else { return Ok(None) };
        let (rows, number) = (table.rows(), table.rows().chunks_of(place).start);
        let is_whole = |place: usize| rows.chunks_of(place) == (number..number + 1);
        if self.direction == Direction::Descending || !is_whole(place) || !is_whole(place + 1) {
            return Ok(None);
        }
        let Some(chunk) = self.ready(at, number) else { return Ok(None) };
        let (columns, chunk_rows) = (Rc::clone(&chunk.columns), chunk.rows);
        let [(_, times_ns)] = chunk.pages.as_slice() else { return Ok(None) };
        let times_ns = Rc::clone(times_ns);
        let mut key = SeriesKey::new(table.measurement, []);
        let passed = ShortSeries::gather(
            limits,
            rows.rows_in(place, number, chunk_rows).start as u32,
            |passed| {
                let place = place + passed;
                let of_series = rows.rows_in(place, number, chunk_rows);
                let is_inside = |time_ns: &i64| limits.time.contains(*time_ns);
                let is_inside = times_ns.get(of_series.clone())?.iter().all(is_inside);
                (is_whole(place) && is_inside).then(|| {
                    table.set_key(place, &mut key);
                    (key.clone(), of_series.end as u32)
                })
            },
            |of| Some(PageKeys::new(name(at, number, 0), columns, Rc::clone(&times_ns), of)),
        );
        if let Some(passed) = &passed {
            self.enter(self.series + passed.series.len());
        }
        Ok(passed)
    }
}

fn name(table: usize, chunk: usize, first: usize) -> u64 {
    (table as u64) << (CHUNK_BITS + ROW_BITS) | (chunk as u64) << ROW_BITS | first as u64
}

fn position_of(name: u64) -> ((usize, usize), usize) {
    let low = |bits: u64, count: u32| (bits & ((1 << count) - 1)) as usize;
    let table = (name >> (CHUNK_BITS + ROW_BITS)) as usize;
    ((table, low(name >> ROW_BITS, CHUNK_BITS)), low(name, ROW_BITS))
}

fn layout<'a>(chunk: usize, table: &'a MeasurementTable, rows: &SortedRows) -> Layout<'a> {
    let of_chunk = rows.range(chunk);
    let distinct = match rows.is_distinct {
        true => Distinct::of_distinct(of_chunk.to_vec()),
        false => Distinct::new(of_chunk, table.row_series(), table.times_ns()),
    };
    Layout::new(table.fields(), distinct)
}

/// Returns a column of these rows, or `None` if all its values are null.
fn read_column(layout: &Layout<'_>, rows: Range<usize>, id: ColumnId) -> Option<Column> {
    let column = layout.field(id)?.gather(rows);
    (column.validity.nulls(column.len()) < column.len()).then_some(column)
}

struct Chunk<'a> {
    /// The position of the table and the number of the chunk in the table.
    at: (usize, usize),
    layout: Layout<'a>,
    /// The columns with a value in this chunk. Wide rows in other chunks do not add columns.
    columns: Columns,
    rows: usize,
    pages: Vec<(usize, Rc<[i64]>)>,
}

impl<'a> Chunk<'a> {
    fn new(
        at: (usize, usize),
        table: &'a MeasurementTable,
        rows: &SortedRows,
        columns: &Columns,
    ) -> Self {
        let layout = layout(at.1, table, rows);
        let time_ns = |row: &u32| table.times_ns().get(*row).or_bug();
        let times_ns: Vec<i64> = layout.rows().iter().map(time_ns).collect();
        let mut text_bytes = vec![0; times_ns.len()];
        for (id, field_type) in table.fields().fields() {
            if field_type == FieldType::String
                && let Some(field) = layout.field(id)
            {
                field.add_text_bytes(&mut text_bytes);
            }
        }
        let times = |rows: Range<usize>| (rows.start, times_ns.get(rows).or_bug().into());
        let pages = pages(&text_bytes).into_iter().map(times).collect();
        let own: Columns = layout.fields().map(|field| (field.id, field.field_type)).collect();
        let columns = if own == *columns { Rc::clone(columns) } else { own };
        Self { at, layout, columns, rows: times_ns.len(), pages }
    }
}

fn pages(text_bytes: &[u32]) -> Vec<Range<usize>> {
    let (mut pages, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, &row) in text_bytes.iter().enumerate() {
        bytes += u64::from(row);
        if bytes > PAGE_TEXT_BYTES && at > start {
            pages.push(start..at);
            (start, bytes) = (at, u64::from(row));
        }
    }
    pages.push(start..text_bytes.len());
    pages
}

#[cfg(test)]
pub(super) mod tests;
