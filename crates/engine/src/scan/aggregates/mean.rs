//! Implements the mean() aggregate. The sum of integers cannot overflow, so the mean is independent
//! of the number of shards. In 1.x, the sum of a series' integers in a shard can overflow.

use super::fold::Aggregate;
use super::number::Number;
use crate::batch::column::Column;
use crate::scan::request::AggregateFunction;
use tidemark_model::value::FieldType;

pub(in crate::scan) struct Mean;

impl<T: Number> Aggregate<T> for Mean {
    type State = (T::Total, i64);
    const FUNCTION: AggregateFunction = AggregateFunction::Mean;
    const COLUMNS: &'static [FieldType] = T::MEAN;
    const OUTPUT: FieldType = FieldType::Float;

    fn fold(values: &[T]) -> Self::State {
        (T::total(values), values.len() as i64)
    }

    fn merge(state: &mut Self::State, other: &Self::State) {
        *state = (T::join(state.0, other.0), state.1.wrapping_add(other.1));
    }

    fn write(state: &Self::State, columns: &mut [Column]) {
        if let [sums, counts, above @ ..] = columns {
            T::write_total(state.0, sums, above);
            state.1.push(counts);
        }
    }

    fn read(columns: &[Column], row: usize) -> Option<Self::State> {
        let [sums, counts, above @ ..] = columns else { return None };
        Some((T::read_total(sums, above, row)?, i64::get(counts, row)?))
    }

    fn finish(state: &Self::State, column: &mut Column) {
        (T::total_real(state.0) / state.1 as f64).push(column);
    }
}
