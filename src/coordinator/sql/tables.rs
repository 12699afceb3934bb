//! Describes tables to SQL.

use crate::model::limits::SQL_TABLES_LOOKED_FOR_MAX;
use crate::model::schema::{ColumnKind, MeasurementSchema, PolicySchema};
use crate::model::time::S_NS;
use crate::protocol::live_queries::LiveQuery;
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

pub(super) fn queries(all: &[LiveQuery], database: &str, now_ns: i64) -> Vec<Vec<Option<String>>> {
    let of_database = all.iter().filter(|query| query.database == database);
    let row = |query: &LiveQuery| {
        let phase = if query.killed { "killed" } else { "running" };
        let running_s = now_ns.saturating_sub(query.started_ns) / S_NS;
        vec![
            Some(query.id.to_string()),
            Some(phase.to_owned()),
            Some(query.started_ns.to_string()),
            None,
            Some(query.text.clone()),
            Some(format!("{running_s}s")),
        ]
    };
    of_database.map(row).collect()
}
