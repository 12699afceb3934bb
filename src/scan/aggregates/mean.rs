//! Mean of the values, a float: their sum, which wraps for integers as in 1.x, over their number.

use super::fold::Aggregate;
use super::number::Number;
use super::sum::sum;
use crate::batch::column::Column;
use crate::model::value::FieldType;
use crate::scan::request::AggregateFunction;

pub(in crate::scan) struct Mean;

impl<T: Number> Aggregate<T> for Mean {
    /// Sum and number.
    type State = (T, i64);
    const FUNCTION: AggregateFunction = AggregateFunction::Mean;
    const COLUMNS: &'static [FieldType] = &[T::TYPE, FieldType::Integer];
    const OUTPUT: FieldType = FieldType::Float;

    fn fold(values: &[T]) -> Self::State {
        (sum(values), values.len() as i64)
    }

    fn merge(state: &mut Self::State, other: &Self::State) {
        *state = (state.0.plus(other.0), state.1.wrapping_add(other.1));
    }

    fn write(state: &Self::State, columns: &mut [Column]) {
        if let [sums, counts] = columns {
            state.0.push(sums);
            state.1.push(counts);
        }
    }

    fn read(columns: &[Column], row: usize) -> Option<Self::State> {
        let [sums, counts] = columns else { return None };
        Some((T::get(sums, row)?, i64::get(counts, row)?))
    }

    fn finish(state: &Self::State, column: &mut Column) {
        (state.0.real() / state.1 as f64).push(column);
    }
}
