//! Groups consecutive rows of a measurement into runs, whose rows are padded to common columns. If
//! most cells are padding, a new run begins.

use super::column::Column;
use super::extract::CELLS_PER_VALUE_MAX;
use super::line_numbers::LineNumbers;
use super::series_table::SeriesTable;
use super::{Block, MeasurementBatch};
use tidemark_model::bug::OrBug;

/// The number of cells (512 KB) that a run may have even if most of the cells are padding.
pub(super) const CELLS_ENOUGH: usize = 1 << 16;
const NONE: u32 = u32::MAX;

#[inline]
pub(super) fn is_padded(rows: usize, columns: usize, values: usize) -> bool {
    rows.saturating_mul(columns) > CELLS_ENOUGH + CELLS_PER_VALUE_MAX * values
}

#[derive(Debug, Default)]
pub(super) struct RowRun {
    /// The columns with their field numbers. Each column is as long as `times_ns`.
    pub(super) columns: Vec<(u32, Column)>,
    pub(super) row_series: Vec<u32>,
    pub(super) times_ns: Vec<i64>,
    pub(super) lines: LineNumbers,
}

impl RowRun {
    pub(super) fn shrunk(mut self) -> Self {
        let rows: Vec<u32> = (0..self.times_ns.len() as u32).collect();
        self.columns.iter_mut().for_each(|(_, column)| *column = column.gather(&rows));
        self.row_series.shrink_to_fit();
        self.times_ns.shrink_to_fit();
        self
    }

    pub(super) fn bytes(&self) -> usize {
        let rows =
            self.row_series.capacity() * 4 + self.times_ns.capacity() * 8 + self.lines.bytes();
        rows + self.columns.iter().map(|(_, column)| column.bytes()).sum::<usize>()
    }
}

pub(super) struct Names {
    pub(super) name: String,
    pub(super) tag_keys: Vec<String>,
    pub(super) field_keys: Vec<String>,
}

/// Converts the runs to batches in the same order. If `any_rejected` is set, some series may have
/// no rows.
pub(super) fn to_batches(
    names: &Names,
    series: SeriesTable,
    runs: Vec<RowRun>,
    any_rejected: bool,
) -> Vec<MeasurementBatch> {
    let is_only = runs.len() == 1;
    let mut all = Some(series);
    let batch = |run: RowRun| {
        let RowRun { columns, mut row_series, times_ns, lines } = run;
        let mut tag_keys = names.tag_keys.clone();
        let series = match is_only {
            true => {
                let mut series = all.take().unwrap_or_default();
                if any_rejected {
                    drop_unused(&mut series, &mut tag_keys, &mut row_series);
                }
                series
            }
            false => all.as_ref().map(|all| pick_used(all, &mut row_series)).unwrap_or_default(),
        };
        let key = |field: u32| names.field_keys.get(field as usize).cloned().or_bug();
        let (keys, fields) =
            columns.into_iter().map(|(field, column)| (key(field), column)).unzip();
        let block = Block { series, row_series, times_ns, fields };
        MeasurementBatch { name: names.name.clone(), tag_keys, field_keys: keys, block, lines }
    };
    runs.into_iter().map(batch).collect()
}

fn pick_used(table: &SeriesTable, row_series: &mut [u32]) -> SeriesTable {
    let mut used = row_series.to_vec();
    used.sort();
    used.dedup();
    for series in row_series {
        *series = used.partition_point(|number| number < series) as u32;
    }
    table.pick(&used)
}

fn drop_unused(table: &mut SeriesTable, tag_keys: &mut Vec<String>, row_series: &mut [u32]) {
    let mut new_numbers = vec![NONE; table.len as usize];
    for &series in row_series.iter() {
        if let Some(number) = new_numbers.get_mut(series as usize) {
            *number = 0;
        }
    }
    let mut kept = 0;
    for number in new_numbers.iter_mut().filter(|number| **number == 0) {
        *number = kept;
        kept += 1;
    }
    if kept == table.len {
        return;
    }
    for series in row_series {
        *series = new_numbers.get(*series as usize).copied().or_bug();
    }
    for tag in &mut table.tags {
        let mut numbers = new_numbers.iter();
        tag.codes.retain(|_| numbers.next().is_some_and(|&number| number != NONE));
    }
    table.len = kept;
    let used: Vec<bool> =
        table.tags.iter().map(|tag| tag.codes.iter().any(|&code| code > 0)).collect();
    let mut keep = used.iter();
    table.tags.retain(|_| keep.next().copied().unwrap_or_default());
    let mut keep = used.iter();
    tag_keys.retain(|_| keep.next().copied().unwrap_or_default());
}
