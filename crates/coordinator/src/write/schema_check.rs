//! Looks up the columns of a measurement's rows in its schema, and finds the rows with another type
//! and the sets of columns that are not registered yet.

use super::append::Pacer;
use tidemark_engine::batch::MeasurementBatch;
use tidemark_engine::batch::column_sets::{ColumnGrouping, ColumnPositions};
use tidemark_engine::batch::selection::Selection;
use tidemark_engine::protocol::database::{ColumnSet, RegisterRefusal};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::value::FieldType;

/// The placeholder for the id of a new column, which no sent row uses (see
/// `batch::frame::TableRef`).
const NO_COLUMN: ColumnId = ColumnId(u32::MAX);

/// A field whose type in the schema differs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conflict {
    /// The position in the batch's field keys.
    position: usize,
    /// The type in the schema.
    existing: FieldType,
    /// The type in the batch.
    requested: FieldType,
}

/// The columns of the schema that a batch uses.
#[derive(Debug)]
pub(super) struct Columns {
    /// The measurement's id; `None` while the measurement is unknown.
    pub measurement: Option<MeasurementId>,
    /// The ids of the batch's tag keys, in the order of these keys.
    pub tag_ids: Vec<ColumnId>,
    /// The ids of the batch's field keys, in the order of these keys.
    pub field_ids: Vec<ColumnId>,
    /// The fields whose type in the schema differs.
    conflicts: Vec<Conflict>,
}

/// For each of `keys`, returns the value of the schema's column with this key, if any. A batch may
/// use only a few of the schema's thousands of columns, and may use a key twice.
fn known<'a, T: Copy>(
    keys: &[String],
    columns: impl Iterator<Item = (&'a str, T)>,
) -> Vec<Option<T>> {
    let mut sorted: Vec<(&str, usize)> = keys.iter().map(String::as_str).zip(0..).collect();
    sorted.sort_unstable();
    let mut known = vec![None; keys.len()];
    for (key, value) in columns {
        let first = sorted.partition_point(|(other, _)| *other < key);
        let same = sorted.iter().skip(first).take_while(|(other, _)| *other == key);
        for &(_, position) in same {
            if let Some(slot) = known.get_mut(position) {
                *slot = Some(value);
            }
        }
    }
    known
}

impl Columns {
    /// Looks up every column of the batch.
    pub(super) fn new(batch: &MeasurementBatch, schema: Option<&MeasurementSchema>) -> Self {
        let tags = schema.into_iter().flat_map(MeasurementSchema::tags);
        let tags = known(&batch.tag_keys, tags.map(|column| (column.key.as_str(), column.id)));
        let fields = schema.into_iter().flat_map(MeasurementSchema::stored_fields);
        let fields = fields.map(|(column, known)| (column.key.as_str(), (column.id, known)));
        let fields = known(&batch.field_keys, fields);
        let mut columns = Self {
            measurement: schema.map(|schema| schema.id),
            tag_ids: tags.into_iter().map(|id| id.unwrap_or(NO_COLUMN)).collect(),
            field_ids: Vec::with_capacity(fields.len()),
            conflicts: Vec::new(),
        };
        for (position, (known, column)) in fields.into_iter().zip(&batch.block.fields).enumerate() {
            let requested = column.values.field_type();
            let (id, existing) = known.unwrap_or((NO_COLUMN, requested));
            columns.field_ids.push(id);
            if existing != requested {
                columns.conflicts.push(Conflict { position, existing, requested });
            }
        }
        columns
    }

    /// Whether every row can be sent without registration and without conflicts.
    pub(super) fn are_known(&self) -> bool {
        self.measurement.is_some()
            && !self.tag_ids.contains(&NO_COLUMN)
            && !self.field_ids.contains(&NO_COLUMN)
            && self.conflicts.is_empty()
    }

    /// Whether rows may be rejected for their types.
    pub(super) fn has_conflicts(&self) -> bool {
        !self.conflicts.is_empty()
    }

    /// Returns the number of values that the checks of a row read.
    pub(super) fn checks_per_row(&self) -> usize {
        1 + self.conflicts.len()
    }

    /// Returns the row's first field whose type contradicts the schema, if any.
    pub(super) fn conflict(&self, batch: &MeasurementBatch, row: usize) -> Option<Conflict> {
        self.conflicts.iter().copied().find(|conflict| {
            let column = batch.block.fields.get(conflict.position);
            column.is_some_and(|column| column.validity.is_valid(row))
        })
    }

    /// Returns each set of columns that must be registered, with the numbers of the rows that need
    /// exactly this set, in the order of the sets' first rows. Rows without new columns are
    /// omitted. If `with_rows` is false, returns the sets without rows.
    pub(super) async fn missing(
        &self,
        batch: &MeasurementBatch,
        rows: &Selection,
        with_rows: bool,
        pacer: &mut Pacer<'_>,
    ) -> Vec<(ColumnSet, Vec<u32>)> {
        let are_new =
            |ids: &[ColumnId]| -> Vec<bool> { ids.iter().map(|id| *id == NO_COLUMN).collect() };
        let (tags, fields) = (are_new(&self.tag_ids), are_new(&self.field_ids));
        let mut grouping = ColumnGrouping::new(&batch.block, rows, &tags, &fields, with_rows);
        while let Some(values) = grouping.group_next() {
            pacer.count(values).await;
        }
        let sets = grouping.finish();
        sets.into_iter().map(|set| (named(batch, &set), set.rows)).collect()
    }
}

/// Returns the reason why the schema rejects a row with this conflict.
pub(super) fn type_conflict(
    batch: &MeasurementBatch,
    Conflict { position, existing, requested }: Conflict,
) -> RegisterRefusal {
    RegisterRefusal::TypeConflict {
        measurement: batch.name.clone(),
        field: batch.field_keys.get(position).cloned().or_bug(),
        existing,
        requested,
    }
}

fn named(batch: &MeasurementBatch, set: &ColumnPositions) -> ColumnSet {
    let tag = |&position: &usize| batch.tag_keys.get(position).cloned();
    let field = |&position: &usize| {
        let column = batch.block.fields.get(position)?;
        Some((batch.field_keys.get(position)?.clone(), column.values.field_type()))
    };
    ColumnSet {
        measurement: batch.name.clone(),
        tags: set.tags.iter().filter_map(tag).collect(),
        fields: set.fields.iter().filter_map(field).collect(),
    }
}
