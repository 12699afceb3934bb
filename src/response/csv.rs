//! Writes CSV as 1.x does: a header for each statement and whenever the columns change.

use std::ops::Range;
use std::rc::Rc;

use super::number;
use super::time;
use crate::model::time::Precision;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};

/// The table of one answer.
#[derive(Debug)]
pub struct CsvWriter {
    out: Vec<u8>,
    epoch: Precision,
    /// Columns of the last header.
    columns: Option<Rc<[String]>>,
    /// The current statement has written nothing.
    fresh: bool,
}

impl CsvWriter {
    /// An empty table; times are integers of `epoch`, nanoseconds when there is none.
    pub fn new(epoch: Option<Precision>) -> Self {
        Self { out: Vec::new(), epoch: epoch.unwrap_or_default(), columns: None, fresh: true }
    }

    /// Starts a statement's result.
    pub fn statement_begin(&mut self) {
        self.fresh = true;
    }

    /// The next rows.
    pub fn series(&mut self, chunk: &SeriesChunk, range: Range<usize>) {
        if self.fresh || self.columns.as_ref() != Some(&chunk.columns) {
            self.header(chunk);
        }
        let mut prefix = Vec::new();
        field(chunk.name.as_deref().unwrap_or_default(), &mut prefix);
        prefix.push(b',');
        field(&tags(chunk), &mut prefix);
        for row in range {
            self.out.extend_from_slice(&prefix);
            for column in &chunk.values {
                self.out.push(b',');
                cell(column, row, self.epoch, &mut self.out);
            }
            self.out.push(b'\n');
        }
    }

    /// How much can be taken.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// What has been written since the last call.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn header(&mut self, chunk: &SeriesChunk) {
        if self.columns.is_some() {
            self.out.push(b'\n');
        }
        self.out.extend_from_slice(b"name,tags");
        for column in chunk.columns.iter() {
            self.out.push(b',');
            field(column, &mut self.out);
        }
        self.out.push(b'\n');
        self.columns = Some(Rc::clone(&chunk.columns));
        self.fresh = false;
    }
}

/// The table that stands for a query that was refused.
pub fn failed(error: &str) -> Vec<u8> {
    let mut out = b"error\n".to_vec();
    field(error, &mut out);
    out.push(b'\n');
    out
}

/// `key=value,key=value` with line protocol's escapes; empty values are left out (1.x `HashKey`).
fn tags(chunk: &SeriesChunk) -> String {
    let mut text = String::new();
    for (key, value) in chunk.tags.iter().filter(|(_, value)| !value.is_empty()) {
        if !text.is_empty() {
            text.push(',');
        }
        escape(key, &mut text);
        text.push('=');
        escape(value, &mut text);
    }
    text
}

fn escape(name: &str, out: &mut String) {
    for c in name.chars() {
        if matches!(c, ',' | '=' | ' ') {
            out.push('\\');
        }
        out.push(c);
    }
}

fn cell(column: &ResultColumn, row: usize, epoch: Precision, out: &mut Vec<u8>) {
    match column {
        ResultColumn::Time(times_ns) => {
            if let Some(time_ns) = times_ns.get(row) {
                time::integer(time_ns / epoch.unit_ns(), out);
            }
        }
        ResultColumn::Null => {}
        ResultColumn::Values(column) if !column.validity.is_valid(row) => {}
        ResultColumn::Values(column) => value(column, row, out),
        ResultColumn::Filled { column, otherwise } => {
            let is_valid = column.validity.is_valid(row);
            let (column, row) = if is_valid { (column, row) } else { (otherwise, 0) };
            value(column, row, out);
        }
    }
}

fn value(column: &Column, row: usize, out: &mut Vec<u8>) {
    match &column.values {
        Values::Float(values) => {
            number::csv_float(values.get(row).copied().unwrap_or_default(), out);
        }
        Values::Integer(values) => time::integer(values.get(row).copied().unwrap_or_default(), out),
        Values::Unsigned(values) => {
            let mut digits = itoa::Buffer::new();
            let value = values.get(row).copied().unwrap_or_default();
            out.extend_from_slice(digits.format(value).as_bytes());
        }
        Values::String(values) => field(values.get(row), out),
        Values::Boolean(values) => {
            let value = values.get(row).copied().unwrap_or_default();
            out.extend_from_slice(if value { b"true" } else { b"false" });
        }
    }
}

/// Appends a field, quoted when Go's `encoding/csv` would.
fn field(text: &str, out: &mut Vec<u8>) {
    let quoted = text == "\\."
        || text.contains([',', '"', '\r', '\n'])
        || text.starts_with(char::is_whitespace);
    if !quoted {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}
