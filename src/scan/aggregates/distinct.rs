//! Each value once, by the time of its first point, then by value.

use crate::model::sorted::sort_positions;
use crate::scan::whole::{Outcome, Points, Whole, by_value, compare};

pub(in crate::scan) struct Distinct;

impl Whole for Distinct {
    fn answer(&self, points: &Points<'_>) -> Outcome {
        let mut rows = by_value(points);
        rows.dedup_by(|b, a| compare(points.values, *a, *b).is_eq());
        // Stable: values that appear at one time stay in their own order.
        let time = |row: u32| points.times_ns.get(row as usize);
        sort_positions(&mut rows, &|a, b| time(a).cmp(&time(b)));
        Outcome::Rows(rows)
    }
}
