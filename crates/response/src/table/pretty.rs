//! Writes rows as a table for human readers. The width of a column is known only after the last
//! row, so the writer keeps all values until then.

use super::display;
use super::layout::{Cells, Layout};
use crate::cell::Cell;
use tidemark_model::bug::OrBug;
use tidemark_model::limits::REPLY_PIECE_BYTES;

pub(super) struct Grid {
    /// All printed values in row order. The first row contains the column names.
    text: Vec<u8>,
    ends: Vec<usize>,
    widths: Vec<usize>,
    written: Option<usize>,
    /// The number of written lines of the next row.
    written_lines: usize,
    closed: bool,
}

impl Grid {
    pub(super) fn new(layout: &Layout) -> Self {
        let widths = vec![0; layout.columns.len()];
        let (text, ends, written) = (Vec::new(), Vec::new(), None);
        let mut grid = Self { text, ends, widths, written, written_lines: 0, closed: false };
        for (position, column) in layout.columns.iter().enumerate() {
            grid.push(position, Cell::Text(&column.name), &[]);
        }
        grid
    }

    fn push(&mut self, position: usize, cell: Cell<'_>, zone: &[(i64, i64)]) {
        let start = self.text.len();
        display(cell, zone, &mut self.text);
        self.ends.push(self.text.len());
        let printed = std::str::from_utf8(self.text.get(start..).or_bug());
        let lines = printed.unwrap_or_default().split('\n');
        let widest = lines.map(|line| line.chars().count()).max().unwrap_or_default();
        if let Some(width) = self.widths.get_mut(position) {
            *width = widest.max(*width);
        }
    }

    pub(super) fn row(&mut self, cells: &[Cells<'_>], row: usize, zone: &[(i64, i64)]) {
        for (position, cells) in cells.iter().enumerate() {
            self.push(position, cells.get(row), zone);
        }
    }

    pub(super) fn finish(&mut self) {
        self.written = Some(0);
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.text.len() + size_of_val(self.ends.as_slice())
    }

    pub(super) fn ready_bytes(&self) -> usize {
        let Some(written) = self.written.filter(|_| !self.closed) else { return 0 };
        let line: usize = self.widths.iter().map(|width| width + 3).sum();
        let lines = (self.ends.len() - written) / self.widths.len().max(1);
        (lines + 1).saturating_mul(line + 1)
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(mut written) = self.written.filter(|_| !self.closed) else { return out };
        if written == 0 && self.written_lines == 0 {
            self.rule(&mut out);
        }
        let names = self.widths.len();
        while written < self.ends.len() {
            self.written_lines = self.lines(written, &mut out);
            if self.written_lines > 0 {
                break;
            }
            written += names.max(1);
            if written == names {
                out.push(b'\n');
                self.rule(&mut out);
            }
            if out.len() >= REPLY_PIECE_BYTES {
                break;
            }
        }
        self.written = Some(written);
        if written >= self.ends.len() {
            self.closed = true;
            out.push(b'\n');
            self.rule(&mut out);
        }
        out
    }

    fn rule(&self, out: &mut Vec<u8>) {
        out.push(b'+');
        for width in &self.widths {
            out.resize(out.len() + width + 2, b'-');
            out.push(b'+');
        }
    }

    /// Writes one or more of the remaining lines of a row. Returns the number of written lines if
    /// the row is not complete, otherwise 0.
    fn lines(&self, first: usize, out: &mut Vec<u8>) -> usize {
        let values = || (first..first + self.widths.len()).map(|at| self.printed(at).split('\n'));
        let lines = values().map(Iterator::count).max().unwrap_or(1);
        let mut values: Vec<_> = values().map(|value| value.skip(self.written_lines)).collect();
        for line in self.written_lines..lines {
            if line > self.written_lines && out.len() >= REPLY_PIECE_BYTES {
                return line;
            }
            out.extend_from_slice(b"\n|");
            for (value, width) in values.iter_mut().zip(&self.widths) {
                let text = value.next().unwrap_or_default();
                out.push(b' ');
                out.extend_from_slice(text.as_bytes());
                out.resize(out.len() + width.saturating_sub(text.chars().count()) + 1, b' ');
                out.push(b'|');
            }
        }
        0
    }

    fn printed(&self, at: usize) -> &str {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(at).copied().or_bug();
        let bytes = self.text.get(start.unwrap_or_default()..end).or_bug();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}
