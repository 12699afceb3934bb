//! Defines the values of a result's columns, as all formats write them.

use super::time;
use tidemark_model::bug::OrBug;
use tidemark_query::result::{ResultColumn, Values};

/// The value of a column in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Text(&'a str),
    /// A time, in nanoseconds.
    Time(i64),
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
}

impl<'a> Cell<'a> {
    #[inline(always)]
    pub(super) fn new(column: &'a ResultColumn, row: usize) -> Self {
        let (column, row) = match column {
            ResultColumn::Null => return Self::Null,
            ResultColumn::Time(times_ns) => return Self::Time(times_ns.get(row).copied().or_bug()),
            ResultColumn::Values(column) if !column.validity.is_valid(row) => return Self::Null,
            ResultColumn::Values(column) => (column, row),
            ResultColumn::Filled { column, .. } if column.validity.is_valid(row) => (column, row),
            ResultColumn::Filled { otherwise, .. } => (otherwise, 0),
        };
        match &column.values {
            Values::Float(values) => Self::Float(values.get(row).copied().or_bug()),
            Values::Integer(values) => Self::Integer(values.get(row).copied().or_bug()),
            Values::Unsigned(values) => Self::Unsigned(values.get(row).copied().or_bug()),
            Values::String(values) => Self::Text(values.get(row)),
            Values::Boolean(values) => Self::Boolean(values.get(row).copied().or_bug()),
        }
    }

    /// Appends an integer or a boolean, which has the same text in all text formats.
    pub(super) fn write_plain(self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(value) => time::integer(value, out),
            Self::Unsigned(value) => {
                out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            }
            Self::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Self::Null | Self::Text(_) | Self::Time(_) | Self::Float(_) => {}
        }
    }
}
