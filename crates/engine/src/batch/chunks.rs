//! Lists that grow in chunks of rows, without moving existing rows.
//!
//! When a contiguous list is reallocated, both allocations are in memory for a moment, and the
//! freed allocation is too small for a larger list. WebAssembly memory never shrinks.

use super::bitmap::Validity;
use super::column::{Column, Values};
use super::picker::Picker;
use tidemark_model::value::FieldType;

/// The number of bits of a row's position in a chunk. Unit tests use short chunks, so that their
/// lists span several chunks.
const CHUNK_BITS: u32 = if cfg!(test) { 6 } else { 15 };
const CHUNK_ROWS: usize = 1 << CHUNK_BITS;

pub(super) fn place(row: u32) -> (usize, usize) {
    ((row >> CHUNK_BITS) as usize, row as usize % CHUNK_ROWS)
}

/// A list with one number per row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks<T> {
    chunks: Vec<Vec<T>>,
}

impl<T: Copy> Chunks<T> {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK_ROWS;
        full + self.chunks.last().map_or(0, Vec::len)
    }

    /// Whether the list has no rows.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Returns the number in row `row`.
    pub fn get(&self, row: u32) -> Option<T> {
        let (chunk, row) = place(row);
        self.chunks.get(chunk)?.get(row).copied()
    }

    /// Iterates over the numbers of all rows.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.chunks.iter().flatten()
    }

    /// Appends rows.
    pub fn extend(&mut self, mut rest: &[T]) {
        while !rest.is_empty() {
            let open = self.chunks.pop_if(|last| last.len() < CHUNK_ROWS);
            let chunk = self.chunks.push_mut(open.unwrap_or_default());
            let (now, later) = rest.split_at(rest.len().min(CHUNK_ROWS - chunk.len()));
            chunk.extend_from_slice(now);
            rest = later;
        }
    }

    /// Returns the memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum()
    }
}

/// The values of a field, one per row.
#[derive(Clone, Debug)]
pub struct ChunkedColumn {
    field_type: FieldType,
    chunks: Vec<Column>,
}

impl ChunkedColumn {
    /// Creates a column without rows.
    pub fn new(field_type: FieldType) -> Self {
        Self { field_type, chunks: Vec::new() }
    }

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK_ROWS;
        full + self.chunks.last().map_or(0, Column::len)
    }

    /// Returns the chunks. All chunks except the last have [`CHUNK_ROWS`] rows.
    pub(super) fn chunks(&self) -> &[Column] {
        &self.chunks
    }

    pub(super) fn is_full(&self) -> bool {
        self.chunks.iter().all(|chunk| chunk.validity == Validity::All)
    }

    pub(super) fn is_valid(&self, row: u32) -> bool {
        let (chunk, row) = place(row);
        self.chunks.get(chunk).is_some_and(|chunk| chunk.validity.is_valid(row))
    }

    pub(super) fn text_bytes(&self, row: u32) -> usize {
        let (chunk, row) = place(row);
        match self.chunks.get(chunk).map(|chunk| &chunk.values) {
            Some(Values::String(text)) => text.get(row).len(),
            _ => 0,
        }
    }

    /// Copies the rows at `rows` in the given order.
    pub fn gather(&self, rows: &[u32]) -> Column {
        if let [chunk] = self.chunks.as_slice() {
            return chunk.gather(rows);
        }
        let mut picker = Picker::new(self.field_type, self.chunks.iter());
        picker.extend(&rows.iter().map(|&row| place(row)).collect::<Vec<_>>());
        picker.finish()
    }

    /// Appends all rows of `column`, as nulls if its type differs.
    pub fn extend(&mut self, column: &Column) {
        if column.values.field_type() != self.field_type {
            return self.extend_nulls(column.len());
        }
        let mut start = 0;
        while start < column.len() {
            let chunk = self.open();
            let end = column.len().min(start + CHUNK_ROWS - chunk.len());
            if end - start < column.len() {
                let part: Vec<u32> = (start as u32..end as u32).collect();
                chunk.extend_from(&column.gather(&part));
            } else if chunk.is_empty() {
                // No spare memory is reserved, because most wide tables receive no second frame.
                chunk.clone_from(column);
            } else {
                chunk.extend_from(column);
            }
            start = end;
        }
    }

    /// Appends nulls.
    pub fn extend_nulls(&mut self, mut rows: usize) {
        while rows > 0 {
            let chunk = self.open();
            let now = rows.min(CHUNK_ROWS - chunk.len());
            chunk.extend_nulls(now);
            rows -= now;
        }
    }

    fn open(&mut self) -> &mut Column {
        let open = self.chunks.pop_if(|last| last.len() < CHUNK_ROWS);
        self.chunks.push_mut(open.unwrap_or_else(|| Column::new(self.field_type)))
    }

    /// Returns the memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| size_of::<Column>() + chunk.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::value::FieldValue;

    fn column(first: i64, rows: usize) -> Column {
        let mut column = Column::new(FieldType::Integer);
        for value in first..first + rows as i64 {
            match value % 3 {
                0 => column.push_null(),
                _ => assert!(column.extend_from(&Column::full(Values::Integer(vec![value])))),
            }
        }
        column
    }

    #[test]
    fn chunks_return_rows_of_appended_batches() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut numbers, mut values) =
                (Chunks::default(), ChunkedColumn::new(FieldType::Integer));
            let mut all = column(0, 0);
            for _ in 0..rng.usize(1..6) {
                let piece = column(all.len() as i64, rng.usize(0..3 * CHUNK_ROWS));
                let from = all.len() as u32;
                numbers.extend(&(from..from + piece.len() as u32).collect::<Vec<_>>());
                values.extend(&piece);
                all.extend_from(&piece);
            }
            let rows: Vec<u32> = (0..all.len() as u32).collect();
            assert_eq!((numbers.len(), values.len()), (rows.len(), rows.len()), "seed {seed}");
            assert!(
                numbers.iter().eq(&rows) && rows.iter().all(|&row| numbers.get(row) == Some(row))
            );
            assert_eq!(values.gather(&rows), all, "seed {seed}");
            assert!(rows.iter().all(|&row| values.is_valid(row) == (row % 3 > 0)), "seed {seed}");
            assert_eq!(numbers.get(rows.len() as u32), None);
            let longest = values.chunks().iter().map(Column::len).max();
            assert!(longest <= Some(CHUNK_ROWS), "seed {seed}: {longest:?}");
        }
    }

    #[test]
    fn values_of_other_type_become_null() {
        let mut values = ChunkedColumn::new(FieldType::Integer);
        values.extend(&Column::full(Values::Float(vec![1.0; CHUNK_ROWS + 1])));
        values.extend(&Column::full(Values::Integer(vec![7])));
        let last = CHUNK_ROWS as u32 + 1;
        assert_eq!((values.len(), values.is_valid(last - 1)), (CHUNK_ROWS + 2, false));
        assert_eq!(values.gather(&[last]).get(0), Some(FieldValue::Integer(7)));
        assert!(!values.is_full());
    }
}
