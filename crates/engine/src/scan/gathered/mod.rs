//! Implements functions that need all values of a window together. These functions run at the edge
//! over rows from the shards.
//!
//! Each function has one file that implements `Gathered`, and one arm in
//! [`GatheredFunction::evaluate`].

mod distinct;
mod median;
mod mode;
mod percentile;
mod points;
mod sample;
mod top_bottom;

use points::Gathered;

pub use points::{Outcome, Points};

/// A function with its arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GatheredFunction {
    /// The median of numbers, as a float.
    Median,
    /// The most frequent value. Among equally frequent values, `mode.rs` chooses as 1.x does.
    Mode,
    /// The first row of each value, ordered by first appearance, then by value.
    Distinct,
    /// The row at the nearest rank of this percentage (0 to 100), or no row below the first rank.
    Percentile(f64),
    /// The given number of rows with the largest values, in time order.
    Top(u32),
    /// The given number of rows with the smallest values, in time order.
    Bottom(u32),
    /// Random rows in time order, chosen by a hash of series, time and seed.
    Sample {
        /// The number of rows.
        count: u32,
        /// The seed, equal on every shard and page.
        seed: u64,
    },
}

impl GatheredFunction {
    /// Whether the function returns the same rows again if its input is its own result.
    pub fn chooses_again(self) -> bool {
        match self {
            Self::Distinct | Self::Top(_) | Self::Bottom(_) | Self::Sample { .. } => true,
            Self::Median | Self::Mode | Self::Percentile(_) => false,
        }
    }

    /// Returns the result for `points`, which must contain at least one point.
    pub fn evaluate(self, points: &Points<'_>) -> Outcome {
        match self {
            Self::Median => median::Median.evaluate(points),
            Self::Mode => mode::Mode.evaluate(points),
            Self::Distinct => distinct::Distinct.evaluate(points),
            Self::Percentile(rank) => percentile::Percentile(rank).evaluate(points),
            Self::Top(count) => top_bottom::Top(count).evaluate(points),
            Self::Bottom(count) => top_bottom::Bottom(count).evaluate(points),
            Self::Sample { count, seed } => sample::Sample { count, seed }.evaluate(points),
        }
    }
}

#[cfg(test)]
mod tests;
