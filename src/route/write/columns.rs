//! One measurement's rows against its schema: which can be sent, which are refused, which need
//! columns registered first.

use std::collections::BTreeMap;

use crate::batch::MeasurementBatch;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::schema::MeasurementSchema;
use crate::model::value::FieldType;
use crate::protocol::database::{ColumnSet, RegisterRefusal};

/// Stands for the id of a column that no row sent has (see `batch::frame::TableRef`).
const NO_COLUMN: ColumnId = ColumnId(u32::MAX);

/// How a batch's columns stand to the schema.
#[derive(Debug)]
pub struct Columns {
    /// `None` while the measurement is unknown.
    pub measurement: Option<MeasurementId>,
    /// One per tag key of the batch.
    pub tag_ids: Vec<ColumnId>,
    /// One per field key of the batch.
    pub field_ids: Vec<ColumnId>,
    /// Positions of tag keys that the schema lacks.
    new_tags: Vec<usize>,
    /// Positions of fields that the schema lacks.
    new_fields: Vec<usize>,
    /// Positions of fields that have another type in the schema.
    conflicts: Vec<(usize, FieldType)>,
}

impl Columns {
    /// Looks every column up.
    pub fn new(batch: &MeasurementBatch, schema: Option<&MeasurementSchema>) -> Self {
        let mut columns = Self {
            measurement: schema.map(|schema| schema.id),
            tag_ids: Vec::with_capacity(batch.tag_keys.len()),
            field_ids: Vec::with_capacity(batch.field_keys.len()),
            new_tags: Vec::new(),
            new_fields: Vec::new(),
            conflicts: Vec::new(),
        };
        let known: KnownColumns<'_> = schema.map(known_columns).unwrap_or_default();
        for (position, key) in batch.tag_keys.iter().enumerate() {
            match known.tags.get(key.as_str()) {
                Some(&id) => columns.tag_ids.push(id),
                None => {
                    columns.tag_ids.push(NO_COLUMN);
                    columns.new_tags.push(position);
                }
            }
        }
        let fields = batch.field_keys.iter().zip(&batch.block.fields);
        for (position, (key, column)) in fields.enumerate() {
            let requested = column.values.field_type();
            let (id, existing) = match known.fields.get(key.as_str()) {
                Some(&(id, existing)) => (id, Some(existing)),
                None => (NO_COLUMN, None),
            };
            columns.field_ids.push(id);
            match existing {
                Some(existing) if existing == requested => {}
                Some(existing) => columns.conflicts.push((position, existing)),
                None => columns.new_fields.push(position),
            }
        }
        columns
    }

    /// Whether every row can be sent as it is.
    pub fn are_known(&self) -> bool {
        self.measurement.is_some()
            && self.new_tags.is_empty()
            && self.new_fields.is_empty()
            && self.conflicts.is_empty()
    }

    /// Why the schema refuses a row, if it does.
    pub fn conflict(&self, batch: &MeasurementBatch, row: usize) -> Option<RegisterRefusal> {
        self.conflicts.iter().find_map(|&(position, existing)| {
            let column = batch.block.fields.get(position)?;
            column.validity.is_valid(row).then(|| RegisterRefusal::TypeConflict {
                measurement: batch.name.clone(),
                field: batch.field_keys.get(position).cloned().unwrap_or_default(),
                existing,
                requested: column.values.field_type(),
            })
        })
    }

    /// Rows by the columns that must be registered before they can be sent, in order of each set's
    /// first row. Rows that need none are not among them.
    pub fn missing(&self, batch: &MeasurementBatch, rows: &[u32]) -> Vec<(ColumnSet, Vec<u32>)> {
        let mut numbers: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let mut sets: Vec<(ColumnSet, Vec<u32>)> = Vec::new();
        let tags = batch.tag_keys.len();
        for &row in rows {
            let needed = self.missing_columns(batch, row as usize);
            if needed.is_empty() {
                continue;
            }
            let next = sets.len();
            let number = *numbers.entry(needed).or_insert_with_key(|needed| {
                sets.push((column_set(batch, needed, tags), Vec::new()));
                next
            });
            if let Some((_, rows)) = sets.get_mut(number) {
                rows.push(row);
            }
        }
        sets
    }

    /// Positions of the row's columns that the schema lacks; fields come after all tags.
    fn missing_columns(&self, batch: &MeasurementBatch, row: usize) -> Vec<usize> {
        let series = batch.block.row_series.get(row).copied().unwrap_or_default() as usize;
        let has_tag = |position: &usize| {
            let tag = batch.block.series.tags.get(*position);
            tag.and_then(|tag| tag.codes.get(series)).is_some_and(|&code| code > 0)
        };
        let has_field = |position: &usize| {
            let column = batch.block.fields.get(*position);
            column.is_some_and(|column| column.validity.is_valid(row))
        };
        let tags = self.new_tags.iter().copied().filter(has_tag);
        let fields = self.new_fields.iter().copied().filter(has_field);
        tags.chain(fields.map(|position| position + batch.tag_keys.len())).collect()
    }
}

#[derive(Default)]
struct KnownColumns<'a> {
    tags: BTreeMap<&'a str, ColumnId>,
    fields: BTreeMap<&'a str, (ColumnId, FieldType)>,
}

fn known_columns(schema: &MeasurementSchema) -> KnownColumns<'_> {
    KnownColumns {
        tags: schema.tags().map(|column| (column.key.as_str(), column.id)).collect(),
        fields: schema
            .fields()
            .map(|(column, field_type)| (column.key.as_str(), (column.id, field_type)))
            .collect(),
    }
}

fn column_set(batch: &MeasurementBatch, needed: &[usize], tags: usize) -> ColumnSet {
    let tag = |&position: &usize| batch.tag_keys.get(position).cloned();
    let field = |&position: &usize| {
        let position = position.checked_sub(tags)?;
        let column = batch.block.fields.get(position)?;
        Some((batch.field_keys.get(position)?.clone(), column.values.field_type()))
    };
    ColumnSet {
        measurement: batch.name.clone(),
        tags: needed.iter().filter_map(tag).collect(),
        fields: needed.iter().filter_map(field).collect(),
    }
}
