//! Answers `CommandGetTables` by a statement of SQL about `information_schema`; with the columns of
//! each table as a schema of Arrow, if they are asked for.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde::Deserialize;

use super::asked::Metadata;
use super::listings::{CATALOG, encoded, stream, table};
use super::sql_messages::GetTables;
use crate::api::error::ApiError;
use crate::api::routes::query_v3::request::QueryRequest;
use crate::response::table::TableFormat;

/// What a table of rows is called, unless the client wants another word.
const BASE_TABLE: &str = "BASE TABLE";

/// The statement that answers `asked`. With schemas it answers lines of JSON, a column each, for
/// [`with_schemas`]; else the table itself.
///
/// # Errors
/// [`ApiError::Invalid`] where no database is named.
pub(super) fn question(asked: &GetTables, metadata: &Metadata) -> Result<QueryRequest, ApiError> {
    let mut conditions = Vec::new();
    if let Some(catalog) = &asked.catalog {
        conditions.push(format!("t.table_catalog = {}", quoted(catalog)));
    }
    if let Some(pattern) = &asked.schema_pattern {
        conditions.push(format!("t.table_schema LIKE {}", quoted(pattern)));
    }
    if let Some(pattern) = &asked.table_pattern {
        conditions.push(format!("t.table_name LIKE {}", quoted(pattern)));
    }
    if !asked.table_types.is_empty() {
        // Grafana asks for both of its names.
        let known = asked.table_types.iter().map(|name| match name.to_ascii_uppercase() {
            name if name == "TABLE" => quoted(BASE_TABLE),
            name => quoted(&name),
        });
        let known: Vec<String> = known.collect();
        conditions.push(format!("t.table_type IN ({})", known.join(", ")));
    }
    let condition = match conditions.is_empty() {
        true => "true".to_owned(),
        false => conditions.join(" AND "),
    };
    let base_table = quoted(metadata.base_table);
    let kind = format!(
        "CASE WHEN t.table_type = '{BASE_TABLE}' THEN {base_table} ELSE t.table_type END AS table_type"
    );
    let columns = "t.table_catalog AS catalog_name, t.table_schema AS db_schema_name, t.table_name";
    if !asked.include_schema {
        return metadata.question(
            &format!(
                "SELECT {columns} AS table_name, {kind} FROM information_schema.tables t \
                 WHERE {condition} ORDER BY t.table_schema, t.table_name"
            ),
            Vec::new(),
        );
    }
    // `_` in a pattern stands for any character, and clients take the first table: the one of that
    // very name comes before others that are like it.
    let exact = quoted(asked.table_pattern.as_deref().unwrap_or_default());
    let text = format!(
        "SELECT {columns} AS table_name, {kind}, c.column_name, c.data_type, c.is_nullable \
         FROM information_schema.tables t JOIN information_schema.columns c \
         ON t.table_schema = c.table_schema AND t.table_name = c.table_name WHERE {condition} \
         ORDER BY t.table_schema, t.table_name <> {exact}, t.table_name, c.ordinal_position"
    );
    let question = metadata.question(&text, Vec::new())?;
    Ok(QueryRequest { format: TableFormat::JsonLines, ..question })
}

/// A text in SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A column, as a line of the answer has it.
#[derive(Debug, Deserialize)]
struct ColumnLine {
    db_schema_name: String,
    table_name: String,
    table_type: String,
    column_name: String,
    data_type: String,
    is_nullable: String,
}

/// The tables of these columns as a stream of Arrow, in their order.
///
/// # Errors
/// [`ApiError::Internal`] for lines that are no columns.
pub(super) fn with_schemas(lines: &[u8]) -> Result<Vec<u8>, ApiError> {
    let mut names = [(); 4].map(|()| StringBuilder::new());
    let mut schemas = BinaryBuilder::new();
    let mut fields = Vec::new();
    let mut columns = serde_json::Deserializer::from_slice(lines).into_iter().peekable();
    while let Some(column) = columns.next() {
        let column: ColumnLine = column.map_err(|error| ApiError::Internal(error.to_string()))?;
        let of_type = data_type(&column.data_type);
        fields.push(Field::new(&column.column_name, of_type, column.is_nullable == "YES"));
        let is_same = |next: &ColumnLine| {
            (&next.db_schema_name, &next.table_name) == (&column.db_schema_name, &column.table_name)
        };
        if columns.peek().is_some_and(|next| next.as_ref().is_ok_and(is_same)) {
            continue;
        }
        let ColumnLine { db_schema_name, table_name, table_type, .. } = column;
        let row = [CATALOG, &db_schema_name, &table_name, &table_type];
        names.iter_mut().zip(row).for_each(|(names, name)| names.append_value(name));
        schemas.append_value(encoded(&Schema::new(std::mem::take(&mut fields)))?);
    }
    let [catalogs, db_schemas, tables, types] = names.map(|mut names| names.finish());
    stream(&table(vec![
        ("catalog_name", true, Arc::new(catalogs)),
        ("db_schema_name", true, Arc::new(db_schemas)),
        ("table_name", false, Arc::new(tables)),
        ("table_type", false, Arc::new(types)),
        ("table_schema", false, Arc::new(schemas.finish())),
    ])?)
}

/// The type that SQL calls so. Tags are text to every client.
fn data_type(name: &str) -> DataType {
    match name {
        "Boolean" => DataType::Boolean,
        "Int32" => DataType::Int32,
        "Int64" => DataType::Int64,
        "UInt32" => DataType::UInt32,
        "UInt64" => DataType::UInt64,
        "Float64" => DataType::Float64,
        name if name.starts_with("Timestamp(") => DataType::Timestamp(TimeUnit::Nanosecond, None),
        _ => DataType::Utf8,
    }
}
