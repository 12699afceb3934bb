//! Writes rows as JSON objects, either in an array or one object per line. Null values are omitted.

use super::display;
use super::layout::{Cells, Layout};
use crate::cell::Cell;

pub(super) struct Objects {
    keys: Vec<Vec<u8>>,
    lines: bool,
    begun: bool,
}

impl Objects {
    pub(super) fn new(layout: &Layout, lines: bool) -> Self {
        let key = |name: &str| {
            let mut key = Vec::new();
            string(name, &mut key);
            key.push(b':');
            key
        };
        let keys = layout.columns.iter().map(|column| key(&column.name)).collect();
        Self { keys, lines, begun: false }
    }

    pub(super) fn row(
        &mut self,
        cells: &[Cells<'_>],
        row: usize,
        zone: &[(i64, i64)],
        out: &mut Vec<u8>,
    ) {
        if !self.lines {
            out.push(if self.begun { b',' } else { b'[' });
        }
        self.begun = true;
        let mut separator = b'{';
        for (key, cells) in self.keys.iter().zip(cells) {
            let cell = cells.get(row);
            if cell == Cell::Null {
                continue;
            }
            out.push(separator);
            separator = b',';
            out.extend_from_slice(key);
            value(cell, zone, out);
        }
        let end: &[u8] = if separator == b'{' { b"{}" } else { b"}" };
        out.extend_from_slice(end);
        if self.lines {
            out.push(b'\n');
        }
    }

    pub(super) fn finish(&self, out: &mut Vec<u8>) {
        if !self.lines {
            out.extend_from_slice(if self.begun { b"]" } else { b"[]" });
        }
    }
}

fn value(cell: Cell<'_>, zone: &[(i64, i64)], out: &mut Vec<u8>) {
    match cell {
        Cell::Text(text) => string(text, out),
        Cell::Time(_) => {
            out.push(b'"');
            display(cell, zone, out);
            out.push(b'"');
        }
        Cell::Float(value) if !value.is_finite() => out.extend_from_slice(b"null"),
        _ => display(cell, zone, out),
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _infallible = serde_json::to_writer(out, text);
}
