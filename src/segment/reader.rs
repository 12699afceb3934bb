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

/// Cells of one table that [`each_table`] hands over, unless a single page has more.
const TABLE_CELLS_MAX: usize = 500_000;

/// A whole segment as rows, for compaction: consecutive pages that have the same fields, so many
/// at a time. A column that a page lacks takes nothing.
///
/// # Errors
/// What `blocks` and `each` say.
pub fn each_table<B: Blocks>(
    measurement: MeasurementId,
    index: &Index,
    blocks: &mut B,
    mut each: impl FnMut(FrameTable) -> Result<(), B::Error>,
) -> Result<(), B::Error> {
    let all = series(index, blocks)?;
    let mut rest = 0..index.pages.len();
    while let Some(first) = index.pages.get(rest.start) {
        let at = rest.start..alike(&index.pages, rest.start);
        rest.start = at.end;
        let last = index.pages.get(at.end.saturating_sub(1)).unwrap_or(first);
        let end = last.last_series().saturating_add(1).min(all.len);
        let numbers: Vec<u32> = (first.first_series..end).collect();
        let has = |field: &usize| first.fields.get(*field).is_some_and(|block| block.bytes > 0);
        let fields: Vec<usize> = (0..index.fields.len()).filter(has).collect();
        let block = block_of(index, blocks, at, &fields)?;
        let block = Block { series: all.pick(&numbers), ..block };
        let field_ids = fields.iter().filter_map(|&at| index.fields.get(at));
        each(FrameTable {
            measurement,
            tag_ids: index.tag_ids.clone(),
            field_ids: field_ids.map(|&(id, _)| id).collect(),
            block,
        })?;
    }
    Ok(())
}

/// The end of the pages from `start` on that have the same fields and together few cells.
fn alike(pages: &[Page], start: usize) -> usize {
    let Some((first, rest)) = pages.get(start..).and_then(<[Page]>::split_first) else {
        return start;
    };
    let has = |page: &Page, at: usize| page.fields.get(at).is_some_and(|block| block.bytes > 0);
    let width = (0..first.fields.len()).filter(|&at| has(first, at)).count().max(1);
    let mut cells = first.rows as usize * width;
    let same = rest.iter().take_while(|page| {
        cells += page.rows as usize * width;
        cells <= TABLE_CELLS_MAX
            && (0..first.fields.len()).all(|at| has(page, at) == has(first, at))
    });
    start + 1 + same.count()
}

/// The rows of some pages, of the fields at these positions, which all of them have. Series count
/// from the first page's first.
fn block_of<B: Blocks>(
    index: &Index,
    blocks: &mut B,
    pages: std::ops::Range<usize>,
    fields: &[usize],
) -> Result<Block, B::Error> {
    let types = fields.iter().filter_map(|&at| index.fields.get(at));
    let columns = types.map(|&(_, field_type)| Column::new(field_type)).collect();
    let mut block = Block { fields: columns, ..Block::default() };
    let pages = index.pages.get(pages).unwrap_or_default();
    let first_series = pages.first().map_or(0, |page| page.first_series);
    for page in pages {
        let keys = keys(index, page, blocks)?;
        let mut start = 0;
        for (series, end) in (page.first_series.saturating_sub(first_series)..).zip(keys.ends) {
            let rows = block.row_series.len() + (end - start) as usize;
            block.row_series.resize(rows, series);
            start = end;
        }
        block.times_ns.extend(keys.times_ns);
        for (&at, column) in fields.iter().zip(&mut block.fields) {
            if let Some(more) = field(index, page, at, blocks)? {
                column.extend_from(&more);
            }
        }
    }
    Ok(block)
}
