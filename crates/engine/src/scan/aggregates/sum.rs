//! Implements the sum() aggregate. The result has the type of the values. Integers wrap around.

use super::fold::Aggregate;
use super::number::Number;
use crate::batch::column::Column;
use crate::scan::request::AggregateFunction;
use tidemark_model::value::FieldType;

/// Chunks of this size limit the rounding error of a long sum.
const CHUNK: usize = 1024;

pub(in crate::scan) struct Sum;

impl<T: Number> Aggregate<T> for Sum {
    type State = T;
    const FUNCTION: AggregateFunction = AggregateFunction::Sum;
    const COLUMNS: &'static [FieldType] = &[T::TYPE];
    const OUTPUT: FieldType = T::TYPE;

    fn fold(values: &[T]) -> T {
        sum(values)
    }

    fn merge(state: &mut T, other: &T) {
        *state = state.plus(*other);
    }

    fn write(state: &T, columns: &mut [Column]) {
        columns.iter_mut().for_each(|column| state.push(column));
    }

    fn read(columns: &[Column], row: usize) -> Option<T> {
        T::get(columns.first()?, row)
    }

    fn finish(state: &T, column: &mut Column) {
        state.push(column);
    }
}

pub(super) fn sum<T: Number>(values: &[T]) -> T {
    let mut total = T::default();
    for chunk in values.chunks(CHUNK) {
        // Four independent sums, so that the processor can run additions in parallel.
        let (blocks, rest) = chunk.as_chunks::<4>();
        let [mut a, mut b, mut c, mut d] = [T::default(); 4];
        for &[e, f, g, h] in blocks {
            (a, b, c, d) = (a.plus(e), b.plus(f), c.plus(g), d.plus(h));
        }
        let part = rest.iter().copied().fold(a.plus(b).plus(c.plus(d)), T::plus);
        total = total.plus(part);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_wrap_and_include_every_value() {
        assert_eq!(sum(&[i64::MAX, 1]), i64::MIN);
        assert_eq!(sum(&[u64::MAX, 3]), 2);
        for n in [0, 1, 7, 8, 9, 1023, 1024, 1025, 5000_i64] {
            let values: Vec<i64> = (1..=n).collect();
            assert_eq!(sum(&values), n * (n + 1) / 2);
            let values: Vec<f64> = values.iter().map(|&v| v as f64).collect();
            assert_eq!(sum(&values), (n * (n + 1) / 2) as f64);
        }
    }
}
