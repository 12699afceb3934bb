//! The most frequent value; among equally frequent ones the value whose first point is earliest.

use std::cmp::Reverse;

use crate::scan::whole::{Outcome, Points, Whole, by_value, compare};

pub(in crate::scan) struct Mode;

impl Whole for Mode {
    fn answer(&self, points: &Points<'_>) -> Outcome {
        let rows = by_value(points);
        let runs = rows.chunk_by(|&a, &b| compare(points.values, a, b).is_eq());
        // Equal values are in order of time: the first of a run is its first point.
        let best = runs.max_by_key(|run| (run.len(), Reverse(run.first().copied())));
        Outcome::Rows(best.and_then(|run| run.first().copied()).into_iter().collect())
    }
}
