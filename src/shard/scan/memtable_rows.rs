//! Rows of the memtable, series after series, as a scan reads them.

use std::rc::Rc;

use crate::batch::layout::Layout;
use crate::batch::order::{Distinct, Order};
use crate::memtable::table::MeasurementTable;
use crate::model::ids::ColumnId;
use crate::scan::source::Rows;

/// Rows put into one block, at least, when a series has fewer.
const ROWS_PER_BLOCK: usize = 1_024;

/// Rows of series `first` and, while they are few, of those behind it, and for each series
/// where its rows end.
pub(super) fn gather(
    table: &MeasurementTable,
    order: &Order,
    first: u32,
    columns: &[ColumnId],
) -> (Rows, Rc<[u32]>) {
    let last = table.series().len.saturating_sub(1).max(first);
    let mut rows: Vec<u32> = Vec::new();
    let mut counts = Vec::new();
    for series in first..=last {
        if !rows.is_empty() && rows.len() >= ROWS_PER_BLOCK {
            break;
        }
        rows.extend_from_slice(order.rows_of_series(series));
        counts.push(series);
    }
    let distinct = if order.has_duplicates {
        Distinct::new(&rows, table.row_series(), table.times_ns())
    } else {
        Distinct::of_distinct(rows)
    };
    let at = |row: &u32| *row as usize;
    let series_of = |row: &u32| table.row_series().get(at(row)).copied().unwrap_or_default();
    let ends = counts
        .iter()
        // Rows are ordered by series number here.
        .map(|&series| distinct.rows.partition_point(|row| series_of(row) <= series) as u32)
        .collect();
    let times = distinct.rows.iter().filter_map(|row| table.times_ns().get(at(row)).copied());
    let layout = Layout::new(table.fields(), &distinct);
    let wanted = columns.iter().filter_map(|&id| layout.field(id));
    let rows = Rows {
        times_ns: times.collect(),
        columns: wanted.map(|field| (field.id, field.gather(0..distinct.rows.len()))).collect(),
    };
    (rows, ends)
}
