//! The smallest value; among equals the earliest (1.x `query/functions.go`, `FloatMinReduce`).

use std::cmp::Ordering;
use std::ops::Range;

use super::max::{Wanted, position};
use super::selected::{Selector, compare};
use crate::model::value::FieldValue;
use crate::scan::dense::Dense;
use crate::scan::request::AggregateFunction;

pub(in crate::scan) struct Min;

impl Selector for Min {
    const FUNCTION: AggregateFunction = AggregateFunction::Min;

    fn choose(dense: &Dense<'_>, rows: Range<usize>) -> usize {
        position(dense, rows, Wanted::Smallest)
    }

    fn prefers(new: (i64, &FieldValue), old: (i64, &FieldValue)) -> Ordering {
        compare(old.1, new.1).then(old.0.cmp(&new.0))
    }
}

/// The smallest value of a slice; the default of an empty one.
pub(in crate::scan) fn smallest<T: Copy + PartialOrd + Default>(values: &[T]) -> T {
    super::max::extreme(values, |a, b| if b < a { b } else { a })
}
