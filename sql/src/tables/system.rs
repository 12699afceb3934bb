//! Defines the tables in the schema `system`.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampNanosecondArray,
    new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use tidemark_model::value::FieldType;

use super::SystemRows;
use super::measurement::TIME;
use crate::messages::{SystemTable, TableSchema};

/// The first columns of `system.queries`, in the order of the values in each row.
const QUERIES_COLUMNS: &[&str] =
    &["id", "phase", "issue_time", "query_type", "query_text", "running_duration"];
/// The position of the column `phase`.
const PHASE: usize = 1;

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
    let is_in = |phase: &str| -> ArrayRef {
        let phases = rows.iter().map(|row| row.get(PHASE).and_then(Option::as_deref));
        Arc::new(phases.map(|of_row| Some(of_row == Some(phase))).collect::<BooleanArray>())
    };
    let mut columns: Vec<ArrayRef> = QUERIES_COLUMNS.iter().enumerate().map(column).collect();
    // InfluxDB also lists the queries that have ended. Only these queries have an
    // `end2end_duration`, by which the command `influxdb3 show system` sorts.
    columns.push(new_null_array(&DataType::Utf8, rows.len()));
    columns.extend([is_in("success"), is_in("running"), is_in("killed")]);
    let further = ["end2end_duration", "success", "running", "cancelled"];
    table(&[QUERIES_COLUMNS, &further].concat(), columns)
}

pub(super) fn influxdb_schema(tables: &[TableSchema]) -> Result<Arc<dyn TableProvider>> {
    let mut rows: Vec<[&str; 3]> = Vec::new();
    for table in tables {
        rows.push([&table.name, TIME, TIME]);
        for column in &table.columns {
            let data_type = match column.field_type {
                None => "tag",
                Some(FieldType::Unsigned) => "uinteger",
                Some(field_type) => field_type.name(),
            };
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
