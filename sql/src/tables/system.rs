//! Defines the tables in the schema `system`.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, RecordBatch, StringArray, TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::{Field, Schema};
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
    let column = |(at, name): (usize, &&str)| -> ArrayRef {
        let values = rows.iter().map(|row| row.get(at).and_then(Option::as_deref));
        match *name {
            "issue_time" => {
                let times_ns = values.map(|value| value.and_then(|value| value.parse().ok()));
                Arc::new(times_ns.collect::<TimestampNanosecondArray>())
            }
            _ => Arc::new(values.collect::<StringArray>()),
        }
    };
    table(QUERIES_COLUMNS, QUERIES_COLUMNS.iter().enumerate().map(column).collect())
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
    let column = |at: usize| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.get(at).copied()).collect::<StringArray>())
    };
    table(&["measurement", "key", "data_type"], (0..3).map(column).collect())
}

fn table(names: &[&str], columns: Vec<ArrayRef>) -> Result<Arc<dyn TableProvider>> {
    let field =
        |(name, column): (&&str, &ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let fields: Vec<Field> = names.iter().zip(&columns).map(field).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}
