//! Sorts the rows of a window in steps, so that a statement can pause between two steps.

use std::cmp::Ordering;

use super::points::{Points, compare, keys};

/// Rows that are being sorted by value. Rows with equal values are sorted by their numbers.
#[derive(Debug)]
pub struct Sorting {
    rows: Rows,
    /// Whether the largest value comes first.
    descending: bool,
}

#[derive(Debug)]
enum Rows {
    /// Sort keys with their rows.
    Keys(Merging<(u64, u32)>),
    /// The rows of a text column.
    Texts(Merging<u32>),
}

const ROWS_PER_STEP: usize = Sorting::ROWS_PER_STEP;

impl Sorting {
    /// The maximum number of rows that one step sorts or merges.
    pub const ROWS_PER_STEP: usize = 4_096;

    /// Starts to sort rows by value.
    pub(super) fn new(points: &Points<'_>, descending: bool) -> Self {
        let rows = match keys(points.values) {
            Some(mut keys) => {
                if descending {
                    keys.iter_mut().for_each(|(key, _)| *key = !*key);
                }
                Rows::Keys(Merging::new(keys))
            }
            None => Rows::Texts(Merging::new((0..points.values.len() as u32).collect())),
        };
        Self { rows, descending }
    }

    /// Sorts rows by these keys. Rows with equal keys are sorted by their numbers.
    pub(super) fn by_keys(keys: Vec<(u64, u32)>) -> Self {
        Self { rows: Rows::Keys(Merging::new(keys)), descending: false }
    }

    /// Runs one step, and returns the sorted rows after the last step. `points` must not change
    /// between two steps.
    pub fn step(&mut self, points: &Points<'_>) -> Option<Vec<u32>> {
        match &mut self.rows {
            Rows::Keys(keys) => {
                let sorted = keys.step(Ord::cmp)?;
                Some(sorted.into_iter().map(|(_, row)| row).collect())
            }
            Rows::Texts(rows) => {
                let descending = self.descending;
                rows.step(|&a, &b| {
                    let order = compare(points.values, a, b);
                    let order = if descending { order.reverse() } else { order };
                    order.then(a.cmp(&b))
                })
            }
        }
    }
}

/// A merge sort that runs in steps.
#[derive(Debug)]
struct Merging<T> {
    items: Vec<T>,
    /// The number of items in each sorted run of `items`, or 0 while the first runs are sorted.
    width: usize,
    /// The start of the next run to sort, or of the two runs that are being merged.
    start: usize,
    /// The number of merged items of the first run and of the second run.
    taken: (usize, usize),
    /// The merged runs.
    merged: Vec<T>,
}

impl<T: Copy> Merging<T> {
    fn new(items: Vec<T>) -> Self {
        Self { items, width: 0, start: 0, taken: (0, 0), merged: Vec::new() }
    }

    /// Runs one step, and returns all items after the last step.
    fn step(&mut self, order: impl Fn(&T, &T) -> Ordering) -> Option<Vec<T>> {
        if self.width == 0 {
            let end = self.items.len().min(self.start + ROWS_PER_STEP);
            if let Some(run) = self.items.get_mut(self.start..end) {
                run.sort_unstable_by(order);
            }
            self.start = end;
            if end < self.items.len() {
                return None;
            }
            (self.width, self.start) = (ROWS_PER_STEP, 0);
        } else {
            self.merge(order);
        }
        (self.width >= self.items.len()).then(|| std::mem::take(&mut self.items))
    }

    /// Merges the next items of two runs.
    fn merge(&mut self, order: impl Fn(&T, &T) -> Ordering) {
        let count = self.items.len();
        let middle = count.min(self.start + self.width);
        let end = count.min(middle + self.width);
        let first = self.items.get(self.start..middle).unwrap_or_default();
        let second = self.items.get(middle..end).unwrap_or_default();
        let (mut one, mut other) = self.taken;
        for _ in 0..ROWS_PER_STEP {
            let next = match (first.get(one), second.get(other)) {
                (Some(a), Some(b)) if order(a, b).is_gt() => (b, false),
                (Some(a), _) => (a, true),
                (None, Some(b)) => (b, false),
                (None, None) => break,
            };
            self.merged.push(*next.0);
            if next.1 { one += 1 } else { other += 1 }
        }
        self.taken = (one, other);
        if one + other < end - self.start {
            return;
        }
        (self.start, self.taken) = (end, (0, 0));
        if end == count {
            (self.items, self.start) = (std::mem::take(&mut self.merged), 0);
            self.width *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::column::{StringColumn, Values};

    #[test]
    fn rows_of_any_number_are_sorted_by_value_and_time() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut steps = Vec::new();
        for count in [1, 2, ROWS_PER_STEP, ROWS_PER_STEP + 1, 20_000, 200_000] {
            let numbers: Vec<i64> = (0..count).map(|_| random.i64(-50..50)).collect();
            let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            let texts: StringColumn = texts.iter().map(String::as_str).collect();
            for values in [Values::Integer(numbers), Values::String(texts)] {
                let points =
                    Points { times_ns: &[], values: &values, series: &[], combinations: &[] };
                for descending in [false, true] {
                    let mut expected: Vec<u32> = (0..count as u32).collect();
                    expected.sort_by(|&a, &b| {
                        let order = compare(&values, a, b);
                        if descending { order.reverse() } else { order }
                    });
                    let mut sorting = Sorting::new(&points, descending);
                    let mut passed = 1;
                    let sorted = loop {
                        match sorting.step(&points) {
                            Some(sorted) => break sorted,
                            None => passed += 1,
                        }
                    };
                    assert!(sorted == expected, "{count} rows");
                    steps.push(passed);
                }
            }
        }
        assert!(steps.is_sorted() && steps.first() == Some(&1), "{steps:?}");
        assert!(steps.last().is_some_and(|&most| most > 200), "{steps:?}");
    }
}
