//! Implements compact sets and lists of numbers.

/// A set of mostly consecutive numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// The half-open ranges, ascending, with gaps between them.
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    /// Creates a set. Returns `None` unless the half-open ranges ascend, do not touch and are not
    /// empty.
    pub(crate) fn from_ranges(ranges: Vec<(u64, u64)>) -> Option<Self> {
        let apart = ranges.windows(2).all(|pair| matches!(pair, [(_, a), (b, _)] if a < b));
        (apart && ranges.iter().all(|(first, end)| first < end)).then_some(Self { ranges })
    }

    /// Returns the half-open ranges.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the elements in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.ranges.iter().flat_map(|&(first, end)| first..end)
    }

    /// Adds a number.
    pub fn insert(&mut self, number: u64) {
        let at = self.ranges.partition_point(|&(first, _)| first <= number);
        let end_before = at.checked_sub(1).and_then(|at| self.ranges.get(at)).map(|range| range.1);
        if end_before.is_some_and(|end| number < end) {
            return;
        }
        // The new range replaces the adjacent ranges.
        let start = at - usize::from(end_before == Some(number));
        let behind = self.ranges.get(at).copied().filter(|range| range.0 == number + 1);
        let first = self.ranges.get(start).map_or(number, |range| range.0.min(number));
        let end = behind.map_or(number + 1, |range| range.1);
        self.ranges.splice(start..at + usize::from(behind.is_some()), [(first, end)]);
    }

    /// Removes and returns the lowest number.
    pub fn take_first(&mut self) -> Option<u64> {
        let (first, end) = self.ranges.first_mut()?;
        let taken = *first;
        *first += 1;
        if first == end {
            self.ranges.remove(0);
        }
        Some(taken)
    }
}

/// A list of mostly consecutive numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// The first number and the length of each run. Each length is above 0.
    runs: Vec<(u64, u64)>,
}

impl Runs {
    /// Creates a list. Returns `None` if a run is empty, ends after 2^64, or continues the previous
    /// run.
    pub(crate) fn from_runs(runs: Vec<(u64, u64)>) -> Option<Self> {
        let sound = |&(first, count): &(u64, u64)| count > 0 && first.checked_add(count).is_some();
        let apart = |pair: &[(u64, u64)]| matches!(pair, [(a, n), (b, _)] if a + n != *b);
        (runs.iter().all(sound) && runs.windows(2).all(apart)).then_some(Self { runs })
    }

    /// Returns the runs: first number and length.
    pub fn runs(&self) -> &[(u64, u64)] {
        &self.runs
    }

    /// Returns the number of elements.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|(_, count)| count).sum()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns the elements in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.runs.iter().flat_map(|&(first, count)| first..first.saturating_add(count))
    }

    /// Appends a number.
    pub fn push(&mut self, number: u64) {
        match self.runs.last_mut() {
            Some((first, count)) if first.checked_add(*count) == Some(number) => *count += 1,
            _ => self.runs.push((number, 1)),
        }
    }
}

impl FromIterator<u64> for Runs {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut runs = Self::default();
        numbers.into_iter().for_each(|number| runs.push(number));
        runs
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ranges_match_btree_set() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
        for _ in 0..20_000 {
            let number = rng.u64(0..60);
            match rng.u8(0..5) {
                0..=2 => {
                    ranges.insert(number);
                    set.insert(number);
                }
                _ => assert_eq!(ranges.take_first(), set.pop_first()),
            }
            assert!(ranges.iter().eq(set.iter().copied()));
            assert_eq!(ranges.is_empty(), set.is_empty());
            assert_eq!(Ranges::from_ranges(ranges.ranges().to_vec()), Some(ranges.clone()));
        }
        for bad in [vec![(1, 1)], vec![(1, 3), (3, 4)], vec![(5, 6), (1, 2)]] {
            assert_eq!(Ranges::from_ranges(bad), None);
        }
    }

    #[test]
    fn runs_keep_insertion_order() {
        let numbers = [7, 8, 9, 3, 4, 4, 10];
        let mut runs: Runs = numbers.into_iter().collect();
        assert_eq!(runs.runs(), [(7, 3), (3, 2), (4, 1), (10, 1)]);
        assert!(runs.iter().eq(numbers));
        assert_eq!((runs.len(), runs.is_empty()), (7, false));
        runs.push(11);
        assert_eq!(runs.runs().last(), Some(&(10, 2)));
        assert_eq!(Runs::from_runs(runs.runs().to_vec()), Some(runs));
        for bad in [vec![(1, 0)], vec![(u64::MAX, 2)], vec![(1, 2), (3, 1)]] {
            assert_eq!(Runs::from_runs(bad), None);
        }
    }
}
