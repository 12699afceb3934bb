//! Defines the tables in the schema `system`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::Result;

use super::SystemRows;
use super::measurement::TIME;
use crate::messages::{SystemTable, TableSchema};

/// The columns of `system.queries`, in the order of the values in each row.
const QUERIES_COLUMNS: &[&str] =
    &["id", "phase", "issue_time", "query_type", "query_text", "running_duration"];

/// Creates the table of running queries. The table is empty if the rows were not requested for the
/// statement.
///
/// # Errors
/// Returns an error if a row has the wrong number of columns.
pub(super) fn queries(rows: &SystemRows) -> Result<Arc<dyn TableProvider>> {
    let none = Vec::new();
    let rows = rows.get(&SystemTable::Queries).unwrap_or(&none);
    let column = |at: usize| -> Vec<Option<&str>> {
        rows.iter().map(|row| row.get(at).and_then(Option::as_deref)).collect()
    };
    table(QUERIES_COLUMNS, (0..QUERIES_COLUMNS.len()).map(column))
}

pub(super) fn influxdb_schema(tables: &[TableSchema]) -> Result<Arc<dyn TableProvider>> {
    let mut rows: Vec<[&str; 3]> = Vec::new();
    for table in tables {
        rows.push([&table.name, TIME, TIME]);
        for column in &table.columns {
            let data_type = column.field_type.map_or("tag", |field_type| field_type.name());
            rows.push([&table.name, &column.name, data_type]);
        }
    }
    rows.sort_unstable();
    let column =
        |at: usize| -> Vec<Option<&str>> { rows.iter().map(|row| row.get(at).copied()).collect() };
    table(&["measurement", "key", "data_type"], (0..3).map(column))
}

fn table<'a>(
    names: &[&str],
    columns: impl Iterator<Item = Vec<Option<&'a str>>>,
) -> Result<Arc<dyn TableProvider>> {
    let fields: Vec<Field> =
        names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = columns.map(|column| Arc::new(StringArray::from(column)) as ArrayRef);
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect())?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}
