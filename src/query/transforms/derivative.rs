//! Computes `derivative(x, unit)`: the change per unit of time (1.x `FloatDerivativeReducer`).

use super::stream_batch::{StreamBatch, Transformation};
use crate::model::value::FieldType;
use crate::query::result::Values;

#[derive(Debug)]
pub(crate) struct Derivative {
    unit_ns: i64,
    non_negative: bool,
    descending: bool,
    last: Option<(i64, Values)>,
}

impl Derivative {
    pub(crate) fn new(unit_ns: i64, non_negative: bool, descending: bool) -> Self {
        Self { unit_ns, non_negative, descending, last: None }
    }

    fn run<T: Copy>(
        &self,
        first: Option<T>,
        piece: &StreamBatch,
        values: &[T],
        diff: impl Fn(T, T) -> f64,
    ) -> (Vec<i64>, Vec<f64>) {
        let mut last = first.and_then(|value| Some((self.last.as_ref()?.0, value)));
        let (mut times, mut results) = (Vec::new(), Vec::new());
        for (&time, &value) in piece.times_ns.iter().zip(values) {
            let Some((last_time, last_value)) = last else {
                last = Some((time, value));
                continue;
            };
            // If several points have the same time, only the first point is used.
            if time == last_time {
                continue;
            }
            last = Some((time, value));
            let diff = diff(value, last_value);
            let passed = if self.descending { last_time - time } else { time - last_time };
            if !(self.non_negative && diff < 0.0) {
                times.push(time);
                results.push(diff / (passed as f64 / self.unit_ns as f64));
            }
        }
        (times, results)
    }
}

impl Transformation for Derivative {
    fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let last = self.last.as_ref().map(|(_, values)| values);
        let (times_ns, results) = match (&piece.values, last) {
            (Values::Float(values), last) => {
                let first = match last {
                    Some(Values::Float(v)) => v.first().copied(),
                    _ => None,
                };
                self.run(first, piece, values, |a, b| a - b)
            }
            (Values::Integer(values), last) => {
                let first = match last {
                    Some(Values::Integer(v)) => v.first().copied(),
                    _ => None,
                };
                self.run(first, piece, values, |a, b| a.wrapping_sub(b) as f64)
            }
            (Values::Unsigned(values), last) => {
                let first = match last {
                    Some(Values::Unsigned(v)) => v.first().copied(),
                    _ => None,
                };
                let diff = |a: u64, b: u64| if a > b { (a - b) as f64 } else { -((b - a) as f64) };
                self.run(first, piece, values, diff)
            }
            _ => return StreamBatch::empty(FieldType::Float),
        };
        self.last = super::stream_batch::last_of(piece, self.last.take());
        StreamBatch { times_ns, values: Values::Float(results) }
    }
}
