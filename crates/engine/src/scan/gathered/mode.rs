//! Implements the mode() function: the most frequent value (1.x `query/functions.go`,
//! `FloatModeReduceSlice` and its variants).
//!
//! Among values that occur equally often, and at least twice, an early value is chosen. If no value
//! occurs twice, the smallest value is chosen. Among booleans that occur equally often, `true` is
//! chosen.

use super::points::{Gathered, Outcome, Points, by_value, compare};
use crate::batch::column::Values;

pub(super) struct Mode;

impl Gathered for Mode {
    fn evaluate(&self, points: &Points<'_>) -> Outcome {
        let rows = by_value(points);
        let mut runs = rows.chunk_by(|&a, &b| compare(points.values, a, b).is_eq());
        if let Values::Boolean(_) = points.values {
            let (first, second) = (runs.next().unwrap_or_default(), runs.next());
            // `true` is the greater value, so it is the second run.
            let best = second.filter(|second| second.len() >= first.len()).unwrap_or(first);
            return Outcome::Rows(best.first().copied().into_iter().collect());
        }
        let time_of = |row: Option<&u32>| row.and_then(|&row| points.times_ns.get(row as usize));
        let mut best: &[u32] = runs.next().unwrap_or_default();
        // 1.x compares the first point of the later group of equal values with the last point of
        // the best group.
        for run in runs.filter(|run| run.len() > 1) {
            let later = time_of(run.first()) > time_of(best.get(run.len() - 1));
            if run.len() > best.len() || (run.len() == best.len() && !later) {
                best = run;
            }
        }
        Outcome::Rows(best.first().copied().into_iter().collect())
    }
}
