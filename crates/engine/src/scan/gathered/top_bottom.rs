//! Implements the top() and bottom() functions: the points with the largest or smallest values, in
//! time order. Among equal values, the earlier point is chosen.

use std::collections::HashSet;

use foldhash::fast::FixedState;

use super::points::{Gathered, Outcome, Points, in_time_order};
use super::sorting::Sorting;

pub(super) struct Top(pub(super) u32);

impl Gathered for Top {
    fn sorting(&self, points: &Points<'_>) -> Option<Sorting> {
        Some(Sorting::new(points, true))
    }

    fn evaluate(&self, points: &Points<'_>, rows: Vec<u32>) -> Outcome {
        extremes(points, self.0, rows)
    }
}

pub(super) struct Bottom(pub(super) u32);

impl Gathered for Bottom {
    fn sorting(&self, points: &Points<'_>) -> Option<Sorting> {
        Some(Sorting::new(points, false))
    }

    fn evaluate(&self, points: &Points<'_>, rows: Vec<u32>) -> Outcome {
        extremes(points, self.0, rows)
    }
}

/// Returns the first `count` of the sorted rows, with at most one row per tag combination. The
/// result is in time order. Rows with the same time are in order of their values.
fn extremes(points: &Points<'_>, count: u32, mut rows: Vec<u32>) -> Outcome {
    if !points.combinations.is_empty() {
        let mut seen: HashSet<Option<&u32>, FixedState> = HashSet::default();
        rows.retain(|&row| seen.insert(points.combinations.get(row as usize)));
    }
    rows.truncate(count as usize);
    Outcome::Rows(in_time_order(points, &rows))
}
