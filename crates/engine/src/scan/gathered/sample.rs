//! Implements the sample() function: random points in time order. A hash of series, time and seed
//! chooses the points, so that the result is independent of the number of shards.

use xxhash_rust::xxh64::xxh64;

use super::points::{Gathered, Outcome, Points, select_first};
use tidemark_model::bug::OrBug;

pub(super) struct Sample {
    pub(super) count: u32,
    pub(super) seed: u64,
}

impl Gathered for Sample {
    fn evaluate(&self, points: &Points<'_>) -> Outcome {
        let draw = |row: u32| {
            let time_ns = points.times_ns.get(row as usize).copied().or_bug();
            // The points of a subquery have no hashes, so only their times and the seed determine
            // the result.
            let series = points.series.get(row as usize).copied().unwrap_or_default();
            let mut bytes = [0; 16];
            let (left, right) = bytes.split_at_mut(8);
            left.copy_from_slice(&series.to_le_bytes());
            right.copy_from_slice(&time_ns.to_le_bytes());
            (xxh64(&bytes, self.seed), series, time_ns)
        };
        let mut rows: Vec<u32> = (0..points.values.len() as u32).collect();
        let drawn: Vec<_> = rows.iter().map(|&row| draw(row)).collect();
        let key = |row: u32| drawn.get(row as usize);
        select_first(&mut rows, self.count as usize, |a, b| key(*a).cmp(&key(*b)).then(a.cmp(b)));
        rows.sort_unstable();
        Outcome::Rows(rows)
    }
}
