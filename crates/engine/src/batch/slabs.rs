//! Stores columns of rows with different column sets without padding, in one slab per column set.

use std::collections::BTreeMap;

use super::chunks::ChunkedColumn;
use super::column::Column;
use super::layout::FieldColumns;
use tidemark_model::ids::ColumnId;
use tidemark_model::value::FieldType;

/// The overhead of a slab's column, in bytes: the column, its id and its index entry.
pub(crate) const SLAB_COLUMN_BYTES: usize = 96;

/// The field values of some rows.
#[derive(Clone, Debug, Default)]
pub struct Slabs {
    slabs: Vec<Slab>,
    by_columns: BTreeMap<Vec<ColumnId>, u32>,
    fields: BTreeMap<ColumnId, Field>,
    pieces: Vec<Piece>,
    rows: u32,
}

#[derive(Clone, Debug, Default)]
struct Slab {
    /// Ascending by id. Each column has `rows` rows.
    columns: Vec<ChunkedColumn>,
    rows: u32,
}

#[derive(Clone, Debug)]
struct Field {
    field_type: FieldType,
    /// The slabs that contain the field, ascending, and the column's position in each slab.
    places: Vec<(u32, u32)>,
}

/// Consecutive both in append order and in one slab.
#[derive(Clone, Copy, Debug)]
struct Piece {
    first_row: u32,
    slab: u32,
    start: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Location {
    pub(super) slab: u32,
    pub(super) row: u32,
}

impl Slabs {
    /// Creates one slab with these columns, which must have equal lengths.
    pub fn single(fields: &[(ColumnId, Column)]) -> Self {
        let rows = fields.iter().map(|(_, column)| column.len()).max().unwrap_or_default();
        let (ids, columns): (Vec<ColumnId>, Vec<Column>) = fields.iter().cloned().unzip();
        let mut slabs = Self::default();
        slabs.append(&ids, &columns, rows);
        slabs
    }

    /// Appends `rows` rows with the unique columns `ids`. A column of another type becomes nulls.
    pub fn append(&mut self, ids: &[ColumnId], columns: &[Column], rows: usize) {
        let mut sorted: Vec<(ColumnId, &Column)> = ids.iter().copied().zip(columns).collect();
        sorted.sort_by_key(|&(id, _)| id);
        let number = self.slab_of(&sorted);
        let Some(slab) = self.slabs.get_mut(number as usize) else { return };
        if self.pieces.last().is_none_or(|last| last.slab != number) {
            self.pieces.push(Piece { first_row: self.rows, slab: number, start: slab.rows });
        }
        slab.rows += rows as u32;
        self.rows += rows as u32;
        for (held, (_, column)) in slab.columns.iter_mut().zip(sorted) {
            held.extend(column);
            held.extend_nulls((slab.rows as usize).saturating_sub(held.len()));
        }
    }

    /// `columns` must ascend by id.
    fn slab_of(&mut self, columns: &[(ColumnId, &Column)]) -> u32 {
        let ids: Vec<ColumnId> = columns.iter().map(|&(id, _)| id).collect();
        if let Some(&known) = self.by_columns.get(&ids) {
            return known;
        }
        let number = self.slabs.len() as u32;
        let mut slab = Slab::default();
        for ((at, &id), (_, column)) in (0..).zip(&ids).zip(columns) {
            let field_type = column.values.field_type();
            let field = self.fields.entry(id);
            let field = field.or_insert_with(|| Field { field_type, places: Vec::new() });
            field.places.push((number, at));
            slab.columns.push(ChunkedColumn::new(field.field_type));
        }
        self.slabs.push(slab);
        self.by_columns.insert(ids, number);
        number
    }

    /// Iterates over all fields, ascending by id.
    pub fn fields(&self) -> impl Iterator<Item = (ColumnId, FieldType)> {
        self.fields.iter().map(|(&id, field)| (id, field.field_type))
    }

    /// Returns the number of slabs.
    pub fn len(&self) -> usize {
        self.slabs.len()
    }

    /// Whether there are no slabs, and therefore no rows.
    pub fn is_empty(&self) -> bool {
        self.slabs.is_empty()
    }

    pub(super) fn columns(&self, id: ColumnId) -> Option<FieldColumns<'_>> {
        let field = self.fields.get(&id)?;
        let column = |&(slab, at): &(u32, u32)| {
            Some((slab, self.slabs.get(slab as usize)?.columns.get(at as usize)?))
        };
        let by_slab = field.places.iter().filter_map(column).collect();
        Some(FieldColumns { field_type: field.field_type, by_slab })
    }

    pub(super) fn locate(&self, row: u32) -> Location {
        let behind = self.pieces.partition_point(|piece| piece.first_row <= row);
        let piece = behind.checked_sub(1).and_then(|at| self.pieces.get(at));
        piece.map_or(Location { slab: 0, row }, |piece| Location {
            slab: piece.slab,
            row: piece.start + (row - piece.first_row),
        })
    }

    /// Returns the memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        let columns = self.slabs.iter().flat_map(|slab| &slab.columns);
        let columns = columns.map(|column| column.bytes() + SLAB_COLUMN_BYTES).sum::<usize>();
        columns + self.pieces.capacity() * size_of::<Piece>()
    }
}
