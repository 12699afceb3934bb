//! Implements compact lists of numbers.

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
    use super::*;

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
