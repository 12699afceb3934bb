//! Functions that need every value of a window at once, and so run at the edge over shipped rows.
//!
//! Each is one file that implements `Gathered`, and one arm of [`GatheredFunction::answer`].

mod distinct;
mod median;
mod mode;
mod percentile;
mod points;
mod sample;
mod top_bottom;

use points::Gathered;

pub use points::{Outcome, Points};

/// A function and its arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GatheredFunction {
    /// A float; numbers only.
    Median,
    /// The most frequent value; among equals as 1.x chooses (`mode.rs`).
    Mode,
    /// The first row of each value, by first appearance, then by value.
    Distinct,
    /// The row at this nearest rank (0 to 100); none below the first.
    Percentile(f64),
    /// So many rows with the largest values, in order of time.
    Top(u32),
    /// So many rows with the smallest values, in order of time.
    Bottom(u32),
    /// So many rows, drawn by a hash of series, time and seed, in order of time.
    Sample {
        /// How many.
        count: u32,
        /// The same on every shard and page.
        seed: u64,
    },
}

impl GatheredFunction {
    /// Whether it chooses the same rows if those that it did not choose are left out.
    pub fn chooses_again(self) -> bool {
        match self {
            Self::Distinct | Self::Top(_) | Self::Bottom(_) | Self::Sample { .. } => true,
            Self::Median | Self::Mode | Self::Percentile(_) => false,
        }
    }

    /// What it makes of `points`, of which there is at least one.
    pub fn answer(self, points: &Points<'_>) -> Outcome {
        match self {
            Self::Median => median::Median.answer(points),
            Self::Mode => mode::Mode.answer(points),
            Self::Distinct => distinct::Distinct.answer(points),
            Self::Percentile(rank) => percentile::Percentile(rank).answer(points),
            Self::Top(count) => top_bottom::Top(count).answer(points),
            Self::Bottom(count) => top_bottom::Bottom(count).answer(points),
            Self::Sample { count, seed } => sample::Sample { count, seed }.answer(points),
        }
    }
}

#[cfg(test)]
mod tests;
