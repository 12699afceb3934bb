//! Bytes of stored blocks, by address, through the shard's cache.

use std::rc::Rc;

use super::cache::Cache;
use super::load::Loaded;
use super::narrow::Slot;
use super::request::Refusal;
use crate::batch::column::Column;
use crate::batch::series_table::SeriesTable;
use crate::scan::source::ReadStats;
use crate::segment::block;
use crate::segment::directory::Summary;
use crate::segment::index::Index;
use crate::segment::packer::Address;
use crate::segment::reader::{self, Blocks};
use crate::store::{Store, Table};

/// Blocks of the segments of one directory row.
pub(super) struct StoredBlocks<'a, S> {
    store: &'a S,
    cache: &'a Cache,
    key: u64,
    first_value: u64,
    /// Blocks and bytes read so far.
    pub stats: ReadStats,
}

impl<'a, S: Store> StoredBlocks<'a, S> {
    pub(super) fn new(
        store: &'a S,
        cache: &'a Cache,
        loaded: &Loaded,
        key: u64,
    ) -> Result<Self, Refusal> {
        let directory = loaded.directories.get(&key);
        let first_value = directory.map(|directory| directory.first_value);
        let first_value = first_value
            .ok_or_else(|| Refusal::Damaged { block: format!("directory row {key}: missing") })?;
        Ok(Self { store, cache, key, first_value, stats: ReadStats::default() })
    }

    /// The index of a segment of the row.
    pub(super) fn index(&mut self, segment: &Summary) -> Result<Rc<Index>, Refusal> {
        let key = (self.key, segment.index_offset);
        if let Some(index) = self.cache.index(key) {
            return Ok(index);
        }
        let body = self.body(Table::Directory, self.key)?;
        let start = segment.index_offset as usize;
        let bytes = body.get(start..start.saturating_add(segment.index_bytes as usize));
        let index = Index::decode(bytes.unwrap_or_default()).map_err(|error| {
            let offset = segment.index_offset;
            Refusal::Damaged { block: format!("directory row {} at {offset}: {error}", self.key) }
        })?;
        let index = Rc::new(index);
        self.cache.put_index(key, &index);
        Ok(index)
    }

    /// Block `chunk` of the series of a segment of the row.
    pub(super) fn series(
        &mut self,
        segment: &Summary,
        chunk: u32,
    ) -> Result<Rc<SeriesTable>, Refusal> {
        let key = ((self.key, segment.index_offset), chunk);
        if let Some(series) = self.cache.series(key) {
            return Ok(series);
        }
        let index = self.index(segment)?;
        let series = Rc::new(reader::chunk(&index, chunk as usize, self)?);
        let values = |at: u32| -> Vec<String> {
            series.tags.iter().map(|tag| tag.get(at as usize).to_owned()).collect()
        };
        self.cache.put_extent(key, [values(0), values(series.len.saturating_sub(1))]);
        self.cache.put_series(key, &series);
        Ok(series)
    }

    /// The field at position `field` of the index, for the rows of page `at`; `None` where no row
    /// has it. One that is kept decoded counts as read all the same.
    pub(super) fn field(
        &mut self,
        index_offset: u32,
        index: &Index,
        at: usize,
        field: usize,
    ) -> Result<Option<Column>, Refusal> {
        let Some(page) = index.pages.get(at) else { return Ok(None) };
        let fields = index.fields.len();
        let count = index.pages.len() * fields;
        let slot = Slot { of: (self.key, index_offset), at: at * fields + field, count };
        if let Some(column) = self.cache.column(slot) {
            let bytes = page.fields.get(field).map_or(0, |address| address.bytes);
            self.stats.blocks_read += 1;
            self.stats.bytes_decoded += u64::from(bytes);
            return Ok(Some(column));
        }
        let column = reader::field(index, page, field, self)?;
        column.iter().for_each(|column| self.cache.put_column(slot, column));
        Ok(column)
    }

    fn body(&mut self, table: Table, key: u64) -> Result<Rc<[u8]>, Refusal> {
        if let Some(body) = self.cache.body(table, key) {
            return Ok(body);
        }
        let body = self.store.body(table, key)?;
        let missing = || Refusal::Damaged { block: format!("{} row {key}: missing", table.name()) };
        let body: Rc<[u8]> = body.ok_or_else(missing)?.into();
        self.cache.put_body(table, key, &body);
        Ok(body)
    }
}

impl<S: Store> Blocks for StoredBlocks<'_, S> {
    type Error = Refusal;

    fn with<T>(
        &mut self,
        address: Address,
        read: impl FnOnce(&[u8]) -> Result<T, block::Error>,
    ) -> Result<T, Refusal> {
        let key = self.first_value.saturating_add(u64::from(address.value));
        let body = self.body(Table::Segment, key)?;
        let start = address.offset as usize;
        let bytes = body.get(start..start.saturating_add(address.bytes as usize));
        self.stats.blocks_read += 1;
        self.stats.bytes_decoded += u64::from(address.bytes);
        read(bytes.unwrap_or_default()).map_err(|error| Refusal::Damaged {
            block: format!("segment row {key} at {}: {error}", address.offset),
        })
    }
}
