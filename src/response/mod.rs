//! Series to bytes, piece by piece: which format a client asked for, and how each one is written.

use crate::model::time::Precision;
use crate::query::result::SeriesChunk;

/// Formats of a `/query` answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `application/json`
    #[default]
    Json,
    /// `text/csv`, `application/csv`
    Csv,
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

/// A remark beside a statement's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `warning`, `info`
    pub level: String,
    /// What to say.
    pub text: String,
}

/// Writes the results of the statements of one request, in order.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Starts an answer.
    pub fn new(_options: Options) -> Self {
        Self { out: Vec::new() }
    }

    /// Starts the result of statement number `id`, counting from 0.
    pub fn statement_begin(&mut self, _id: u32) {}

    /// The next rows of the statement.
    pub fn series(&mut self, _chunk: &SeriesChunk) {}

    /// Ends the statement, with its error if it failed.
    pub fn statement_end(&mut self, _error: Option<&str>, _messages: &[Message]) {}

    /// Ends the answer.
    pub fn finish(&mut self) {}

    /// What has been written since the last call.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}
