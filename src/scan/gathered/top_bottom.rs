//! The points with the largest or smallest values, in order of time; of equal values the earlier
//! point.

use std::cmp::Ordering;
use std::collections::HashSet;

use foldhash::fast::FixedState;

use super::points::{Gathered, Outcome, Points, compare};

/// So many points with the largest values.
pub(super) struct Top(pub(super) u32);

impl Gathered for Top {
    fn answer(&self, points: &Points<'_>) -> Outcome {
        extremes(points, self.0, |a, b| compare(points.values, b, a))
    }
}

/// So many points with the smallest values.
pub(super) struct Bottom(pub(super) u32);

impl Gathered for Bottom {
    fn answer(&self, points: &Points<'_>) -> Outcome {
        extremes(points, self.0, |a, b| compare(points.values, a, b))
    }
}

/// The first `count` rows by `order`, then by time; of each tag combination only its first. They
/// are given in order of time, rows of one time by `order`.
fn extremes(points: &Points<'_>, count: u32, order: impl Fn(u32, u32) -> Ordering) -> Outcome {
    let mut rows: Vec<u32> = (0..points.values.len() as u32).collect();
    rows.sort_by(|&a, &b| order(a, b));
    if !points.combinations.is_empty() {
        let mut seen: HashSet<Option<&u32>, FixedState> = HashSet::default();
        rows.retain(|&row| seen.insert(points.combinations.get(row as usize)));
    }
    rows.truncate(count as usize);
    // Stable: rows of one time stay in the order of their values.
    let time = |row: u32| points.times_ns.get(row as usize);
    rows.sort_by(|&a, &b| time(a).cmp(&time(b)));
    Outcome::Rows(rows)
}
