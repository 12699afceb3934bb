//! Implements the distinct() function: each value once, ordered by the time of its first point,
//! then by value.

use super::points::{Gathered, Outcome, Points, by_value, compare};

pub(super) struct Distinct;

impl Gathered for Distinct {
    fn evaluate(&self, points: &Points<'_>) -> Outcome {
        let mut rows = by_value(points);
        rows.dedup_by(|b, a| compare(points.values, *a, *b).is_eq());
        // The sort is stable, so values of the same time remain in value order.
        let time = |row: u32| points.times_ns.get(row as usize);
        rows.sort_by(|&a, &b| time(a).cmp(&time(b)));
        Outcome::Rows(rows)
    }
}
