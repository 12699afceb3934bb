//! Writes the answer to `chunked=true`: one JSON document per line, each with at most so many rows
//! of one series.

use std::ops::Range;

use super::emitter::Emitter;
use super::ending::Ending;
use super::json;
use super::number::Unsupported;
use super::rows::rows;
use super::time;
use crate::model::time::Precision;
use crate::query::result::{ResultColumn, SeriesChunk};

/// How 1.x cuts an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkCut {
    /// So many rows a document: SELECT, and what it carries out as one.
    Rows,
    /// A document for each measurement, none of which says that more follow.
    Lists,
    /// A document for each series.
    Series,
}

impl ChunkCut {
    /// How an answer with such a series is cut.
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

/// The documents of one answer.
///
/// Whether a document is partial shows only when more rows come, so its rows are held back.
#[derive(Debug)]
pub struct Documents {
    epoch: Option<Precision>,
    pretty: bool,
    chunk_rows: usize,
    statement_id: u32,
    held: Option<HeldSeries>,
    /// A document of the current statement has been written.
    written: bool,
    out: Vec<u8>,
}

#[derive(Debug)]
struct HeldSeries {
    /// Positioned inside the series' object, after its last row.
    emitter: Emitter,
    /// Whose rows they are; without values.
    series: SeriesChunk,
    rows: usize,
    unsupported: Option<Unsupported>,
}

impl Documents {
    /// No document yet.
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

    /// The next rows.
    pub fn series(&mut self, chunk: &SeriesChunk, range: Range<usize>) {
        let continues = |held: &HeldSeries| held.series.partial && held.series.same_series(chunk);
        let cut = ChunkCut::new(chunk);
        if !self.held.as_ref().is_some_and(continues) {
            self.release(false, cut != ChunkCut::Lists, Ending::Done);
            self.held = Some(self.begin(chunk));
        } else if cut == ChunkCut::Lists {
            // The values of one tag are any number.
            self.release(true, true, Ending::Done);
            self.held = Some(self.begin(chunk));
        }
        let chunk_rows = if cut == ChunkCut::Rows { self.chunk_rows } else { usize::MAX };
        let mut from = range.start;
        loop {
            let Some(held) = &mut self.held else { return };
            held.series.partial = chunk.goes_on_after(range.end);
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
        // An error has a document of its own.
        let has_own = matches!(ending, Ending::Failed(_));
        self.release(false, has_own, if has_own { Ending::Done } else { ending });
        if has_own || !self.written {
            let mut emitter = self.open_document();
            json::trailer(&mut emitter, false, ending);
            self.close_document(emitter);
        }
    }

    /// How much can be taken.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// The complete documents by now.
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

    /// Writes the held document.
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
