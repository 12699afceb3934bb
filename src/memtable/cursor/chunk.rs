//! One measurement's rows in order, in chunks whose fields are laid out when they are read.

use std::ops::Range;
use std::rc::Rc;

use crate::batch::chunks::Chunks;
use crate::batch::column::Column;
use crate::batch::layout::Layout;
use crate::batch::order::{Distinct, Order, rank_series};
use crate::memtable::table::MeasurementTable;
use crate::merge::cursor::Columns;
use crate::model::ids::ColumnId;
use crate::model::time::TimeRange;
use crate::model::value::FieldType;

/// Rows of a chunk, each series and time once.
const CHUNK_ROWS: usize = 1_024;
/// Where more than one of so many rows is new all are sorted: that takes no longer then.
const NEW_ROWS_SHARE: usize = 8;
/// Text of a page, bytes; a row that has more is a page of its own.
const PAGE_TEXT_BYTES: u64 = 256_000;

/// The rows of a measurement by series key and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::memtable) struct Rows {
    /// Every row; those of one series and time in the order of writing.
    order: Vec<u32>,
    /// Where in `order` each chunk begins, and the end.
    chunks: Vec<u32>,
    /// By key.
    series: Vec<Start>,
    /// No two rows are of one series and time.
    pub(super) is_distinct: bool,
    /// Of each series its place by key.
    rank: Rc<[u32]>,
}

/// Where the rows of a series begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    /// Its number in the table.
    series: u32,
    chunk: u32,
    /// In the chunk, each time counted once.
    row: u32,
}

impl Rows {
    /// Sorts the rows by the tags at these positions.
    pub(in crate::memtable) fn new(table: &MeasurementTable, tags: &[usize]) -> Self {
        let (row_series, times_ns) = (table.row_series(), table.times_ns());
        let rank: Rc<[u32]> = rank_series(table.series(), tags).into();
        let order = Order::new(rank.len(), Some(&rank), row_series, times_ns).rows;
        Self::in_order(table, order, rank)
    }

    /// The same with the rows that were appended since: a reader beside a writer sorts what is new.
    pub(in crate::memtable) fn extended(&self, table: &MeasurementTable, tags: &[usize]) -> Self {
        let (row_series, times_ns) = (table.row_series(), table.times_ns());
        let (sorted, rows) = (self.order.len(), row_series.len());
        if (rows - sorted).saturating_mul(NEW_ROWS_SHARE) > rows {
            return Self::new(table, tags);
        }
        let rank = match self.rank.len() == table.series().len as usize {
            true => Rc::clone(&self.rank),
            false => rank_series(table.series(), tags).into(),
        };
        let key = |row: &u32| {
            let series = row_series.get(*row).unwrap_or_default();
            (rank.get(series as usize), times_ns.get(*row))
        };
        // Rows in memory are fewer than 2^32.
        let mut new: Vec<u32> = (sorted as u32..rows as u32).collect();
        new.sort_by(|&a, &b| key(&a).cmp(&key(&b)));
        let mut order: Vec<u32> = Vec::with_capacity(rows);
        let (mut rest, mut is_distinct) = (self.order.as_slice(), self.is_distinct);
        let mut added: Vec<(u32, u32)> = Vec::new();
        for row in new {
            // What was written first stands first.
            let (before, behind) = rest.split_at(rest.partition_point(|old| key(old) <= key(&row)));
            order.extend_from_slice(before);
            is_distinct &= order.last().is_none_or(|last| key(last) != key(&row));
            order.push(row);
            rest = behind;
            let series = row_series.get(row).unwrap_or_default();
            match added.last_mut() {
                Some((last, rows)) if *last == series => *rows += 1,
                _ => added.push((series, 1)),
            }
        }
        order.extend_from_slice(rest);
        if !is_distinct {
            return Self::in_order(table, order, rank);
        }
        let place = |series: u32| rank.get(series as usize);
        let mut counts: Vec<(u32, u32)> = Vec::with_capacity(self.series.len() + added.len());
        let mut added = added.into_iter().peekable();
        for (series, rows) in self.distinct_counts() {
            while let Some(new) = added.next_if(|new| place(new.0) < place(series)) {
                counts.push(new);
            }
            let more = added.next_if(|new| new.0 == series).map_or(0, |new| new.1);
            counts.push((series, rows + more));
        }
        counts.extend(added);
        Self::of_distinct(order, &counts, rank)
    }

    /// Of each series by key its number and how many rows it has, where all rows are distinct.
    fn distinct_counts(&self) -> impl Iterator<Item = (u32, u32)> {
        let first = |start: &Start| start.chunk * CHUNK_ROWS as u32 + start.row;
        let ends = self.series.iter().skip(1).map(first).chain([self.order.len() as u32]);
        self.series.iter().zip(ends).map(move |(start, end)| (start.series, end - first(start)))
    }

    /// What [`Self::in_order`] comes to where no two rows are of one series and time, without a
    /// look at each of them. `counts`: of each series by key its number and its rows.
    fn of_distinct(order: Vec<u32>, counts: &[(u32, u32)], rank: Rc<[u32]>) -> Self {
        // Rows in memory are fewer than 2^32.
        let (rows, chunk_rows) = (order.len() as u32, CHUNK_ROWS as u32);
        let chunks = std::iter::once(0).chain((chunk_rows..rows).step_by(CHUNK_ROWS)).chain([rows]);
        let mut first = 0;
        let starts = counts.iter().map(|&(series, rows)| {
            let at = first;
            first += rows;
            Start { series, chunk: at / chunk_rows, row: at % chunk_rows }
        });
        let series = starts.collect();
        Self { chunks: chunks.collect(), series, is_distinct: true, order, rank }
    }

    /// How many rows are in order.
    pub(in crate::memtable) fn rows(&self) -> usize {
        self.order.len()
    }

    /// Those of them that lie inside `time`.
    pub(super) fn within(&self, table: &MeasurementTable, time: TimeRange) -> Self {
        let times_ns = table.times_ns();
        let is_inside = |row: &&u32| times_ns.get(**row).is_some_and(|at| time.contains(at));
        let order = self.order.iter().filter(is_inside).copied().collect();
        Self::in_order(table, order, Rc::clone(&self.rank))
    }

    /// Cuts rows, which stand in their order, into chunks.
    fn in_order(table: &MeasurementTable, order: Vec<u32>, rank: Rc<[u32]>) -> Self {
        let (row_series, times_ns) = (table.row_series(), table.times_ns());
        let (mut chunks, mut series) = (vec![0], Vec::<Start>::new());
        let (mut rows, mut last, mut is_distinct) = (0, None, true);
        for (at, &row) in (0..).zip(&order) {
            let key = (row_series.get(row), times_ns.get(row));
            if last == Some(key) {
                is_distinct = false;
                continue;
            }
            if rows == CHUNK_ROWS {
                rows = 0;
                chunks.push(at);
            }
            if last.is_none_or(|last| last.0 != key.0) {
                let (series_number, chunk) = (key.0.unwrap_or_default(), chunks.len() - 1);
                series.push(Start { series: series_number, chunk: chunk as u32, row: rows as u32 });
            }
            (rows, last) = (rows + 1, Some(key));
        }
        // Rows in memory are fewer than 2^32.
        chunks.push(order.len() as u32);
        Self { order, chunks, series, is_distinct, rank }
    }

    /// Memory held.
    pub(in crate::memtable) fn bytes(&self) -> usize {
        let numbers = self.order.len() + self.chunks.len() + self.rank.len();
        numbers * 4 + self.series.len() * size_of::<Start>()
    }

    /// Number of series that have rows.
    pub(super) fn series(&self) -> usize {
        self.series.len()
    }

    /// The number in the table of the series at `place`.
    pub(super) fn series_at(&self, place: usize) -> u32 {
        self.series.get(place).map_or(0, |start| start.series)
    }

    /// The chunks that have rows of the series at `place`.
    pub(super) fn chunks_of(&self, place: usize) -> Range<usize> {
        let Some(start) = self.series.get(place) else { return 0..0 };
        let end = match self.series.get(place + 1) {
            Some(next) => next.chunk + u32::from(next.row > 0),
            None => self.chunks.len().saturating_sub(1) as u32,
        };
        start.chunk as usize..end as usize
    }

    /// The rows of the series at `place` in one of its chunks, which has `rows` rows.
    pub(super) fn rows_in(&self, place: usize, chunk: usize, rows: usize) -> Range<usize> {
        let bound = |place: usize| {
            let start = self.series.get(place)?;
            (start.chunk as usize == chunk).then_some(start.row as usize)
        };
        bound(place).unwrap_or(0)..bound(place + 1).unwrap_or(rows)
    }

    /// Whether rows of the series at `place` in a chunk may lie inside `time`: where all of the
    /// chunk is of one series, its first and last row tell.
    pub(super) fn may_be_within(
        &self,
        place: usize,
        chunk: usize,
        time: TimeRange,
        times_ns: &Chunks<i64>,
    ) -> bool {
        let chunks = self.chunks_of(place);
        let starts_before =
            self.series.get(place).is_some_and(|s| s.row == 0 || chunks.start < chunk);
        let ends_behind = chunk + 1 < chunks.end;
        let rows = self.range(chunk);
        let (Some(first), Some(last), true, true) =
            (rows.first(), rows.last(), starts_before, ends_behind)
        else {
            return true;
        };
        let time_ns = |row: &u32| times_ns.get(*row).unwrap_or_default();
        time_ns(first) < time.end_ns && time.start_ns <= time_ns(last)
    }

    fn range(&self, chunk: usize) -> &[u32] {
        let bound = |at: usize| self.chunks.get(at).map_or(0, |&start| start as usize);
        self.order.get(bound(chunk)..bound(chunk + 1)).unwrap_or_default()
    }
}

/// Where the values of a chunk's rows are.
pub(super) struct Values<'a>(Layout<'a>);

impl<'a> Values<'a> {
    /// Those of a chunk by its number.
    pub(super) fn new(number: usize, table: &'a MeasurementTable, rows: &Rows) -> Self {
        let distinct = match rows.is_distinct {
            true => Distinct::of_distinct(rows.range(number).to_vec()),
            false => Distinct::new(rows.range(number), table.row_series(), table.times_ns()),
        };
        Self(Layout::new(table.fields(), distinct))
    }

    /// A column of some rows; `None` if none of them has a value.
    pub(super) fn column(&self, rows: Range<usize>, id: ColumnId) -> Option<Column> {
        let column = self.0.field(id)?.gather(rows);
        (column.validity.nulls(column.len()) < column.len()).then_some(column)
    }
}

/// Some rows, ready to be read, in pages of not too much text.
pub(super) struct Chunk<'a> {
    /// Its table, and its number there.
    pub(super) at: (usize, usize),
    pub(super) values: Values<'a>,
    /// Those that some row has: a wide row elsewhere makes no page wider.
    columns: Columns,
    rows: usize,
    /// The first row of each page and the times of all.
    pages: Vec<(usize, Rc<[i64]>)>,
}

impl<'a> Chunk<'a> {
    /// `columns`: those of the whole table.
    pub(super) fn new(
        at: (usize, usize),
        table: &'a MeasurementTable,
        (rows, columns): (&Rows, &Columns),
    ) -> Self {
        let values = Values::new(at.1, table, rows);
        let layout = &values.0;
        let time_ns = |row: &u32| table.times_ns().get(*row).unwrap_or_default();
        let times_ns: Vec<i64> = layout.rows().iter().map(time_ns).collect();
        let mut text_bytes = vec![0; times_ns.len()];
        for (id, field_type) in table.fields().fields() {
            if field_type == FieldType::String
                && let Some(field) = layout.field(id)
            {
                field.add_text_bytes(&mut text_bytes);
            }
        }
        let pages = pages(&text_bytes);
        let times =
            |rows: Range<usize>| (rows.start, times_ns.get(rows).unwrap_or_default().into());
        let pages = pages.into_iter().map(times).collect();
        let own: Columns = layout.fields().map(|field| (field.id, field.field_type)).collect();
        let columns = if own == *columns { Rc::clone(columns) } else { own };
        Self { at, values, columns, rows: times_ns.len(), pages }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(super) fn pages(&self) -> &[(usize, Rc<[i64]>)] {
        &self.pages
    }
}

/// Cuts rows with this much text into pages.
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
