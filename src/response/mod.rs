//! Writes series as bytes, piece by piece, in the format that the client asked for.
//!
//! [`Writer`] takes what a query yields in order and holds only what has not been taken yet. One
//! document per request is [`json`]; `chunked=true` makes it one per chunk ([`chunked`]).

pub mod accept;
pub mod chunked;
pub mod csv;
pub mod emitter;
mod ending;
pub mod json;
pub mod msgpack;
pub mod number;
mod rows;
pub mod table;
pub mod time;

use std::ops::Range;

use crate::model::time::Precision;
use crate::query::result::SeriesChunk;
pub use ending::Ending;

/// Formats of a `/query` answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `application/json`
    #[default]
    Json,
    /// `text/csv`, `application/csv`
    Csv,
    /// `application/x-msgpack`
    MessagePack,
}

impl Format {
    /// The format of an `Accept` list that the client prefers; JSON when the list has none, as in
    /// 1.x.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let known = |media: String| match media.as_str() {
            "application/json" | "*/*" | "application/*" => Some(Self::Json),
            "text/csv" | "application/csv" => Some(Self::Csv),
            "application/x-msgpack" => Some(Self::MessagePack),
            _ => None,
        };
        let accepted = accept::media_types(accept.unwrap_or_default());
        accepted.into_iter().find_map(known).unwrap_or_default()
    }

    /// The reply's content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::MessagePack => "application/x-msgpack",
        }
    }
}

/// How to write.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which format.
    pub format: Format,
    /// Unit of integer times; `None` is RFC 3339.
    pub epoch: Option<Precision>,
    /// Indented JSON.
    pub pretty: bool,
    /// Rows of one chunk when `chunked=true`; `None` is one document.
    pub chunk_rows: Option<usize>,
}

/// Writes the results of the statements of one request, in order.
#[derive(Debug)]
pub struct Writer {
    form: FormatWriter,
}

#[derive(Debug)]
enum FormatWriter {
    Json(json::Document),
    Chunked(chunked::Documents),
    Csv(csv::CsvWriter),
    Packed(msgpack::Packed),
}

impl Writer {
    /// Starts an answer.
    pub fn new(options: Options) -> Self {
        let Options { format, epoch, pretty, chunk_rows } = options;
        let form = match (format, chunk_rows) {
            (Format::MessagePack, rows) => FormatWriter::Packed(msgpack::Packed::new(epoch, rows)),
            (Format::Csv, _) => FormatWriter::Csv(csv::CsvWriter::new(epoch)),
            (Format::Json, Some(rows)) => {
                FormatWriter::Chunked(chunked::Documents::new(epoch, pretty, rows))
            }
            (Format::Json, None) => FormatWriter::Json(json::Document::new(epoch, pretty)),
        };
        Self { form }
    }

    /// Starts the result of statement number `id`, counting from 0.
    pub fn statement_begin(&mut self, id: u32) {
        match &mut self.form {
            FormatWriter::Json(document) => document.statement_begin(id),
            FormatWriter::Chunked(documents) => documents.statement_begin(id),
            FormatWriter::Csv(table) => table.statement_begin(),
            FormatWriter::Packed(packed) => packed.statement_begin(id),
        }
    }

    /// The next rows of the statement, those at `rows` of the chunk; `false` when no more can be
    /// held.
    pub fn series(&mut self, chunk: &SeriesChunk, rows: Range<usize>) -> bool {
        match &mut self.form {
            FormatWriter::Json(document) => document.series(chunk, rows),
            FormatWriter::Chunked(documents) => documents.series(chunk, rows),
            FormatWriter::Csv(table) => table.series(chunk, rows),
            FormatWriter::Packed(packed) => return packed.series(chunk, rows),
        }
        true
    }

    /// Ends the statement.
    pub fn statement_end(&mut self, ending: Ending<'_>) {
        match &mut self.form {
            FormatWriter::Json(document) => document.statement_end(ending),
            FormatWriter::Chunked(documents) => documents.statement_end(ending),
            // 1.x writes nothing of a failed statement, and no messages.
            FormatWriter::Csv(_) => {}
            FormatWriter::Packed(packed) => packed.statement_end(ending),
        }
    }

    /// Ends the answer.
    pub fn finish(&mut self) {
        match &mut self.form {
            FormatWriter::Json(document) => document.finish(),
            FormatWriter::Packed(packed) => packed.finish(),
            FormatWriter::Chunked(_) | FormatWriter::Csv(_) => {}
        }
    }

    /// How much [`Self::take_bytes`] has left to give.
    pub fn bytes(&self) -> usize {
        match &self.form {
            FormatWriter::Json(document) => document.bytes(),
            FormatWriter::Chunked(documents) => documents.bytes(),
            FormatWriter::Csv(table) => table.bytes(),
            FormatWriter::Packed(packed) => packed.bytes(),
        }
    }

    /// What has been written since the last call, or a piece of it: empty when all is taken.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        match &mut self.form {
            FormatWriter::Json(document) => document.take_bytes(),
            FormatWriter::Chunked(documents) => documents.take_bytes(),
            FormatWriter::Csv(table) => table.take_bytes(),
            FormatWriter::Packed(packed) => packed.take_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
