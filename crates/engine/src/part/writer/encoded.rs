//! Encodes the pages of a group before they are assigned to values.

use super::pending_rows::{PageRange, PendingRows, has_value};
use crate::batch::column::Column;
use crate::batch::column_bytes;
use crate::codec::crc::append_crc;
use crate::codec::draft::{Draft, finish_column};
use crate::codec::huffman::Stored;
use crate::merge::cursor::{ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::picks::Picks;
use crate::part::directory::RowPage;
use crate::part::values::RowKeys;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::value::FieldType;

/// The encoded pages of consecutive rows.
pub struct Encoded {
    pub(super) measurement: MeasurementId,
    pub(super) continues: bool,
    pub(super) is_continued: bool,
    /// The tags of the keys, up to the last tag that has a value.
    pub(super) tag_ids: Vec<ColumnId>,
    pub(super) keys: Vec<SeriesKey>,
    pub(super) pages: Vec<RowPage>,
    page_ranges: Vec<PageRange>,
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
    /// Encodes the rows of a group, which must all be in pages. `tag_order` is the order of tags in
    /// the keys.
    pub(super) fn of<C: SeriesCursor>(
        mut rows: PendingRows,
        merge: &mut Merge<C>,
        tag_order: &[ColumnId],
    ) -> Result<Self, ReadError> {
        let picks = std::mem::take(&mut rows.picks);
        let columns = std::mem::take(&mut rows.columns);
        let mut texts = std::mem::take(&mut rows.texts);
        let mut encoded = Self::new(rows, picks.times_ns(), tag_order)?;
        for (id, field_type) in columns {
            if let Some(at) = texts.iter().position(|text| text.id == id) {
                encoded.add(id, field_type, texts.swap_remove(at).drafts, Vec::new());
                continue;
            }
            let blocks = encoded.stored_blocks(merge, id, field_type)?;
            let column = match blocks.iter().filter(|block| block.is_some()).count() {
                0 => merge.column(&picks, id)?,
                stored if stored == blocks.len() => None,
                _ => merge.column(&encoded.without_block(&picks, &blocks), id)?,
            };
            if let Some(found) = column.as_ref().map(|column| column.values.field_type())
                && found != field_type
            {
                return Err(ReadError::ColumnType { column: id, expected: field_type, found });
            }
            let drafts = column.map(|column| encoded.drafts_of(&column, &blocks));
            encoded.add(id, field_type, drafts.unwrap_or_default(), blocks);
        }
        Ok(encoded)
    }

    fn new(rows: PendingRows, times_ns: &[i64], tag_order: &[ColumnId]) -> Result<Self, ReadError> {
        let PendingRows { measurement, continues, is_continued, keys, page_ranges, .. } = rows;
        let tags = keys.iter().map(SeriesKey::value_count).max().unwrap_or_default();
        let tag_ids = tag_order.get(..tags).ok_or_else(|| ReadError::Damaged {
            what: format!(
                "a series of measurement {} has more tags than the measurement",
                measurement.0
            ),
        })?;
        let (mut drafts, mut pages) = (Vec::with_capacity(page_ranges.len()), Vec::new());
        for range in &page_ranges {
            let times_ns = times_ns.get(range.rows.clone()).or_bug();
            drafts.push(RowKeys::draft(&range.counts, times_ns));
            pages.push(RowPage {
                first_series: range.first_series,
                series: range.counts.len() as u32,
                rows: range.rows.len() as u32,
                min_ns: times_ns.iter().copied().min().unwrap_or_default(),
                max_ns: times_ns.iter().copied().max().unwrap_or_default(),
                ..RowPage::default()
            });
        }
        Ok(Self {
            measurement,
            continues,
            is_continued,
            tag_ids: tag_ids.to_vec(),
            keys,
            pages,
            cells: 2 * times_ns.len() as u64,
            last_ns: times_ns.last().copied().or_bug(),
            page_ranges,
            page_keys: sealed(drafts),
            columns: Vec::new(),
        })
    }

    fn stored_blocks<C: SeriesCursor>(
        &self,
        merge: &mut Merge<C>,
        id: ColumnId,
        field_type: FieldType,
    ) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let block = |range: &PageRange| match &range.stored {
            Some(page) => merge.block(page, id, field_type),
            None => Ok(None),
        };
        self.page_ranges.iter().map(block).collect()
    }

    /// Returns the rows of the pages without a stored block. `picks` must contain all rows.
    fn without_block(&self, picks: &Picks, blocks: &[Option<Vec<u8>>]) -> Picks {
        let page_ranges = self.page_ranges.iter().zip(blocks).filter(|(_, block)| block.is_none());
        // A group has far fewer than 2^32 rows.
        let rows =
            page_ranges.flat_map(|(range, _)| range.rows.start as u32..range.rows.end as u32);
        picks.only(&rows.collect::<Vec<_>>())
    }

    fn drafts_of(&self, column: &Column, blocks: &[Option<Vec<u8>>]) -> Vec<Draft> {
        let mut end = 0;
        let draft = |(range, block): (&PageRange, &Option<Vec<u8>>)| {
            if block.is_some() {
                return Draft::default();
            }
            let rows = end..end + range.rows.len();
            end = rows.end;
            match has_value(column, rows.clone()) {
                true => column_bytes::draft_rows(column, rows),
                false => Draft::default(),
            }
        };
        self.page_ranges.iter().zip(blocks).map(draft).collect()
    }

    /// Adds the next column, unless all of its values are null.
    fn add(
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

    /// Returns the number of columns with values.
    pub fn columns(&self) -> usize {
        self.columns.len()
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
            _ => self.is_continued,
        }
    }

    pub(super) fn page_bytes(&self, page: usize) -> usize {
        let keys = self.page_keys.1.get(page).map_or(0, Vec::len);
        keys + self.columns.iter().filter_map(|c| c.blocks.get(page)).map(Vec::len).sum::<usize>()
    }
}

fn sealed(drafts: Vec<Draft>) -> (Stored, Vec<Vec<u8>>) {
    let (table, mut blocks) = finish_column(drafts);
    blocks.iter_mut().filter(|data| !data.is_empty()).for_each(|data| append_crc(data, 0));
    (table, blocks)
}
