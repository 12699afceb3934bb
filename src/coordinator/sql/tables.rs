//! Describes tables to SQL.

use crate::model::limits::SQL_TABLES_LOOKED_FOR_MAX;
use crate::model::schema::{ColumnKind, MeasurementSchema, PolicySchema};
use crate::protocol::sql::{TableColumn, TableSchema, is_named};

pub(super) fn named(schema: &PolicySchema, names: &[String]) -> Vec<TableSchema> {
    names.iter().filter_map(|name| schema.measurements.get(name)).map(|m| table(m)).collect()
}

/// Returns the tables whose names occur in `text`; `None` if the policy has too many tables for
/// this search.
pub(super) fn named_in(schema: &PolicySchema, text: &str) -> Option<Vec<TableSchema>> {
    if schema.measurements.len() > SQL_TABLES_LOOKED_FOR_MAX {
        return None;
    }
    let named = schema.measurements.iter().filter(|(name, _)| is_named(text, name));
    Some(named.map(|(_, measurement)| table(measurement)).collect())
}

pub(super) fn every(schema: &PolicySchema) -> Vec<TableSchema> {
    schema.measurements.values().map(|measurement| table(measurement)).collect()
}

fn table(measurement: &MeasurementSchema) -> TableSchema {
    let columns = measurement.columns.iter().map(|column| TableColumn {
        name: column.key.clone(),
        field_type: match column.kind {
            ColumnKind::Tag => None,
            ColumnKind::Field(field_type) => Some(field_type),
        },
    });
    TableSchema { name: measurement.name.clone(), columns: columns.collect() }
}
