//! The most frequent value (1.x `query/functions.go`, `FloatModeReduceSlice` and its kin).
//!
//! Among values that come equally often, twice or more, it is one that came early; if none comes
//! twice it is the smallest. Of booleans that come equally often it is `true`.

use super::points::{Gathered, Outcome, Points, by_value, compare};
use crate::batch::column::Values;

pub(super) struct Mode;

impl Gathered for Mode {
    fn answer(&self, points: &Points<'_>) -> Outcome {
        let rows = by_value(points);
        let mut runs = rows.chunk_by(|&a, &b| compare(points.values, a, b).is_eq());
        if let Values::Boolean(_) = points.values {
            let (first, second) = (runs.next().unwrap_or_default(), runs.next());
            // `true` is the greater value, so the second run.
            let best = second.filter(|second| second.len() >= first.len()).unwrap_or(first);
            return Outcome::Rows(best.first().copied().into_iter().collect());
        }
        let time_of = |row: Option<&u32>| row.and_then(|&row| points.times_ns.get(row as usize));
        let mut best: &[u32] = runs.next().unwrap_or_default();
        // As 1.x compares: the first point of the later run with the last one of the best so far.
        for run in runs.filter(|run| run.len() > 1) {
            let later = time_of(run.first()) > time_of(best.get(run.len() - 1));
            if run.len() > best.len() || (run.len() == best.len() && !later) {
                best = run;
            }
        }
        Outcome::Rows(best.first().copied().into_iter().collect())
    }
}
