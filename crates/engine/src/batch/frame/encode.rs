//! Encodes selected rows of blocks as a frame. Rows are divided into tables by columns if a single
//! table would mostly contain padding.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::{FrameHeader, TableHeader};
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, gather};
use crate::batch::column_sets::{ColumnPositions, field_sets, without_small};
use crate::batch::order::{Distinct, rank_series};
use crate::batch::selection::Selection;
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::batch::{Block, CELLS_PER_VALUE_MAX, column_bytes};
use crate::codec::{integer, timestamp, varint};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};

/// The maximum number of rows of a table, which bounds the memory for sorting and encoding.
pub(super) const ROWS_PER_TABLE_MAX: usize = 1 << 15;
/// The approximate size of a table's text, in bytes, which bounds the memory.
const TEXT_BYTES_PER_TABLE: usize = 2 << 20;

/// The rows for a frame, as a reference to the parsed block.
#[derive(Clone, Copy, Debug)]
pub struct TableRef<'a> {
    /// The measurement's id.
    pub measurement: MeasurementId,
    /// The ids of `block.series.tags`. Tags without a value in the selected rows need no valid id.
    pub tag_ids: &'a [ColumnId],
    /// The ids of `block.fields`. A field without a value in the selected rows needs no valid id.
    pub field_ids: &'a [ColumnId],
    /// The block that contains the rows.
    pub block: &'a Block,
    /// The selected rows. A table without rows is not added to the frame.
    pub rows: &'a Selection,
}

/// Appends a frame (FRAME.md) with the selected rows of `tables`, grouped by series.
pub fn encode(tables: &[TableRef<'_>], out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(tables, out);
    while encoder.encode_next().is_some() {}
    encoder.finish();
}

/// An encoder that appends a frame like [`encode`], but in short steps, so that the caller can
/// pause between the steps.
#[derive(Debug)]
pub struct Encoder<'a> {
    /// The tables that are not complete.
    tables: &'a [TableRef<'a>],
    /// The number of encoded rows of the first table in `tables`.
    done: usize,
    /// The maximum number of rows that one step encodes of the first table in `tables`.
    step: OnceCell<usize>,
    same: OnceCell<Vec<u32>>,
    header: FrameHeader,
    start: usize,
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Begins a frame at the end of `out`.
    pub fn new(tables: &'a [TableRef<'a>], out: &'a mut Vec<u8>) -> Self {
        let (step, same, header) = (OnceCell::new(), OnceCell::new(), FrameHeader::default());
        Self { tables, done: 0, step, same, header, start: out.len(), out }
    }

    /// Encodes the next rows. Returns the number of rows times the number of the table's fields, or
    /// `None` at the end. A table without fields counts as a table with one field.
    pub fn encode_next(&mut self) -> Option<usize> {
        loop {
            let (table, rest) = self.tables.split_first()?;
            let rows = table.block.rows();
            let left = table.rows.len(rows) - self.done;
            if left == 0 {
                (self.tables, self.done) = (rest, 0);
                (self.step, self.same) = (OnceCell::new(), OnceCell::new());
                continue;
            }
            let step = *self.step.get_or_init(|| rows_per_table(table.block));
            let selected = table.rows.part(rows, self.done, step);
            let before = self.out.len();
            self.header.tables.extend(encode_rows(table, &selected, &self.same, self.out));
            make_room(self.out, before, left.saturating_sub(step).div_ceil(step));
            self.done += selected.len();
            return Some(selected.len() * table.block.fields.len().max(1));
        }
    }

    /// Inserts the header before the payload. The header is complete only after the payload was
    /// encoded.
    pub fn finish(self) {
        let out = self.out;
        let end = out.len();
        self.header.write(out);
        let header_bytes = out.len() - end;
        // The header is short, so the rotation is cheap.
        if let Some(frame) = out.get_mut(self.start..) {
            frame.rotate_right(header_bytes);
        }
    }
}

fn rows_per_table(block: &Block) -> usize {
    let texts = block.fields.iter().map(|column| column.values.text_bytes());
    let text_bytes = texts.fold(0, usize::saturating_add);
    let pieces = text_bytes.div_ceil(TEXT_BYTES_PER_TABLE).max(1);
    block.rows().div_ceil(pieces).clamp(1, ROWS_PER_TABLE_MAX)
}

/// Reserves memory for the next tables, whose size is estimated from the last table, which starts
/// at `before`. If the capacity of a large frame were doubled instead, the reallocation would need
/// three times the size of the frame.
fn make_room(out: &mut Vec<u8>, before: usize, more: usize) {
    const HEADER_BYTES: usize = 4 << 10;
    let table_bytes = out.len() - before;
    if more > 0 && out.capacity() - out.len() < table_bytes + HEADER_BYTES {
        let rest_bytes = table_bytes * more;
        out.reserve_exact(rest_bytes + rest_bytes / 32 + HEADER_BYTES);
    }
}

/// Appends several tables if one table would have too much padding.
fn encode_rows(
    table: &TableRef<'_>,
    selected: &[u32],
    same: &OnceCell<Vec<u32>>,
    out: &mut Vec<u8>,
) -> Vec<TableHeader> {
    let block = table.block;
    let Some(rows) = group_by_series(block, selected) else { return Vec::new() };
    if !is_padded(block, &rows) {
        let is_valid = |column: &Column, row: u32| column.validity.is_valid(row as usize);
        let has_value = |&at: &usize| {
            block.fields.get(at).is_some_and(|c| rows.iter().any(|&row| is_valid(c, row)))
        };
        let fields: Vec<usize> = (0..block.fields.len()).filter(has_value).collect();
        let series_of = |row: u32| block.row_series.get(row as usize).copied().or_bug();
        let picks = |_: &Column| Cow::Borrowed(rows.as_slice());
        let piece = Piece { rows: &rows, fields: &fields, series_of: &series_of, picks: &picks };
        return encode_table(table, &piece, out).into_iter().collect();
    }
    let same = same.get_or_init(|| same_series(&block.series));
    let overlaid = Overlaid::new(block, same, rows);
    let series_of = |row: u32| overlaid.series_of(row);
    let each = |ColumnPositions { fields, rows: positions, .. }: ColumnPositions| {
        let rows = &overlaid.rows(&positions);
        let picks = |column: &Column| Cow::Owned(overlaid.picks(column, &positions));
        let piece = Piece { rows, fields: &fields, series_of: &series_of, picks: &picks };
        encode_table(table, &piece, out)
    };
    overlaid.sets().into_iter().filter_map(each).collect()
}

struct Piece<'a> {
    rows: &'a [u32],
    fields: &'a [usize],
    series_of: &'a dyn Fn(u32) -> u32,
    picks: &'a dyn Fn(&Column) -> Cow<'a, [u32]>,
}

fn encode_table(
    table: &TableRef<'_>,
    Piece { rows, fields, series_of, picks }: &Piece<'_>,
    out: &mut Vec<u8>,
) -> Option<TableHeader> {
    let block = table.block;
    let start = out.len();
    let times_ns = gather(&block.times_ns, rows);
    let (mut series, mut rows_of_series) = (Vec::new(), Vec::new());
    for same in rows.chunk_by(|&a, &b| series_of(a) == series_of(b)) {
        series.extend(same.first().map(|&row| series_of(row)));
        rows_of_series.push(same.len() as i64);
    }
    varint::write_counted(out, |out| integer::encode(&rows_of_series, out));
    varint::write_counted(out, |out| timestamp::encode(&times_ns, out));
    let mut tag_ids = Vec::with_capacity(table.tag_ids.len());
    let mut codes = TagCodes::default();
    for (tag, &id) in block.series.tags.iter().zip(table.tag_ids) {
        if encode_tag(tag, &series, &mut codes, out) {
            tag_ids.push(id);
        }
    }
    let mut ids = Vec::with_capacity(fields.len());
    for &at in *fields {
        let (Some(column), Some(&id)) = (block.fields.get(at), table.field_ids.get(at)) else {
            continue;
        };
        varint::write_counted(out, |out| column_bytes::encode(column, &picks(column), out));
        ids.push((id, column.values.field_type()));
    }
    Some(TableHeader {
        measurement: table.measurement,
        rows: rows.len() as u32,
        series: series.len() as u32,
        min_time_ns: times_ns.iter().copied().min()?,
        max_time_ns: times_ns.iter().copied().max()?,
        tag_ids,
        fields: ids,
        payload_bytes: (out.len() - start) as u32,
    })
}

/// Returns the selected rows grouped by series. The rows of a series keep their order. Returns
/// `None` if there are no rows.
fn group_by_series(block: &Block, selected: &[u32]) -> Option<Vec<u32>> {
    let series_of = |row: u32| block.row_series.get(row as usize).copied().or_bug();
    let n_series = block.series.len.max(1) as usize;
    let mut counts = vec![0_u32; n_series];
    for &row in selected {
        *counts.get_mut(series_of(row) as usize)? += 1;
    }
    let mut next = 0;
    for count in &mut counts {
        (*count, next) = (next, next + *count);
    }
    let mut rows = vec![0_u32; selected.len()];
    for &row in selected {
        let slot = counts.get_mut(series_of(row) as usize)?;
        *rows.get_mut(*slot as usize)? = row;
        *slot += 1;
    }
    (!rows.is_empty()).then_some(rows)
}

/// The codes of one tag. Each tag of a table reuses the lists of the previous tag.
#[derive(Default)]
struct TagCodes {
    /// The new code plus 1 for each old code, or 0 for an unused value, which is not sent.
    new: Vec<i64>,
    /// The positions of the sent values in the dictionary, in the order of their new codes.
    used: Vec<u32>,
    /// The new code of each series.
    of_series: Vec<i64>,
}

fn encode_tag(tag: &TagColumn, series: &[u32], codes: &mut TagCodes, out: &mut Vec<u8>) -> bool {
    let TagCodes { new, used, of_series } = codes;
    new.clear();
    new.resize(tag.dictionary.len() + 1, 0);
    used.clear();
    of_series.clear();
    of_series.extend(series.iter().map(|&number| {
        let old = tag.codes.get(number as usize).copied().or_bug();
        match new.get_mut(old as usize) {
            Some(new) if old > 0 => {
                if *new == 0 {
                    used.push(old - 1);
                    *new = used.len() as i64;
                }
                *new
            }
            _ => 0,
        }
    }));
    if used.is_empty() {
        return false;
    }
    varint::write_counted(out, |out| {
        varint::write(used.len() as u64, out);
        let is_whole = used.iter().copied().eq(0..tag.dictionary.len() as u32);
        match tag.dictionary.codes() {
            None if is_whole => column_bytes::encode_whole(&tag.dictionary, out),
            _ => {
                let entries = used.iter().map(|&entry| tag.dictionary.get(entry as usize));
                column_bytes::encode_strings(entries, out);
            }
        }
    });
    varint::write_counted(out, |out| integer::encode(of_series, out));
    true
}

fn is_padded(block: &Block, rows: &[u32]) -> bool {
    let values_of = |column: &Column| match &column.validity {
        Validity::All => rows.len(),
        Validity::Some(bits) => rows.iter().filter(|&&row| bits.get(row as usize)).count(),
    };
    let values = block.fields.iter().map(values_of).filter(|&values| values > 0);
    let (columns, values) = values.fold((0, 0), |(columns, sum), of| (columns + 1, sum + of));
    rows.len() * columns > values * CELLS_PER_VALUE_MAX
}

/// Returns, for each series, the first series with the same tags.
fn same_series(series: &SeriesTable) -> Vec<u32> {
    let tags: Vec<usize> = (0..series.tags.len()).collect();
    let rank = rank_series(series, &tags);
    let mut order = vec![0; rank.len()];
    for (number, &place) in (0..).zip(&rank) {
        if let Some(slot) = order.get_mut(place as usize) {
            *slot = number;
        }
    }
    let equal =
        |a: u32, b: u32| series.tags.iter().all(|tag| tag.get(a as usize) == tag.get(b as usize));
    let mut first = vec![0; rank.len()];
    // Series with equal tags are in order of their numbers.
    for same in order.chunk_by(|&a, &b| equal(a, b)) {
        for &number in same {
            if let (Some(slot), Some(&of)) = (first.get_mut(number as usize), same.first()) {
                *slot = of;
            }
        }
    }
    first
}

/// The rows of a block, merged by series and time. The order of the frame's tables then has no
/// effect.
struct Overlaid<'a> {
    block: &'a Block,
    same: &'a [u32],
    distinct: Distinct,
}

impl<'a> Overlaid<'a> {
    /// Merges `rows`, which must be grouped by series. If rows have the same series and time, later
    /// rows overwrite earlier rows.
    fn new(block: &'a Block, same: &'a [u32], rows: Vec<u32>) -> Self {
        let mut overlaid = Self { block, same, distinct: Distinct::default() };
        let key = |row: u32| {
            let time_ns = block.times_ns.get(row as usize).copied().or_bug();
            (overlaid.series_of(row), time_ns)
        };
        let mut ordered = rows;
        ordered.sort_by_key(|&row| key(row));
        overlaid.distinct = Distinct::by(&ordered, |a, b| key(a) == key(b));
        overlaid
    }

    fn series_of(&self, row: u32) -> u32 {
        let number = self.block.row_series.get(row as usize).copied().or_bug();
        self.same.get(number as usize).copied().or_bug()
    }

    fn sets(&self) -> Vec<ColumnPositions> {
        let has = |at: u32, field: usize| {
            let is_valid = |column: &Column, row: u32| column.validity.is_valid(row as usize);
            let rows = self.distinct.group(at as usize);
            let column = self.block.fields.get(field);
            column.is_some_and(|column| rows.iter().any(|&row| is_valid(column, row)))
        };
        without_small(field_sets(0..self.distinct.rows.len() as u32, self.block.fields.len(), has))
    }

    fn rows(&self, positions: &[u32]) -> Vec<u32> {
        positions.iter().filter_map(|&at| self.distinct.rows.get(at as usize).copied()).collect()
    }

    fn picks(&self, column: &Column, positions: &[u32]) -> Vec<u32> {
        let is_valid = |row: u32| column.validity.is_valid(row as usize);
        positions.iter().filter_map(|&at| self.distinct.pick(is_valid, at as usize)).collect()
    }
}
