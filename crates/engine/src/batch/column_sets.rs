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

/// The maximum number of values in one step of a [`ColumnGrouping`].
const STEP: usize = 1 << 15;

/// Groups the given rows by the wanted columns in which they have a value, in short steps, so that
/// the caller can pause between the steps.
pub struct ColumnGrouping<'a> {
    block: &'a Block,
    rows: &'a Selection,
    /// The positions of the wanted columns.
    tags: Vec<usize>,
    fields: Vec<usize>,
    tag_sets: Grouping,
    /// The number of the tag set of each of the first series. Each series is checked only once for
    /// its tags, because a series can have millions of rows.
    tag_set_of: Vec<u32>,
    sets: Grouping,
    /// The number of grouped rows.
    done: usize,
}

impl<'a> ColumnGrouping<'a> {
    /// Begins the grouping. `wanted_tags` and `wanted_fields` are as long as `block.series.tags`
    /// and `block.fields`, or shorter if the last columns are not wanted.
    pub fn new(
        block: &'a Block,
        rows: &'a Selection,
        wanted_tags: &[bool],
        wanted_fields: &[bool],
        with_rows: bool,
    ) -> Self {
        let positions = |wanted: &[bool]| -> Vec<usize> {
            (0..).zip(wanted).filter_map(|(at, &is_wanted)| is_wanted.then_some(at)).collect()
        };
        let (tags, fields) = (positions(wanted_tags), positions(wanted_fields));
        let tag_sets = Grouping::new(tags.len(), false);
        let sets = Grouping::new(fields.len(), with_rows);
        Self { block, rows, tags, fields, tag_sets, tag_set_of: Vec::new(), sets, done: 0 }
    }

    /// Groups the next series or rows. Returns the number of values that were read, or `None` at
    /// the end.
    pub fn group_next(&mut self) -> Option<usize> {
        let Self { block, rows, tags, fields, tag_sets, tag_set_of, sets, done } = self;
        let series = if tags.is_empty() { 0 } else { block.series.len as usize };
        if tag_set_of.len() < series {
            let count = STEP.div_ceil(tags.len()).min(series - tag_set_of.len());
            for series in (tag_set_of.len()..).take(count) {
                let has_tag = |bit: usize| {
                    let tag = tags.get(bit).and_then(|&tag| block.series.tags.get(tag));
                    tag.and_then(|tag| tag.codes.get(series)).is_some_and(|&code| code > 0)
                };
                tag_set_of.push(tag_sets.add(series as u32, 0, has_tag) as u32);
            }
            return Some(count * tags.len());
        }
        let is_empty = tags.is_empty() && fields.is_empty();
        let left = if is_empty { 0 } else { rows.len(block.rows()) - *done };
        let count = STEP.div_ceil(fields.len().max(1)).min(left);
        for at in (*done..).take(count) {
            let row = rows.get(at);
            let series = block.row_series.get(row as usize).copied().or_bug();
            let tag_set = tag_set_of.get(series as usize).copied().unwrap_or_default();
            sets.add(row, tag_set, |bit| {
                let column = fields.get(bit).and_then(|&field| block.fields.get(field));
                column.is_some_and(|column| column.validity.is_valid(row as usize))
            });
        }
        *done += count;
        (count > 0).then(|| count * fields.len().max(1))
    }

    /// Returns the sets in the order of their first rows. Rows without any wanted column are in no
    /// set.
    pub fn finish(self) -> Vec<ColumnPositions> {
        let Self { tags, fields, tag_sets, sets, .. } = self;
        let sets = sets.sets.into_iter().map(|((tag_set, bits), rows)| {
            let set = tag_sets.sets.get(tag_set as usize);
            let tags = set.map(|((_, bits), _)| filter(&tags, bits)).unwrap_or_default();
            ColumnPositions { tags, fields: filter(&fields, &bits), rows }
        });
        sets.filter(|set| !set.tags.is_empty() || !set.fields.is_empty()).collect()
    }
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
    let mut grouping = Grouping::new(fields, true);
    for row in rows {
        grouping.add(row, 0, |bit| has(row, bit));
    }
    grouping.sets.into_iter().map(set).collect()
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

/// Rows or series, grouped by [`SetKey`].
struct Grouping {
    numbers: BTreeMap<SetKey, usize>,
    /// The sets in the order of their first members.
    sets: Vec<(SetKey, Vec<u32>)>,
    with_members: bool,
    /// The number of columns.
    count: usize,
    /// The key of the last member.
    key: SetKey,
    /// The set of the last member.
    last: Option<usize>,
}

impl Grouping {
    fn new(count: usize, with_members: bool) -> Self {
        let key = (0, vec![0; count.div_ceil(64)]);
        Self { numbers: BTreeMap::new(), sets: Vec::new(), with_members, count, key, last: None }
    }

    /// Adds a member to its set, and returns the number of the set. `has` returns whether the
    /// member has a value in a column.
    fn add(&mut self, member: u32, tag_set: u32, has: impl Fn(usize) -> bool) -> usize {
        let Self { numbers, sets, key, last, .. } = self;
        key.0 = tag_set;
        key.1.fill(0);
        for bit in 0..self.count {
            if let Some(word) = key.1.get_mut(bit / 64) {
                *word |= u64::from(has(bit)) << (bit % 64);
            }
        }
        let same = last.filter(|&last| sets.get(last).is_some_and(|(held, _)| held == key));
        let number = same.or_else(|| numbers.get(key).copied()).unwrap_or_else(|| {
            numbers.insert(key.clone(), sets.len());
            sets.push((key.clone(), Vec::new()));
            sets.len() - 1
        });
        *last = Some(number);
        if self.with_members
            && let Some((_, members)) = sets.get_mut(number)
        {
            members.push(member);
        }
        number
    }
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

    fn column_sets(
        block: &Block,
        rows: &Selection,
        wanted_tags: &[bool],
        wanted_fields: &[bool],
        with_rows: bool,
    ) -> Vec<ColumnPositions> {
        let mut grouping = ColumnGrouping::new(block, rows, wanted_tags, wanted_fields, with_rows);
        while grouping.group_next().is_some() {}
        grouping.finish()
    }

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
