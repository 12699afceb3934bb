//! Represents points as columns, from the parser to scans.
//!
//! A [`Block`] contains the rows of a single measurement. A row refers to its series by number. A
//! [`MeasurementBatch`] is a block from a client's lines, with the keys of its columns. A
//! [`FrameTable`] is a block from a frame, with the ids of its columns. Both are called *tables*.

pub mod bitmap;
pub mod chunks;
pub mod column;
pub mod column_bytes;
pub mod column_sets;
pub mod frame;
pub mod from_lines;
pub(crate) mod interner;
pub mod line_numbers;
mod measurement_writer;
pub mod narrow;
pub mod selection;
pub mod order;
pub mod picker;
mod room;
pub mod series_table;
pub mod shard_rows;
pub mod slabs;
pub mod string_column;

use column::{Column, gather};
use line_numbers::LineNumbers;
use series_table::{SeriesTable, TagColumn, renumber};
use tidemark_model::ids::{ColumnId, MeasurementId};

/// The number of cells per value above which a table is split into column sets.
const CELLS_PER_VALUE_MAX: usize = 2;

/// The rows of a measurement. The rows are in any order, unless the block's owner defines an order.
/// The blocks of a part are a different format (`part`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// The series of the rows.
    pub series: SeriesTable,
    /// The position of each row's series in `series`.
    pub row_series: Vec<u32>,
    /// The time of each row, in nanoseconds.
    pub times_ns: Vec<i64>,
    /// The field columns. Each column is as long as `times_ns`.
    pub fields: Vec<Column>,
}

impl Block {
    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.times_ns.len()
    }

    /// Copies some rows and columns, and only the series of these rows.
    pub(crate) fn extract(&self, rows: &[u32], fields: &[usize]) -> Self {
        let mut row_series = gather(&self.row_series, rows);
        let fields = fields.iter().filter_map(|&at| self.fields.get(at));
        Self {
            series: self.series.gather(&renumber(&mut row_series)),
            row_series,
            times_ns: gather(&self.times_ns, rows),
            fields: fields.map(|column| column.gather(rows)).collect(),
        }
    }
}

/// The accepted lines of a write request after parsing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The batches of each measurement, in line order. A measurement has several batches if a
    /// single batch would mostly contain padding.
    pub measurements: Vec<MeasurementBatch>,
}

impl Batch {
    /// Returns the memory size of the columns, in bytes.
    pub fn bytes(&self) -> usize {
        self.measurements.iter().map(MeasurementBatch::bytes).sum()
    }
}

/// The rows of a measurement in a write request, with columns named by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasurementBatch {
    /// The measurement's name.
    pub name: String,
    /// The keys of `block.series.tags`, in the same order.
    pub tag_keys: Vec<String>,
    /// The keys of `block.fields`. A key occurs twice if its values have two types.
    pub field_keys: Vec<String>,
    /// The rows in line order.
    pub block: Block,
    /// The 1-based physical line on which each row starts.
    pub lines: LineNumbers,
}

impl MeasurementBatch {
    fn bytes(&self) -> usize {
        let Block { series, row_series, times_ns, fields } = &self.block;
        let keys = self.tag_keys.iter().chain(&self.field_keys);
        let keys = keys.map(|key| size_of::<String>() + key.capacity());
        let tags = series.tags.iter().map(|tag| size_of::<TagColumn>() + tag.bytes());
        let fields = fields.iter().map(|column| size_of::<Column>() + column.bytes());
        let rows = row_series.capacity() * 4 + times_ns.capacity() * 8 + self.lines.bytes();
        size_of::<Self>() + rows + keys.chain(tags).chain(fields).sum::<usize>()
    }
}

/// The rows of a measurement, as a shard receives and stores them, with columns named by id.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameTable {
    /// The measurement's id, which is never reused.
    pub measurement: MeasurementId,
    /// The ids of `block.series.tags`, in the same order.
    pub tag_ids: Vec<ColumnId>,
    /// The unique ids of `block.fields`, in the same order.
    pub field_ids: Vec<ColumnId>,
    /// The rows.
    pub block: Block,
}
