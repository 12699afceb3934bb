//! The points with the largest values, in order of time; equal values: the earlier point.

use std::cmp::Ordering;
use std::collections::HashSet;

use foldhash::fast::FixedState;

use crate::model::sorted::sort_positions;
use crate::scan::whole::{Outcome, Points, Whole, compare};

/// How many.
pub(in crate::scan) struct Top(pub(in crate::scan) u32);

impl Whole for Top {
    fn answer(&self, points: &Points<'_>) -> Outcome {
        extremes(points, self.0, |a, b| compare(points.values, b, a))
    }
}

/// The first `count` rows by `order`, then by time; of each tag combination only its first. They
/// are given in order of time, rows of one time by `order`.
pub(super) fn extremes(
    points: &Points<'_>,
    count: u32,
    order: impl Fn(u32, u32) -> Ordering,
) -> Outcome {
    let mut rows: Vec<u32> = (0..points.values.len() as u32).collect();
    sort_positions(&mut rows, &order);
    if !points.combinations.is_empty() {
        let mut seen: HashSet<Option<&u32>, FixedState> = HashSet::default();
        rows.retain(|&row| seen.insert(points.combinations.get(row as usize)));
    }
    rows.truncate(count as usize);
    // Stable: rows of one time stay in the order of their values.
    let time = |row: u32| points.times_ns.get(row as usize);
    sort_positions(&mut rows, &|a, b| time(a).cmp(&time(b)));
    Outcome::Rows(rows)
}
