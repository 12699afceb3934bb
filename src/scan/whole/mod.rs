//! Functions that need every value of a window at once, and so run at the edge over shipped rows.
//!
//! Each is one file under `aggregates/` or `selectors/` that implements `Whole`, and one arm of
//! [`WholeFunction::of`].

use std::cmp::Ordering;

use super::aggregates::{distinct, median, mode};
use super::selectors::{bottom, percentile, sample, top};
use crate::batch::column::Values;
use crate::model::sorted::sort_positions;
use crate::model::value::FieldValue;

/// The rows of one group and window that have a value, in order of time.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// Times, nanoseconds, ascending.
    pub times_ns: &'a [i64],
    /// As many values.
    pub values: &'a Values,
    /// A hash of each row, the same on every shard; only `sample` looks. May be empty.
    pub series: &'a [u64],
    /// The number of each row's combination of tag arguments; only `top` and `bottom` look. Empty
    /// when there are no such arguments.
    pub combinations: &'a [u32],
}

/// What a function makes of a window.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A new value; `None` leaves the window without one.
    Value(Option<FieldValue>),
    /// These rows, in this order.
    Rows(Vec<u32>),
}

/// A function of all values of a window, of which there is at least one.
pub(super) trait Whole {
    /// Its answer.
    fn answer(&self, points: &Points<'_>) -> Outcome;
}

/// Which function, with its arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WholeFunction {
    /// A float; numbers only.
    Median,
    /// The most frequent value; among equals as 1.x chooses (`aggregates/mode.rs`).
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

impl WholeFunction {
    /// The function of `points`, of which there is at least one.
    pub fn of(self, points: &Points<'_>) -> Outcome {
        match self {
            Self::Median => median::Median.answer(points),
            Self::Mode => mode::Mode.answer(points),
            Self::Distinct => distinct::Distinct.answer(points),
            Self::Percentile(rank) => percentile::Percentile(rank).answer(points),
            Self::Top(count) => top::Top(count).answer(points),
            Self::Bottom(count) => bottom::Bottom(count).answer(points),
            Self::Sample { count, seed } => sample::Sample { count, seed }.answer(points),
        }
    }
}

/// Order of two rows by value.
pub(super) fn compare(values: &Values, a: u32, b: u32) -> Ordering {
    let (a, b) = (a as usize, b as usize);
    match values {
        Values::Float(v) => v.get(a).partial_cmp(&v.get(b)).unwrap_or(Ordering::Equal),
        Values::Integer(v) => v.get(a).cmp(&v.get(b)),
        Values::Unsigned(v) => v.get(a).cmp(&v.get(b)),
        Values::String(v) => v.get(a).cmp(v.get(b)),
        Values::Boolean(v) => v.get(a).cmp(&v.get(b)),
    }
}

/// Rows sorted by value, equal ones in order of time.
pub(super) fn by_value(points: &Points<'_>) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..points.values.len() as u32).collect();
    sort_positions(&mut rows, &|a, b| compare(points.values, a, b));
    rows
}

#[cfg(test)]
mod tests;
