//! Copies some rows and columns of a block into a new block.

use super::{Block, FrameTable};
use tidemark_model::bug::OrBug;

/// The number of cells per value above which a table is split into column sets.
pub(super) const CELLS_PER_VALUE_MAX: usize = 2;

impl Block {
    pub(crate) fn extract(&self, rows: &[u32], fields: &[usize]) -> Self {
        let series_of = |&row: &u32| self.row_series.get(row as usize).copied().or_bug();
        let mut used = vec![false; self.series.len as usize];
        for row in rows {
            if let Some(used) = used.get_mut(series_of(row) as usize) {
                *used = true;
            }
        }
        let series: Vec<u32> =
            (0..).zip(&used).filter(|(_, used)| **used).map(|(n, _)| n).collect();
        let number_of = |old: u32| series.partition_point(|&number| number < old) as u32;
        let time = |&row: &u32| self.times_ns.get(row as usize).copied();
        let fields = fields.iter().filter_map(|&at| self.fields.get(at));
        Self {
            series: self.series.pick(&series),
            row_series: rows.iter().map(|row| number_of(series_of(row))).collect(),
            times_ns: rows.iter().filter_map(time).collect(),
            fields: fields.map(|column| column.gather(rows)).collect(),
        }
    }
}

impl FrameTable {}
