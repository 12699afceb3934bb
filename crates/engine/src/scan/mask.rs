//! Marks the rows that a predicate selects.

use std::ops::Range;

use tidemark_model::bug::OrBug;

/// The rows that a predicate selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    All,
    None,
    Some(Vec<bool>),
}

impl Mask {
    /// Iterates over the selected rows. `rows` must be the range to which the mask belongs.
    pub(super) fn rows(&self, rows: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let is_selected = move |at: usize| match self {
            Self::All => true,
            Self::None => false,
            Self::Some(selected) => selected.get(at).copied().or_bug(),
        };
        let start = rows.start;
        rows.filter(move |row| is_selected(row - start))
    }
}
