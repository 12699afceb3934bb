//! Implements the median() function: the middle value, or the mean of both middle values, as a
//! float.

use super::points::{Gathered, Outcome, Points, nth_and_before};
use crate::batch::column::Values;
use tidemark_model::value::FieldValue;

pub(super) struct Median;

impl Gathered for Median {
    fn evaluate(&self, points: &Points<'_>) -> Outcome {
        let number = |row: u32| {
            let row = row as usize;
            match points.values {
                Values::Float(values) => values.get(row).copied(),
                Values::Integer(values) => values.get(row).map(|&v| v as f64),
                Values::Unsigned(values) => values.get(row).map(|&v| v as f64),
                Values::String(_) | Values::Boolean(_) => None,
            }
        };
        let count = points.values.len();
        let value = nth_and_before(points, count / 2).and_then(|(before, high)| {
            let (before, high) = (before.filter(|_| count.is_multiple_of(2)), number(high)?);
            let low = before.and_then(number);
            Some(FieldValue::Float(low.map_or(high, |low| low + (high - low) / 2.0)))
        });
        Outcome::Value(value)
    }
}
