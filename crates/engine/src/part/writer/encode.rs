//! Encodes a group of pages, before they are assigned to values.

use std::ops::Range;

use super::gather::{Cut, Rows};
use crate::batch::bitmap::Validity;
use crate::batch::column::Column;
use crate::batch::column_bytes;
use crate::codec::crc::append_crc;
use crate::codec::draft::Draft;
use crate::codec::huffman::Stored;
use crate::codec::tables;
use crate::merge::cursor::{ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::picks::Picks;
use crate::part::block;
use crate::part::directory::Page;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::value::FieldType;

/// The encoded pages of consecutive rows.
pub struct Encoded {
    pub(super) measurement: MeasurementId,
    pub(super) continues: bool,
    pub(super) goes_on: bool,
    /// The tags of the keys, up to the last tag that has a value.
    pub(super) tag_ids: Vec<ColumnId>,
    pub(super) keys: Vec<SeriesKey>,
    pub(super) pages: Vec<Page>,
    cuts: Vec<Cut>,
    pub(super) page_keys: (Stored, Vec<Vec<u8>>),
    pub(super) columns: Vec<EncodedColumn>,
    last_ns: i64,
    cells: u64,
}

/// The last row of a group. An interrupted merge continues after this row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRow {
    /// The key of the row's series.
    pub key: SeriesKey,
    /// The time of the row, in nanoseconds.
    pub time_ns: i64,
}

pub(super) struct EncodedColumn {
    pub(super) id: ColumnId,
    pub(super) field_type: FieldType,
    pub(super) table: Stored,
    /// A block has a checksum, and is empty for a page of nulls.
    pub(super) blocks: Vec<Vec<u8>>,
}

impl Encoded {
    pub(super) fn new(
        rows: Rows,
        times_ns: &[i64],
        tag_order: &[ColumnId],
    ) -> Result<Self, ReadError> {
        let Rows { measurement, continues, goes_on, keys, cuts, .. } = rows;
        let tags = keys.iter().map(SeriesKey::value_count).max().unwrap_or_default();
        let tag_ids = tag_order.get(..tags).ok_or_else(|| ReadError::Damaged {
            what: format!(
                "a series of measurement {} has more tags than the measurement",
                measurement.0
            ),
        })?;
        let (mut drafts, mut pages) = (Vec::with_capacity(cuts.len()), Vec::new());
        for cut in &cuts {
            let times_ns = times_ns.get(cut.rows.clone()).or_bug();
            drafts.push(block::draft_keys(&cut.counts, times_ns));
            pages.push(Page {
                first_series: cut.first_series,
                series: cut.counts.len() as u32,
                rows: cut.rows.len() as u32,
                min_ns: times_ns.iter().copied().min().unwrap_or_default(),
                max_ns: times_ns.iter().copied().max().unwrap_or_default(),
                ..Page::default()
            });
        }
        Ok(Self {
            measurement,
            continues,
            goes_on,
            tag_ids: tag_ids.to_vec(),
            keys,
            pages,
            cells: 2 * times_ns.len() as u64,
            last_ns: times_ns.last().copied().or_bug(),
            cuts,
            page_keys: sealed(drafts),
            columns: Vec::new(),
        })
    }

    pub(super) fn stored_blocks<C: SeriesCursor>(
        &self,
        merge: &mut Merge<C>,
        id: ColumnId,
        field_type: FieldType,
    ) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let block = |cut: &Cut| match &cut.stored {
            Some(page) => merge.block(page, id, field_type),
            None => Ok(None),
        };
        self.cuts.iter().map(block).collect()
    }

    /// Returns the rows of the pages without a stored block. `picks` must contain all rows.
    pub(super) fn without_block(&self, picks: &Picks, blocks: &[Option<Vec<u8>>]) -> Picks {
        let cuts = self.cuts.iter().zip(blocks).filter(|(_, block)| block.is_none());
        // A group has far fewer than 2^32 rows.
        let rows = cuts.flat_map(|(cut, _)| cut.rows.start as u32..cut.rows.end as u32);
        picks.only(&rows.collect::<Vec<_>>())
    }

    pub(super) fn drafts_of(&self, column: &Column, blocks: &[Option<Vec<u8>>]) -> Vec<Draft> {
        let mut end = 0;
        let draft = |(cut, block): (&Cut, &Option<Vec<u8>>)| {
            if block.is_some() {
                return Draft::default();
            }
            let rows = end..end + cut.rows.len();
            end = rows.end;
            match has_value(column, rows.clone()) {
                true => column_bytes::draft_rows(column, rows),
                false => Draft::default(),
            }
        };
        self.cuts.iter().zip(blocks).map(draft).collect()
    }

    /// Adds the next column, unless all of its values are null.
    pub(super) fn add(
        &mut self,
        id: ColumnId,
        field_type: FieldType,
        drafts: Vec<Draft>,
        stored: Vec<Option<Vec<u8>>>,
    ) {
        let (table, mut blocks) = sealed(drafts);
        blocks.resize(self.pages.len(), Vec::new());
        for (block, stored) in blocks.iter_mut().zip(stored) {
            *block = stored.unwrap_or_else(|| std::mem::take(block));
        }
        if blocks.iter().any(|block| !block.is_empty()) {
            let with = self.pages.iter().zip(&blocks).filter(|(_, block)| !block.is_empty());
            self.cells += with.map(|(page, _)| u64::from(page.rows)).sum::<u64>();
            self.columns.push(EncodedColumn { id, field_type, table, blocks });
        }
    }

    /// Returns the number of values, times and series. This number measures the work of an event.
    pub fn cells(&self) -> u64 {
        self.cells
    }

    /// Returns the total size of the pages, in bytes.
    pub fn bytes(&self) -> usize {
        (0..self.pages.len()).map(|page| self.page_bytes(page)).sum()
    }

    /// Returns the number of series.
    pub fn series(&self) -> usize {
        self.keys.len()
    }

    /// Returns the last row.
    pub fn last(&self) -> Option<LastRow> {
        let key = self.keys.last()?.clone();
        Some(LastRow { key, time_ns: self.last_ns })
    }

    /// Whether a series has rows on both sides of the boundary before page number `page`.
    pub(super) fn is_cut_at(&self, page: usize) -> bool {
        if page == 0 {
            return self.continues;
        }
        match (self.pages.get(page - 1), self.pages.get(page)) {
            (Some(before), Some(page)) => page.first_series == before.last_series(),
            _ => self.goes_on,
        }
    }

    pub(super) fn page_bytes(&self, page: usize) -> usize {
        let keys = self.page_keys.1.get(page).map_or(0, Vec::len);
        keys + self.columns.iter().filter_map(|c| c.blocks.get(page)).map(Vec::len).sum::<usize>()
    }
}

fn sealed(drafts: Vec<Draft>) -> (Stored, Vec<Vec<u8>>) {
    let (table, mut blocks) = tables::finish(drafts);
    blocks.iter_mut().filter(|data| !data.is_empty()).for_each(|data| append_crc(data, 0));
    (table, blocks)
}

pub(super) fn has_value(column: &Column, mut rows: Range<usize>) -> bool {
    match &column.validity {
        Validity::All => !rows.is_empty() && rows.start < column.len(),
        Validity::Some(bits) => rows.any(|row| bits.get(row)),
    }
}
