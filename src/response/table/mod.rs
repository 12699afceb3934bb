//! Writes a result as one flat table, as the v3 routes answer: the measurement and the tags of
//! each series become columns.
//!
//! [`Layout`] says which columns there are; [`TableWriter`] takes the pieces of a result in order
//! and holds only what has not been taken yet, but for the table for people, which it holds whole.

mod arrow;
mod csv;
mod format;
mod json;
mod layout;
mod pretty;
mod text;

use crate::query::result::SeriesChunk;
pub use format::{FormatError, TableFormat};
pub use layout::Layout;

/// What a table cannot be written for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The format is not written here.
    #[error("Parquet is not written by this Worker")]
    Parquet,
    /// Arrow's writer refuses what it is given.
    #[error("{0}")]
    Arrow(String),
}

/// Writes one answer.
#[derive(Debug)]
pub struct TableWriter {
    layout: Layout,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Objects(json::Objects),
    Lines(csv::Lines),
    Grid(pretty::Grid),
    Batches(Box<arrow::Batches>),
}

impl TableWriter {
    /// Starts an answer with these columns.
    ///
    /// # Errors
    /// [`TableError::Parquet`]
    pub fn new(format: TableFormat, layout: Layout) -> Result<Self, TableError> {
        let form = match format {
            TableFormat::Json => Form::Objects(json::Objects::new(&layout, false)),
            TableFormat::JsonLines => Form::Objects(json::Objects::new(&layout, true)),
            TableFormat::Csv => Form::Lines(csv::Lines::new(&layout)),
            TableFormat::Pretty => Form::Grid(pretty::Grid::new(&layout)),
            TableFormat::Arrow => {
                Form::Batches(Box::new(arrow::Batches::new(&layout).map_err(refused)?))
            }
            TableFormat::Parquet => return Err(TableError::Parquet),
        };
        Ok(Self { layout, form })
    }

    /// The next rows.
    ///
    /// # Errors
    /// [`TableError::Arrow`]
    pub fn rows(&mut self, chunk: &SeriesChunk) -> Result<(), TableError> {
        match &mut self.form {
            Form::Objects(objects) => objects.rows(&self.layout, chunk),
            Form::Lines(lines) => lines.rows(&self.layout, chunk),
            Form::Grid(grid) => grid.rows(&self.layout, chunk),
            Form::Batches(batches) => batches.rows(&self.layout, chunk).map_err(refused)?,
        }
        Ok(())
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// [`TableError::Arrow`]
    pub fn finish(&mut self) -> Result<(), TableError> {
        match &mut self.form {
            Form::Objects(objects) => objects.finish(),
            Form::Lines(_) => {}
            Form::Grid(grid) => grid.finish(),
            Form::Batches(batches) => batches.finish().map_err(refused)?,
        }
        Ok(())
    }

    /// What can be taken now, bytes; of a table for people about.
    pub fn ready_bytes(&self) -> usize {
        match &self.form {
            Form::Objects(objects) => objects.out.len(),
            Form::Lines(lines) => lines.out.len(),
            Form::Grid(grid) => grid.ready_bytes(),
            Form::Batches(batches) => batches.ready_bytes(),
        }
    }

    /// What is held in all, bytes.
    pub fn held_bytes(&self) -> usize {
        match &self.form {
            Form::Grid(grid) => grid.held_bytes(),
            Form::Batches(batches) => batches.held_bytes() + batches.ready_bytes(),
            Form::Objects(_) | Form::Lines(_) => self.ready_bytes(),
        }
    }

    /// What has been written since the last call, or a piece of it.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        match &mut self.form {
            Form::Objects(objects) => std::mem::take(&mut objects.out),
            Form::Lines(lines) => std::mem::take(&mut lines.out),
            Form::Grid(grid) => grid.take(),
            Form::Batches(batches) => std::mem::take(batches.out()),
        }
    }
}

fn refused(error: arrow_schema::ArrowError) -> TableError {
    TableError::Arrow(error.to_string())
}

#[cfg(test)]
mod tests;
