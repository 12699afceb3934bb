//! Implements the distinct() function: each value once, ordered by the time of its first point,
//! then by value.

use super::points::{Gathered, Outcome, Points, compare, in_time_order};
use super::sorting::Sorting;

pub(super) struct Distinct;

impl Gathered for Distinct {
    fn sorting(&self, points: &Points<'_>) -> Option<Sorting> {
        Some(Sorting::new(points, false))
    }

    fn evaluate(&self, points: &Points<'_>, mut rows: Vec<u32>) -> Outcome {
        rows.dedup_by(|b, a| compare(points.values, *a, *b).is_eq());
        // Values with the same time remain in value order.
        Outcome::Rows(in_time_order(points, &rows))
    }
}
