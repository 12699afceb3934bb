//! Copies some rows and columns of a block into a new block.

use super::column_sets::{field_sets, without_small};
use super::{Block, FrameTable};

/// The number of cells per value above which a table is split into column sets.
pub(super) const CELLS_PER_VALUE_MAX: usize = 2;

impl Block {
    /// Copies the rows `rows` of the fields at the positions `fields`, and the series of these
    /// rows.
    pub fn extract(&self, rows: &[u32], fields: &[usize]) -> Self {
        let series_of = |&row: &u32| self.row_series.get(row as usize).copied().unwrap_or_default();
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

impl FrameTable {
    /// Splits the table into one table per column set if most of its cells would be padding. No two
    /// rows may have the same series and time, because the result does not keep the rows' order.
    pub fn without_padding(self) -> Vec<Self> {
        let (rows, fields) = (self.block.rows(), self.block.fields.len());
        let columns = self.block.fields.iter();
        let values: usize = columns.map(|column| rows - column.validity.nulls(rows)).sum();
        if rows * fields <= values * CELLS_PER_VALUE_MAX {
            return vec![self];
        }
        let has = |row: u32, field: usize| {
            self.block.fields.get(field).is_some_and(|c| c.validity.is_valid(row as usize))
        };
        let sets = without_small(field_sets(0..rows as u32, fields, has));
        let of = |at: &usize| self.field_ids.get(*at).copied();
        sets.iter()
            .map(|set| Self {
                measurement: self.measurement,
                tag_ids: self.tag_ids.clone(),
                field_ids: set.fields.iter().filter_map(of).collect(),
                block: self.block.extract(&set.rows, &set.fields),
            })
            .collect()
    }
}
