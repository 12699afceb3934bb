//! Writes series as bytes in the format that the client requests.
//!
//! A [`Writer`] receives the chunks of a result in order, and stores only the bytes that have not
//! been taken yet. Module `json` writes one document per request. With `chunked=true`, module
//! `chunked` writes several documents.

pub mod accept;
mod cell;
mod chunked;
pub mod csv;
pub mod emitter;
mod json;
pub mod msgpack;
pub mod number;
mod rows;
pub mod table;
pub mod time;

use std::ops::Range;

use tidemark_model::time::Precision;
use tidemark_query::result::SeriesChunk;

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

/// The outcome of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// The statement was executed.
    Done,
    /// The statement was executed, with this warning.
    Warned(&'a str),
    /// The statement failed, completely or in part.
    Failed(&'a str),
}

/// The level of a warning. Results have no messages of other levels.
const WARNING: &str = "warning";

/// Writes the results of a request's statements in the order of the statements.
pub trait Writer {
    /// Starts the result of the statement with number `id`. Numbers start at 0.
    fn statement_begin(&mut self, id: u32);

    /// Writes the rows of the chunk at positions `rows`. Returns the position of the next row. This
    /// position is before `rows.end` if the written rows have `REPLY_PIECE_BYTES` or more.
    /// Returns `None` if the writer cannot store more rows.
    fn series(&mut self, chunk: &SeriesChunk, rows: Range<usize>) -> Option<usize>;

    /// Ends the statement.
    fn statement_end(&mut self, ending: Ending<'_>);

    /// Ends the response.
    fn finish(&mut self) {}

    /// Returns the number of bytes that [`Self::take_bytes`] can return.
    fn bytes(&self) -> usize;

    /// Returns the number of bytes that the writer keeps in memory.
    fn held_bytes(&self) -> usize {
        self.bytes()
    }

    /// Takes all or some of the bytes that were written since the last call. Returns an empty
    /// vector if no bytes are left.
    fn take_bytes(&mut self) -> Vec<u8>;
}

/// Starts a response.
pub fn writer(options: Options) -> Box<dyn Writer> {
    let Options { format, epoch, pretty, chunk_rows } = options;
    match (format, chunk_rows) {
        (Format::MessagePack, rows) => Box::new(msgpack::Packed::new(epoch, rows)),
        (Format::Csv, _) => Box::new(csv::CsvWriter::new(epoch)),
        (Format::Json, Some(rows)) => Box::new(chunked::Documents::new(epoch, pretty, rows)),
        (Format::Json, None) => Box::new(json::Document::new(epoch, pretty)),
    }
}

#[cfg(test)]
mod tests;
