//! Describes what columns a measurement has. A schema belongs to one retention policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{ColumnId, MeasurementId};
use super::value::FieldType;

/// Whether a column is a tag, or a field of which type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ColumnKind {
    /// A tag key.
    Tag,
    /// A field key.
    Field(FieldType),
}

/// One column. A tag and a field of one measurement may share a key (InfluxDB allows it).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// Never reused inside the measurement.
    pub id: ColumnId,
    /// Tag key or field key.
    pub key: String,
    /// Tag, or field and its type.
    pub kind: ColumnKind,
}

/// The columns of one measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasurementSchema {
    /// Never reused inside the policy.
    pub id: MeasurementId,
    /// The measurement's name.
    pub name: String,
    /// The policy's `schema_version` at which this was last changed.
    pub version: u64,
    /// In order of registration.
    pub columns: Vec<ColumnDefinition>,
    /// It is gone: whoever knows it by this id forgets it. Its name may be another's by now.
    #[serde(default)]
    pub dropped: bool,
}

impl MeasurementSchema {
    /// The tag column with this key.
    pub fn tag(&self, key: &str) -> Option<&ColumnDefinition> {
        self.columns.iter().find(|c| c.kind == ColumnKind::Tag && c.key == key)
    }

    /// The field column with this key, and its type.
    pub fn field(&self, key: &str) -> Option<(&ColumnDefinition, FieldType)> {
        self.columns.iter().find_map(|c| match c.kind {
            ColumnKind::Field(field_type) if c.key == key => Some((c, field_type)),
            _ => None,
        })
    }

    /// Tag columns in order of registration.
    pub fn tags(&self) -> impl Iterator<Item = &ColumnDefinition> {
        self.columns.iter().filter(|c| c.kind == ColumnKind::Tag)
    }

    /// Field columns and their types in order of registration.
    pub fn fields(&self) -> impl Iterator<Item = (&ColumnDefinition, FieldType)> {
        self.columns.iter().filter_map(|c| match c.kind {
            ColumnKind::Field(field_type) => Some((c, field_type)),
            ColumnKind::Tag => None,
        })
    }
}

/// The measurements of one policy by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySchema {
    /// Raised by every addition.
    pub version: u64,
    /// By measurement name, in byte order.
    pub measurements: BTreeMap<String, Arc<MeasurementSchema>>,
}
