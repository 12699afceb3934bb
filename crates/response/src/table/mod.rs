//! Writes a result as a flat table for the v3 routes. The measurement and the tags of each series
//! become columns.
//!
//! [`Layout`] defines the columns. [`TableWriter`] receives the chunks of a result in order, and
//! stores only the bytes that have not been taken yet. As an exception, it keeps the whole table in
//! memory for the format `pretty`, which is for human readers.

mod arrow;
mod csv;
mod format;
mod json;
mod layout;
mod pretty;

use arrow_schema::ArrowError;

use crate::cell::Cell;
use crate::time;
pub use format::{FormatError, TableFormat};
pub use layout::Layout;
use tidemark_model::limits::REPLY_PIECE_BYTES;
use tidemark_query::result::SeriesChunk;

/// Writes the table of a response.
pub struct TableWriter {
    layout: Layout,
    form: Form,
    /// The bytes in JSON or CSV that were written and have not been taken yet.
    out: Vec<u8>,
}

enum Form {
    Objects(json::Objects),
    Lines,
    Grid(pretty::Grid),
    Batches(Box<arrow::Batches>),
}

impl TableWriter {
    /// Starts a response with these columns. For [`TableFormat::Parquet`], the response is an Arrow
    /// stream, which the SQL Worker converts.
    pub fn new(format: TableFormat, layout: Layout) -> Result<Self, ArrowError> {
        let mut out = Vec::new();
        let form = match format {
            TableFormat::Json => Form::Objects(json::Objects::new(&layout, false)),
            TableFormat::JsonLines => Form::Objects(json::Objects::new(&layout, true)),
            TableFormat::Csv => {
                csv::header(&layout, &mut out);
                Form::Lines
            }
            TableFormat::Pretty => Form::Grid(pretty::Grid::new(&layout)),
            TableFormat::Arrow | TableFormat::Parquet => {
                Form::Batches(Box::new(arrow::Batches::new(&layout)?))
            }
        };
        Ok(Self { layout, form, out })
    }

    /// Writes the rows of the chunk from position `from`. Returns the position of the next row. It
    /// is before the end of the chunk if the written rows have `REPLY_PIECE_BYTES` or more.
    pub fn rows(&mut self, chunk: &SeriesChunk, from: usize) -> Result<usize, ArrowError> {
        chunk.ensure_rows();
        let cells = self.layout.cells(chunk);
        let bytes_max = self.written_bytes() + REPLY_PIECE_BYTES;
        for row in from..chunk.rows {
            if self.written_bytes() >= bytes_max {
                return Ok(row);
            }
            match &mut self.form {
                Form::Objects(objects) => objects.row(&cells, row, &chunk.zone, &mut self.out),
                Form::Lines => csv::row(&cells, row, &chunk.zone, &mut self.out),
                Form::Grid(grid) => grid.row(&cells, row, &chunk.zone),
                Form::Batches(batches) => batches.row(&cells, row)?,
            }
        }
        Ok(chunk.rows)
    }

    fn written_bytes(&self) -> usize {
        match &self.form {
            Form::Grid(grid) => grid.held_bytes(),
            Form::Objects(_) | Form::Lines | Form::Batches(_) => self.ready_bytes(),
        }
    }

    /// Ends the response.
    pub fn finish(&mut self) -> Result<(), ArrowError> {
        match &mut self.form {
            Form::Objects(objects) => objects.finish(&mut self.out),
            Form::Lines => {}
            Form::Grid(grid) => grid.finish(),
            Form::Batches(batches) => batches.finish()?,
        }
        Ok(())
    }

    /// Returns the number of bytes that [`TableWriter::take_bytes`] can return now. For
    /// [`TableFormat::Pretty`], the number is an estimate.
    pub fn ready_bytes(&self) -> usize {
        match &self.form {
            Form::Objects(_) | Form::Lines => self.out.len(),
            Form::Grid(grid) => grid.ready_bytes(),
            Form::Batches(batches) => batches.ready_bytes(),
        }
    }

    /// Returns the number of bytes that the writer keeps in memory.
    pub fn held_bytes(&self) -> usize {
        match &self.form {
            Form::Grid(grid) => grid.held_bytes(),
            Form::Batches(batches) => batches.held_bytes() + batches.ready_bytes(),
            Form::Objects(_) | Form::Lines => self.ready_bytes(),
        }
    }

    /// Takes all or some of the bytes that were written since the last call.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        match &mut self.form {
            Form::Objects(_) | Form::Lines => std::mem::take(&mut self.out),
            Form::Grid(grid) => grid.take(),
            Form::Batches(batches) => std::mem::take(batches.out()),
        }
    }
}

/// Appends a value in the same way as Arrow's text writers. A null value appends nothing. `zone`
/// has the form of [`SeriesChunk::zone`], but an empty list means that times have no zone.
fn display(cell: Cell<'_>, zone: &[(i64, i64)], out: &mut Vec<u8>) {
    match cell {
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Time(time_ns) => time::arrow(time_ns, zone, out),
        Cell::Float(value) if value.is_finite() => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        }
        Cell::Float(value) => {
            let sign = if value < 0.0 { "-inf" } else { "inf" };
            out.extend_from_slice(if value.is_nan() { "NaN" } else { sign }.as_bytes());
        }
        plain => plain.write_plain(out),
    }
}

#[cfg(test)]
mod tests;
