//! Computes `difference(x)`: the change between consecutive values (1.x `FloatDifferenceReducer`).

use super::stream_batch::{StreamBatch, Transformation};
use crate::model::value::FieldType;
use crate::query::result::Values;

#[derive(Debug)]
pub(crate) struct Difference {
    non_negative: bool,
    last: Option<(i64, Values)>,
}

impl Difference {
    pub(crate) fn new(non_negative: bool) -> Self {
        Self { non_negative, last: None }
    }

    fn run<T: Copy>(
        &self,
        first: Option<T>,
        piece: &StreamBatch,
        values: &[T],
        diff: impl Fn(T, T) -> T,
        negative: impl Fn(T, T) -> bool,
    ) -> (Vec<i64>, Vec<T>) {
        let mut last = first.and_then(|value| Some((self.last.as_ref()?.0, value)));
        let (mut times, mut results) = (Vec::new(), Vec::new());
        for (&time, &value) in piece.times_ns.iter().zip(values) {
            if let Some((last_time, last_value)) = last {
                // If several points have the same time, only the first point is used.
                if time == last_time {
                    continue;
                }
                let diff = diff(value, last_value);
                if !(self.non_negative && negative(value, last_value)) {
                    times.push(time);
                    results.push(diff);
                }
            }
            last = Some((time, value));
        }
        (times, results)
    }
}

impl Transformation for Difference {
    fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let last = self.last.as_ref().map(|(_, values)| values);
        let (times_ns, values) = match (&piece.values, last) {
            (Values::Float(values), last) => {
                let first = match last {
                    Some(Values::Float(v)) => v.first().copied(),
                    _ => None,
                };
                let (times, results) = self.run(first, piece, values, |a, b| a - b, |a, b| a < b);
                (times, Values::Float(results))
            }
            (Values::Integer(values), last) => {
                let first = match last {
                    Some(Values::Integer(v)) => v.first().copied(),
                    _ => None,
                };
                let (times, results) =
                    self.run(first, piece, values, i64::wrapping_sub, |a: i64, b| {
                        a.wrapping_sub(b) < 0
                    });
                (times, Values::Integer(results))
            }
            (Values::Unsigned(values), last) => {
                let first = match last {
                    Some(Values::Unsigned(v)) => v.first().copied(),
                    _ => None,
                };
                let (times, results) =
                    self.run(first, piece, values, u64::wrapping_sub, |a, b| a < b);
                (times, Values::Unsigned(results))
            }
            _ => return StreamBatch::empty(FieldType::Float),
        };
        self.last = super::stream_batch::last_of(piece, self.last.take());
        StreamBatch { times_ns, values }
    }
}
