//! Contains the values of a call for one group.

use crate::model::bug::OrBug;
use crate::model::value::FieldValue;
use crate::query::result::Column;
use crate::query::scalar::repeat;

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

    /// Appends the rows of `next`.
    pub(crate) fn extend(&mut self, next: &Self) {
        let before = self.times_ns.len();
        let rows: Vec<u32> = (0..next.times_ns.len() as u32).collect();
        self.times_ns.extend(&next.times_ns);
        self.values.extend_from(&next.values);
        for (all, column) in self.aux.iter_mut().zip(&next.aux) {
            append(all, column.as_ref(), &rows, before);
        }
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

pub(super) fn append(
    all: &mut Option<Column>,
    column: Option<&Column>,
    rows: &[u32],
    before: usize,
) {
    match (all.as_mut(), column) {
        (Some(all), Some(column)) => {
            if !all.extend_from(&column.gather(rows)) {
                all.extend_nulls(rows.len());
            }
        }
        (Some(all), None) => all.extend_nulls(rows.len()),
        (None, Some(column)) => {
            let mut new = Column::new(column.values.field_type());
            new.extend_nulls(before);
            new.extend_from(&column.gather(rows));
            *all = Some(new);
        }
        (None, None) => {}
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

/// A row that is `None` becomes `otherwise`, or null if the types differ.
pub(super) fn gather_or(
    column: &Column,
    rows: &[Option<u32>],
    otherwise: Option<&FieldValue>,
) -> Column {
    let Some(otherwise) = otherwise else { return gather_or_null(column, rows) };
    let mut all = column.clone();
    let filler = all.len() as u32;
    if !all.extend_from(&Column::full(repeat(otherwise, 1))) {
        return gather_or_null(column, rows);
    }
    all.gather(&rows.iter().map(|row| row.unwrap_or(filler)).collect::<Vec<u32>>())
}

/// Returns each entry's own row, or the last earlier row. `before` is the last row before all
/// entries.
pub(super) fn last_before(rows: &[Option<u32>], before: Option<u32>) -> Vec<Option<u32>> {
    let mut last = before;
    let own_or_last = |row: &Option<u32>| {
        last = row.or(last);
        last
    };
    rows.iter().map(own_or_last).collect()
}
