//! Each value once, by the time of its first point, then by value.

use crate::scan::whole::{Outcome, Points, Whole, by_value, compare};

pub(in crate::scan) struct Distinct;

impl Whole for Distinct {
    fn answer(&self, points: &Points<'_>) -> Outcome {
        let mut rows = by_value(points);
        rows.dedup_by(|b, a| compare(points.values, *a, *b).is_eq());
        // Stable: values that appear at one time stay in their own order.
        rows.sort_by_key(|&row| points.times_ns.get(row as usize));
        Outcome::Rows(rows)
    }
}
