//! Implements the stddev() aggregate: the sample standard deviation (n - 1), as a float. For a
//! single value, the result is NaN. NaN is displayed as null, but functions of the result treat NaN
//! as a value.

use super::fold::Aggregate;
use super::number::Number;
use crate::batch::column::Column;
use crate::scan::request::AggregateFunction;
use tidemark_model::value::FieldType;

pub(in crate::scan) struct Stddev;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::scan) struct Moments {
    count: i64,
    mean: f64,
    squares: f64,
}

impl<T: Number> Aggregate<T> for Stddev {
    type State = Moments;
    const FUNCTION: AggregateFunction = AggregateFunction::Stddev;
    const COLUMNS: &'static [FieldType] = &[FieldType::Integer, FieldType::Float, FieldType::Float];
    const OUTPUT: FieldType = FieldType::Float;

    fn fold(values: &[T]) -> Moments {
        let count = values.len() as i64;
        let mean = values.iter().map(|v| v.real()).sum::<f64>() / count as f64;
        let squares = values.iter().map(|v| (v.real() - mean).powi(2)).sum();
        Moments { count, mean, squares }
    }

    /// Merges the moments of two sets (Chan, Golub and LeVeque).
    fn merge(state: &mut Moments, other: &Moments) {
        let (a, b) = (state.count as f64, other.count as f64);
        let distance = other.mean - state.mean;
        state.count += other.count;
        state.mean += distance * b / (a + b);
        state.squares += other.squares + distance * distance * a * b / (a + b);
    }

    fn write(state: &Moments, columns: &mut [Column]) {
        if let [counts, means, squares] = columns {
            state.count.push(counts);
            state.mean.push(means);
            state.squares.push(squares);
        }
    }

    fn read(columns: &[Column], row: usize) -> Option<Moments> {
        let [counts, means, squares] = columns else { return None };
        let count = i64::get(counts, row).filter(|count| *count > 0)?;
        Some(Moments { count, mean: f64::get(means, row)?, squares: f64::get(squares, row)? })
    }

    fn finish(state: &Moments, column: &mut Column) {
        let of_sample = (state.squares / (state.count - 1) as f64).sqrt();
        (if state.count < 2 { f64::NAN } else { of_sample }).push(column);
    }
}
