//! Implements the min() and max() selectors. Among equal values, the value of the earliest point is
//! chosen (1.x `query/functions.go`, `FloatMinReduce` and `FloatMaxReduce`).

use std::cmp::Ordering;
use std::ops::Range;

use super::selected::{Selector, compare};
use crate::scan::dense::Dense;
use crate::scan::input::Slice;
use crate::scan::request::AggregateFunction;
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldValue;

pub(in crate::scan) struct Min;

impl Selector for Min {
    const FUNCTION: AggregateFunction = AggregateFunction::Min;

    fn choose(dense: &Dense<'_>, rows: Range<usize>) -> usize {
        position(dense, rows, Extreme::Smallest)
    }

    fn prefers(new: (i64, &FieldValue), old: (i64, &FieldValue)) -> Ordering {
        compare(old.1, new.1).then(old.0.cmp(&new.0))
    }
}

pub(in crate::scan) struct Max;

impl Selector for Max {
    const FUNCTION: AggregateFunction = AggregateFunction::Max;

    fn choose(dense: &Dense<'_>, rows: Range<usize>) -> usize {
        position(dense, rows, Extreme::Largest)
    }

    fn prefers(new: (i64, &FieldValue), old: (i64, &FieldValue)) -> Ordering {
        compare(new.1, old.1).then(old.0.cmp(&new.0))
    }
}

#[derive(Clone, Copy)]
pub(super) enum Extreme {
    Smallest,
    Largest,
}

fn position(dense: &Dense<'_>, rows: Range<usize>, wanted: Extreme) -> usize {
    fn find<T: Copy + PartialOrd + Default>(
        values: &[T],
        rows: Range<usize>,
        wanted: Extreme,
    ) -> usize {
        let values = values.get(rows.clone()).or_bug();
        // There are two passes: the first has no branches, and the second ends at the first match.
        let extreme = extreme_of(values, wanted);
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

pub(super) fn extreme_of<T: Copy + PartialOrd + Default>(values: &[T], wanted: Extreme) -> T {
    match wanted {
        Extreme::Smallest => smallest(values),
        Extreme::Largest => largest(values),
    }
}

pub(in crate::scan) fn smallest<T: Copy + PartialOrd + Default>(values: &[T]) -> T {
    extreme(values, |a, b| if b < a { b } else { a })
}

pub(in crate::scan) fn largest<T: Copy + PartialOrd + Default>(values: &[T]) -> T {
    extreme(values, |a, b| if b > a { b } else { a })
}

/// Uses four independent chains, so that the processor can run comparisons in parallel.
fn extreme<T: Copy + Default>(values: &[T], better: impl Fn(T, T) -> T) -> T {
    let Some(&first) = values.first() else { return T::default() };
    let (blocks, rest) = values.as_chunks::<4>();
    let [mut a, mut b, mut c, mut d] = [first; 4];
    for &[e, f, g, h] in blocks {
        (a, b, c, d) = (better(a, e), better(b, f), better(c, g), better(d, h));
    }
    rest.iter().copied().fold(better(better(a, b), better(c, d)), better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_max_find_every_position() {
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
