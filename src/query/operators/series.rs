//! Holds the values of one call in one group.

use crate::query::result::Column;

/// Values in order of time (in the statement's direction), at most one per time unless the call
/// gives several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallSeries {
    /// Times, nanoseconds.
    pub(crate) times_ns: Vec<i64>,
    /// As many values.
    pub(crate) values: Column,
    /// For a selector, the columns beside, each as long; `None`: all null.
    pub(crate) beside: Vec<Option<Column>>,
}

impl CallSeries {
    /// What it takes.
    pub(crate) fn bytes(&self) -> usize {
        let beside = self.beside.iter().flatten().map(Column::bytes).sum::<usize>();
        8 * self.times_ns.len() + self.values.bytes() + beside
    }

    /// Rows `from..to`, clipped to what is there.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        let to = to.min(self.times_ns.len());
        let from = from.min(to);
        // Positions of rows fit u32: a series held whole has at most a million windows.
        let rows: Vec<u32> = (from as u32..to as u32).collect();
        Self {
            times_ns: self.times_ns.get(from..to).unwrap_or_default().to_vec(),
            values: self.values.gather(&rows),
            beside: self.beside.iter().map(|c| c.as_ref().map(|c| c.gather(&rows))).collect(),
        }
    }
}

/// Rows at `rows`, null where `None`.
pub(crate) fn gather_or_null(column: &Column, rows: &[Option<u32>]) -> Column {
    // Past the end of a column there is only padding, and it is marked null below.
    let picked: Vec<u32> = rows.iter().map(|row| row.unwrap_or(u32::MAX)).collect();
    let mut gathered = Column::full(column.values.gather(&picked));
    if rows.iter().any(|row| row.is_none_or(|row| !column.validity.is_valid(row as usize))) {
        for (index, row) in rows.iter().enumerate() {
            let valid = row.is_some_and(|row| column.validity.is_valid(row as usize));
            gathered.validity.push(index, valid);
        }
    }
    gathered
}
