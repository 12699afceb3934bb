//! Finds the columns of a measurement by their keys.

use std::collections::HashMap;

use crate::model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema};
use crate::model::value::FieldType;

/// From this number of lookups on, an index is cheaper than a search through all columns.
const INDEXED_FROM: usize = 8;

pub(crate) struct Columns<'a> {
    schema: &'a MeasurementSchema,
    index: Option<Index<'a>>,
}

type Index<'a> =
    (HashMap<&'a str, &'a ColumnDefinition>, HashMap<&'a str, (&'a ColumnDefinition, FieldType)>);

impl<'a> Columns<'a> {
    /// `lookups` is the approximate number of lookups.
    pub(crate) fn new(schema: &'a MeasurementSchema, lookups: usize) -> Self {
        let index = || {
            let (mut tags, mut fields) = (HashMap::new(), HashMap::new());
            for column in &schema.columns {
                match column.kind {
                    ColumnKind::Tag => {
                        tags.entry(column.key.as_str()).or_insert(column);
                    }
                    ColumnKind::Field(field_type) => {
                        fields.entry(column.key.as_str()).or_insert((column, field_type));
                    }
                }
            }
            (tags, fields)
        };
        Self { schema, index: (lookups >= INDEXED_FROM).then(index) }
    }

    pub(super) fn name(&self) -> &str {
        &self.schema.name
    }

    pub(super) fn tag(&self, key: &str) -> Option<&'a ColumnDefinition> {
        match &self.index {
            Some((tags, _)) => tags.get(key).copied(),
            None => self.schema.tag(key),
        }
    }

    pub(crate) fn field(&self, key: &str) -> Option<(&'a ColumnDefinition, FieldType)> {
        match &self.index {
            Some((_, fields)) => fields.get(key).copied(),
            None => self.schema.field(key),
        }
    }
}
