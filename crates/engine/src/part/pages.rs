//! Reads the blocks of groups: series, keys and columns.

use std::ops::Range;
use std::rc::Rc;

use super::block::{self, CORRUPT, Error};
use super::directory::{Directory, PartGroup};
use super::series_block;
use super::values::{Decoded, DecodedAt, RowKeys, Values};
use crate::batch::column_bytes;
use crate::batch::series_table::SeriesTable;
use crate::codec::huffman::{Decoder, LOOKUP_VALUES_MIN};
use crate::merge::cursor::{PageColumn, ReadError};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};

/// The position of a page in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PagePosition {
    /// The number of the value, counted from the part's first value.
    pub value: usize,
    /// The number of the group in the value.
    pub group: usize,
    /// The number of the page in the group.
    pub page: usize,
}

/// Returns the values of `part` with groups of a measurement, and the ranges of these groups.
pub fn groups_of<V: Values>(
    values: &mut V,
    part: u64,
    measurement: MeasurementId,
) -> Result<Vec<(usize, Range<usize>)>, ReadError> {
    let Some(last) = values.count().checked_sub(1) else { return Ok(Vec::new()) };
    let directory = values.directory(last)?;
    let root = directory.root_of(part);
    let before = root.map_or(last..last, |root| root.values_of(measurement));
    let mut found = Vec::new();
    for value in before.chain([last]) {
        let directory = values.directory(value)?;
        let groups = directory.group_range(part).unwrap_or_default();
        let of = directory.groups.get(groups.clone()).or_bug();
        let start = groups.start + of.partition_point(|group| group.measurement < measurement);
        let end = groups.start + of.partition_point(|group| group.measurement <= measurement);
        if start < end {
            found.push((value, start..end));
        }
    }
    Ok(found)
}

/// Reads series block number `block` of a group in value `value`, as codes of its tags.
pub fn series<V: Values>(
    values: &mut V,
    value: usize,
    group: &PartGroup,
    block: usize,
) -> Result<SeriesTable, ReadError> {
    let Some(block) = group.series.get(block) else { return Err(values.damaged(value, CORRUPT)) };
    let (count, tags) = (block.series as usize, group.tag_ids.len());
    let bytes = block.offset..block.offset + block.bytes;
    values.with(value, bytes, |bytes| series_block::decode(bytes, count, tags))
}

/// Reads a column of a page, possibly from a following group, or `None` if all values are null.
pub fn column<V: Values>(
    values: &mut V,
    part: u64,
    directory: Rc<Directory>,
    page: PagePosition,
    id: ColumnId,
) -> Result<Option<PageColumn>, ReadError> {
    find_in_groups(values, part, directory, page, |mut group| group.column(page.page, id))
}

/// Returns the total size of a page's blocks with text, in bytes.
pub(super) fn text_bytes<V: Values>(
    values: &mut V,
    part: u64,
    directory: Rc<Directory>,
    page: PagePosition,
) -> Result<usize, ReadError> {
    let mut bytes = 0;
    find_in_groups(values, part, directory, page, |group| {
        bytes += group.group.text_bytes(page.page);
        Ok(None::<()>)
    })?;
    Ok(bytes)
}

/// Calls `find` for each group with columns of a page, until `find` returns a result.
fn find_in_groups<V: Values, T>(
    values: &mut V,
    part: u64,
    mut directory: Rc<Directory>,
    page: PagePosition,
    mut find: impl FnMut(GroupReader<'_, V>) -> Result<Option<T>, ReadError>,
) -> Result<Option<T>, ReadError> {
    let PagePosition { mut value, group: mut at, .. } = page;
    let mut continues_columns = false;
    loop {
        let groups = directory.group_range(part).unwrap_or_default();
        let group = directory.groups.get(at).filter(|_| groups.contains(&at));
        let Some(group) = group.filter(|group| group.continues_columns() == continues_columns)
        else {
            return Ok(None);
        };
        let found = find(GroupReader { values: &mut *values, value, number: at, group })?;
        if found.is_some() || !group.is_wide() {
            return Ok(found);
        }
        continues_columns = true;
        at += 1;
        if at >= groups.end {
            value += 1;
            if value >= values.count() {
                return Ok(None);
            }
            directory = values.directory(value)?;
            at = directory.group_range(part).unwrap_or_default().start;
        }
    }
}

/// Reads blocks of a group, which has number `number` in value `value`.
pub(super) struct GroupReader<'a, V> {
    pub(super) values: &'a mut V,
    pub(super) value: usize,
    pub(super) number: usize,
    pub(super) group: &'a PartGroup,
}

impl<V: Values> GroupReader<'_, V> {
    pub(super) fn series(&mut self, block: usize) -> Result<Rc<SeriesTable>, ReadError> {
        let at = DecodedAt::Series(block as u32);
        if let Some(Decoded::Series(kept)) = self.values.cached(self.value, self.number, at) {
            return Ok(kept);
        }
        let series = Rc::new(series(self.values, self.value, self.group, block)?);
        self.keep(at, &Decoded::Series(Rc::clone(&series)));
        Ok(series)
    }

    pub(super) fn keys(&mut self, page: usize) -> Result<RowKeys, ReadError> {
        let at = DecodedAt::Keys(page as u32);
        if let Some(Decoded::Keys(kept)) = self.values.cached(self.value, self.number, at) {
            return Ok(kept);
        }
        let keys = self.decode_keys(page)?;
        self.keep(at, &Decoded::Keys(keys.clone()));
        Ok(keys)
    }

    pub(super) fn decode_keys(&mut self, page: usize) -> Result<RowKeys, ReadError> {
        let Some(page) = self.group.pages.get(page) else {
            return Err(self.values.damaged(self.value, CORRUPT));
        };
        let table = self.table(self.group.columns.len(), page.rows as usize)?;
        let bytes = page.offset..page.offset + page.keys_bytes;
        self.values.with(self.value, bytes, |bytes| {
            RowKeys::decode(bytes, page.rows, page.series, table.as_deref())
        })
    }

    /// Returns the table of a column's blocks. The number after the last column refers to the table
    /// of the keys. Tables for few rows are not cached.
    fn table(&mut self, column: usize, rows: usize) -> Result<Option<Rc<Decoder>>, ReadError> {
        let stored = self.group.tables.get(column).filter(|table| !table.bytes().is_empty());
        let Some(stored) = stored else { return Ok(None) };
        // A group has fewer than 2^32 columns.
        let at = DecodedAt::Table(column as u32);
        let is_kept = rows >= LOOKUP_VALUES_MIN;
        if is_kept
            && let Some(Decoded::Table(kept)) = self.values.cached(self.value, self.number, at)
        {
            return Ok(Some(kept));
        }
        let table = stored.decoder();
        let table = table.map_err(|reason| self.values.damaged(self.value, reason.into()))?;
        let table = table.map(Rc::new);
        if let Some(table) = table.as_ref().filter(|_| is_kept) {
            self.keep(at, &Decoded::Table(Rc::clone(table)));
        }
        Ok(table)
    }

    fn column(&mut self, page: usize, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        let columns = &self.group.columns;
        let Ok(column) = columns.binary_search_by_key(&id, |&(id, _)| id) else {
            return Ok(None);
        };
        let bytes = self.group.column_at(page, column);
        let field_type = columns.get(column).map(|&(_, field_type)| field_type);
        let rows = self.group.pages.get(page).map_or(0, |page| page.rows as usize);
        let Some(field_type) = field_type.filter(|_| !bytes.is_empty()) else { return Ok(None) };
        let at = DecodedAt::Column((page * columns.len() + column) as u32);
        if let Some(Decoded::Column(kept)) = self.values.cached(self.value, self.number, at) {
            return Ok(Some(kept));
        }
        let table = self.table(column, rows)?;
        let column = self.values.with(self.value, bytes, |bytes| -> Result<_, Error> {
            let data = block::open(bytes)?;
            Ok(column_bytes::decode_with(data, field_type, rows, table.as_deref())?)
        })?;
        let column = PageColumn::Wide(Rc::new(column));
        self.keep(at, &Decoded::Column(column.clone()));
        Ok(Some(column))
    }

    fn keep(&self, at: DecodedAt, decoded: &Decoded) {
        self.values.keep(self.value, self.number, at, decoded);
    }
}

pub(super) fn has_blocks(group: &PartGroup, page: usize) -> bool {
    let columns = group.columns.len();
    let blocks = group.column_bytes.iter().skip(page * columns).take(columns);
    let (mut all, mut alone) = (0_u64, 0_u64);
    for (&bytes, table) in blocks.zip(&group.tables) {
        all += u64::from(bytes);
        alone += if table.bytes().is_empty() { u64::from(bytes) } else { 0 };
    }
    !group.continues_columns() && !group.is_wide() && 2 * alone > all
}

/// Returns a column's block without decoding it. A block of nulls is empty. Returns `None` if the
/// block needs a table, or if several groups contain the page's columns.
pub(super) fn block<V: Values>(
    values: &mut V,
    value: usize,
    group: &PartGroup,
    page: usize,
    id: ColumnId,
) -> Result<Option<Vec<u8>>, ReadError> {
    if group.continues_columns() || group.is_wide() {
        return Ok(None);
    }
    let Ok(column) = group.columns.binary_search_by_key(&id, |&(id, _)| id) else {
        return Ok(Some(Vec::new()));
    };
    let bytes = group.column_at(page, column);
    if bytes.is_empty() {
        return Ok(Some(Vec::new()));
    }
    if group.tables.get(column).is_none_or(|table| !table.bytes().is_empty()) {
        return Ok(None);
    }
    let sealed = values.with(value, bytes, |bytes| {
        block::open(bytes)?;
        Ok(bytes.to_vec())
    })?;
    Ok(Some(sealed))
}
