//! Blocks of a segment to series, keys and columns. Where the bytes come from is the caller's.

use super::block::{self, Error, Keys};
use super::index::{Index, Page};
use super::packer::Address;
use super::series::Joiner;
use crate::batch::Block;
use crate::batch::FrameTable;
use crate::batch::column::Column;
use crate::batch::series_table::SeriesTable;
use crate::model::ids::MeasurementId;

/// Where blocks come from.
pub trait Blocks {
    /// Why bytes could not be had; must be able to say which block is damaged.
    type Error;

    /// Hands the bytes at `address` to `read`.
    ///
    /// # Errors
    /// When the value is not there, is too short, or `read` finds it damaged.
    fn with<T>(
        &mut self,
        address: Address,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, Self::Error>;
}

/// The series of a segment, in its order.
///
/// # Errors
/// What `blocks` says.
pub fn series<B: Blocks>(index: &Index, blocks: &mut B) -> Result<SeriesTable, B::Error> {
    let mut joiner = Joiner::new(index.tag_ids.len());
    for &(count, address) in &index.chunks {
        blocks.with(address, |bytes| joiner.add(bytes, count))?;
    }
    Ok(joiner.finish())
}

/// One block of the series of a segment; nothing past the last.
///
/// # Errors
/// What `blocks` says.
pub fn chunk<B: Blocks>(
    index: &Index,
    chunk: usize,
    blocks: &mut B,
) -> Result<SeriesTable, B::Error> {
    let mut joiner = Joiner::new(index.tag_ids.len());
    if let Some(&(count, address)) = index.chunks.get(chunk) {
        blocks.with(address, |bytes| joiner.add(bytes, count))?;
    }
    Ok(joiner.finish())
}

/// Series and times of a page.
///
/// # Errors
/// What `blocks` says.
pub fn keys<B: Blocks>(index: &Index, page: &Page, blocks: &mut B) -> Result<Keys, B::Error> {
    blocks.with(page.keys, |bytes| {
        let table = index.table(index.fields.len())?;
        block::decode_keys(bytes, page.rows, page.series, table)
    })
}

/// The field at position `field` of the index, for the rows of a page; `None` where no row has it.
///
/// # Errors
/// What `blocks` says.
pub fn field<B: Blocks>(
    index: &Index,
    page: &Page,
    field: usize,
    blocks: &mut B,
) -> Result<Option<Column>, B::Error> {
    match (index.fields.get(field), page.fields.get(field)) {
        (Some(&(_, field_type)), Some(&address)) if address.bytes > 0 => blocks
            .with(address, |bytes| {
                block::decode_field(bytes, field_type, page.rows, index.table(field)?)
            })
            .map(Some),
        _ => Ok(None),
    }
}

/// A whole segment as rows, for compaction.
///
/// # Errors
/// What `blocks` says.
pub fn table<B: Blocks>(
    measurement: MeasurementId,
    index: &Index,
    blocks: &mut B,
) -> Result<FrameTable, B::Error> {
    let mut block = Block { series: series(index, blocks)?, ..Block::default() };
    block.fields = index.fields.iter().map(|&(_, field_type)| Column::new(field_type)).collect();
    for page in &index.pages {
        let keys = keys(index, page, blocks)?;
        let mut start = 0;
        for (series, end) in (page.first_series..).zip(keys.ends) {
            let rows = block.row_series.len() + (end - start) as usize;
            block.row_series.resize(rows, series);
            start = end;
        }
        block.times_ns.extend(keys.times_ns);
        for (at, column) in block.fields.iter_mut().enumerate() {
            match field(index, page, at, blocks)? {
                Some(more) => {
                    column.extend_from(&more);
                }
                None => column.extend_nulls(page.rows as usize),
            }
        }
    }
    let field_ids = index.fields.iter().map(|&(id, _)| id).collect();
    Ok(FrameTable { measurement, tag_ids: index.tag_ids.clone(), field_ids, block })
}
