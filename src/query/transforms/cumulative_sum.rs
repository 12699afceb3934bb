//! Computes `cumulative_sum(x)`: the sum of all values so far. Integer sums wrap around.

use super::StreamBatch;
use crate::query::result::Values;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CumulativeSum {
    float: f64,
    integer: i64,
    unsigned: u64,
}

fn run<T: Copy>(sum: &mut T, values: &[T], add: impl Fn(T, T) -> T) -> Vec<T> {
    let step = |&value: &T| {
        *sum = add(*sum, value);
        *sum
    };
    values.iter().map(step).collect()
}

impl CumulativeSum {
    pub(super) fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let values = match &piece.values {
            Values::Float(values) => Values::Float(run(&mut self.float, values, |a, b| a + b)),
            Values::Integer(values) => {
                Values::Integer(run(&mut self.integer, values, i64::wrapping_add))
            }
            Values::Unsigned(values) => {
                Values::Unsigned(run(&mut self.unsigned, values, u64::wrapping_add))
            }
            Values::String(_) | Values::Boolean(_) => return StreamBatch::empty(),
        };
        StreamBatch { times_ns: piece.times_ns.clone(), values }
    }
}
