//! Defines the common interface of aggregates and selectors, and creates the accumulator of a call.

use super::aggregates::{Count, Fold, Max, Mean, Min, Spread, Stddev, Sum};
use super::error::ScanError;
use super::number::Number;
use super::page::{AuxValues, PartialColumn};
use super::request::{AggregateCall, AggregateFunction};
use super::selectors::Selected;
use super::series_rows::Dense;
use super::ties::TiedPoints;
use crate::batch::column::{Column, Values};
use tidemark_model::value::FieldType;

/// The states of a call over a group's windows, indexed by the numbers of the windows
/// ([`WindowNumbers`](super::spans::WindowNumbers)). A window without a value has no state and no
/// result.
pub(super) trait Accumulator {
    fn accumulate(&mut self, dense: &Dense<'_>);

    /// Adds states that another accumulator wrote. Row i belongs to `windows[i]`.
    fn absorb(&mut self, windows: &[usize], partial: &PartialColumn) -> Result<(), ScanError>;

    /// Keeps only the states of these windows, and renumbers the windows 0, 1, 2 and so on.
    fn keep(&mut self, order: &[usize]);

    fn bytes(&self) -> usize;

    /// Returns the states of the windows in `order`. `starts_ns` is indexed by the number of the
    /// window. The result omits windows without a value.
    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn;

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> Finished;
}

/// The final values of a call over a group, in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The start of each window, in nanoseconds.
    pub windows_ns: Vec<i64>,
    /// The function's value. An undefined value, such as the stddev of a single value, is NaN.
    pub values: Column,
    /// Selectors only: the time of the selected point, in nanoseconds.
    pub times_ns: Option<Vec<i64>>,
    /// Selectors only: the columns taken from the selected point, in the order of the call.
    pub aux: Vec<AuxValues>,
}

impl Finished {
    /// Returns the states of a selector, which are its points.
    pub(super) fn into_states(self) -> PartialColumn {
        let times = self.times_ns.map(|times_ns| Column::full(Values::Integer(times_ns)));
        let states = times.into_iter().chain([self.values]).collect();
        PartialColumn { windows_ns: self.windows_ns, states, aux: self.aux }
    }
}

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
