//! `moving_average(x, n)`: mean of the last n values (1.x `FloatMovingAverageReducer`).

use std::collections::VecDeque;

use super::piece::{Piece, Transformation};
use crate::model::value::FieldType;
use crate::query::result::Values;

#[derive(Debug)]
pub(crate) struct MovingAverage {
    window: usize,
    floats: Sum<f64>,
    integers: Sum<i64>,
    unsigneds: Sum<u64>,
}

/// The last values and their running sum, which drifts for floats as 1.x's does.
#[derive(Debug, Default)]
struct Sum<T> {
    values: VecDeque<T>,
    sum: T,
}

impl MovingAverage {
    pub(crate) fn new(window: usize) -> Self {
        Self { window, floats: Sum::default(), integers: Sum::default(), unsigneds: Sum::default() }
    }
}

fn run<T: Copy>(
    state: &mut Sum<T>,
    window: usize,
    piece: &Piece,
    values: &[T],
    replace: impl Fn(T, Option<T>, T) -> T,
    real: impl Fn(T) -> f64,
) -> Piece {
    let (mut times_ns, mut results) = (Vec::new(), Vec::new());
    for (&time, &value) in piece.times_ns.iter().zip(values) {
        let oldest = if state.values.len() == window { state.values.pop_front() } else { None };
        state.sum = replace(state.sum, oldest, value);
        state.values.push_back(value);
        if state.values.len() == window {
            times_ns.push(time);
            results.push(real(state.sum) / window as f64);
        }
    }
    Piece { times_ns, values: Values::Float(results) }
}

impl Transformation for MovingAverage {
    fn push(&mut self, piece: &Piece) -> Piece {
        let window = self.window;
        match &piece.values {
            Values::Float(values) => {
                let replace = |sum, oldest: Option<f64>, new| sum - oldest.unwrap_or(0.0) + new;
                run(&mut self.floats, window, piece, values, replace, |sum| sum)
            }
            Values::Integer(values) => {
                let replace = |sum: i64, oldest: Option<i64>, new| {
                    sum.wrapping_sub(oldest.unwrap_or(0)).wrapping_add(new)
                };
                run(&mut self.integers, window, piece, values, replace, |sum| sum as f64)
            }
            Values::Unsigned(values) => {
                let replace = |sum: u64, oldest: Option<u64>, new| {
                    sum.wrapping_sub(oldest.unwrap_or(0)).wrapping_add(new)
                };
                run(&mut self.unsigneds, window, piece, values, replace, |sum| sum as f64)
            }
            _ => Piece::empty(FieldType::Float),
        }
    }
}
