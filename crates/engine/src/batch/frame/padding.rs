//! Divides rows into tables by columns if a single table would mostly contain padding.

use crate::batch::Block;
use crate::batch::bitmap::Validity;
use crate::batch::column::Column;
use crate::batch::column_sets::{ColumnSet, field_sets, without_small};
use crate::batch::extract::CELLS_PER_VALUE_MAX;
use crate::batch::order::{Distinct, rank_series};
use crate::batch::series_table::SeriesTable;
use tidemark_model::bug::OrBug;

pub(super) fn is_padded(block: &Block, rows: &[u32]) -> bool {
    let values_of = |column: &Column| match &column.validity {
        Validity::All => rows.len(),
        Validity::Some(bits) => rows.iter().filter(|&&row| bits.get(row as usize)).count(),
    };
    let values = block.fields.iter().map(values_of).filter(|&values| values > 0);
    let (columns, values) = values.fold((0, 0), |(columns, sum), of| (columns + 1, sum + of));
    rows.len() * columns > values * CELLS_PER_VALUE_MAX
}

/// Returns, for each series, the first series with the same tags.
pub(super) fn same_series(series: &SeriesTable) -> Vec<u32> {
    let tags: Vec<usize> = (0..series.tags.len()).collect();
    let rank = rank_series(series, &tags);
    let mut order = vec![0; rank.len()];
    for (number, &place) in (0..).zip(&rank) {
        if let Some(slot) = order.get_mut(place as usize) {
            *slot = number;
        }
    }
    let equal =
        |a: u32, b: u32| series.tags.iter().all(|tag| tag.get(a as usize) == tag.get(b as usize));
    let mut first = vec![0; rank.len()];
    // Series with equal tags are in order of their numbers.
    for same in order.chunk_by(|&a, &b| equal(a, b)) {
        for &number in same {
            if let (Some(slot), Some(&of)) = (first.get_mut(number as usize), same.first()) {
                *slot = of;
            }
        }
    }
    first
}

/// The rows of a block, merged by series and time, so that the order of tables has no effect.
pub(super) struct Overlaid<'a> {
    block: &'a Block,
    same: &'a [u32],
    distinct: Distinct,
}

impl<'a> Overlaid<'a> {
    /// The rows must be grouped by series. Later rows overwrite earlier rows.
    pub(super) fn new(block: &'a Block, same: &'a [u32], rows: Vec<u32>) -> Self {
        let mut overlaid = Self { block, same, distinct: Distinct::default() };
        let key = |row: u32| {
            let time_ns = block.times_ns.get(row as usize).copied().or_bug();
            (overlaid.series_of(row), time_ns)
        };
        let mut ordered = rows;
        ordered.sort_by_key(|&row| key(row));
        overlaid.distinct = Distinct::by(&ordered, |a, b| key(a) == key(b));
        overlaid
    }

    pub(super) fn series_of(&self, row: u32) -> u32 {
        let number = self.block.row_series.get(row as usize).copied().or_bug();
        self.same.get(number as usize).copied().or_bug()
    }

    pub(super) fn sets(&self) -> Vec<ColumnSet> {
        let has = |at: u32, field: usize| {
            let is_valid = |column: &Column, row: u32| column.validity.is_valid(row as usize);
            let rows = self.distinct.group(at as usize);
            let column = self.block.fields.get(field);
            column.is_some_and(|column| rows.iter().any(|&row| is_valid(column, row)))
        };
        without_small(field_sets(0..self.distinct.rows.len() as u32, self.block.fields.len(), has))
    }

    pub(super) fn rows(&self, positions: &[u32]) -> Vec<u32> {
        positions.iter().filter_map(|&at| self.distinct.rows.get(at as usize).copied()).collect()
    }

    pub(super) fn picks(&self, column: &Column, positions: &[u32]) -> Vec<u32> {
        let is_valid = |row: u32| column.validity.is_valid(row as usize);
        positions.iter().filter_map(|&at| self.distinct.pick(is_valid, at as usize)).collect()
    }
}
