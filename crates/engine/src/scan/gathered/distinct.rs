//! Implements the distinct() function: each value once, ordered by the time of its first point,
//! then by value.

use super::points::{Gathered, Outcome, Points, by_value, compare};

pub(super) struct Distinct;

impl Gathered for Distinct {
    fn evaluate(&self, points: &Points<'_>) -> Outcome {
        let mut rows = by_value(points);
        rows.dedup_by(|b, a| compare(points.values, *a, *b).is_eq());
        // The times of all rows ascend or descend, so the second sort takes linear time.
        rows.sort_unstable();
        let time = |row: u32| points.times_ns.get(row as usize);
        let value = |a, b| compare(points.values, a, b);
        rows.sort_by(|&a, &b| time(a).cmp(&time(b)).then_with(|| value(a, b)));
        Outcome::Rows(rows)
    }
}
