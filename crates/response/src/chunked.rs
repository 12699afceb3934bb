//! Writes the response for `chunked=true`: one JSON document per line. A document of a SELECT
//! contains a limited number of rows of one series.

use std::ops::Range;

use super::json::{Document, Remainder};
use super::{Ending, Writer};
use tidemark_model::limits::{REPLY_PIECE_BYTES, WHOLE_REPLY_BYTES_MAX};
use tidemark_model::time::Precision;
use tidemark_query::result::{ResultColumn, SeriesChunk};

/// The rule by which 1.x divides the result of a statement into documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkCut {
    /// A document ends at the maximum number of rows. This rule applies to SELECT, and to the SHOW
    /// statements that 1.x executes as a SELECT.
    Rows,
    /// One document per measurement. The member `partial` is absent if another measurement follows.
    Lists,
    /// One document per series. This rule applies to cardinalities, which 1.x executes as a SELECT.
    Series,
    /// One document with all series.
    Whole,
}

impl ChunkCut {
    pub(super) fn new(chunk: &SeriesChunk) -> Self {
        let is = |columns: &[&str]| chunk.columns.iter().eq(columns);
        match chunk.values.first() {
            Some(ResultColumn::Time(_)) => Self::Rows,
            _ if is(&["key"]) || is(&["fieldKey", "fieldType"]) => Self::Rows,
            _ if is(&["tagKey"]) || is(&["key", "value"]) => Self::Lists,
            _ if is(&["count"]) => Self::Series,
            _ => Self::Whole,
        }
    }
}

/// The documents of a response.
///
/// The member `partial` of a document is known only when further rows arrive or the statement ends.
/// Until then, the document is kept in memory, except the beginning of a large document.
#[derive(Default)]
pub(super) struct Documents {
    epoch: Option<Precision>,
    pretty: bool,
    chunk_rows: usize,
    statement_id: u32,
    /// The last document, and its number of rows.
    last: Option<(Document, usize)>,
    written: bool,
    out: Vec<u8>,
}

impl Documents {
    pub(super) fn new(epoch: Option<Precision>, pretty: bool, chunk_rows: usize) -> Self {
        Self { epoch, pretty, chunk_rows: chunk_rows.max(1), ..Self::default() }
    }

    fn begin(&self) -> Document {
        let mut document = Document::new(self.epoch, self.pretty);
        document.statement_begin(self.statement_id);
        document
    }

    fn release(&mut self, remainder: Remainder, ending: Ending<'_>) {
        if let Some((document, _)) = self.last.take() {
            self.write(document, remainder, ending);
        }
    }

    fn write(&mut self, mut document: Document, remainder: Remainder, ending: Ending<'_>) {
        document.end_statement(remainder, ending);
        document.finish();
        self.out.append(&mut document.take_bytes());
        self.written = true;
    }
}

impl Writer for Documents {
    fn statement_begin(&mut self, id: u32) {
        self.statement_id = id;
        self.written = false;
    }

    fn series(&mut self, chunk: &SeriesChunk, range: Range<usize>) -> Option<usize> {
        let continues = self.last.as_ref().is_some_and(|(document, _)| document.continues(chunk));
        let cut = ChunkCut::new(chunk);
        match cut {
            ChunkCut::Whole => {}
            // A measurement can have any number of tag values. To bound the memory, each chunk of a
            // list becomes a separate document.
            ChunkCut::Lists if continues => self.release(Remainder::Series, Ending::Done),
            ChunkCut::Lists => self.release(Remainder::Nothing, Ending::Done),
            ChunkCut::Rows | ChunkCut::Series if continues => {}
            ChunkCut::Rows | ChunkCut::Series => self.release(Remainder::Statement, Ending::Done),
        }
        let chunk_rows = if cut == ChunkCut::Rows { self.chunk_rows } else { usize::MAX };
        let (mut from, bytes_max) = (range.start, self.out.len() + REPLY_PIECE_BYTES);
        loop {
            let (mut document, rows) = self.last.take().unwrap_or_else(|| (self.begin(), 0));
            let to = range.end.min(from.saturating_add(chunk_rows.saturating_sub(rows)));
            let next = document.write_rows(chunk, from..to);
            let is_long = cut == ChunkCut::Whole || document.bytes() >= WHOLE_REPLY_BYTES_MAX;
            if is_long && !document.is_unsupported() {
                self.out.append(&mut document.take_bytes());
            }
            self.last = Some((document, rows + (next - from)));
            from = next;
            if from < to || from >= range.end {
                return Some(from);
            }
            self.release(Remainder::Series, Ending::Done);
            if self.out.len() >= bytes_max {
                return Some(from);
            }
        }
    }

    fn statement_end(&mut self, ending: Ending<'_>) {
        // An error is written as a separate document.
        let is_error = matches!(ending, Ending::Failed(_));
        if is_error {
            self.release(Remainder::Statement, Ending::Done);
        } else {
            self.release(Remainder::Nothing, ending);
        }
        if is_error || !self.written {
            self.write(self.begin(), Remainder::Nothing, ending);
        }
    }

    fn bytes(&self) -> usize {
        self.out.len()
    }

    fn held_bytes(&self) -> usize {
        self.out.len() + self.last.as_ref().map_or(0, |(document, _)| document.bytes())
    }

    fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}
