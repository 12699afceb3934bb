//! Writes the response for `chunked=true`: one JSON document per line. Each document contains the
//! rows of only one series. The number of rows per document is limited.

use std::ops::Range;

use super::emitter::Emitter;
use super::ending::Ending;
use super::json;
use super::number::Unsupported;
use super::rows::rows;
use super::time;
use crate::model::time::Precision;
use crate::query::result::{ResultColumn, SeriesChunk};

/// The rule by which 1.x divides a response into documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkCut {
    /// A document ends at the maximum number of rows. This rule applies to SELECT, and to the SHOW
    /// statements that 1.x executes as a SELECT.
    Rows,
    /// One document per measurement. The member `partial` is absent if another measurement follows.
    Lists,
    Series,
}

impl ChunkCut {
    pub(super) fn new(chunk: &SeriesChunk) -> Self {
        let is = |columns: &[&str]| chunk.columns.iter().eq(columns);
        match chunk.values.first() {
            Some(ResultColumn::Time(_)) => Self::Rows,
            _ if is(&["key"]) || is(&["fieldKey", "fieldType"]) => Self::Rows,
            _ if is(&["tagKey"]) || is(&["key", "value"]) => Self::Lists,
            _ => Self::Series,
        }
    }
}

/// The documents of a response.
///
/// The member `partial` of a document is known only when further rows arrive or the statement ends.
/// Until then, the document is kept in memory.
#[derive(Debug)]
pub struct Documents {
    epoch: Option<Precision>,
    pretty: bool,
    chunk_rows: usize,
    statement_id: u32,
    held: Option<HeldSeries>,
    written: bool,
    out: Vec<u8>,
}

#[derive(Debug)]
struct HeldSeries {
    emitter: Emitter,
    series: SeriesChunk,
    rows: usize,
    unsupported: Option<Unsupported>,
}

impl Documents {
    /// Creates a writer without documents.
    pub fn new(epoch: Option<Precision>, pretty: bool, chunk_rows: usize) -> Self {
        let chunk_rows = chunk_rows.max(1);
        Self {
            epoch,
            pretty,
            chunk_rows,
            statement_id: 0,
            held: None,
            written: false,
            out: Vec::new(),
        }
    }

    /// Starts a statement's result.
    pub fn statement_begin(&mut self, id: u32) {
        self.statement_id = id;
        self.written = false;
    }

    /// Writes the next rows.
    pub fn series(&mut self, chunk: &SeriesChunk, range: Range<usize>) {
        let continues = |held: &HeldSeries| held.series.partial && held.series.same_series(chunk);
        let cut = ChunkCut::new(chunk);
        if !self.held.as_ref().is_some_and(continues) {
            self.release(false, cut != ChunkCut::Lists, Ending::Done);
            self.held = Some(self.begin(chunk));
        } else if cut == ChunkCut::Lists {
            // A measurement can have any number of tag values, so each chunk becomes a separate
            // document.
            self.release(true, true, Ending::Done);
            self.held = Some(self.begin(chunk));
        }
        let chunk_rows = if cut == ChunkCut::Rows { self.chunk_rows } else { usize::MAX };
        let mut from = range.start;
        loop {
            let Some(held) = &mut self.held else { return };
            held.series.partial = chunk.continues_after(range.end);
            let to = range.end.min(from.saturating_add(chunk_rows.saturating_sub(held.rows)));
            if from < to {
                if held.rows == 0 {
                    held.emitter.key("values");
                    held.emitter.open(b'[');
                }
                let written = rows(&mut held.emitter, chunk, from..to, self.epoch);
                held.unsupported = held.unsupported.or(written.err());
                held.rows += to - from;
            }
            from = to;
            if from >= range.end {
                return;
            }
            self.release(true, true, Ending::Done);
            self.held = Some(self.begin(chunk));
        }
    }

    /// Ends a statement's result.
    pub fn statement_end(&mut self, ending: Ending<'_>) {
        // An error is written as a separate document.
        let has_own = matches!(ending, Ending::Failed(_));
        self.release(false, has_own, if has_own { Ending::Done } else { ending });
        if has_own || !self.written {
            let mut emitter = self.open_document();
            json::trailer(&mut emitter, false, ending);
            self.close_document(emitter);
        }
    }

    /// Returns the number of bytes that [`Self::take_bytes`] can return.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Takes the complete documents.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn begin(&self, chunk: &SeriesChunk) -> HeldSeries {
        let mut emitter = self.open_document();
        emitter.key("series");
        emitter.open(b'[');
        emitter.next();
        json::header(&mut emitter, chunk);
        HeldSeries { emitter, series: chunk.without_rows(), rows: 0, unsupported: None }
    }

    fn release(&mut self, more_of_series: bool, more_of_statement: bool, ending: Ending<'_>) {
        let Some(HeldSeries { mut emitter, rows, unsupported, .. }) = self.held.take() else {
            return;
        };
        self.written = true;
        if let Some(unsupported) = unsupported {
            let mut failed = Emitter::new(false);
            json::failed(&mut failed, unsupported);
            self.out.append(&mut failed.take());
            return;
        }
        if rows > 0 {
            emitter.close(b']');
        }
        json::trailer(&mut emitter, more_of_series, Ending::Done);
        emitter.close(b'}');
        emitter.close(b']');
        json::trailer(&mut emitter, more_of_statement, ending);
        self.close_document(emitter);
    }

    fn open_document(&self) -> Emitter {
        let mut emitter = Emitter::new(self.pretty);
        emitter.open(b'{');
        emitter.key("results");
        emitter.open(b'[');
        emitter.next();
        emitter.open(b'{');
        emitter.key("statement_id");
        time::integer(i64::from(self.statement_id), emitter.out());
        emitter
    }

    fn close_document(&mut self, mut emitter: Emitter) {
        emitter.close(b'}');
        emitter.close(b']');
        emitter.close(b'}');
        emitter.end_document();
        self.out.append(&mut emitter.take());
    }
}
