//! Writes rows as CSV: a line of column names, and then one line for each row. Lines end with `\n`.
//! Values are quoted if RFC 4180 requires quotes.

use super::Layout;
use super::display;
use crate::model::limits::REPLY_PIECE_BYTES;
use crate::query::result::SeriesChunk;
use crate::response::cell::Cell;

pub(super) fn header(layout: &Layout, out: &mut Vec<u8>) {
    line(layout.columns.iter().map(|column| Cell::Text(&column.name)), &[], out);
}

pub(super) fn rows(layout: &Layout, chunk: &SeriesChunk, from: usize, out: &mut Vec<u8>) -> usize {
    let (cells, bytes_max) = (layout.cells(chunk), out.len() + REPLY_PIECE_BYTES);
    for row in from..chunk.rows {
        if out.len() >= bytes_max {
            return row;
        }
        line(cells.iter().map(|cells| cells.get(row)), &chunk.zone, out);
    }
    chunk.rows
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
