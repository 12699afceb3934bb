//! Encodes batches of rows in the requested format.
//!
//! Tags are dictionaries only within a plan. In every output format, tags are plain text.

mod encoders;
mod flatten;
mod rewriting;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::json::writer::{JsonArray, LineDelimited};
use datafusion::arrow::json::{ArrayWriter, LineDelimitedWriter, WriterBuilder};
use datafusion::arrow::util::pretty::pretty_format_batches_with_schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

pub use tidemark_response::table::TableFormat as Format;

pub(crate) use rewriting::Rewriting;

use self::encoders::Encoders;
use crate::error::QueryError;
use crate::limits::{
    ARROW_BATCH_BYTES_MAX, PARQUET_GROUP_BYTES, PARQUET_GROUP_ROWS, WHOLE_ANSWER_BYTES_MAX,
};

/// Writes a result in one format.
pub struct Writer {
    schema: SchemaRef,
    sink: Sink,
    form: Form,
}

enum Form {
    Json(ArrayWriter<Sink>),
    JsonLines(LineDelimitedWriter<Sink>),
    Csv(Box<csv::Writer<Sink>>),
    Pretty(Whole),
    Parquet(Box<ArrowWriter<Sink>>),
    Arrow(Box<StreamWriter<Sink>>),
}

/// The batches for a format that is written only when the result is complete.
#[derive(Default)]
struct Whole {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl Writer {
    /// Creates a writer for rows with the given schema. The start of the result is available
    /// immediately.
    ///
    /// # Errors
    /// Returns an error if the format does not support the type of a column.
    pub fn new(format: Format, schema: &SchemaRef) -> Result<Self, QueryError> {
        let keeps_tags = matches!(format, Format::Json | Format::JsonLines);
        let schema = flatten::schema(schema, keeps_tags);
        let sink = Sink::default();
        let form = match format {
            Format::Json => Form::Json(json().build::<_, JsonArray>(sink.clone())),
            Format::JsonLines => Form::JsonLines(json().build::<_, LineDelimited>(sink.clone())),
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new().build(sink.clone());
                // A result without rows also has a header line.
                writer.write(&RecordBatch::new_empty(Arc::clone(&schema)))?;
                Form::Csv(Box::new(writer))
            }
            Format::Pretty => Form::Pretty(Whole::default()),
            Format::Parquet => Form::Parquet(Box::new(parquet_writer(&schema, sink.clone())?)),
            Format::Arrow => Form::Arrow(Box::new(StreamWriter::try_new(sink.clone(), &schema)?)),
        };
        Ok(Self { schema, sink, form })
    }

    /// Adds rows to the result.
    ///
    /// # Errors
    /// Returns an error if the format does not support a value. Also returns an error if the size
    /// limit of a format that is written at the end would be exceeded.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = flatten::batch(batch, &self.schema)?;
        match &mut self.form {
            Form::Json(writer) => writer.write(&batch)?,
            Form::JsonLines(writer) => writer.write(&batch)?,
            Form::Csv(writer) => writer.write(&batch)?,
            Form::Pretty(whole) => whole.push(batch)?,
            Form::Parquet(writer) => write_parquet(writer, &batch).map_err(parquet_error)?,
            Form::Arrow(writer) => write_arrow(writer, &batch)?,
        }
        Ok(())
    }

    /// Returns the bytes that have been written since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        self.sink.take()
    }

    /// Ends the result and returns the remaining bytes.
    ///
    /// # Errors
    /// Returns the errors of [`Self::write`].
    pub fn finish(self) -> Result<Vec<u8>, QueryError> {
        let sink = self.sink;
        match self.form {
            Form::Json(mut writer) => writer.finish()?,
            Form::JsonLines(mut writer) => writer.finish()?,
            Form::Csv(_) => {}
            Form::Pretty(whole) => {
                let rows = &whole.batches;
                let table = pretty_format_batches_with_schema(self.schema, rows)?;
                sink.append(table.to_string().as_bytes());
            }
            Form::Parquet(writer) => drop(writer.close().map_err(parquet_error)?),
            Form::Arrow(mut writer) => writer.finish()?,
        }
        Ok(sink.take())
    }
}

impl Whole {
    fn push(&mut self, batch: RecordBatch) -> Result<(), QueryError> {
        self.bytes += batch.get_array_memory_size();
        if self.bytes > WHOLE_ANSWER_BYTES_MAX {
            let message = format!(
                "a result of more than {WHOLE_ANSWER_BYTES_MAX} bytes cannot be returned as \
                 pretty: use csv, jsonl or arrow"
            );
            return Err(QueryError::exhausted(message));
        }
        self.batches.push(batch);
        Ok(())
    }
}

fn json() -> WriterBuilder {
    WriterBuilder::new().with_encoder_factory(Arc::new(Encoders))
}

/// Writes rows as one Arrow message. Divides the rows into several messages if one message would be
/// too large.
fn write_arrow(writer: &mut StreamWriter<Sink>, batch: &RecordBatch) -> Result<(), ArrowError> {
    let bytes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    let rows = batch.num_rows();
    if rows < 2 || bytes.sum::<Result<usize, _>>()? <= ARROW_BATCH_BYTES_MAX {
        return writer.write(batch);
    }
    let half = rows / 2;
    write_arrow(writer, &batch.slice(0, half))?;
    write_arrow(writer, &batch.slice(half, rows - half))
}

/// Adds rows. Ends the row group if it is large enough.
fn write_parquet(writer: &mut ArrowWriter<Sink>, batch: &RecordBatch) -> Result<(), ParquetError> {
    writer.write(batch)?;
    match writer.in_progress_size() > PARQUET_GROUP_BYTES {
        true => writer.flush(),
        false => Ok(()),
    }
}

fn parquet_writer(schema: &SchemaRef, sink: Sink) -> Result<ArrowWriter<Sink>, QueryError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(PARQUET_GROUP_ROWS))
        .build();
    ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties)).map_err(parquet_error)
}

fn parquet_error(error: ParquetError) -> QueryError {
    QueryError::invalid(error.to_string())
}

/// The output of a writer. The bytes can be taken while the writer continues.
#[derive(Clone, Debug, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn append(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
