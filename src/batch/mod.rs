//! Represents points as columns: parsing produces them, frames carry them, the memtable keeps them
//! and scans read them.
//!
//! A [`Block`] is one measurement's rows. Tags are cut once per series into a [`SeriesTable`]; a
//! row names its series, so no tag value is repeated per row. Which columns those are is said
//! beside the block: by key while the batch belongs to a client ([`MeasurementBatch`]), by id once
//! the schema has been consulted ([`FrameTable`]).

pub mod bitmap;
pub mod chunks;
pub mod column;
pub mod column_bytes;
mod column_growth;
pub mod column_sets;
mod extract;
mod field_writer;
pub mod frame;
pub mod from_lines;
mod interner;
pub mod layout;
pub mod line_numbers;
mod measurement_writer;
pub mod narrow;
mod row_runs;
pub mod selection;
pub mod order;
pub mod picker;
pub mod series_table;
pub mod shard_rows;
pub mod slabs;
pub mod string_column;

use crate::model::ids::{ColumnId, MeasurementId};
use column::Column;
use line_numbers::LineNumbers;
use series_table::SeriesTable;

/// Rows of one measurement, in no particular order unless the holder says so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// The series that rows refer to.
    pub series: SeriesTable,
    /// For each row, its series' position in `series`.
    pub row_series: Vec<u32>,
    /// For each row, its time in nanoseconds.
    pub times_ns: Vec<i64>,
    /// Field columns, each as long as `times_ns`.
    pub fields: Vec<Column>,
}

impl Block {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.times_ns.len()
    }
}

impl Batch {
    /// Bytes of memory that the columns hold.
    pub fn bytes(&self) -> usize {
        let of = |batch: &MeasurementBatch| {
            let Block { series, row_series, times_ns, fields } = &batch.block;
            let tags =
                series.tags.iter().map(|tag| tag.dictionary.bytes() + tag.codes.capacity() * 4);
            let rows = row_series.capacity() * 4 + times_ns.capacity() * 8 + batch.lines.bytes();
            rows + tags.sum::<usize>() + fields.iter().map(Column::bytes).sum::<usize>()
        };
        self.measurements.iter().map(of).sum()
    }
}

/// One write request after parsing: only accepted lines are in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In order of first appearance. One has several, in order of its lines, where padding all of
    /// them to the same columns would take much more than their values.
    pub measurements: Vec<MeasurementBatch>,
}

/// The rows of one measurement in a write request, columns named by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasurementBatch {
    /// The measurement's name.
    pub name: String,
    /// Keys of `block.series.tags`, in the same order.
    pub tag_keys: Vec<String>,
    /// Keys of `block.fields`, in the same order. A key stands twice when two lines of the request
    /// disagree on its type: the schema decides which line loses.
    pub field_keys: Vec<String>,
    /// The rows in order of their lines.
    pub block: Block,
    /// For each row, the 1-based physical line on which it started.
    pub lines: LineNumbers,
}

/// The rows of one measurement as a shard receives and keeps them, columns named by id.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameTable {
    /// Never reused, so a frame for a dropped measurement can be refused.
    pub measurement: MeasurementId,
    /// Ids of `block.series.tags`, in the same order.
    pub tag_ids: Vec<ColumnId>,
    /// Ids of `block.fields`, in the same order, each once.
    pub field_ids: Vec<ColumnId>,
    /// The rows.
    pub block: Block,
}
