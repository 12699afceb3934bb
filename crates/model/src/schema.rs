//! The columns of measurements. A schema belongs to one retention policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{ColumnId, MeasurementId};
use super::prometheus::is_companion;
use super::value::FieldType;

/// The kind of a column: a tag, or a field with its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ColumnKind {
    /// A tag key.
    Tag,
    /// A field key.
    Field(FieldType),
}

/// A column's definition. A tag and a field of a measurement may have the same key, as in InfluxDB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// The column's id, unique within the measurement and never reused.
    pub id: ColumnId,
    /// The tag key or field key.
    pub key: String,
    /// Whether the column is a tag or a field, and the field's type.
    pub kind: ColumnKind,
}

/// The columns of a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasurementSchema {
    /// The measurement's id, unique within the policy and never reused.
    pub id: MeasurementId,
    /// The measurement's name.
    pub name: String,
    /// The policy's `schema_version` at the last change of this measurement.
    pub version: u64,
    /// The columns in order of registration.
    pub columns: Vec<ColumnDefinition>,
    /// Whether the measurement was dropped. Caches must then forget this id.
    #[serde(default)]
    pub dropped: bool,
}

impl ColumnDefinition {
    /// Whether the column is the [companion](crate::prometheus) of a field, which only PromQL reads.
    pub fn is_companion(&self) -> bool {
        self.kind != ColumnKind::Tag && is_companion(&self.key)
    }
}

impl MeasurementSchema {
    /// Returns the tag column with this key.
    pub fn tag(&self, key: &str) -> Option<&ColumnDefinition> {
        self.columns.iter().find(|c| c.kind == ColumnKind::Tag && c.key == key)
    }

    /// Returns the field column with this key, and its type.
    pub fn field(&self, key: &str) -> Option<(&ColumnDefinition, FieldType)> {
        self.columns.iter().find_map(|c| match c.kind {
            ColumnKind::Field(field_type) if c.key == key => Some((c, field_type)),
            _ => None,
        })
    }

    /// Returns the tag columns in order of registration.
    pub fn tags(&self) -> impl Iterator<Item = &ColumnDefinition> {
        self.columns.iter().filter(|c| c.kind == ColumnKind::Tag)
    }

    /// Returns the field columns and their types in order of registration, without
    /// [companions](crate::prometheus).
    pub fn fields(&self) -> impl Iterator<Item = (&ColumnDefinition, FieldType)> {
        self.stored_fields().filter(|(column, _)| !is_companion(&column.key))
    }

    /// Returns the field columns and their types in order of registration, with companions.
    pub fn stored_fields(&self) -> impl Iterator<Item = (&ColumnDefinition, FieldType)> {
        self.columns.iter().filter_map(|c| match c.kind {
            ColumnKind::Field(field_type) => Some((c, field_type)),
            ColumnKind::Tag => None,
        })
    }
}

/// The measurements of a policy by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySchema {
    /// The schema version. Each addition increments the version.
    pub version: u64,
    /// The version of the last change in `measurements`. This version exceeds `version` while later
    /// pages of the schema are missing.
    pub loaded_version: u64,
    /// The measurements by name, in byte order.
    pub measurements: BTreeMap<String, Arc<MeasurementSchema>>,
}
