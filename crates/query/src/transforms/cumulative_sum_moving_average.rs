//! Computes `cumulative_sum(x)`: the sum of all values so far, and `moving_average(x, n)`: the mean
//! of the last n values (1.x `FloatMovingAverageReducer`). Integer sums wrap around.

use std::collections::VecDeque;

use super::StreamBatch;
use crate::result::Values;

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

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MovingAverage {
    floats: RunningSum<f64>,
    integers: RunningSum<i64>,
    unsigneds: RunningSum<u64>,
}

/// The last values and their sum. A sum of floats accumulates the rounding errors of 1.x.
#[derive(Clone, Debug, PartialEq)]
struct RunningSum<T> {
    window: usize,
    values: VecDeque<T>,
    sum: T,
}

impl<T: Copy + Default> RunningSum<T> {
    fn new(window: usize) -> Self {
        Self { window, values: VecDeque::new(), sum: T::default() }
    }

    fn means(
        &mut self,
        times_ns: &[i64],
        values: &[T],
        replace: impl Fn(T, T, T) -> T,
        to_float: impl Fn(T) -> f64,
    ) -> StreamBatch {
        let (mut shown_ns, mut means) = (Vec::new(), Vec::new());
        for (&time_ns, &value) in times_ns.iter().zip(values) {
            let is_full = self.values.len() == self.window;
            let oldest = if is_full { self.values.pop_front() } else { None };
            self.sum = replace(self.sum, oldest.unwrap_or_default(), value);
            self.values.push_back(value);
            if self.values.len() == self.window {
                shown_ns.push(time_ns);
                means.push(to_float(self.sum) / self.window as f64);
            }
        }
        StreamBatch { times_ns: shown_ns, values: Values::Float(means) }
    }
}

impl MovingAverage {
    pub(super) fn new(window: usize) -> Self {
        Self {
            floats: RunningSum::new(window),
            integers: RunningSum::new(window),
            unsigneds: RunningSum::new(window),
        }
    }

    pub(super) fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let times_ns = &piece.times_ns;
        match &piece.values {
            Values::Float(values) => {
                let replace = |sum: f64, oldest, new| sum - oldest + new;
                self.floats.means(times_ns, values, replace, |sum| sum)
            }
            Values::Integer(values) => {
                let replace = |sum: i64, oldest, new| sum.wrapping_sub(oldest).wrapping_add(new);
                self.integers.means(times_ns, values, replace, |sum| sum as f64)
            }
            Values::Unsigned(values) => {
                let replace = |sum: u64, oldest, new| sum.wrapping_sub(oldest).wrapping_add(new);
                self.unsigneds.means(times_ns, values, replace, |sum| sum as f64)
            }
            _ => StreamBatch::empty(),
        }
    }
}
