//! Writes rows as a stream of Arrow IPC messages: the schema, the batches, and the end of the
//! stream.
//!
//! Columns have plain types that every client can read, without dictionaries and views.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampNanosecondBuilder,
    UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use serde_json::json;

use super::display;
use super::layout::{Cells, Layout, TableColumn, TableKind};
use crate::cell::Cell;
use tidemark_model::limits::{ARROW_BATCH_ROWS_MAX, REPLY_PIECE_BYTES};
use tidemark_model::value::FieldType;

/// The metadata key for the type of a column, as in InfluxDB 3. JavaScript clients use this
/// metadata to map types.
const COLUMN_TYPE: &str = "iox::column::type";
const GROUP_KEY: &str = "iox::influxql::group_key::metadata";

pub(super) struct Batches {
    schema: SchemaRef,
    stream: StreamWriter<Vec<u8>>,
    columns: Vec<Builder>,
    rows: usize,
    /// The approximate size of the current batch, in bytes.
    bytes: usize,
}

impl Batches {
    pub(super) fn new(layout: &Layout) -> Result<Self, ArrowError> {
        let schema: SchemaRef = Arc::new(schema(layout));
        let stream = StreamWriter::try_new(Vec::new(), &schema)?;
        let columns = schema.fields().iter().map(|field| Builder::new(field.data_type())).collect();
        Ok(Self { schema, stream, columns, rows: 0, bytes: 0 })
    }

    pub(super) fn row(&mut self, cells: &[Cells<'_>], row: usize) -> Result<(), ArrowError> {
        for (column, cells) in self.columns.iter_mut().zip(cells) {
            self.bytes += column.append(cells.get(row));
        }
        self.rows += 1;
        if self.rows >= ARROW_BATCH_ROWS_MAX || self.bytes >= REPLY_PIECE_BYTES {
            self.end_batch()?;
        }
        Ok(())
    }

    fn end_batch(&mut self) -> Result<(), ArrowError> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let arrays = self.columns.iter_mut().map(Builder::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)?;
        self.stream.write(&batch)
    }

    pub(super) fn finish(&mut self) -> Result<(), ArrowError> {
        self.end_batch()?;
        self.stream.finish()
    }

    /// Returns the approximate size of the current batch, in bytes. The size does not include
    /// [`Self::out`].
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        self.stream.get_mut()
    }

    pub(super) fn ready_bytes(&self) -> usize {
        self.stream.get_ref().len()
    }
}

fn schema(layout: &Layout) -> Schema {
    let fields: Vec<Field> =
        layout.columns.iter().map(|column| field(column, layout.zone.as_deref())).collect();
    let tags: Vec<serde_json::Value> = (layout.group_tags.iter())
        .map(|tag| match tag.is_projected {
            true => json!({"tagKey": tag.key, "columnIndex": tag.column, "isProjected": true}),
            false => json!({"tagKey": tag.key, "columnIndex": tag.column}),
        })
        .collect();
    let group_key = match tags.is_empty() {
        true => json!({}),
        false => json!({ "tagKeyColumns": tags }),
    };
    let metadata = HashMap::from([(GROUP_KEY.to_owned(), group_key.to_string())]);
    Schema::new_with_metadata(fields, metadata)
}

fn field(column: &TableColumn, zone: Option<&str>) -> Field {
    let (data_type, of) = match column.kind {
        TableKind::Name => (DataType::Utf8, None),
        TableKind::Unknown => (DataType::Utf8, None),
        TableKind::Tag => (DataType::Utf8, Some("tag")),
        TableKind::Time => {
            let zone = zone.map(Arc::from);
            (DataType::Timestamp(TimeUnit::Nanosecond, zone), Some("timestamp"))
        }
        TableKind::Field(FieldType::Float) => (DataType::Float64, Some("field::float")),
        TableKind::Field(FieldType::Integer) => (DataType::Int64, Some("field::integer")),
        TableKind::Field(FieldType::Unsigned) => (DataType::UInt64, Some("field::uinteger")),
        TableKind::Field(FieldType::String) => (DataType::Utf8, Some("field::string")),
        TableKind::Field(FieldType::Boolean) => (DataType::Boolean, Some("field::boolean")),
    };
    let is_nullable = !matches!(column.kind, TableKind::Name | TableKind::Time);
    let metadata = of.map(|of| (COLUMN_TYPE.to_owned(), format!("iox::column_type::{of}")));
    Field::new(&column.name, data_type, is_nullable).with_metadata(metadata.into_iter().collect())
}

enum Builder {
    Text(StringBuilder),
    Times(TimestampNanosecondBuilder),
    Floats(Float64Builder),
    Integers(Int64Builder),
    Unsigned(UInt64Builder),
    Booleans(BooleanBuilder),
}

impl Builder {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Timestamp(..) => {
                let builder = TimestampNanosecondBuilder::new();
                Self::Times(builder.with_data_type(data_type.clone()))
            }
            DataType::Float64 => Self::Floats(Float64Builder::new()),
            DataType::Int64 => Self::Integers(Int64Builder::new()),
            DataType::UInt64 => Self::Unsigned(UInt64Builder::new()),
            DataType::Boolean => Self::Booleans(BooleanBuilder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends a value. Returns the approximate size of the value, in bytes. A number is converted
    /// to the type of the column: `fill(1)` becomes a text in a string column and a float in a
    /// float column.
    fn append(&mut self, cell: Cell<'_>) -> usize {
        match (self, cell) {
            (Self::Text(column), Cell::Null) => column.append_null(),
            (Self::Text(column), Cell::Text(text)) => {
                column.append_value(text);
                return text.len() + size_of::<i32>();
            }
            (Self::Text(column), cell) => {
                let mut printed = Vec::new();
                display(cell, &[], &mut printed);
                column.append_value(String::from_utf8_lossy(&printed));
            }
            (Self::Times(column), Cell::Time(time_ns)) => column.append_value(time_ns),
            (Self::Times(column), _) => column.append_null(),
            (Self::Floats(column), cell) => column.append_option(match cell {
                Cell::Float(value) => Some(value),
                Cell::Integer(value) => Some(value as f64),
                Cell::Unsigned(value) => Some(value as f64),
                _ => None,
            }),
            (Self::Integers(column), cell) => column.append_option(match cell {
                Cell::Integer(value) => Some(value),
                Cell::Unsigned(value) => i64::try_from(value).ok(),
                Cell::Float(value) => Some(value as i64),
                _ => None,
            }),
            (Self::Unsigned(column), cell) => column.append_option(match cell {
                Cell::Unsigned(value) => Some(value),
                Cell::Integer(value) => u64::try_from(value).ok(),
                Cell::Float(value) => Some(value as u64),
                _ => None,
            }),
            (Self::Booleans(column), Cell::Boolean(value)) => column.append_value(value),
            (Self::Booleans(column), _) => column.append_null(),
        }
        size_of::<i64>()
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(column) => Arc::new(column.finish()),
            Self::Times(column) => Arc::new(column.finish()),
            Self::Floats(column) => Arc::new(column.finish()),
            Self::Integers(column) => Arc::new(column.finish()),
            Self::Unsigned(column) => Arc::new(column.finish()),
            Self::Booleans(column) => Arc::new(column.finish()),
        }
    }
}
