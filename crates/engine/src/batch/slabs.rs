//! Stores columns of rows with different column sets without padding, in one slab per column set. A
//! [`Layout`] reads the rows of slabs in a given order and without duplicates.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::chunks::{self, ChunkedColumn};
use super::column::Column;
use super::order::Distinct;
use super::picker::Picker;
use tidemark_model::bug::OrBug;
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
    /// The memory of all columns, in bytes.
    columns_bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Slab {
    /// The columns, ascending by id. Each column has `rows` rows.
    columns: Vec<ChunkedColumn>,
    rows: u32,
}

#[derive(Clone, Debug)]
struct Field {
    field_type: FieldType,
    /// The slabs that contain the field, ascending, and the column's position in each slab.
    places: Vec<(u32, u32)>,
}

/// Rows that are consecutive both in append order and in one slab.
#[derive(Clone, Copy, Debug)]
struct Piece {
    first_row: u32,
    slab: u32,
    start: u32,
}

impl Slabs {
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
            let before = held.bytes();
            held.extend(column);
            held.extend_nulls((slab.rows as usize).saturating_sub(held.len()));
            self.columns_bytes = (self.columns_bytes + held.bytes()).saturating_sub(before);
        }
    }

    /// Returns the number of the slab with exactly these columns, and creates the slab if
    /// necessary. `columns` must ascend by id.
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
            self.columns_bytes += SLAB_COLUMN_BYTES;
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
    fn len(&self) -> usize {
        self.slabs.len()
    }

    /// Returns a field's type, and the slabs and columns that contain the field.
    fn columns(&self, id: ColumnId) -> Option<(FieldType, Vec<(u32, &ChunkedColumn)>)> {
        let field = self.fields.get(&id)?;
        let column = |&(slab, at): &(u32, u32)| {
            Some((slab, self.slabs.get(slab as usize)?.columns.get(at as usize)?))
        };
        Some((field.field_type, field.places.iter().filter_map(column).collect()))
    }

    /// Returns the slab of a row and the row's position in the slab.
    fn locate(&self, row: u32) -> (u32, u32) {
        let behind = self.pieces.partition_point(|piece| piece.first_row <= row);
        let piece = behind.checked_sub(1).and_then(|at| self.pieces.get(at));
        piece.map_or((0, row), |piece| (piece.slab, piece.start + (row - piece.first_row)))
    }

    /// Returns the memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.columns_bytes + self.pieces.capacity() * size_of::<Piece>()
    }
}

/// A view of rows in a given order. Rows with equal series and time count as one row, in which each
/// field has its last value.
pub struct Layout<'a> {
    slabs: &'a Slabs,
    distinct: Distinct,
    cells: Vec<Cell>,
    ends: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    at: u32,
    /// The row's number in append order.
    order: u32,
    slab: u32,
    row: u32,
}

/// A field of the rows in a [`Layout`].
pub struct FieldLayout<'a> {
    /// The field's id.
    pub id: ColumnId,
    /// The type of the values.
    pub field_type: FieldType,
    rows: FieldRows<'a>,
}

enum FieldRows<'a> {
    Whole(&'a ChunkedColumn, Cow<'a, [u32]>),
    Spread(Vec<(u32, &'a ChunkedColumn)>, Cow<'a, [Cell]>),
}

impl<'a> Layout<'a> {
    /// Creates a layout of the rows `distinct` of `slabs`.
    pub fn new(slabs: &'a Slabs, distinct: Distinct) -> Self {
        let mut layout = Self { slabs, distinct, cells: Vec::new(), ends: Vec::new() };
        if slabs.len() > 1 {
            layout.spread();
        }
        layout
    }

    /// Returns the last row of each series and time.
    pub fn rows(&self) -> &[u32] {
        &self.distinct.rows
    }

    fn spread(&mut self) {
        let (slabs, distinct) = (self.slabs, &self.distinct);
        let mut next = vec![0_u32; slabs.len()];
        for &row in distinct.groups().flatten() {
            if let Some(count) = next.get_mut(slabs.locate(row).0 as usize) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for count in &mut next {
            (*count, sum) = (sum, sum + *count);
        }
        self.cells = vec![Cell::default(); sum as usize];
        for (at, group) in (0..).zip(distinct.groups()) {
            for &order in group {
                let (slab, row) = slabs.locate(order);
                let Some(slot) = next.get_mut(slab as usize) else { continue };
                if let Some(cell) = self.cells.get_mut(*slot as usize) {
                    *cell = Cell { at, order, slab, row };
                }
                *slot += 1;
            }
        }
        // Each end of a slab's rows is also the start of the next slab's rows.
        self.ends = next;
    }

    /// Iterates over the fields that have a value, ascending by id.
    pub fn fields(&self) -> impl Iterator<Item = FieldLayout<'_>> {
        self.slabs.fields().filter_map(|(id, _)| self.field(id))
    }

    /// Returns one field, or `None` if no row has a value.
    pub fn field(&self, id: ColumnId) -> Option<FieldLayout<'_>> {
        let (field_type, by_slab) = self.slabs.columns(id)?;
        let rows = match (&by_slab[..], self.slabs.len()) {
            (&[(_, column)], 1) => FieldRows::Whole(column, self.distinct.picks(column)),
            _ => {
                let cells = self.cells_of(&by_slab);
                FieldRows::Spread(by_slab, cells)
            }
        };
        let layout = FieldLayout { id, field_type, rows };
        layout.has_value(0..self.distinct.rows.len()).then_some(layout)
    }

    fn cells_of(&self, slabs: &[(u32, &ChunkedColumn)]) -> Cow<'_, [Cell]> {
        let cells = |slab: u32| {
            let end = |slab: usize| self.ends.get(slab).copied().or_bug() as usize;
            let start = (slab as usize).checked_sub(1).map_or(0, end);
            self.cells.get(start..end(slab as usize)).or_bug()
        };
        if let &[(slab, _)] = slabs {
            return Cow::Borrowed(cells(slab));
        }
        let mut all: Vec<Cell> = slabs.iter().flat_map(|&(slab, _)| cells(slab)).copied().collect();
        all.sort_unstable_by_key(|cell| (cell.at, cell.order));
        Cow::Owned(all)
    }
}

impl FieldLayout<'_> {
    /// Copies the values at `positions`, including nulls.
    pub fn gather(&self, positions: Range<usize>) -> Column {
        match &self.rows {
            FieldRows::Whole(column, picks) => column.gather(picks.get(positions).or_bug()),
            FieldRows::Spread(columns, cells) => self.joined(columns, cells, positions),
        }
    }

    pub(crate) fn add_text_bytes(&self, bytes: &mut [u32]) {
        let mut add = |at: usize, column: &ChunkedColumn, row: u32| {
            if let Some(bytes) = bytes.get_mut(at) {
                *bytes = bytes.saturating_add(column.text_bytes(row) as u32);
            }
        };
        match &self.rows {
            FieldRows::Whole(column, picks) => {
                picks.iter().enumerate().for_each(|(at, &row)| add(at, column, row));
            }
            FieldRows::Spread(columns, cells) => {
                let of = |cell: &Cell| valid(columns, cell).map(|(_, column)| (*cell, column));
                let texts = cells.iter().filter_map(of);
                texts.for_each(|(cell, column)| add(cell.at as usize, column, cell.row));
            }
        }
    }

    fn has_value(&self, positions: Range<usize>) -> bool {
        match &self.rows {
            FieldRows::Whole(column, picks) => {
                let picks = picks.get(positions).or_bug();
                match column.is_full() {
                    true => !picks.is_empty(),
                    false => picks.iter().any(|&row| column.is_valid(row)),
                }
            }
            FieldRows::Spread(columns, cells) => {
                within(cells, &positions).iter().any(|cell| valid(columns, cell).is_some())
            }
        }
    }

    fn joined(
        &self,
        columns: &[(u32, &ChunkedColumn)],
        cells: &[Cell],
        positions: Range<usize>,
    ) -> Column {
        let (mut sources, mut first) = (Vec::new(), Vec::with_capacity(columns.len()));
        for (_, column) in columns {
            first.push(sources.len());
            sources.extend(column.chunks());
        }
        let mut joined = Picker::new(self.field_type, sources.into_iter());
        for same in within(cells, &positions).chunk_by(|a, b| a.at == b.at) {
            let last = |cell: &Cell| valid(columns, cell).map(|(number, _)| (*cell, number));
            let Some((cell, number)) = same.iter().rev().find_map(last) else { continue };
            joined.pad((cell.at as usize).saturating_sub(positions.start));
            let (chunk, row) = chunks::place(cell.row);
            joined.push(first.get(number).map_or(usize::MAX, |first| first + chunk), row);
        }
        joined.pad(positions.len());
        joined.finish()
    }
}

fn within<'a>(cells: &'a [Cell], positions: &Range<usize>) -> &'a [Cell] {
    let before = |end: usize| cells.partition_point(|cell| (cell.at as usize) < end);
    cells.get(before(positions.start)..before(positions.end)).or_bug()
}

fn valid<'a>(
    columns: &[(u32, &'a ChunkedColumn)],
    cell: &Cell,
) -> Option<(usize, &'a ChunkedColumn)> {
    let at = match columns {
        [_] => 0,
        _ => columns.binary_search_by_key(&cell.slab, |&(slab, _)| slab).ok()?,
    };
    let &(_, column) = columns.get(at)?;
    column.is_valid(cell.row).then_some((at, column))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::batch::chunks::Chunks;
    use crate::batch::column::Values;
    use crate::batch::order::sorted_rows;
    use tidemark_model::value::FieldValue;

    type Model = BTreeMap<(u32, i64, u32), FieldValue>;

    fn value(rng: &mut fastrand::Rng, field: u32) -> Values {
        match FieldType::ALL[field as usize % 5] {
            FieldType::Float => Values::Float(vec![f64::from(rng.i8(..))]),
            FieldType::Integer => Values::Integer(vec![rng.i64(..)]),
            FieldType::Unsigned => Values::Unsigned(vec![rng.u64(..)]),
            FieldType::String => {
                Values::String([rng.u8(..).to_string().as_str()].into_iter().collect())
            }
            FieldType::Boolean => Values::Boolean(vec![rng.bool()]),
        }
    }

    fn random(rng: &mut fastrand::Rng, fields: u32) -> (Slabs, Chunks<u32>, Chunks<i64>, Model) {
        let (mut slabs, mut model) = (Slabs::default(), Model::new());
        let (mut row_series, mut times_ns) = (Chunks::default(), Chunks::default());
        for _ in 0..rng.usize(1..20) {
            let mut ids: Vec<u32> = (0..fields).filter(|_| rng.u8(..3) == 0).collect();
            rng.shuffle(&mut ids);
            let mut columns: Vec<Column> =
                ids.iter().map(|id| Column::new(FieldType::ALL[*id as usize % 5])).collect();
            let rows = rng.usize(1..20);
            for _ in 0..rows {
                let key = (rng.u32(..4), rng.i64(0..6));
                row_series.extend(&[key.0]);
                times_ns.extend(&[key.1]);
                for (&id, column) in ids.iter().zip(&mut columns) {
                    if rng.u8(..3) == 0 {
                        column.push_null();
                        continue;
                    }
                    let value = Column::full(value(rng, id));
                    assert!(column.extend_from(&value));
                    model.insert((key.0, key.1, id), value.get(0).unwrap());
                }
            }
            let ids: Vec<ColumnId> = ids.into_iter().map(ColumnId).collect();
            slabs.append(&ids, &columns, rows);
        }
        (slabs, row_series, times_ns, model)
    }

    #[test]
    fn slab_layout_matches_map_model() {
        for seed in 0..2_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let fields = rng.u32(1..9);
            let (slabs, row_series, times_ns, model) = random(&mut rng, fields);
            let rows = sorted_rows(&[0, 1, 2, 3], &row_series, &times_ns);
            let distinct = Distinct::new(&rows, &row_series, &times_ns);
            let rows = distinct.rows.to_vec();
            let count = rows.len();
            let key =
                |at: usize| (row_series.get(rows[at]).unwrap(), times_ns.get(rows[at]).unwrap());
            let layout = Layout::new(&slabs, distinct);
            let part = rng.usize(..count)..count;
            let mut found = Model::new();
            let mut text = vec![0; count];
            for field in layout.fields() {
                assert_eq!(
                    field.field_type,
                    FieldType::ALL[field.id.0 as usize % 5],
                    "seed {seed}"
                );
                let column = field.gather(0..count);
                assert_eq!(column.len(), count);
                field.add_text_bytes(&mut text);
                let taken = field.gather(part.clone());
                for (at, &bytes) in text.iter().enumerate() {
                    let value = column.get(at);
                    if let Some(at) = at.checked_sub(part.start) {
                        assert_eq!(taken.get(at), value, "seed {seed}");
                    }
                    let Some(value) = value else { continue };
                    if let FieldValue::String(value) = &value {
                        assert!(bytes as usize >= value.len(), "seed {seed}");
                    }
                    found.insert((key(at).0, key(at).1, field.id.0), value);
                }
            }
            assert_eq!(found, model, "seed {seed}");
        }
    }

    #[test]
    fn bytes_equal_sum_of_columns() {
        for seed in 0..200 {
            let (slabs, ..) = random(&mut fastrand::Rng::with_seed(seed), 8);
            let columns = slabs.slabs.iter().flat_map(|slab| &slab.columns);
            let bytes: usize = columns.map(|column| column.bytes() + SLAB_COLUMN_BYTES).sum();
            assert_eq!(slabs.columns_bytes, bytes, "seed {seed}");
        }
    }

    #[test]
    fn slabs_store_wide_row_compactly() {
        let one = Column::full(Values::Integer(vec![7]));
        let mut slabs = Slabs::default();
        let ids: Vec<ColumnId> = (0..1_000).map(ColumnId).collect();
        slabs.append(&ids, &vec![one; 1_000], 1);
        let narrow = Column::full(Values::Integer(vec![8; 100_000]));
        slabs.append(&ids[..1], &[narrow], 100_000);
        assert_eq!(slabs.len(), 2);
        assert!(slabs.bytes() < 1_000_000 + 200_000, "{}", slabs.bytes());
        let distinct = Distinct::of_distinct((0..100_001).rev().collect());
        let layout = Layout::new(&slabs, distinct);
        let wide = layout.field(ColumnId(999)).unwrap();
        assert!(!wide.has_value(0..100_000));
        let last = wide.gather(99_999..100_001);
        assert_eq!((last.get(0), last.get(1)), (None, Some(FieldValue::Integer(7))));
        assert_eq!(layout.fields().count(), 1_000);
    }
}
