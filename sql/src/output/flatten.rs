//! Converts dictionaries and views to plain arrays, including those inside structs, lists and maps.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::encoders::is_tag;
use crate::error::QueryError;

/// Returns the schema of a result. If `keeps_tags` is true, tag columns remain dictionaries.
pub(super) fn schema(schema: &SchemaRef, keeps_tags: bool) -> SchemaRef {
    let flat = |given: &FieldRef| match given.data_type() {
        DataType::Dictionary(key, value) if keeps_tags && is_tag(key, value) => Arc::clone(given),
        _ => field(given),
    };
    let fields: Vec<FieldRef> = schema.fields().iter().map(flat).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Casts the columns of a result to the types in `schema`.
///
/// # Errors
/// Returns Arrow's error if a cast fails.
pub(super) fn batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let pairs = batch.columns().iter().zip(schema.fields());
    let columns: Result<Vec<ArrayRef>, _> = pairs
        .map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast(column, field.data_type()),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns?, &options)?)
}

fn field(field: &FieldRef) -> FieldRef {
    let plain = plain(field.data_type());
    match plain == *field.data_type() {
        true => Arc::clone(field),
        false => Arc::new(Field::clone(field).with_data_type(plain)),
    }
}

fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain(value),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::List(item) => DataType::List(field(item)),
        DataType::LargeList(item) => DataType::LargeList(field(item)),
        DataType::ListView(item) => DataType::List(field(item)),
        DataType::LargeListView(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(field(item), *length),
        DataType::Map(entries, is_sorted) => DataType::Map(field(entries), *is_sorted),
        other => other.clone(),
    }
}
