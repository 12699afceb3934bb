//! Formats values in the same way as Arrow's text writers.

use super::layout::Cell;
use crate::response::time;

/// Appends a value. A null value appends nothing. `zone` has the form of `TimeForm::zone`, but an
/// empty list means that times have no zone.
pub(super) fn display(cell: Cell<'_>, zone: &[(i64, i64)], out: &mut Vec<u8>) {
    match cell {
        Cell::Null => {}
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Time(time_ns) => time::arrow(time_ns, zone, out),
        Cell::Float(value) if value.is_finite() => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        }
        Cell::Float(value) => {
            let sign = if value < 0.0 { "-inf" } else { "inf" };
            out.extend_from_slice(if value.is_nan() { "NaN" } else { sign }.as_bytes());
        }
        Cell::Integer(value) => time::integer(value, out),
        Cell::Unsigned(value) => {
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        Cell::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
    }
}
