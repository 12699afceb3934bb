//! Applies `fill(…)` to fields that are not arguments of a function: fills a field that is missing
//! in a row (1.x `floatIteratorScanner.ScanAt`).

use super::fill::{cast, constant};
use super::series::gather_or_null;
use crate::model::value::{FieldType, FieldValue};
use crate::query::data_type::DataType;
use crate::query::plan::{SelectNode, Slot};
use crate::query::result::{Column, Values};
use crate::query::scalar::repeat;

#[derive(Debug, Default)]
pub(crate) struct RowFill {
    /// One entry for each slot.
    last: Vec<Option<FieldValue>>,
}

impl RowFill {
    /// Fills the next rows. A column that is `None` contains only nulls.
    ///
    /// With `fill(number)`, strings and booleans remain null; the result replaces them with the
    /// unconverted number.
    pub(crate) fn fill(&mut self, node: &SelectNode, rows: usize, columns: &mut [Option<Column>]) {
        if let Some(number) = &node.fill_number {
            for (column, slot) in columns.iter_mut().zip(&node.slots) {
                *column = with_number(column.take(), slot, number, rows);
            }
        }
        if node.carries {
            self.last.resize(columns.len(), None);
            for (column, last) in columns.iter_mut().zip(&mut self.last) {
                *column = with_previous(column.take(), last.as_ref(), rows);
                let shown = column.as_ref().zip(rows.checked_sub(1));
                *last = shown.and_then(|(column, row)| column.get(row)).or(last.take());
            }
        }
    }
}

pub(super) fn with_number(
    column: Option<Column>,
    slot: &Slot,
    number: &FieldValue,
    rows: usize,
) -> Option<Column> {
    let Some(column) = column.filter(|_| slot.data_type != DataType::Unknown) else {
        // A column of unknown type has the type of the number.
        let like = match slot.data_type {
            DataType::Unknown => Values::new(number.field_type()),
            known => Values::new(known.field_type().unwrap_or(FieldType::String)),
        };
        return cast(number, &like).map(|value| Column::full(repeat(&value, rows)));
    };
    let Some(value) = cast(number, &column.values) else { return Some(column) };
    let of_row = |row: u32| column.validity.is_valid(row as usize).then_some(row);
    let picked: Vec<Option<u32>> = (0..column.len() as u32).map(of_row).collect();
    Some(constant(&column, &picked, &value))
}

fn with_previous(column: Option<Column>, last: Option<&FieldValue>, rows: usize) -> Option<Column> {
    let Some(mut column) = column else {
        return last.map(|last| Column::full(repeat(last, rows)));
    };
    let count = column.len() as u32;
    // The value that precedes the first row is stored after the last row.
    let mut from = last.map(|_| count);
    let picked: Vec<Option<u32>> = (0..count)
        .map(|row| {
            from = column.validity.is_valid(row as usize).then_some(row).or(from);
            from
        })
        .collect();
    if let Some(last) = last {
        column.extend_from(&Column::full(repeat(last, 1)));
    }
    Some(gather_or_null(&column, &picked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previous_value_fills_next_rows() {
        let mut column = Column::new(FieldType::Integer);
        column.push_null();
        column.extend_from(&Column::full(Values::Integer(vec![7])));
        let value = |column: &Option<Column>, row| column.as_ref().and_then(|c| c.get(row));
        let none = with_previous(Some(column.clone()), None, 2);
        assert_eq!([value(&none, 0), value(&none, 1)], [None, Some(FieldValue::Integer(7))]);
        let before = FieldValue::Integer(3);
        let carried = with_previous(Some(column), Some(&before), 2);
        assert_eq!(value(&carried, 0), Some(before.clone()));
        assert_eq!(value(&with_previous(None, Some(&before), 2), 1), Some(before));
    }
}
