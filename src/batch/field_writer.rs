//! Collects the values of one field of a measurement, of one type.

use super::bitmap::{Bitmap, Validity};
use super::column::{Column, Values};

/// One field's values of one type.
#[derive(Debug)]
pub(super) struct FieldWriter {
    /// Position in `MeasurementWriter::fields`.
    pub(super) field: u32,
    /// The key as the client writes it, with its `=`.
    pub(super) expected: String,
    /// May be fewer than the rows.
    pub(super) values: Values,
    /// Whether rows have a value, up to the last one that has none; rows after that have.
    pub(super) valid: Bitmap,
    /// Whether the key has columns of other types too.
    pub(super) shared: bool,
}

impl FieldWriter {
    /// Rows up to `rows` that are not there yet have no value.
    #[inline(never)]
    pub(super) fn pad(&mut self, rows: usize) {
        let len = self.values.len();
        if len < rows {
            if self.valid.len() < len {
                self.valid.extend_filled(len - self.valid.len(), true);
            }
            self.valid.extend_filled(rows - len, false);
            self.values.extend_padding(rows - len);
        }
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    /// All `rows` of them.
    pub(super) fn finish(mut self, rows: usize) -> Column {
        self.pad(rows);
        if self.valid.is_empty() {
            return Column::full(self.values);
        }
        self.valid.extend_filled(rows - self.valid.len(), true);
        Column { values: self.values, validity: Validity::Some(self.valid) }
    }
}

/// Sets the value of the next row.
macro_rules! setter {
    ($name:ident, $variant:ident, $value:ty) => {
        #[inline]
        pub(super) fn $name(values: &mut Values, value: $value) {
            let Values::$variant(values) = values else { return };
            values.push(value);
        }
    };
}
setter!(set_float, Float, f64);
setter!(set_integer, Integer, i64);
setter!(set_unsigned, Unsigned, u64);
setter!(set_boolean, Boolean, bool);
setter!(set_string, String, &str);
