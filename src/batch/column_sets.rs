//! Which rows have which columns: what a schema must know before the rows may be sent.

use super::Block;
use super::selection::Selection;
use crate::model::sorted_map::SortedMap;

/// Columns that some rows have together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSet {
    /// Positions in `block.series.tags`, ascending.
    pub tags: Vec<usize>,
    /// Positions in `block.fields`, ascending.
    pub fields: Vec<usize>,
    /// If they are asked for, the rows that have exactly these of the wanted columns; ascending.
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
    with_rows: bool,
) -> Vec<ColumnSet> {
    let positions = |wanted: &[bool]| -> Vec<usize> {
        (0..wanted.len()).filter(|&at| wanted.get(at).copied().unwrap_or_default()).collect()
    };
    let (tags, fields) = (positions(wanted_tags), positions(wanted_fields));
    if tags.is_empty() && fields.is_empty() {
        return Vec::new();
    }
    let has_tag = |series: u32, &tag: &usize| {
        let codes = block.series.tags.get(tag).map(|tag| tag.codes.as_slice());
        codes.and_then(|codes| codes.get(series as usize)).is_some_and(|&code| code > 0)
    };
    let has_field = |row: u32, &field: &usize| {
        block.fields.get(field).is_some_and(|column| column.validity.is_valid(row as usize))
    };
    let mut numbers: SortedMap<Vec<u64>, usize> = SortedMap::new();
    let mut sets: Vec<ColumnSet> = Vec::new();
    // Of the row at hand: one bit for each wanted tag, then one for each wanted field.
    let mut bits = vec![0_u64; (tags.len() + fields.len()).div_ceil(64)];
    let mut last = (Vec::new(), 0);
    for at in 0..rows.len(block.rows()) {
        let row = rows.get(at);
        let series = block.row_series.get(row as usize).copied().unwrap_or_default();
        bits.fill(0);
        let has = tags.iter().map(|tag| has_tag(series, tag));
        let has = has.chain(fields.iter().map(|field| has_field(row, field)));
        for (bit, has) in has.enumerate() {
            if let Some(word) = bits.get_mut(bit / 64) {
                *word |= u64::from(has) << (bit % 64);
            }
        }
        if bits.iter().all(|&word| word == 0) {
            continue;
        }
        // Most rows have what the row before has.
        if last.0 != bits {
            let number = *numbers.entry(bits.clone()).or_insert_with(|| {
                let (tags, fields) = (pick(&tags, &bits, 0), pick(&fields, &bits, tags.len()));
                sets.push(ColumnSet { tags, fields, rows: Vec::new() });
                sets.len() - 1
            });
            last = (bits.clone(), number);
        }
        if with_rows && let Some(set) = sets.get_mut(last.1) {
            set.rows.push(row);
        }
    }
    sets
}

/// The positions whose bit is set, the first one being `first`.
fn pick(positions: &[usize], bits: &[u64], first: usize) -> Vec<usize> {
    let is_set = |at: usize| bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1);
    positions.iter().enumerate().filter(|&(at, _)| is_set(first + at)).map(|(_, &p)| p).collect()
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
        let all = column_sets(&block, &Selection::All, &[true], &[true; 71], true);
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
        let new = column_sets(&block, &Selection::All, &[false], &[false, true], true);
        assert_eq!(new, [set(&[], &[1], &[2, 3])]);
        let some = column_sets(&block, &Selection::Rows(vec![0, 1, 3]), &[true], &[], true);
        assert_eq!(some, [set(&[0], &[], &[1, 3])]);
        assert_eq!(column_sets(&block, &Selection::All, &[], &[], true), []);
        let without_rows = column_sets(&block, &Selection::All, &[], &[false, true], false);
        assert_eq!(without_rows, [set(&[], &[1], &[])]);
    }
}
