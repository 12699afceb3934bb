//! Implements the top() and bottom() functions: the points with the largest or smallest values, in
//! time order. Among equal values, the earlier point is chosen.

use std::cmp::Ordering;
use std::collections::HashSet;

use foldhash::fast::FixedState;

use super::points::{Gathered, Outcome, Points, compare};

pub(super) struct Top(pub(super) u32);

impl Gathered for Top {
    fn evaluate(&self, points: &Points<'_>) -> Outcome {
        extremes(points, self.0, |a, b| compare(points.values, b, a))
    }
}

pub(super) struct Bottom(pub(super) u32);

impl Gathered for Bottom {
    fn evaluate(&self, points: &Points<'_>) -> Outcome {
        extremes(points, self.0, |a, b| compare(points.values, a, b))
    }
}

/// Returns at most one row per tag combination, in time order. Rows with the same time are sorted
/// by `order`.
fn extremes(points: &Points<'_>, count: u32, order: impl Fn(u32, u32) -> Ordering) -> Outcome {
    let mut rows: Vec<u32> = (0..points.values.len() as u32).collect();
    rows.sort_by(|&a, &b| order(a, b));
    if !points.combinations.is_empty() {
        let mut seen: HashSet<Option<&u32>, FixedState> = HashSet::default();
        rows.retain(|&row| seen.insert(points.combinations.get(row as usize)));
    }
    rows.truncate(count as usize);
    let time = |row: u32| points.times_ns.get(row as usize);
    rows.sort_by(|&a, &b| time(a).cmp(&time(b)));
    Outcome::Rows(rows)
}
