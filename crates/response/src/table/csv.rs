//! Writes rows as CSV: a line of column names, and then one line for each row. Lines end with `\n`.
//! Values are quoted if RFC 4180 requires quotes.

use super::display;
use super::layout::{Cells, Layout};
use crate::cell::Cell;

pub(super) fn header(layout: &Layout, out: &mut Vec<u8>) {
    line(layout.columns.iter().map(|column| Cell::Text(&column.name)), &[], out);
}

pub(super) fn row(cells: &[Cells<'_>], row: usize, zone: &[(i64, i64)], out: &mut Vec<u8>) {
    line(cells.iter().map(|cells| cells.get(row)), zone, out);
}

fn line<'a>(
    cells: impl ExactSizeIterator<Item = Cell<'a>>,
    zone: &[(i64, i64)],
    out: &mut Vec<u8>,
) {
    let (start, is_alone) = (out.len(), cells.len() == 1);
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        match cell {
            Cell::Text(text) if text.contains([',', '"', '\r', '\n']) => {
                out.push(b'"');
                out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
                out.push(b'"');
            }
            _ => display(cell, zone, out),
        }
    }
    // CSV readers would ignore an empty line.
    if is_alone && out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}
