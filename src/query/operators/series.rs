//! Contains the values of a call for one group.

use crate::model::bug::OrBug;
use crate::query::result::Column;

/// The values of a call for one group, in the statement's direction. Times are unique unless the
/// call returns several values per time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallSeries {
    pub(crate) times_ns: Vec<i64>,
    pub(crate) values: Column,
    pub(crate) aux: Vec<Option<Column>>,
}

impl CallSeries {
    pub(crate) fn bytes(&self) -> usize {
        let aux = self.aux.iter().flatten().map(Column::bytes).sum::<usize>();
        8 * self.times_ns.len() + self.values.bytes() + aux
    }

    /// Returns rows `from..to`, limited to the rows that exist.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        let to = to.min(self.times_ns.len());
        let from = from.min(to);
        // Row positions fit in u32, because a series in memory has at most a million windows.
        let rows: Vec<u32> = (from as u32..to as u32).collect();
        Self {
            times_ns: self.times_ns.get(from..to).or_bug().to_vec(),
            values: self.values.gather(&rows),
            aux: self.aux.iter().map(|c| c.as_ref().map(|c| c.gather(&rows))).collect(),
        }
    }
}

/// A row that is `None` becomes null.
pub(crate) fn gather_or_null(column: &Column, rows: &[Option<u32>]) -> Column {
    let mut gathered = Column::full(column.values.gather_or_pad(rows));
    if rows.iter().any(|row| row.is_none_or(|row| !column.validity.is_valid(row as usize))) {
        for (index, row) in rows.iter().enumerate() {
            let valid = row.is_some_and(|row| column.validity.is_valid(row as usize));
            gathered.validity.push(index, valid);
        }
    }
    gathered
}
