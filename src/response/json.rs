//! Writes a JSON document with the results of all statements. Callers can take parts of the
//! document before it is complete.

use std::ops::Range;

use super::emitter::{self, Emitter};
use super::ending::{Ending, WARNING};
use super::number::Unsupported;
use super::rows::rows;
use super::time;
use crate::model::time::Precision;
use crate::query::result::SeriesChunk;

/// A JSON document with the results of all statements.
#[derive(Debug)]
pub struct Document {
    emitter: Emitter,
    epoch: Option<Precision>,
    begun: bool,
    in_series: bool,
    /// The series to which the next rows may belong, and whether its `"values":[` has been written.
    open: Option<(SeriesChunk, bool)>,
    /// A value that Go cannot encode. Go rejects a document that contains a value without a JSON
    /// encoding. The response therefore contains only the error, unless some bytes have already
    /// been sent.
    unsupported: Option<Unsupported>,
    taken: bool,
}

impl Document {
    /// Creates an empty document.
    pub fn new(epoch: Option<Precision>, pretty: bool) -> Self {
        Self {
            emitter: Emitter::new(pretty),
            epoch,
            begun: false,
            in_series: false,
            open: None,
            unsupported: None,
            taken: false,
        }
    }

    /// Starts a statement's result.
    pub fn statement_begin(&mut self, id: u32) {
        self.begin();
        self.emitter.next();
        self.emitter.open(b'{');
        self.emitter.key("statement_id");
        time::integer(i64::from(id), self.emitter.out());
    }

    /// Writes the next rows.
    pub fn series(&mut self, chunk: &SeriesChunk, range: Range<usize>) {
        if self.unsupported.is_some() {
            return;
        }
        if !self.open.as_ref().is_some_and(|(open, _)| open.partial && open.same_series(chunk)) {
            self.close_series();
            self.open_series(chunk);
        }
        if let Some((open, has_values)) = &mut self.open {
            open.partial = chunk.continues_after(range.end);
            if !range.is_empty() && !std::mem::replace(has_values, true) {
                self.emitter.key("values");
                self.emitter.open(b'[');
            }
        }
        let written = rows(&mut self.emitter, chunk, range, self.epoch);
        self.unsupported = written.err();
    }

    /// Ends a statement's result.
    pub fn statement_end(&mut self, ending: Ending<'_>) {
        self.close_series();
        if std::mem::replace(&mut self.in_series, false) {
            self.emitter.close(b']');
        }
        trailer(&mut self.emitter, false, ending);
        self.emitter.close(b'}');
    }

    /// Ends the document.
    pub fn finish(&mut self) {
        if self.begun {
            self.emitter.close(b']');
        } else {
            // Go omits an empty list of series.
            self.emitter.open(b'{');
        }
        self.emitter.close(b'}');
        self.emitter.end_document();
        if let Some(unsupported) = self.unsupported.filter(|_| !self.taken) {
            self.emitter.take();
            failed(&mut self.emitter, unsupported);
        }
    }

    /// Returns the number of bytes that [`Self::take_bytes`] can return.
    pub fn bytes(&self) -> usize {
        self.emitter.bytes()
    }

    /// Takes the bytes that were written since the last call.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        self.taken = true;
        self.emitter.take()
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.emitter.open(b'{');
            self.emitter.key("results");
            self.emitter.open(b'[');
        }
    }

    fn open_series(&mut self, chunk: &SeriesChunk) {
        if !std::mem::replace(&mut self.in_series, true) {
            self.emitter.key("series");
            self.emitter.open(b'[');
        }
        self.emitter.next();
        header(&mut self.emitter, chunk);
        self.open = Some((chunk.without_rows(), false));
    }

    fn close_series(&mut self) {
        if let Some((_, has_values)) = self.open.take() {
            if has_values {
                self.emitter.close(b']');
            }
            self.emitter.close(b'}');
        }
    }
}

pub(super) fn header(emitter: &mut Emitter, chunk: &SeriesChunk) {
    emitter.open(b'{');
    if let Some(name) = chunk.name.as_deref().filter(|name| !name.is_empty()) {
        emitter.key("name");
        emitter.string(name);
    }
    if !chunk.tags.is_empty() {
        emitter.key("tags");
        emitter.open(b'{');
        for (key, value) in chunk.tags.iter() {
            emitter.key(key);
            emitter.string(value);
        }
        emitter.close(b'}');
    }
    emitter.key("columns");
    emitter.open(b'[');
    for column in chunk.columns.iter() {
        emitter.next();
        emitter.string(column);
    }
    emitter.close(b']');
}

pub(super) fn trailer(emitter: &mut Emitter, partial: bool, ending: Ending<'_>) {
    if let Ending::Warned(warning) = ending {
        emitter.key("messages");
        emitter.open(b'[');
        emitter.next();
        emitter.open(b'{');
        emitter.key("level");
        emitter.string(WARNING);
        emitter.key("text");
        emitter.string(warning);
        emitter.close(b'}');
        emitter.close(b']');
    }
    if partial {
        emitter.key("partial");
        emitter.out().extend_from_slice(b"true");
    }
    if let Ending::Failed(error) = ending {
        emitter.key("error");
        emitter.string(error);
    }
}

/// Writes the error document that replaces a document containing a value that Go cannot encode.
pub(super) fn failed(emitter: &mut Emitter, unsupported: Unsupported) {
    let text = &mut Vec::new();
    text.extend_from_slice(b"{\"error\":");
    emitter::string(&unsupported.to_string(), text);
    text.extend_from_slice(b"}\n");
    emitter.out().append(text);
}
