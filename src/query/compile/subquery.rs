//! Exposes a subquery as a measurement: columns become fields, and dimensions become tags.

use std::collections::BTreeSet;

use super::prepare::Prepared;
use super::resolve::KnownNames;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema};
use crate::model::value::FieldType;
use crate::query::data_type::DataType;
use crate::query::error::QueryError;
use crate::query::plan::{DerivedField, DerivedFrom, SelectNode, Subquery};

pub(crate) struct SubqueryColumn {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// The position in the subquery's columns. Position 0 is the time.
    pub(crate) position: usize,
    pub(crate) hidden: bool,
}

pub(crate) fn add_names(inner: &Prepared<'_>, known: &mut KnownNames) -> Result<(), QueryError> {
    for SubqueryColumn { name, data_type, hidden, .. } in inner.visible_columns()? {
        if hidden {
            known.add_hidden(&name, data_type);
        } else {
            known.add_field(&name, data_type);
        }
    }
    inner.group_keys().iter().for_each(|key| known.add_tag(key));
    Ok(())
}

/// The tags of the returned schema are numbered like the node's group keys.
pub(crate) fn derive(
    node: SelectNode,
    columns: &[SubqueryColumn],
    own_keys: &[String],
) -> (Subquery, MeasurementSchema) {
    let mut schema = MeasurementSchema {
        dropped: false,
        id: MeasurementId(0),
        name: String::new(),
        version: 0,
        columns: Vec::new(),
    };
    let mut id = 0;
    let mut add = |key: &str, kind: ColumnKind| {
        let column = ColumnId(id);
        schema.columns.push(ColumnDefinition { id: column, key: key.to_owned(), kind });
        id += 1;
        column
    };
    for key in node.group_keys.iter() {
        add(key, ColumnKind::Tag);
    }
    let mut fields = Vec::new();
    for SubqueryColumn { name, data_type, position, .. } in columns {
        let field_type = match data_type {
            DataType::Tag => Some(FieldType::String),
            other => other.field_type(),
        };
        let Some(field_type) = field_type else { continue };
        let id = add(name, ColumnKind::Field(field_type));
        fields.push(DerivedField { id, field_type, from: DerivedFrom::Column(*position) });
    }
    let names: BTreeSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let own_keys: BTreeSet<&str> = own_keys.iter().map(String::as_str).collect();
    for (index, key) in node.group_keys.iter().enumerate() {
        // A key is not a field if the subquery groups by it only because of the outer statement.
        if names.contains(key.as_str()) || !own_keys.contains(key.as_str()) {
            continue;
        }
        let field_type = FieldType::String;
        let id = add(key, ColumnKind::Field(field_type));
        fields.push(DerivedField { id, field_type, from: DerivedFrom::Key(index) });
    }
    (Subquery { node, fields }, schema)
}
