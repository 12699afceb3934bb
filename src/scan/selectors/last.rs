//! The latest point; at equal times the larger value (1.x `query/functions.go`, `FloatLastReduce`).

use std::cmp::Ordering;
use std::ops::Range;

use super::selected::{Selector, compare};
use crate::model::value::FieldValue;
use crate::scan::dense::Dense;
use crate::scan::request::AggregateFunction;

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
