//! Implements the median() function: the middle value as a float. If the number of values is even,
//! the median is the mean of the two middle values.

use super::points::{Gathered, Outcome, Points};
use crate::batch::column::Values;
use tidemark_model::value::FieldValue;

pub(super) struct Median;

impl Gathered for Median {
    fn evaluate(&self, points: &Points<'_>) -> Outcome {
        let mut values: Vec<f64> = match points.values {
            Values::Float(values) => values.clone(),
            Values::Integer(values) => values.iter().map(|&v| v as f64).collect(),
            Values::Unsigned(values) => values.iter().map(|&v| v as f64).collect(),
            Values::String(_) | Values::Boolean(_) => return Outcome::Value(None),
        };
        if values.is_empty() {
            return Outcome::Value(None);
        }
        let (middle, is_even) = (values.len() / 2, values.len().is_multiple_of(2));
        let (below, &mut high, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
        let low = below.iter().copied().max_by(f64::total_cmp).filter(|_| is_even);
        let value = low.map_or(high, |low| low + (high - low) / 2.0);
        Outcome::Value(Some(FieldValue::Float(value)))
    }
}
