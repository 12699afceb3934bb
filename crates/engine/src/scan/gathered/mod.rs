//! Implements functions that need all values of a window together. These functions run at the edge
//! over rows from the shards.
//!
//! Each function has one file that implements `Gathered`, and one arm in `GatheredFunction::apply`.

mod distinct;
mod median;
mod mode;
mod percentile;
mod points;
mod sample;
mod sorting;
mod top_bottom;

use points::Gathered;

pub use points::{Outcome, Points};
pub use sorting::Sorting;

/// A function with its arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GatheredFunction {
    /// The median of numbers, as a float.
    Median,
    /// The most frequent value. Among equally frequent values, the function chooses the same value
    /// as 1.x (`mode.rs`).
    Mode,
    /// The first row of each value, ordered by first appearance, then by value.
    Distinct,
    /// The row at this nearest rank, a percentage from 0 to 100. If the percentage is below the
    /// first rank, there is no row.
    Percentile(f64),
    /// The given number of rows with the largest values, in time order.
    Top(u32),
    /// The given number of rows with the smallest values, in time order.
    Bottom(u32),
    /// A given number of random rows, in time order. A hash of series, time and seed determines
    /// which rows are chosen.
    Sample {
        /// The number of rows.
        count: u32,
        /// The seed, equal on every shard and page.
        seed: u64,
    },
}

impl GatheredFunction {
    /// Whether the function chooses the same rows again if its input is only the rows that it chose
    /// before.
    pub fn chooses_again(self) -> bool {
        match self {
            Self::Distinct | Self::Top(_) | Self::Bottom(_) | Self::Sample { .. } => true,
            Self::Median | Self::Mode | Self::Percentile(_) => false,
        }
    }

    /// Starts the sort whose rows [`Self::evaluate`] needs, if the function needs sorted rows.
    /// `points` must contain at least one point.
    pub fn sorting(self, points: &Points<'_>) -> Option<Sorting> {
        self.apply(|function| function.sorting(points))
    }

    /// Returns the result for `points`. `rows` contains the sorted rows, or no rows if the function
    /// needs no sort.
    pub fn evaluate(self, points: &Points<'_>, rows: Vec<u32>) -> Outcome {
        self.apply(|function| function.evaluate(points, rows))
    }

    /// Returns the result for `points`, without a pause.
    pub fn evaluate_at_once(self, points: &Points<'_>) -> Outcome {
        let mut sorting = self.sorting(points);
        let rows = sorting.as_mut().map(|sorting| {
            loop {
                if let Some(rows) = sorting.step(points) {
                    return rows;
                }
            }
        });
        self.evaluate(points, rows.unwrap_or_default())
    }

    fn apply<T>(self, call: impl FnOnce(&dyn Gathered) -> T) -> T {
        match self {
            Self::Median => call(&median::Median),
            Self::Mode => call(&mode::Mode),
            Self::Distinct => call(&distinct::Distinct),
            Self::Percentile(rank) => call(&percentile::Percentile(rank)),
            Self::Top(count) => call(&top_bottom::Top(count)),
            Self::Bottom(count) => call(&top_bottom::Bottom(count)),
            Self::Sample { count, seed } => call(&sample::Sample { count, seed }),
        }
    }
}

#[cfg(test)]
mod tests;
