//! The largest value; among equals the earliest (1.x `query/functions.go`, `FloatMaxReduce`).

use std::cmp::Ordering;
use std::ops::Range;

use super::min::smallest;
use super::selected::{Selector, compare};
use crate::model::value::FieldValue;
use crate::scan::dense::Dense;
use crate::scan::input::Slice;
use crate::scan::request::AggregateFunction;

/// Extremes kept side by side, so that comparisons need not wait for each other.
const LANES: usize = 8;

pub(in crate::scan) struct Max;

impl Selector for Max {
    const FUNCTION: AggregateFunction = AggregateFunction::Max;

    fn choose(dense: &Dense<'_>, rows: Range<usize>) -> usize {
        position(dense, rows, Wanted::Largest)
    }

    fn prefers(new: (i64, &FieldValue), old: (i64, &FieldValue)) -> Ordering {
        compare(new.1, old.1).then(old.0.cmp(&new.0))
    }
}

#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Smallest,
    Largest,
}

/// Position of the first extreme of values `rows`.
pub(super) fn position(dense: &Dense<'_>, rows: Range<usize>, wanted: Wanted) -> usize {
    fn find<T: Copy + PartialOrd + Default>(
        values: &[T],
        rows: Range<usize>,
        wanted: Wanted,
    ) -> usize {
        let values = values.get(rows.clone()).unwrap_or_default();
        // Two passes: the first has no branches, the second ends at the first hit.
        let extreme = match wanted {
            Wanted::Smallest => smallest(values),
            Wanted::Largest => largest(values),
        };
        rows.start + values.iter().position(|value| *value == extreme).unwrap_or(0)
    }
    match &dense.values {
        Slice::Float(values) => find(values, rows, wanted),
        Slice::Integer(values) => find(values, rows, wanted),
        Slice::Unsigned(values) => find(values, rows, wanted),
        Slice::Boolean(values) => find(values, rows, wanted),
        Slice::Text(..) => rows.start,
    }
}

/// The largest value of a slice; the default of an empty one.
pub(in crate::scan) fn largest<T: Copy + PartialOrd + Default>(values: &[T]) -> T {
    extreme(values, |a, b| if b > a { b } else { a })
}

/// The value that `better` keeps of all.
pub(super) fn extreme<T: Copy + Default>(values: &[T], better: impl Fn(T, T) -> T) -> T {
    let Some(&first) = values.first() else { return T::default() };
    let mut lanes = [first; LANES];
    let mut blocks = values.chunks_exact(LANES);
    for block in &mut blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = better(*lane, *value);
        }
    }
    lanes.into_iter().chain(blocks.remainder().iter().copied()).fold(first, better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_found_in_every_position() {
        for n in 1..40_usize {
            for at in 0..n {
                let mut values = vec![0_i64; n];
                values[at] = 5;
                assert_eq!((largest(&values), smallest(&values)), (5, if n == 1 { 5 } else { 0 }));
                values[at] = -5;
                assert_eq!(smallest(&values), -5);
            }
        }
        assert_eq!(largest(&[f64::MIN, -0.5]), -0.5);
        assert_eq!(largest::<f64>(&[]), 0.0);
    }
}
