//! Writes series as bytes in the format that the client requests.
//!
//! [`Writer`] receives the chunks of a result in order, and stores only the bytes that have not
//! been taken yet. Module [`json`] writes one document per request. With `chunked=true`, module
//! [`chunked`] writes several documents.

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

/// A format of `/query` responses.
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
    /// Returns the client's preferred format in an `Accept` list. As in 1.x, returns JSON if the
    /// list contains no known format.
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

    /// Returns the response's content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::MessagePack => "application/x-msgpack",
        }
    }
}

/// The options of a response.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format of the response.
    pub format: Format,
    /// The unit of integer times; `None` means RFC 3339.
    pub epoch: Option<Precision>,
    /// Whether JSON is indented.
    pub pretty: bool,
    /// The maximum number of rows per chunk with `chunked=true`; `None` means a single document.
    pub chunk_rows: Option<usize>,
}

/// Writes the results of a request's statements in the order of the statements.
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
    /// Starts a response.
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

    /// Starts the result of the statement with number `id`. Numbers start at 0.
    pub fn statement_begin(&mut self, id: u32) {
        match &mut self.form {
            FormatWriter::Json(document) => document.statement_begin(id),
            FormatWriter::Chunked(documents) => documents.statement_begin(id),
            FormatWriter::Csv(table) => table.statement_begin(),
            FormatWriter::Packed(packed) => packed.statement_begin(id),
        }
    }

    /// Writes the rows of the chunk at positions `rows`. Returns `false` if the writer cannot store
    /// more rows.
    pub fn series(&mut self, chunk: &SeriesChunk, rows: Range<usize>) -> bool {
        chunk.ensure_rows();
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
            // For a failed statement, 1.x's CSV contains neither rows nor messages.
            FormatWriter::Csv(_) => {}
            FormatWriter::Packed(packed) => packed.statement_end(ending),
        }
    }

    /// Ends the response.
    pub fn finish(&mut self) {
        match &mut self.form {
            FormatWriter::Json(document) => document.finish(),
            FormatWriter::Packed(packed) => packed.finish(),
            FormatWriter::Chunked(_) | FormatWriter::Csv(_) => {}
        }
    }

    /// Returns the number of bytes that [`Self::take_bytes`] can return.
    pub fn bytes(&self) -> usize {
        match &self.form {
            FormatWriter::Json(document) => document.bytes(),
            FormatWriter::Chunked(documents) => documents.bytes(),
            FormatWriter::Csv(table) => table.bytes(),
            FormatWriter::Packed(packed) => packed.bytes(),
        }
    }

    /// Takes all or some of the bytes that were written since the last call. Returns an empty
    /// vector if no bytes are left.
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
