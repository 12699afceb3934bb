//! Implements the percentile() function: the point at the nearest rank by value, or no point below
//! the first rank.

use super::points::{Gathered, Outcome, Points, nth_and_before, sorting_of_many};
use super::sorting::Sorting;

/// A percentage between 0 and 100.
pub(super) struct Percentile(pub(super) f64);

impl Gathered for Percentile {
    fn sorting(&self, points: &Points<'_>) -> Option<Sorting> {
        sorting_of_many(points)
    }

    fn evaluate(&self, points: &Points<'_>, rows: Vec<u32>) -> Outcome {
        let rank = (points.values.len() as f64 * self.0 / 100.0 + 0.5).floor() - 1.0;
        // If the rank is outside the points, there is no result (1.x `query/functions.go`,
        // `FloatPercentileReduceSliceFunc`).
        let found = if rank < 0.0 { None } else { nth_and_before(points, &rows, rank as usize) };
        Outcome::Rows(found.into_iter().map(|(_, row)| row).collect())
    }
}
