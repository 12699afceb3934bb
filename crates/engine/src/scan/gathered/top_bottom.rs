//! Implements the top() and bottom() functions: the points with the largest or smallest values, in
//! time order. Among equal values, the earlier point is chosen.

use std::cmp::Ordering;
use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::points::{Gathered, Outcome, Points, compare, select_first};

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
    // Equal values are in time order.
    let order = |a: &u32, b: &u32| order(*a, *b).then(a.cmp(b));
    let mut rows: Vec<u32> = (0..points.values.len() as u32).collect();
    if !points.combinations.is_empty() {
        let mut best: HashMap<Option<&u32>, u32, FixedState> = HashMap::default();
        for row in rows {
            let best = best.entry(points.combinations.get(row as usize)).or_insert(row);
            if order(&row, best).is_lt() {
                *best = row;
            }
        }
        rows = best.into_values().collect();
    }
    select_first(&mut rows, count as usize, order);
    let time = |row: u32| points.times_ns.get(row as usize);
    rows.sort_by(|a, b| time(*a).cmp(&time(*b)).then_with(|| order(a, b)));
    Outcome::Rows(rows)
}
