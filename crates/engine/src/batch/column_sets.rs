//! Groups rows by the columns in which they have a value.

use std::collections::BTreeMap;

use super::Block;
use super::selection::Selection;
use tidemark_model::bug::OrBug;

/// The overhead of one column of a table, in cells of 8 bytes (`slabs::SLAB_COLUMN_BYTES`).
const COLUMN_CELLS: usize = 12;

/// A set of columns that some rows have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnPositions {
    /// The tags as ascending positions in `block.series.tags`.
    pub tags: Vec<usize>,
    /// The fields as ascending positions in `block.fields`.
    pub fields: Vec<usize>,
    /// The rows, ascending, that have exactly these columns among the wanted columns. The list is
    /// empty if the caller did not request rows.
    pub rows: Vec<u32>,
}

/// Groups the given rows by the wanted columns in which they have a value. The sets are in the
/// order of their first rows. Rows without any wanted column are in no set.
///
/// `wanted_tags` and `wanted_fields` are as long as `block.series.tags` and `block.fields`, or
/// shorter if the last columns are not wanted.
pub fn column_sets(
    block: &Block,
    rows: &Selection,
    wanted_tags: &[bool],
    wanted_fields: &[bool],
    with_rows: bool,
) -> Vec<ColumnPositions> {
    let positions = |wanted: &[bool]| -> Vec<usize> {
        (0..).zip(wanted).filter_map(|(at, &is_wanted)| is_wanted.then_some(at)).collect()
    };
    let (tags, fields) = (positions(wanted_tags), positions(wanted_fields));
    if tags.is_empty() && fields.is_empty() {
        return Vec::new();
    }
    let has_tag = |series: u32, bit: usize| {
        let tag = tags.get(bit).and_then(|&tag| block.series.tags.get(tag));
        tag.and_then(|tag| tag.codes.get(series as usize)).is_some_and(|&code| code > 0)
    };
    let has_field = |row: u32, bit: usize| {
        let column = fields.get(bit).and_then(|&field| block.fields.get(field));
        column.is_some_and(|column| column.validity.is_valid(row as usize))
    };
    // Each series is checked only once for its tags, because a series can have millions of rows.
    let n_series = if tags.is_empty() { 0 } else { block.series.len };
    let tag_sets = grouped(0..n_series, |_| 0, tags.len(), has_tag, true);
    let mut tag_set_of = vec![0_u32; n_series as usize];
    for (number, (_, series)) in (0..).zip(&tag_sets) {
        for &series in series {
            if let Some(slot) = tag_set_of.get_mut(series as usize) {
                *slot = number;
            }
        }
    }
    let tag_set = |row: u32| {
        let series = block.row_series.get(row as usize).copied().or_bug();
        tag_set_of.get(series as usize).copied().unwrap_or_default()
    };
    let rows = (0..rows.len(block.rows())).map(|at| rows.get(at));
    grouped(rows, tag_set, fields.len(), has_field, with_rows)
        .into_iter()
        .map(|((tag_set, bits), rows)| {
            let set = tag_sets.get(tag_set as usize);
            let tags = set.map(|((_, bits), _)| filter(&tags, bits)).unwrap_or_default();
            ColumnPositions { tags, fields: filter(&fields, &bits), rows }
        })
        .filter(|set| !set.tags.is_empty() || !set.fields.is_empty())
        .collect()
}

/// Groups rows by the fields in which they have a value. The sets are in the order of their first
/// rows. Rows without any field also form a set.
pub(crate) fn field_sets(
    rows: impl Iterator<Item = u32>,
    fields: usize,
    has: impl Fn(u32, usize) -> bool,
) -> Vec<ColumnPositions> {
    let positions: Vec<usize> = (0..fields).collect();
    let set = |((_, bits), rows): (SetKey, Vec<u32>)| ColumnPositions {
        tags: Vec::new(),
        fields: filter(&positions, &bits),
        rows,
    };
    grouped(rows, |_| 0, fields, has, true).into_iter().map(set).collect()
}

/// Merges small sets, if padding costs less than separate sets. The sets must have no tags.
pub(crate) fn without_small(sets: Vec<ColumnPositions>) -> Vec<ColumnPositions> {
    let (mut small, mut kept): (Vec<_>, Vec<_>) =
        sets.into_iter().partition(|set| set.rows.len() < COLUMN_CELLS);
    let mut fields: Vec<usize> = small.iter().flat_map(|set| &set.fields).copied().collect();
    fields.sort();
    fields.dedup();
    let rows: usize = small.iter().map(|set| set.rows.len()).sum();
    let apart: usize =
        small.iter().map(|set| (set.rows.len() + COLUMN_CELLS) * set.fields.len()).sum();
    if (rows + COLUMN_CELLS) * fields.len() >= apart {
        kept.append(&mut small);
        return kept;
    }
    let mut rows: Vec<u32> = small.iter().flat_map(|set| &set.rows).copied().collect();
    rows.sort();
    kept.push(ColumnPositions { tags: Vec::new(), fields, rows });
    kept
}

/// The number of a set of tags, and a bit for each field.
type SetKey = (u32, Vec<u64>);

fn grouped(
    rows: impl Iterator<Item = u32>,
    tag_set: impl Fn(u32) -> u32,
    count: usize,
    has: impl Fn(u32, usize) -> bool,
    with_rows: bool,
) -> Vec<(SetKey, Vec<u32>)> {
    let mut numbers: BTreeMap<SetKey, usize> = BTreeMap::new();
    let mut sets: Vec<(SetKey, Vec<u32>)> = Vec::new();
    let mut key = (0, vec![0_u64; count.div_ceil(64)]);
    let mut last: Option<usize> = None;
    for row in rows {
        key.0 = tag_set(row);
        key.1.fill(0);
        for bit in 0..count {
            if let Some(word) = key.1.get_mut(bit / 64) {
                *word |= u64::from(has(row, bit)) << (bit % 64);
            }
        }
        let same = last.filter(|&last| sets.get(last).is_some_and(|(held, _)| *held == key));
        let number = same.unwrap_or_else(|| {
            *numbers.entry(key.clone()).or_insert_with(|| {
                sets.push((key.clone(), Vec::new()));
                sets.len() - 1
            })
        });
        last = Some(number);
        if with_rows && let Some((_, rows)) = sets.get_mut(number) {
            rows.push(row);
        }
    }
    sets
}

fn filter(positions: &[usize], bits: &[u64]) -> Vec<usize> {
    let is_set = |at: usize| bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1);
    positions.iter().enumerate().filter(|&(at, _)| is_set(at)).map(|(_, &p)| p).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::column::{Column, Values};
    use crate::batch::series_table::{SeriesTable, TagColumn};

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

    fn set(tags: &[usize], fields: &[usize], rows: &[u32]) -> ColumnPositions {
        ColumnPositions { tags: tags.to_vec(), fields: fields.to_vec(), rows: rows.to_vec() }
    }

    #[test]
    fn small_column_sets_merge_when_smaller() {
        let one_row = |fields: std::ops::Range<u32>| {
            let of = |n: u32| set(&[], &[n as usize % 20, 20 + n as usize % 7], &[n]);
            fields.map(of).collect::<Vec<_>>()
        };
        // One merged table takes 27 * (140 + 12) cells, and separate tables 140 * 2 * 13.
        let together = without_small(one_row(0..140));
        assert_eq!(together.len(), 140);
        let together = without_small(one_row(0..20));
        assert_eq!((together.len(), together[0].fields.len(), together[0].rows.len()), (20, 2, 1));
        let dense: Vec<ColumnPositions> = (0..100_u32)
            .map(|n| {
                let fields: Vec<usize> =
                    (0..20).filter(|f| !(f + n as usize).is_multiple_of(3)).collect();
                ColumnPositions { tags: Vec::new(), fields, rows: vec![99 - n] }
            })
            .collect();
        let large = set(&[], &[0, 5], &(100..200).collect::<Vec<u32>>());
        let found = without_small([dense, vec![large.clone()]].concat());
        let all: Vec<usize> = (0..20).collect();
        assert_eq!(found, [large, set(&[], &all, &(0..100).collect::<Vec<u32>>())]);
    }

    #[test]
    fn rows_group_by_present_columns() {
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
        let swapped = Block { row_series: vec![1, 0, 0, 1], ..block.clone() };
        let found = column_sets(&swapped, &Selection::All, &[true], &[true], true);
        assert_eq!(found, [set(&[0], &[0], &[0, 3]), set(&[], &[0], &[1, 2])]);
        assert_eq!(column_sets(&block, &Selection::All, &[], &[], true), []);
        let without_rows = column_sets(&block, &Selection::All, &[], &[false, true], false);
        assert_eq!(without_rows, [set(&[], &[1], &[])]);
    }
}
