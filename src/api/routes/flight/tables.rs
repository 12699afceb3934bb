//! Lists tables for `CommandGetTables` with a SQL statement on `information_schema`. The list
//! contains each table's columns as an Arrow schema if the client requests schemas.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde::Deserialize;

use super::flight_request::Metadata;
use super::listings::{CATALOG, encoded, stream, table};
use super::sql_messages::GetTables;
use crate::api::error::{ApiError, ApiResult};
use crate::api::routes::query_v3::request::QueryRequest;
use crate::response::table::TableFormat;

const BASE_TABLE: &str = "BASE TABLE";

/// Returns the statement that lists the tables as JSON lines for [`listed`]: one line for each
/// table, or for each column if the client requests schemas.
pub(super) fn list_statement(
    flight_request: &GetTables,
    metadata: &Metadata,
) -> ApiResult<QueryRequest> {
    let mut conditions = Vec::new();
    if let Some(catalog) = &flight_request.catalog {
        conditions.push(format!("t.table_catalog = {}", quoted(catalog)));
    }
    if let Some(pattern) = &flight_request.schema_pattern {
        conditions.push(format!("t.table_schema LIKE {}", quoted(pattern)));
    }
    if let Some(pattern) = &flight_request.table_pattern {
        conditions.push(format!("t.table_name LIKE {}", quoted(pattern)));
    }
    if !flight_request.table_types.is_empty() {
        // Grafana sends both names for regular tables.
        let known = flight_request.table_types.iter().map(|name| match name.to_ascii_uppercase() {
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
    if !flight_request.include_schema {
        let question = metadata.sql_query(
            &format!(
                "SELECT {columns} AS table_name, {kind} FROM information_schema.tables t \
                 WHERE {condition} ORDER BY t.table_schema, t.table_name"
            ),
            Vec::new(),
        )?;
        return Ok(QueryRequest { format: TableFormat::JsonLines, ..question });
    }
    // `_` in a pattern matches any character, and clients use the first table. The table whose name
    // equals the pattern therefore comes first.
    let exact = quoted(flight_request.table_pattern.as_deref().unwrap_or_default());
    let text = format!(
        "SELECT {columns} AS table_name, {kind}, c.column_name, c.data_type, c.is_nullable \
         FROM information_schema.tables t JOIN information_schema.columns c \
         ON t.table_schema = c.table_schema AND t.table_name = c.table_name WHERE {condition} \
         ORDER BY t.table_schema, t.table_name <> {exact}, t.table_name, c.ordinal_position"
    );
    let question = metadata.sql_query(&text, Vec::new())?;
    Ok(QueryRequest { format: TableFormat::JsonLines, ..question })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A table, and a column of the table if schemas are requested.
#[derive(Debug, Deserialize)]
struct TableLine {
    db_schema_name: String,
    table_name: String,
    table_type: String,
    #[serde(flatten)]
    column: Option<ColumnOfTable>,
}

#[derive(Debug, Deserialize)]
struct ColumnOfTable {
    column_name: String,
    data_type: String,
    is_nullable: String,
}

/// Returns the tables in `lines` as an Arrow stream, in the order of `lines`. `CommandGetTables`
/// defines the schema, regardless of the nullability in SQL's result.
pub(super) fn listed(lines: &[u8], include_schema: bool) -> ApiResult<Vec<u8>> {
    let mut names = [(); 4].map(|()| StringBuilder::new());
    let mut schemas = BinaryBuilder::new();
    let mut fields = Vec::new();
    let mut found = serde_json::Deserializer::from_slice(lines).into_iter().peekable();
    while let Some(line) = found.next() {
        let line: TableLine = line.map_err(|error| ApiError::Internal(error.to_string()))?;
        if let Some(column) = &line.column {
            let of_type = data_type(&column.data_type);
            fields.push(Field::new(&column.column_name, of_type, column.is_nullable == "YES"));
        }
        let is_same = |next: &TableLine| {
            (&next.db_schema_name, &next.table_name) == (&line.db_schema_name, &line.table_name)
        };
        if found.peek().is_some_and(|next| next.as_ref().is_ok_and(is_same)) {
            continue;
        }
        let TableLine { db_schema_name, table_name, table_type, .. } = line;
        let row = [CATALOG, &db_schema_name, &table_name, &table_type];
        names.iter_mut().zip(row).for_each(|(names, name)| names.append_value(name));
        schemas.append_value(encoded(&Schema::new(std::mem::take(&mut fields)))?);
    }
    let [catalogs, db_schemas, tables, types] = names.map(|mut names| names.finish());
    let mut columns: Vec<(&str, bool, ArrayRef)> = vec![
        ("catalog_name", true, Arc::new(catalogs)),
        ("db_schema_name", true, Arc::new(db_schemas)),
        ("table_name", false, Arc::new(tables)),
        ("table_type", false, Arc::new(types)),
    ];
    if include_schema {
        columns.push(("table_schema", false, Arc::new(schemas.finish())));
    }
    stream(&table(columns)?)
}

/// Tags are strings for every client.
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

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_ipc::reader::StreamReader;

    use super::*;

    #[test]
    fn table_listing_includes_requested_schema() {
        let table = r#""catalog_name":"public","db_schema_name":"iox","table_name":"m","table_type":"BASE TABLE""#;
        let column = |name: &str, of: &str| {
            format!(r#"{{{table},"column_name":"{name}","data_type":"{of}","is_nullable":"YES"}}"#)
        };
        let columns = format!("{}\n{}\n", column("v", "Float64"), column("host", "Utf8"));
        for (lines, include_schema) in [(format!("{{{table}}}\n"), false), (columns, true)] {
            let stream = listed(lines.as_bytes(), include_schema).unwrap();
            let mut batches = StreamReader::try_new(stream.as_slice(), None).unwrap();
            let batch = batches.next().unwrap().unwrap();
            assert_eq!(batch.num_rows(), 1);
            let texts: Vec<&str> =
                batch.columns()[..4].iter().map(|of| of.as_string::<i32>().value(0)).collect();
            assert_eq!(texts, ["public", "iox", "m", "BASE TABLE"]);
            assert_eq!(batch.num_columns(), 4 + usize::from(include_schema));
        }
    }
}
