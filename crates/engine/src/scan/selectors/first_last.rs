//! Implements the first() and last() selectors. If several points have the same time, the largest
//! value is chosen, except that first() of booleans prefers `false` (1.x `query/functions.go`,
//! `FloatLastReduce` and `BooleanFirstReduce`).

use std::cmp::Ordering;
use std::ops::Range;

use super::selected::{Selector, compare};
use crate::scan::dense::Dense;
use crate::scan::request::AggregateFunction;
use tidemark_model::value::FieldValue;

pub(in crate::scan) struct First;

impl Selector for First {
    const FUNCTION: AggregateFunction = AggregateFunction::First;

    fn choose(_: &Dense<'_>, rows: Range<usize>) -> usize {
        rows.start
    }

    fn prefers(new: (i64, &FieldValue), old: (i64, &FieldValue)) -> Ordering {
        let by_value = match new.1 {
            FieldValue::Boolean(_) => compare(old.1, new.1),
            _ => compare(new.1, old.1),
        };
        old.0.cmp(&new.0).then(by_value)
    }
}

pub(in crate::scan) struct Last;

impl Selector for Last {
    const FUNCTION: AggregateFunction = AggregateFunction::Last;

    fn choose(_: &Dense<'_>, rows: Range<usize>) -> usize {
        rows.end.saturating_sub(1)
    }

    fn prefers(new: (i64, &FieldValue), old: (i64, &FieldValue)) -> Ordering {
        new.0.cmp(&old.0).then_with(|| compare(new.1, old.1))
    }
}
