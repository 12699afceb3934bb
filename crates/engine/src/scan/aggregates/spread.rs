//! Implements the spread() aggregate: the largest value minus the smallest value.

use super::fold::Aggregate;
use super::number::Number;
use crate::batch::column::Column;
use crate::scan::request::AggregateFunction;
use crate::scan::selectors::min_max;
use tidemark_model::value::FieldType;

pub(in crate::scan) struct Spread;

impl<T: Number> Aggregate<T> for Spread {
    /// The smallest and the largest value.
    type State = (T, T);
    const FUNCTION: AggregateFunction = AggregateFunction::Spread;
    const COLUMNS: &'static [FieldType] = &[T::TYPE, T::TYPE];
    const OUTPUT: FieldType = T::TYPE;

    fn fold(values: &[T]) -> Self::State {
        (min_max::smallest(values), min_max::largest(values))
    }

    fn merge(state: &mut Self::State, other: &Self::State) {
        let low = if other.0 < state.0 { other.0 } else { state.0 };
        let high = if other.1 > state.1 { other.1 } else { state.1 };
        *state = (low, high);
    }

    fn write(state: &Self::State, columns: &mut [Column]) {
        if let [low, high] = columns {
            state.0.push(low);
            state.1.push(high);
        }
    }

    fn read(columns: &[Column], row: usize) -> Option<Self::State> {
        let [low, high] = columns else { return None };
        Some((T::get(low, row)?, T::get(high, row)?))
    }

    fn finish(state: &Self::State, column: &mut Column) {
        state.1.minus(state.0).push(column);
    }
}
