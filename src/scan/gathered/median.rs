//! The middle value, a float; between the two middle ones when their number is even.

use super::points::{Gathered, Outcome, Points};
use crate::batch::column::Values;
use crate::model::value::FieldValue;

pub(super) struct Median;

impl Gathered for Median {
    fn answer(&self, points: &Points<'_>) -> Outcome {
        let mut values: Vec<f64> = match points.values {
            Values::Float(values) => values.clone(),
            Values::Integer(values) => values.iter().map(|&v| v as f64).collect(),
            Values::Unsigned(values) => values.iter().map(|&v| v as f64).collect(),
            Values::String(_) | Values::Boolean(_) => return Outcome::Value(None),
        };
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        let at = |index: usize| values.get(index).copied();
        Outcome::Value(match (middle.checked_sub(1).and_then(at), at(middle)) {
            (Some(low), Some(high)) if values.len().is_multiple_of(2) => {
                Some(FieldValue::Float(low + (high - low) / 2.0))
            }
            (_, middle) => middle.map(FieldValue::Float),
        })
    }
}
