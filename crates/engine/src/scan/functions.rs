//! Chooses the accumulator of an aggregate function.

use super::accumulator::Accumulator;
use super::aggregates::{Count, Fold, Max, Mean, Min, Spread, Stddev, Sum};
use super::error::ScanError;
use super::number::Number;
use super::request::{AggregateCall, AggregateFunction};
use super::selectors::Selected;
use super::ties::TiedPoints;
use tidemark_model::value::FieldType;

pub(super) fn accumulator(call: &AggregateCall) -> Result<Box<dyn Accumulator>, ScanError> {
    use AggregateFunction as F;
    let (function, aux) = (call.function, call.aux.clone());
    // If the cast results in no value, any type is correct.
    let field_type = call.input.output_type().unwrap_or(FieldType::Float);
    let of_numbers = match field_type {
        FieldType::Float => of_numbers::<f64>(call),
        FieldType::Integer => of_numbers::<i64>(call),
        FieldType::Unsigned => of_numbers::<u64>(call),
        FieldType::String | FieldType::Boolean => None,
    };
    Ok(match (function, field_type, of_numbers) {
        (F::Rows | F::Count, ..) => Box::new(Fold::<Count, i64>::default()),
        (_, _, Some(accumulator)) => accumulator,
        (F::FirstRow, ..) => Box::new(Selected::new(F::First, FieldType::Integer, aux)),
        (F::LastRow, ..) => Box::new(Selected::new(F::Last, FieldType::Integer, aux)),
        (F::TiedPoints { latest, by_text }, ..) => {
            Box::new(TiedPoints::new(latest, by_text, field_type, aux))
        }
        (F::Min | F::Max, FieldType::String, _)
        | (F::Sum | F::Mean | F::Spread | F::Stddev, ..) => {
            return Err(ScanError::Input { function, field_type });
        }
        (F::Min | F::Max | F::First | F::Last, ..) => {
            Box::new(Selected::new(function, field_type, aux))
        }
    })
}

/// Creates the accumulator of a function that only needs numbers. Returns `None` for the other
/// functions, and for min() and max() with extra columns.
fn of_numbers<T: Number>(call: &AggregateCall) -> Option<Box<dyn Accumulator>> {
    Some(match call.function {
        AggregateFunction::Sum => Box::new(Fold::<Sum, T>::default()),
        AggregateFunction::Mean => Box::new(Fold::<Mean, T>::default()),
        AggregateFunction::Spread => Box::new(Fold::<Spread, T>::default()),
        AggregateFunction::Stddev => Box::new(Fold::<Stddev, T>::default()),
        AggregateFunction::Min if call.aux.is_empty() => Box::new(Fold::<Min, T>::default()),
        AggregateFunction::Max if call.aux.is_empty() => Box::new(Fold::<Max, T>::default()),
        _ => return None,
    })
}
