//! Implements the percentile() function: the point at the nearest rank by value, or no point below
//! the first rank.

use super::points::{Gathered, Outcome, Points, nth_by_value};

pub(super) struct Percentile(pub(super) f64);

impl Gathered for Percentile {
    fn evaluate(&self, points: &Points<'_>) -> Outcome {
        let rank = (points.values.len() as f64 * self.0 / 100.0 + 0.5).floor() - 1.0;
        // 1.x returns no point if the rank is outside the points
        // (`FloatPercentileReduceSliceFunc`).
        let row = if rank < 0.0 { None } else { nth_by_value(points, rank as usize) };
        Outcome::Rows(row.into_iter().collect())
    }
}
