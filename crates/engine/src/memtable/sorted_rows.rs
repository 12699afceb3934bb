//! Orders the rows of a measurement by series key and time, and divides them into chunks.

use std::ops::Range;
use std::rc::Rc;

use super::MeasurementTable;
use crate::batch::chunks::Chunks;
use crate::batch::order::{rank_series, sorted_rows};
use tidemark_model::bug::OrBug;
use tidemark_model::time::TimeRange;

/// The maximum number of rows in a chunk, after rows with the same series and time are combined.
const CHUNK_ROWS: usize = 1_024;
/// The share of new rows, as 1 / `NEW_ROWS_SHARE`, above which all rows are sorted again. Sorting
/// then takes no longer than inserting the new rows.
const NEW_ROWS_SHARE: usize = 8;

/// The order of a table's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SortedRows {
    /// All row numbers by series key, time and order of writing.
    order: Vec<u32>,
    /// The position in `order` at which each chunk starts, and the length of `order` at the end.
    chunks: Vec<u32>,
    series: Vec<Start>,
    /// Whether no two rows have the same series and time.
    pub(super) is_distinct: bool,
    /// The position of each series in key order, indexed by series number.
    rank: Rc<[u32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    series: u32,
    chunk: u32,
    /// The first row of the series in its first chunk. Duplicates of a series and time count once.
    row: u32,
}

impl SortedRows {
    pub(super) fn new(table: &MeasurementTable, tags: &[usize]) -> Self {
        let rank: Rc<[u32]> = rank_series(table.series(), tags).into();
        let order = sorted_rows(&rank, table.row_series(), table.times_ns());
        Self::in_order(table, order, rank)
    }

    /// Returns these rows together with the rows that were appended later. Only the new rows are
    /// sorted, so that reads between writes remain cheap.
    pub(super) fn extended(&self, table: &MeasurementTable, tags: &[usize]) -> Self {
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
            let series = row_series.get(*row).or_bug();
            (rank.get(series as usize), times_ns.get(*row))
        };
        let mut new: Vec<u32> = (sorted as u32..rows as u32).collect();
        new.sort_by(|&a, &b| key(&a).cmp(&key(&b)));
        let mut order: Vec<u32> = Vec::with_capacity(rows);
        let (mut rest, mut is_distinct) = (self.order.as_slice(), self.is_distinct);
        let mut added: Vec<(u32, u32)> = Vec::new();
        for row in new {
            // Duplicates of a series and time keep the order of writing.
            let (before, behind) = rest.split_at(rest.partition_point(|old| key(old) <= key(&row)));
            order.extend_from_slice(before);
            is_distinct &= order.last().is_none_or(|last| key(last) != key(&row));
            order.push(row);
            rest = behind;
            let series = row_series.get(row).or_bug();
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

    /// Returns the number and row count of each series, in key order. All rows must be distinct.
    fn distinct_counts(&self) -> impl Iterator<Item = (u32, u32)> {
        let first = |start: &Start| start.chunk * CHUNK_ROWS as u32 + start.row;
        let ends = self.series.iter().skip(1).map(first).chain([self.order.len() as u32]);
        self.series.iter().zip(ends).map(move |(start, end)| (start.series, end - first(start)))
    }

    /// Builds the same result as [`Self::in_order`], but the rows must be distinct. `counts`
    /// contains the number and row count of each series, in key order.
    fn of_distinct(order: Vec<u32>, counts: &[(u32, u32)], rank: Rc<[u32]>) -> Self {
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

    pub(super) fn rows(&self) -> usize {
        self.order.len()
    }

    pub(super) fn within(&self, table: &MeasurementTable, time: TimeRange) -> Self {
        let times_ns = table.times_ns();
        let is_inside = |row: &&u32| times_ns.get(**row).is_some_and(|at| time.contains(at));
        let order = self.order.iter().filter(is_inside).copied().collect();
        Self::in_order(table, order, Rc::clone(&self.rank))
    }

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
        chunks.push(order.len() as u32);
        Self { order, chunks, series, is_distinct, rank }
    }

    /// Returns the memory size of the order of `rows` rows with `series` series, in bytes.
    pub(super) fn bytes(rows: usize, series: usize) -> usize {
        rows * size_of::<u32>() + series * (size_of::<u32>() + size_of::<Start>())
    }

    pub(super) fn series(&self) -> usize {
        self.series.len()
    }

    pub(super) fn series_at(&self, place: usize) -> u32 {
        self.series.get(place).map_or(0, |start| start.series)
    }

    pub(super) fn chunks_of(&self, place: usize) -> Range<usize> {
        let Some(start) = self.series.get(place) else { return 0..0 };
        let end = match self.series.get(place + 1) {
            Some(next) => next.chunk + u32::from(next.row > 0),
            None => self.chunks.len().saturating_sub(1) as u32,
        };
        start.chunk as usize..end as usize
    }

    pub(super) fn rows_in(&self, place: usize, chunk: usize, rows: usize) -> Range<usize> {
        let bound = |place: usize| {
            let start = self.series.get(place)?;
            (start.chunk as usize == chunk).then_some(start.row as usize)
        };
        bound(place).unwrap_or(0)..bound(place + 1).unwrap_or(rows)
    }

    /// Whether the chunk may have rows inside `time`. If the whole chunk belongs to one series, the
    /// times of its first and last row determine the result. Otherwise the result is true.
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
        let time_ns = |row: &u32| times_ns.get(*row).or_bug();
        time_ns(first) < time.end_ns && time.start_ns <= time_ns(last)
    }

    pub(super) fn range(&self, chunk: usize) -> &[u32] {
        let bound = |at: usize| self.chunks.get(at).copied().or_bug() as usize;
        self.order.get(bound(chunk)..bound(chunk + 1)).or_bug()
    }
}
