//! What a function of all values of a window is given, and what it may answer.

use std::cmp::Ordering;

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
pub(super) trait Gathered {
    /// What it makes of `points`.
    fn answer(&self, points: &Points<'_>) -> Outcome;
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
