//! What SQL is told of tables.

use crate::model::schema::{ColumnKind, MeasurementSchema, PolicySchema};
use crate::model::time::S_NS;
use crate::protocol::live_queries::LiveQuery;
use crate::protocol::sql::{TableColumn, TableSchema};

/// Those of these names that exist.
pub(super) fn named(schema: &PolicySchema, names: &[String]) -> Vec<TableSchema> {
    names.iter().filter_map(|name| schema.measurements.get(name)).map(|m| table(m)).collect()
}

/// All of them, in the order of their names.
pub(super) fn every(schema: &PolicySchema) -> Vec<TableSchema> {
    schema.measurements.iter().map(|(_, measurement)| table(measurement)).collect()
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

/// The rows of `system.queries`: the listed ones of `database`.
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
