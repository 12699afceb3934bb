//! Orders rows by series and time, and finds the rows that later rows overwrite.

use std::borrow::Cow;

use super::chunks::{ChunkedColumn, Chunks};
use super::series_table::SeriesTable;
use tidemark_model::bug::OrBug;

/// Returns the positions of all rows, ordered by series, then by time, then by order of writing.
/// `rank[s]` is the position of series `s` in the order of series.
pub fn sorted_rows(rank: &[u32], row_series: &Chunks<u32>, times_ns: &Chunks<i64>) -> Vec<u32> {
    let place = |series: u32| rank.get(series as usize).copied().or_bug() as usize;
    let mut starts = vec![0_u32; rank.len() + 1];
    for &series in row_series.iter() {
        if let Some(count) = starts.get_mut(place(series) + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    let mut next = starts.clone();
    let mut rows = vec![0_u32; row_series.len()];
    for (row, &series) in (0..).zip(row_series.iter()) {
        if let Some(slot) = next.get_mut(place(series)) {
            if let Some(target) = rows.get_mut(*slot as usize) {
                *target = row;
            }
            *slot += 1;
        }
    }
    for (&start, &end) in starts.iter().zip(starts.iter().skip(1)) {
        if let Some(rows) = rows.get_mut(start as usize..end as usize) {
            rows.sort_by_key(|&row| times_ns.get(row).or_bug());
        }
    }
    rows
}

/// A list of ordered rows without duplicates of series and time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distinct {
    /// The last row for each series and time.
    pub rows: Vec<u32>,
    /// The end of each row's duplicates in `all`, in the order of `rows`. The list is empty if
    /// there are no duplicates.
    ends: Vec<u32>,
    all: Vec<u32>,
}

impl Distinct {
    pub(crate) fn of_distinct(rows: Vec<u32>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Merges adjacent rows with the same series and time.
    pub fn new(rows: &[u32], row_series: &Chunks<u32>, times_ns: &Chunks<i64>) -> Self {
        let key = |row: u32| (row_series.get(row), times_ns.get(row));
        Self::by(rows, |a, b| key(a) == key(b))
    }

    /// Merges adjacent rows for which `is_same` returns true.
    pub fn by(rows: &[u32], is_same: impl Fn(u32, u32) -> bool) -> Self {
        let mut last = Vec::with_capacity(rows.len());
        let mut ends = Vec::with_capacity(rows.len());
        let mut end = 0;
        for group in rows.chunk_by(|&a, &b| is_same(a, b)) {
            last.extend(group.last());
            end += group.len() as u32;
            ends.push(end);
        }
        if last.len() == rows.len() {
            return Self::of_distinct(last);
        }
        Self { rows: last, ends, all: rows.to_vec() }
    }

    /// Iterates over the rows of each series and time, in the order of writing.
    pub fn groups(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.rows.len()).map(|at| self.group(at))
    }

    /// Returns the rows with the same series and time as row number `at`, including this row.
    pub fn group(&self, at: usize) -> &[u32] {
        if self.ends.is_empty() {
            return self.rows.get(at..=at).or_bug();
        }
        let end = |at: usize| self.ends.get(at).copied().or_bug() as usize;
        let start = at.checked_sub(1).map_or(0, end);
        self.all.get(start..end(at)).or_bug()
    }

    /// Returns the rows to read from `column`: the last row with a value in each group.
    pub fn picks(&self, column: &ChunkedColumn) -> Cow<'_, [u32]> {
        if self.ends.is_empty() || column.is_full() {
            return Cow::Borrowed(&self.rows);
        }
        let pick = |at| self.pick(|row| column.is_valid(row), at);
        Cow::Owned((0..self.rows.len()).filter_map(pick).collect())
    }

    /// Returns the row to read for row number `at`.
    pub fn pick(&self, is_valid: impl Fn(u32) -> bool, at: usize) -> Option<u32> {
        let group = self.group(at);
        group.iter().rev().find(|row| is_valid(**row)).or(group.last()).copied()
    }
}

/// Ranks each series by its tag values. `tags` contains positions of tags, in order of priority.
pub(crate) fn rank_series(series: &SeriesTable, tags: &[usize]) -> Vec<u32> {
    let count = series.len;
    let mut order: Vec<u32> = (0..count).collect();
    let ranks: Vec<Vec<u32>> = tags
        .iter()
        .filter_map(|&tag| series.tags.get(tag))
        .map(|tag| {
            let texts = tag.dictionary.len() as u32;
            let mut codes: Vec<u32> = (0..texts).collect();
            let text = |code: u32| tag.dictionary.get(code as usize);
            codes.sort_by(|&a, &b| text(a).cmp(text(b)));
            // Rank 0 is for a missing tag, which sorts first because its value is the empty string.
            let mut rank = vec![0; texts as usize + 1];
            for (place, code) in (1..).zip(codes) {
                if let Some(slot) = rank.get_mut(code as usize + 1) {
                    *slot = place;
                }
            }
            let of = |code: &u32| rank.get(*code as usize).copied().or_bug();
            tag.codes.iter().map(of).collect()
        })
        .collect();
    let key =
        |series: u32| ranks.iter().map(move |rank| rank.get(series as usize).copied().or_bug());
    order.sort_by(|&a, &b| key(a).cmp(key(b)));
    let mut rank = vec![0; count as usize];
    for (place, series) in (0..).zip(order) {
        if let Some(slot) = rank.get_mut(series as usize) {
            *slot = place;
        }
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::column::{Column, Values};
    use crate::batch::series_table::TagColumn;
    use tidemark_model::value::{FieldType, FieldValue};

    fn chunks<T: Copy + Default>(list: &[T]) -> Chunks<T> {
        let mut chunks = Chunks::default();
        chunks.extend(list);
        chunks
    }

    #[test]
    fn rows_sort_by_series_and_time() {
        let series = chunks(&[2, 0, 2, 0, 2]);
        let rows = sorted_rows(&[0, 1, 2], &series, &chunks(&[5, 9, 1, 3, 5]));
        assert_eq!(rows, [3, 1, 2, 0, 4]);
        let ranked = sorted_rows(&[2, 1, 0], &series, &chunks(&[5, 9, 1, 3, 6]));
        assert_eq!(ranked, [2, 0, 4, 3, 1]);
    }

    #[test]
    fn last_value_wins_per_field() {
        let mut column = ChunkedColumn::new(FieldType::Integer);
        for value in [Some(1), None, Some(3), None] {
            match value {
                Some(v) => column.extend(&Column::full(Values::Integer(vec![v]))),
                None => column.extend_nulls(1),
            }
        }
        let distinct = Distinct::new(&[0, 1, 2, 3], &chunks(&[0, 0, 0, 0]), &chunks(&[7, 7, 8, 9]));
        assert_eq!(distinct.rows, [1, 2, 3]);
        let gathered = column.gather(&distinct.picks(&column));
        let values: Vec<_> = (0..3).map(|row| gathered.get(row)).collect();
        assert_eq!(values, [Some(FieldValue::Integer(1)), Some(FieldValue::Integer(3)), None]);
        let mut full = ChunkedColumn::new(FieldType::Integer);
        full.extend(&Column::full(Values::Integer(vec![1, 2, 3, 4])));
        let gathered = full.gather(&distinct.picks(&full));
        assert_eq!(gathered, Column::full(Values::Integer(vec![2, 3, 4])));
    }

    #[test]
    fn series_rank_by_tag_values() {
        let tag = |values: &[&str], codes: &[u32]| TagColumn {
            dictionary: values.iter().copied().collect(),
            codes: codes.to_vec(),
        };
        let series = SeriesTable {
            tags: vec![tag(&["b", "a"], &[1, 2, 0, 2]), tag(&["x"], &[0, 1, 1, 0])],
            len: 4,
        };
        assert_eq!(rank_series(&series, &[0, 1]), [3, 2, 0, 1]);
        assert_eq!(rank_series(&series, &[1, 0]), [1, 3, 2, 0]);
    }
}
