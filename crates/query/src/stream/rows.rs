//! Stores and sorts the rows of a group in a slice.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::result::{Column, StringColumn, Values};
use crate::sort::sort;
use crate::work::Work;
use tidemark_engine::batch::column::gather;
use tidemark_engine::batch::picker::Picker;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::page::{GroupData, PartialColumn};
use tidemark_model::bug::OrBug;
use tidemark_model::limits::PAGE_BYTES_MAX;

/// The approximate size, in bytes, of each part into which sorted rows are divided.
const PART_BYTES: usize = PAGE_BYTES_MAX;
/// The temporary memory for sorting a row, in bytes: the row's time and number.
const ORDER_BYTES: usize = size_of::<(i64, u32)>();
/// The memory of a row without its columns, in bytes: the row's time and its number in the order.
const ROW_BYTES: usize = size_of::<i64>() + size_of::<u32>();

/// The rows of a group in one page of a shard.
#[derive(Debug)]
pub(super) struct FetchedRows {
    pub shard: u32,
    times_ns: Vec<i64>,
    /// The fields, then the tags as strings.
    columns: Vec<Column>,
    fields: usize,
}

/// The rows of a group in a slice, from all shards.
#[derive(Debug, Default)]
pub(crate) struct SliceRows {
    pieces: Vec<FetchedRows>,
    pub(super) bytes: usize,
}

/// The data of a complete group.
#[derive(Debug)]
pub(crate) enum GroupParts {
    /// The rows in order of arrival, or the partial states.
    Pieces(VecDeque<GroupData>),
    /// The rows, and the order in which to return them.
    Sorted { rows: SliceRows, order: Vec<u32>, next: usize },
}

impl FetchedRows {
    pub(super) fn new(
        shard: u32,
        times_ns: Vec<i64>,
        mut columns: Vec<Column>,
        tags: Vec<StringColumn>,
    ) -> Self {
        let fields = columns.len();
        columns.extend(tags.into_iter().map(|tags| Column::full(Values::String(tags))));
        Self { shard, times_ns, columns, fields }
    }

    fn bytes(&self) -> usize {
        self.times_ns.len() * ROW_BYTES + self.columns.iter().map(Column::bytes).sum::<usize>()
    }

    fn gather(&self, rows: &[u32]) -> Self {
        Self {
            shard: self.shard,
            times_ns: gather(&self.times_ns, rows),
            columns: self.columns.iter().map(|column| column.gather(rows)).collect(),
            fields: self.fields,
        }
    }

    fn data(mut self) -> GroupData {
        let texts = self.columns.split_off(self.fields.min(self.columns.len()));
        let text = |column: Column| match column.values {
            Values::String(text) => text,
            _ => StringColumn::default(),
        };
        let tags = texts.into_iter().map(text).collect();
        GroupData::Rows { times_ns: self.times_ns, fields: self.columns, tags }
    }
}

impl SliceRows {
    pub(super) fn add(&mut self, mut piece: FetchedRows, mut is_wanted: impl FnMut(i64) -> bool) {
        // A page has fewer than 2^32 rows.
        let wanted: Vec<u32> = (0..)
            .zip(&piece.times_ns)
            .filter(|(_, time_ns)| is_wanted(**time_ns))
            .map(|(row, _)| row)
            .collect();
        if wanted.len() < piece.times_ns.len() {
            piece = piece.gather(&wanted);
        }
        if !piece.times_ns.is_empty() {
            self.bytes += piece.bytes();
            let place = self.pieces.partition_point(|known| known.shard <= piece.shard);
            self.pieces.insert(place, piece);
        }
    }

    fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.times_ns.len()).sum()
    }

    pub(super) fn order_bytes(&self) -> usize {
        self.len() * ORDER_BYTES
    }

    pub(super) fn first_ns(&self, direction: Direction) -> Option<i64> {
        let times_ns = self.pieces.iter().flat_map(|piece| &piece.times_ns).copied();
        if direction.is_descending() { times_ns.max() } else { times_ns.min() }
    }

    /// Returns row numbers sorted by time, shard and arrival. Rows are numbered across all pages.
    fn order(&self, direction: Direction) -> Vec<u32> {
        let mut order = self.unsorted(direction);
        // All entries are distinct, so an unstable sort has the result of a stable sort and needs
        // less memory.
        order.sort_unstable();
        order.into_iter().map(|(_, row)| row).collect()
    }

    /// Returns a number for each row's time, which ascends in the direction of the result, and the
    /// row's number.
    fn unsorted(&self, direction: Direction) -> Vec<(i64, u32)> {
        let times_ns = self.pieces.iter().flat_map(|piece| &piece.times_ns);
        let mut order: Vec<(i64, u32)> = Vec::with_capacity(self.len());
        order.extend(times_ns.map(|&time_ns| direction.to_ascending(time_ns)).zip(0..));
        order
    }

    /// Returns the number of each page's first row.
    fn starts(&self) -> Vec<u32> {
        let mut start = 0;
        let next = |piece: &FetchedRows| {
            start += piece.times_ns.len() as u32;
            start
        };
        std::iter::once(0).chain(self.pieces.iter().map(next)).collect()
    }

    fn key(&self, starts: &[u32], row: u32) -> Option<(i64, u32)> {
        let (piece, row) = position(starts, row);
        let piece = self.pieces.get(piece)?;
        Some((*piece.times_ns.get(row)?, piece.shard))
    }

    /// Keeps approximately the first half. Returns the time and shard of the first dropped row, and
    /// the number of kept rows with that time and shard. Returns `None` if there are too few rows.
    pub(super) fn halve(&mut self, direction: Direction) -> Option<(i64, u32, usize)> {
        let (mut order, starts) = (self.order(direction), self.starts());
        let half = order.len() / 2;
        let first = *order.get(half).filter(|_| half > 0)?;
        let key = self.key(&starts, first)?;
        order.truncate(half);
        let is_same = |row: &&u32| self.key(&starts, **row) == Some(key);
        let stay = order.iter().rev().take_while(is_same).count();
        self.keep(order, &starts);
        Some((key.0, key.1, stay))
    }

    /// Drops the rows after a cut: a time, a shard, and the number of rows with that time and shard
    /// that precede the cut.
    pub(super) fn cut(&mut self, time_ns: i64, shard: u32, rows: usize, direction: Direction) {
        let mut of_both = 0;
        let mut is_before = |of: u32, at_ns: i64| {
            let time = direction.order(at_ns.cmp(&time_ns));
            match time.then(of.cmp(&shard)) {
                Ordering::Less => true,
                Ordering::Greater => false,
                // The rows with this time and shard are already in the correct order.
                Ordering::Equal => {
                    of_both += 1;
                    of_both <= rows
                }
            }
        };
        let all = self.pieces.iter().flat_map(|p| p.times_ns.iter().map(|&ns| (p.shard, ns)));
        let kept = (0_u32..).zip(all).filter(|(_, (of, at_ns))| is_before(*of, *at_ns));
        let kept: Vec<u32> = kept.map(|(row, _)| row).collect();
        if kept.len() < self.len() {
            let starts = self.starts();
            self.keep(kept, &starts);
        }
    }

    fn keep(&mut self, mut rows: Vec<u32>, starts: &[u32]) {
        rows.sort();
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for (piece, bounds) in self.pieces.iter().zip(starts.windows(2)) {
            let &[start, end] = bounds else { continue };
            let first = rows.partition_point(|&row| row < start);
            let last = rows.partition_point(|&row| row < end);
            let of_piece = rows.get(first..last).or_bug();
            let kept: Vec<u32> = of_piece.iter().map(|row| row - start).collect();
            if !kept.is_empty() {
                pieces.push(piece.gather(&kept));
            }
        }
        self.pieces = pieces;
        self.bytes = self.pieces.iter().map(FetchedRows::bytes).sum();
    }

    pub(super) fn finish(self, direction: Direction, is_ordered: bool) -> GroupParts {
        if is_ordered || self.is_ordered(direction) {
            return GroupParts::Pieces(self.pieces.into_iter().map(FetchedRows::data).collect());
        }
        let order = self.order(direction);
        GroupParts::Sorted { rows: self, order, next: 0 }
    }

    /// Finishes like [`Self::finish`], for rows that may need to be sorted. Awaits only
    /// [`Work::spend`].
    pub(super) async fn finish_in_turns(self, direction: Direction, work: &Work) -> GroupParts {
        if self.is_ordered(direction) {
            return self.finish(direction, true);
        }
        let mut order = self.unsorted(direction);
        sort(&mut order, Ord::cmp, work).await;
        let order = order.into_iter().map(|(_, row)| row).collect();
        GroupParts::Sorted { rows: self, order, next: 0 }
    }

    fn is_ordered(&self, direction: Direction) -> bool {
        let times = self.pieces.iter().flat_map(|piece| &piece.times_ns);
        match direction {
            Direction::Descending => times.is_sorted_by(|a, b| a >= b),
            Direction::Ascending => times.is_sorted(),
        }
    }

    fn gather(&self, order: &[u32]) -> GroupData {
        let starts = self.starts();
        let places: Vec<(usize, usize)> = order.iter().map(|&row| position(&starts, row)).collect();
        let time = |&(piece, row): &(usize, usize)| {
            self.pieces.get(piece).and_then(|piece| piece.times_ns.get(row)).copied()
        };
        let columns = self.pieces.first().map_or(0, |piece| piece.columns.len());
        let mut gathered = FetchedRows {
            shard: 0,
            times_ns: places.iter().filter_map(time).collect(),
            columns: Vec::with_capacity(columns),
            fields: self.pieces.first().map_or(0, |piece| piece.fields),
        };
        for column in 0..columns {
            let sources = || self.pieces.iter().filter_map(|piece| piece.columns.get(column));
            let Some(first) = sources().next() else { continue };
            let mut picker = Picker::new(first.values.field_type(), sources());
            picker.extend(&places);
            gathered.columns.push(picker.finish());
        }
        gathered.data()
    }
}

impl GroupParts {
    pub(super) fn of_states(states: Vec<PartialColumn>) -> Self {
        Self::Pieces([GroupData::Partials(states)].into())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Pieces(pieces) => pieces.is_empty(),
            Self::Sorted { order, next, .. } => *next >= order.len(),
        }
    }

    pub(crate) fn next(&mut self) -> Option<GroupData> {
        match self {
            Self::Pieces(pieces) => pieces.pop_front(),
            Self::Sorted { rows, order, next } => {
                let part = order.len().saturating_mul(PART_BYTES) / rows.bytes.max(1);
                let end = order.len().min(*next + part.max(1));
                let part = order.get(*next..end).filter(|part| !part.is_empty())?;
                *next = end;
                Some(rows.gather(part))
            }
        }
    }
}

/// Returns a row's page, and its position in the page.
fn position(starts: &[u32], row: u32) -> (usize, usize) {
    let piece = starts.partition_point(|&start| start <= row).saturating_sub(1);
    let start = starts.get(piece).copied().or_bug();
    (piece, (row - start) as usize)
}
