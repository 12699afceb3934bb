//! Writes a JSON document with the results of all statements. Callers can take parts of the
//! document before it is complete.

use std::ops::Range;

use super::emitter::{self, Emitter, Position};
use super::number::Unsupported;
use super::rows::rows;
use super::{Ending, WARNING, Writer, time};
use tidemark_model::time::Precision;
use tidemark_query::result::SeriesChunk;

/// The rest of a statement's result, which follows in another document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remainder {
    /// More rows of the last series.
    Series,
    /// Further series, or an error.
    Statement,
    /// The result is complete.
    Nothing,
}

pub(super) struct Document {
    emitter: Emitter,
    epoch: Option<Precision>,
    begun: bool,
    in_series: bool,
    /// The position before the statement's series, if their bytes have not been taken.
    before_series: Option<Position>,
    /// The last series, to which the next rows may belong, and whether its `"values":[` was
    /// written.
    open: Option<(SeriesChunk, bool)>,
    /// The first value without a JSON encoding, such as an infinity. Go, and therefore 1.x, rejects
    /// the whole document. The response then contains only the error, unless some bytes have
    /// already been sent.
    unsupported: Option<Unsupported>,
    taken: bool,
}

impl Document {
    pub(super) fn new(epoch: Option<Precision>, pretty: bool) -> Self {
        Self {
            emitter: Emitter::new(pretty),
            epoch,
            begun: false,
            in_series: false,
            before_series: None,
            open: None,
            unsupported: None,
            taken: false,
        }
    }

    /// Whether an error replaces the document, because it contains a value without a JSON encoding.
    pub(super) fn is_unsupported(&self) -> bool {
        self.unsupported.is_some()
    }

    /// Whether the rows of `chunk` belong to the series of the last rows.
    pub(super) fn continues(&self, chunk: &SeriesChunk) -> bool {
        self.open.as_ref().is_some_and(|(open, _)| open.is_continued_by(chunk))
    }

    /// Writes rows like [`Writer::series`]. Returns the position of the next row.
    pub(super) fn write_rows(&mut self, chunk: &SeriesChunk, range: Range<usize>) -> usize {
        if self.unsupported.is_some() {
            return range.end;
        }
        if !self.continues(chunk) {
            self.close_series(false);
            self.open_series(chunk);
        }
        if let Some((_, has_values)) = &mut self.open
            && (!range.is_empty() || is_database_list(chunk))
            && !std::mem::replace(has_values, true)
        {
            self.emitter.key("values");
            self.emitter.open(b'[');
        }
        let written = rows(&mut self.emitter, chunk, range.clone(), self.epoch);
        self.unsupported = written.err();
        let next = written.unwrap_or(range.end);
        if let Some((open, _)) = &mut self.open {
            open.partial = chunk.continues_after(next);
        }
        next
    }

    /// Ends a statement's result. Writes `"partial":true` into the last series if more of its rows
    /// follow, and into the statement if anything follows.
    pub(super) fn end_statement(&mut self, remainder: Remainder, ending: Ending<'_>) {
        self.close_series(remainder == Remainder::Series);
        if std::mem::replace(&mut self.in_series, false) {
            self.emitter.close(b']');
        }
        trailer(&mut self.emitter, remainder != Remainder::Nothing, ending);
        self.emitter.close(b'}');
    }

    fn open_series(&mut self, chunk: &SeriesChunk) {
        if !std::mem::replace(&mut self.in_series, true) {
            self.before_series = Some(self.emitter.position());
            self.emitter.key("series");
            self.emitter.open(b'[');
        }
        self.emitter.next();
        header(&mut self.emitter, chunk);
        self.open = Some((chunk.without_rows(), false));
    }

    fn close_series(&mut self, partial: bool) {
        if let Some((_, has_values)) = self.open.take() {
            if has_values {
                self.emitter.close(b']');
            }
            trailer(&mut self.emitter, partial, Ending::Done);
            self.emitter.close(b'}');
        }
    }
}

impl Writer for Document {
    fn statement_begin(&mut self, id: u32) {
        if !std::mem::replace(&mut self.begun, true) {
            self.emitter.open(b'{');
            self.emitter.key("results");
            self.emitter.open(b'[');
        }
        self.emitter.next();
        self.emitter.open(b'{');
        self.emitter.key("statement_id");
        time::integer(i64::from(id), self.emitter.out());
    }

    fn series(&mut self, chunk: &SeriesChunk, range: Range<usize>) -> Option<usize> {
        Some(self.write_rows(chunk, range))
    }

    fn statement_end(&mut self, ending: Ending<'_>) {
        let before_series = self.before_series.take();
        if let (Ending::Failed(_), Some(before_series)) = (&ending, before_series) {
            // The error replaces the rows.
            self.emitter.rewind(before_series);
            (self.in_series, self.open, self.unsupported) = (false, None, None);
        }
        self.end_statement(Remainder::Nothing, ending);
    }

    fn finish(&mut self) {
        if self.begun {
            self.emitter.close(b']');
        } else {
            // No series was written: Go omits an empty list.
            self.emitter.open(b'{');
        }
        self.emitter.close(b'}');
        self.emitter.end_document();
        if let Some(unsupported) = self.unsupported.filter(|_| !self.taken) {
            let out = self.emitter.out();
            out.clear();
            out.extend_from_slice(b"{\"error\":");
            emitter::string(&unsupported.to_string(), out);
            out.extend_from_slice(b"}\n");
        }
    }

    fn bytes(&self) -> usize {
        self.emitter.bytes()
    }

    fn take_bytes(&mut self) -> Vec<u8> {
        self.taken = true;
        self.before_series = None;
        self.emitter.take()
    }
}

/// Whether `chunk` is the result of SHOW DATABASES. Clients read its `values` without a check,
/// because 1.x always lists the database `_internal`.
fn is_database_list(chunk: &SeriesChunk) -> bool {
    chunk.name.as_deref() == Some("databases") && chunk.columns.iter().eq(&["name"])
}

fn header(emitter: &mut Emitter, chunk: &SeriesChunk) {
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

fn trailer(emitter: &mut Emitter, partial: bool, ending: Ending<'_>) {
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
