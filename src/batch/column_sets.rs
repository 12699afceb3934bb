//! Which rows have which columns: what a schema must know before the rows may be sent.

use super::Block;
use super::bitmap::Validity;
use super::selection::Selection;
use crate::model::sorted_map::SortedMap;

/// Columns that some rows have together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSet {
    /// Positions in `block.series.tags`, ascending.
    pub tags: Vec<usize>,
    /// Positions in `block.fields`, ascending.
    pub fields: Vec<usize>,
    /// The rows that have exactly these of the wanted columns; ascending, at least one.
    pub rows: Vec<u32>,
}

/// Groups the given rows by which of the wanted columns they have, in order of each set's first
/// row. Rows that have none of them are in no set.
///
/// `wanted_tags` and `wanted_fields` stand beside `block.series.tags` and `block.fields`: columns
/// that the schema lacks, say. Columns past their ends are not wanted.
pub fn column_sets(
    block: &Block,
    rows: &Selection,
    wanted_tags: &[bool],
    wanted_fields: &[bool],
) -> Vec<ColumnSet> {
    let positions = |wanted: &[bool]| -> Vec<usize> {
        (0..wanted.len()).filter(|&at| wanted.get(at).copied().unwrap_or_default()).collect()
    };
    let (tags, fields) = (positions(wanted_tags), positions(wanted_fields));
    if tags.is_empty() && fields.is_empty() {
        return Vec::new();
    }
    // Per row one bit for each wanted field, per series one for each wanted tag.
    let field_bits = bits_of_rows(block, &fields);
    let tag_bits = bits_of_series(block, &tags);
    let mut numbers: SortedMap<(&[u64], &[u64]), usize> = SortedMap::new();
    let mut sets: Vec<ColumnSet> = Vec::new();
    for row in rows.to_rows(block.rows()) {
        let series = block.row_series.get(row as usize).copied().unwrap_or_default();
        let key = (tag_bits.get(series as usize), field_bits.get(row as usize));
        if key.0.iter().chain(key.1).all(|&word| word == 0) {
            continue;
        }
        let number = *numbers.entry(key).or_insert_with(|| {
            let tags = pick(&tags, key.0);
            sets.push(ColumnSet { tags, fields: pick(&fields, key.1), rows: Vec::new() });
            sets.len() - 1
        });
        if let Some(set) = sets.get_mut(number) {
            set.rows.push(row);
        }
    }
    sets
}

/// Those of the given rows that have a value in field column `field`.
pub fn rows_with_field(block: &Block, rows: &Selection, field: usize) -> Vec<u32> {
    let mut rows = rows.to_rows(block.rows());
    match block.fields.get(field).map(|column| &column.validity) {
        Some(Validity::All) => {}
        Some(Validity::Some(bits)) => rows.retain(|&row| bits.get(row as usize)),
        None => rows.clear(),
    }
    rows
}

/// Equally long rows of bits.
struct Bits {
    words: Vec<u64>,
    /// Words of one row.
    width: usize,
}

impl Bits {
    fn new(rows: usize, columns: usize) -> Self {
        let width = columns.div_ceil(64);
        Self { words: vec![0; rows * width], width }
    }

    fn get(&self, row: usize) -> &[u64] {
        self.words.get(row * self.width..(row + 1) * self.width).unwrap_or_default()
    }

    fn set(&mut self, row: usize, column: usize) {
        if let Some(word) = self.words.get_mut(row * self.width + column / 64) {
            *word |= 1 << (column % 64);
        }
    }
}

fn bits_of_rows(block: &Block, fields: &[usize]) -> Bits {
    let mut bits = Bits::new(block.rows(), fields.len());
    for (column, &field) in fields.iter().enumerate() {
        for row in rows_with_field(block, &Selection::All, field) {
            bits.set(row as usize, column);
        }
    }
    bits
}

fn bits_of_series(block: &Block, tags: &[usize]) -> Bits {
    let mut bits = Bits::new(block.series.len as usize, tags.len());
    for (column, &tag) in tags.iter().enumerate() {
        let codes = block.series.tags.get(tag).map(|tag| tag.codes.as_slice());
        for (series, &code) in codes.unwrap_or_default().iter().enumerate() {
            if code > 0 {
                bits.set(series, column);
            }
        }
    }
    bits
}

/// The positions whose bit is set.
fn pick(positions: &[usize], bits: &[u64]) -> Vec<usize> {
    let is_set = |at: usize| bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1);
    positions.iter().enumerate().filter(|&(at, _)| is_set(at)).map(|(_, &p)| p).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::column::{Column, Values};
    use crate::batch::series_table::{SeriesTable, TagColumn};

    /// Rows 0..4 of series 0, 1, 0, 1; series 1 has tag 0. Field 0 is everywhere, field 1 in rows
    /// 2 and 3, fields 2..=70 in row 3.
    fn block() -> Block {
        let sparse = |valid: [bool; 4]| {
            let mut column = Column::full(Values::Integer(Vec::new()));
            for valid in valid {
                match valid {
                    true => _ = column.push_from(&Column::full(Values::Integer(vec![1])), 0),
                    false => column.push_null(),
                }
            }
            column
        };
        let mut fields = vec![sparse([true; 4]), sparse([false, false, true, true])];
        fields.resize(71, sparse([false, false, false, true]));
        let tag = TagColumn { dictionary: ["x"].into_iter().collect(), codes: vec![0, 1] };
        Block {
            series: SeriesTable { tags: vec![tag], len: 2 },
            row_series: vec![0, 1, 0, 1],
            times_ns: vec![0; 4],
            fields,
        }
    }

    fn set(tags: &[usize], fields: &[usize], rows: &[u32]) -> ColumnSet {
        ColumnSet { tags: tags.to_vec(), fields: fields.to_vec(), rows: rows.to_vec() }
    }

    #[test]
    fn rows_are_grouped_by_the_wanted_columns_they_have() {
        let block = block();
        let all = column_sets(&block, &Selection::All, &[true], &[true; 71]);
        let row_3: Vec<usize> = (0..71).collect();
        assert_eq!(
            all,
            [
                set(&[], &[0], &[0]),
                set(&[0], &[0], &[1]),
                set(&[], &[0, 1], &[2]),
                set(&[0], &row_3, &[3])
            ]
        );
        let new = column_sets(&block, &Selection::All, &[false], &[false, true]);
        assert_eq!(new, [set(&[], &[1], &[2, 3])]);
        let some = column_sets(&block, &Selection::Rows(vec![0, 1, 3]), &[true], &[]);
        assert_eq!(some, [set(&[0], &[], &[1, 3])]);
        assert_eq!(column_sets(&block, &Selection::All, &[], &[]), []);
    }

    #[test]
    fn rows_with_a_field_are_those_with_a_value() {
        let block = block();
        assert_eq!(rows_with_field(&block, &Selection::All, 1), [2, 3]);
        assert_eq!(rows_with_field(&block, &Selection::Rows(vec![0, 2]), 0), [0, 2]);
        assert_eq!(rows_with_field(&block, &Selection::All, 99), [0_u32; 0]);
    }
}
