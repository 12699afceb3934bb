//! Selects all or some rows of a block.

use tidemark_model::bug::OrBug;

/// A selection of a block's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// All rows.
    #[default]
    All,
    /// The rows with these numbers, ascending and distinct.
    Rows(Vec<u32>),
}

impl Selection {
    /// Returns the selection of these ascending row numbers, for a block with `rows` rows.
    pub fn of(selected: Vec<u32>, rows: usize) -> Self {
        if selected.len() == rows { Self::All } else { Self::Rows(selected) }
    }

    /// Returns the selection without the ascending rows `dropped`, for a block with `rows` rows.
    pub fn without(&self, rows: usize, dropped: &[u32]) -> Self {
        if dropped.is_empty() {
            return self.clone();
        }
        let mut kept = self.to_rows(rows);
        let mut dropped = dropped.iter().copied().peekable();
        kept.retain(|&row| {
            while dropped.next_if(|&dropped| dropped < row).is_some() {}
            dropped.peek() != Some(&row)
        });
        Self::Rows(kept)
    }

    /// Returns the number of selected rows in a block with `rows` rows.
    pub fn len(&self, rows: usize) -> usize {
        match self {
            Self::All => rows,
            Self::Rows(selected) => selected.len(),
        }
    }

    /// Whether the selection contains no row of a block with `rows` rows.
    pub fn is_empty(&self, rows: usize) -> bool {
        self.len(rows) == 0
    }

    /// Returns at most `count` selected row numbers, starting with position `first`.
    pub fn part(&self, rows: usize, first: usize, count: usize) -> Vec<u32> {
        match self {
            Self::All => (first as u32..rows.min(first + count) as u32).collect(),
            Self::Rows(selected) => selected.iter().skip(first).take(count).copied().collect(),
        }
    }

    /// Returns the row number at position `at` of the selection.
    pub fn get(&self, at: usize) -> u32 {
        match self {
            Self::All => at as u32,
            Self::Rows(selected) => selected.get(at).copied().or_bug(),
        }
    }

    /// Returns the selected row numbers of a block with `rows` rows in ascending order.
    pub fn to_rows(&self, rows: usize) -> Vec<u32> {
        match self {
            // A block has at most codec::VALUES_MAX rows.
            Self::All => (0..rows as u32).collect(),
            Self::Rows(selected) => selected.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection_lists_its_rows() {
        assert_eq!((Selection::All.len(3), Selection::Rows(vec![0, 2]).len(3)), (3, 2));
        assert_eq!(Selection::All.to_rows(2), [0, 1]);
        assert_eq!(Selection::of(vec![0, 1], 2), Selection::All);
        assert_eq!(Selection::of(vec![0, 1], 3), Selection::Rows(vec![0, 1]));
        assert_eq!((Selection::All.get(2), Selection::Rows(vec![3, 7]).get(1)), (2, 7));
        assert_eq!(Selection::All.part(5, 2, 2), [2, 3]);
        assert_eq!(Selection::All.part(5, 4, 2), [4]);
        assert_eq!(Selection::Rows(vec![0, 2, 9]).part(10, 1, 5), [2, 9]);
        assert!(Selection::Rows(Vec::new()).is_empty(1) && !Selection::All.is_empty(1));
        assert_eq!(Selection::All.without(3, &[1]), Selection::Rows(vec![0, 2]));
        assert_eq!(Selection::All.without(3, &[]), Selection::All);
        assert_eq!(Selection::Rows(vec![0, 2]).without(3, &[0, 1]), Selection::Rows(vec![2]));
    }
}
