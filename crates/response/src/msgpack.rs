//! Writes MessagePack in 1.x's format (`services/httpd/response_writer.go`). The document has the
//! same members as the JSON document. Lengths and integers have their shortest encoding, and times
//! are extension type 5.
//!
//! In MessagePack, the length of a list precedes its elements. A document therefore stays in memory
//! until it is complete, and has at most [`MSGPACK_BYTES_MAX`]. With `chunked=true`, a document
//! ends after [`MSGPACK_CHUNK_BYTES_MAX`].

use std::collections::VecDeque;
use std::ops::Range;

use super::cell::Cell;
use super::chunked::ChunkCut;
use super::json::Remainder;
use super::{Ending, WARNING, Writer};
use tidemark_model::limits::{MSGPACK_BYTES_MAX, MSGPACK_CHUNK_BYTES_MAX, REPLY_PIECE_BYTES};
use tidemark_model::time::{Precision, S_NS};
use tidemark_query::result::SeriesChunk;

/// The size, in bytes, at which a piece is complete. Further bytes are written to a new piece.
const PIECE_BYTES: usize = 256 << 10;

/// The documents of a response: one document, or one document per chunk.
#[derive(Default)]
pub struct Packed {
    epoch: Option<Precision>,
    chunk_rows: Option<usize>,
    out: ChunkedBuffer,
    results: Counted,
    series: Counted,
    /// The series to which the next rows may belong, without its values, and the series' rows.
    open: Option<(SeriesChunk, Counted)>,
    statement_id: u32,
    written: bool,
}

/// A byte buffer that consists of pieces. A document can grow, or be moved into another document,
/// without a copy, which would temporarily double the memory.
#[derive(Default)]
struct ChunkedBuffer {
    /// The pieces in order. No piece is empty.
    pieces: VecDeque<Vec<u8>>,
    bytes_before_last: usize,
}

impl ChunkedBuffer {
    fn bytes(&self) -> usize {
        self.bytes_before_last + self.pieces.back().map_or(0, Vec::len)
    }

    fn tail(&mut self) -> &mut Vec<u8> {
        if self.pieces.back().is_none_or(|last| last.len() >= PIECE_BYTES) {
            self.bytes_before_last = self.bytes();
            self.pieces.back_mut().into_iter().for_each(Vec::shrink_to_fit);
            self.pieces.push_back(Vec::new());
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last]
    }

    fn append(&mut self, mut other: Self) {
        for mut piece in other.pieces.drain(..) {
            match self.pieces.back_mut() {
                Some(last) if last.len() + piece.len() <= PIECE_BYTES => last.append(&mut piece),
                _ => {
                    self.bytes_before_last = self.bytes();
                    self.pieces.push_back(piece);
                }
            }
        }
    }

    fn take_first(&mut self) -> Vec<u8> {
        let first = self.pieces.pop_front().unwrap_or_default();
        match self.pieces.is_empty() {
            true => self.bytes_before_last = 0,
            false => self.bytes_before_last -= first.len(),
        }
        first
    }
}

#[derive(Default)]
struct Counted {
    elements: ChunkedBuffer,
    count: usize,
}

impl Counted {
    fn append_to(&mut self, out: &mut ChunkedBuffer) {
        let Self { elements, count } = std::mem::take(self);
        array(count, out.tail());
        out.append(elements);
    }
}

impl Packed {
    /// Creates a writer without documents.
    pub fn new(epoch: Option<Precision>, chunk_rows: Option<usize>) -> Self {
        Self { epoch, chunk_rows, ..Self::default() }
    }

    fn begin_series(&mut self, chunk: &SeriesChunk) {
        self.open = Some((chunk.without_rows(), Counted::default()));
    }

    fn close_series(&mut self, is_partial: bool) -> bool {
        let Some((head, mut rows)) = self.open.take() else { return false };
        let out = self.series.elements.tail();
        let name = head.name.as_deref().filter(|name| !name.is_empty());
        let tagged = !head.tags.is_empty();
        let members = 2 + u8::from(name.is_some()) + u8::from(tagged) + u8::from(is_partial);
        out.push(0x80 | members);
        if let Some(name) = name {
            text("name", out);
            text(name, out);
        }
        if tagged {
            text("tags", out);
            length([0x80, 0xde, 0xdf], 16, head.tags.len(), out);
            for (key, value) in head.tags.iter() {
                text(key, out);
                text(value, out);
            }
        }
        text("columns", out);
        array(head.columns.len(), out);
        head.columns.iter().for_each(|column| text(column, out));
        text("values", out);
        rows.append_to(&mut self.series.elements);
        if is_partial {
            partial(self.series.elements.tail());
        }
        self.series.count += 1;
        true
    }

    /// Ends the series and, with `chunked=true`, the document.
    fn close_chunk(&mut self, remainder: Remainder, ending: Ending<'_>) {
        if self.close_series(remainder == Remainder::Series) && self.chunk_rows.is_some() {
            self.close_result(ending, remainder);
        }
    }

    fn close_result(&mut self, ending: Ending<'_>, remainder: Remainder) {
        let is_partial = remainder != Remainder::Nothing;
        self.written = true;
        let out = self.results.elements.tail();
        self.results.count += 1;
        if let Ending::Failed(error) = ending {
            // For a failed statement, 1.x writes only the error.
            self.series = Counted::default();
            out.push(0x81);
            text("error", out);
            text(error, out);
        } else {
            let is_warned = matches!(ending, Ending::Warned(_));
            out.push(0x82 + u8::from(is_partial) + u8::from(is_warned));
            text("statement_id", out);
            integer(i64::from(self.statement_id), out);
            if let Ending::Warned(warning) = ending {
                message(warning, out);
            }
            text("series", out);
            self.series.append_to(&mut self.results.elements);
            if is_partial {
                partial(self.results.elements.tail());
            }
        }
        if self.chunk_rows.is_some() {
            self.document();
        }
    }

    fn document(&mut self) {
        let out = self.out.tail();
        out.push(0x81);
        text("results", out);
        self.results.append_to(&mut self.out);
    }
}

impl Writer for Packed {
    fn statement_begin(&mut self, id: u32) {
        self.statement_id = id;
        self.written = false;
    }

    fn series(&mut self, chunk: &SeriesChunk, range: Range<usize>) -> Option<usize> {
        chunk.ensure_rows();
        let continues = |(open, _): &(SeriesChunk, _)| open.is_continued_by(chunk);
        let cut = ChunkCut::new(chunk);
        if !self.open.as_ref().is_some_and(continues) {
            match cut {
                ChunkCut::Whole => _ = self.close_series(false),
                ChunkCut::Lists => self.close_chunk(Remainder::Nothing, Ending::Done),
                ChunkCut::Rows | ChunkCut::Series => {
                    self.close_chunk(Remainder::Statement, Ending::Done);
                }
            }
            self.begin_series(chunk);
        }
        let is_full = |(_, rows): &(_, Counted), rows_max: usize| {
            let is_long = rows.elements.bytes() >= MSGPACK_CHUNK_BYTES_MAX;
            is_long || (cut == ChunkCut::Rows && rows.count == rows_max)
        };
        let (mut next, mut row_bytes) = (range.end, 0);
        let out_bytes_max = self.out.bytes() + REPLY_PIECE_BYTES;
        for row in range {
            if cut != ChunkCut::Whole
                && let (Some(open), Some(rows_max)) = (&self.open, self.chunk_rows)
                && is_full(open, rows_max)
            {
                self.close_chunk(Remainder::Series, Ending::Done);
                self.begin_series(chunk);
            }
            if row_bytes >= REPLY_PIECE_BYTES || self.out.bytes() >= out_bytes_max {
                next = row;
                break;
            }
            let Some((_, rows)) = &mut self.open else { break };
            rows.count += 1;
            let out = rows.elements.tail();
            let before = out.len();
            array(chunk.values.len(), out);
            for column in &chunk.values {
                write_cell(Cell::new(column, row), self.epoch, out);
            }
            row_bytes += out.len() - before;
        }
        if let Some((open, _)) = &mut self.open {
            open.partial = chunk.continues_after(next);
        }
        (self.held_bytes() - self.out.bytes() <= MSGPACK_BYTES_MAX).then_some(next)
    }

    fn statement_end(&mut self, ending: Ending<'_>) {
        // An error is written as a separate document.
        let is_error = matches!(ending, Ending::Failed(_));
        if is_error {
            self.close_chunk(Remainder::Statement, Ending::Done);
        } else {
            self.close_chunk(Remainder::Nothing, ending);
        }
        if is_error || self.chunk_rows.is_none() || !self.written {
            self.close_result(ending, Remainder::Nothing);
        }
    }

    fn finish(&mut self) {
        if self.chunk_rows.is_none() {
            self.document();
        }
    }

    fn bytes(&self) -> usize {
        self.out.bytes()
    }

    fn held_bytes(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |(_, rows)| rows.elements.bytes());
        self.out.bytes() + self.results.elements.bytes() + self.series.elements.bytes() + open
    }

    fn take_bytes(&mut self) -> Vec<u8> {
        self.out.take_first()
    }
}

fn message(warning: &str, out: &mut Vec<u8>) {
    text("messages", out);
    array(1, out);
    out.push(0x82);
    for (key, value) in [("level", WARNING), ("text", warning)] {
        text(key, out);
        text(value, out);
    }
}

fn partial(out: &mut Vec<u8>) {
    text("partial", out);
    out.push(0xc3);
}

/// Writes a length. A length below `short` is part of the first byte. A greater length needs two or
/// four additional bytes.
fn length([fix, two, four]: [u8; 3], short: usize, length: usize, out: &mut Vec<u8>) {
    if length < short {
        out.push(fix | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(two);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(four);
        // The length is less than `MSGPACK_BYTES_MAX`, so the cast is lossless.
        out.extend_from_slice(&(length as u32).to_be_bytes());
    }
}

/// Returns the response to a rejected request.
pub fn failed(error: &str) -> Vec<u8> {
    let mut out = vec![0x81];
    text("error", &mut out);
    text(error, &mut out);
    out
}

fn array(elements: usize, out: &mut Vec<u8>) {
    length([0x90, 0xdc, 0xdd], 16, elements, out);
}

fn text(text: &str, out: &mut Vec<u8>) {
    match u8::try_from(text.len()) {
        Ok(bytes) if bytes >= 32 => out.extend_from_slice(&[0xd9, bytes]),
        _ => length([0xa0, 0xda, 0xdb], 32, text.len(), out),
    }
    out.extend_from_slice(text.as_bytes());
}

fn integer(value: i64, out: &mut Vec<u8>) {
    if (-32..128).contains(&value) {
        out.push(value as u8);
    } else if let Ok(value) = i8::try_from(value) {
        out.extend_from_slice(&[0xd0, value.cast_unsigned()]);
    } else if let Ok(value) = i16::try_from(value) {
        out.push(0xd1);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(0xd2);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn write_cell(cell: Cell<'_>, epoch: Option<Precision>, out: &mut Vec<u8>) {
    match cell {
        Cell::Time(time_ns) => match epoch {
            Some(epoch) => integer(time_ns / epoch.unit_ns(), out),
            None => {
                out.extend_from_slice(&[0xc7, 12, 5]);
                out.extend_from_slice(&time_ns.div_euclid(S_NS).to_be_bytes());
                // The value is less than 10^9, so the cast is lossless.
                out.extend_from_slice(&(time_ns.rem_euclid(S_NS) as u32).to_be_bytes());
            }
        },
        Cell::Float(value) if !value.is_nan() => {
            out.push(0xcb);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Cell::Null | Cell::Float(_) => out.push(0xc0),
        Cell::Integer(value) => integer(value, out),
        Cell::Unsigned(value @ 0..128) => out.push(value as u8),
        Cell::Unsigned(value) => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Cell::Text(value) => text(value, out),
        Cell::Boolean(value) => out.push(0xc2 | u8::from(value)),
    }
}
