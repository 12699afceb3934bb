//! Collects the values of one type for a measurement's field.

use super::bitmap::{Bitmap, Validity};
use super::column::{Column, Values};

#[derive(Debug)]
pub(super) struct FieldWriter {
    /// The position in `MeasurementWriter::fields`.
    pub(super) field: u32,
    /// The key as the client writes it, including its `=`.
    pub(super) expected: String,
    pub(super) values: Values,
    /// The validity of the rows up to the last null.
    pub(super) valid: Bitmap,
    pub(super) shared: bool,
}

impl FieldWriter {
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

    pub(super) fn finish(mut self, rows: usize) -> Column {
        self.pad(rows);
        if self.valid.is_empty() {
            return Column::full(self.values);
        }
        self.valid.extend_filled(rows - self.valid.len(), true);
        Column { values: self.values, validity: Validity::Some(self.valid) }
    }
}

/// Defines a function that appends the value of the next row.
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
