//! Computes `relative_strength_index`: the upward movement as a percentage of total movement.

use super::exponential::Exponential;
use super::indicator::{Indicator, Warmup};

#[derive(Debug)]
pub(super) struct RelativeStrength {
    up: Exponential,
    down: Exponential,
    last: f64,
}

impl RelativeStrength {
    pub(super) fn new(period: usize, warmup: Warmup) -> Self {
        let average = Exponential::wilder(period, warmup);
        Self { up: average.clone(), down: average, last: 0.0 }
    }

    pub(super) fn movements(&mut self, value: f64) -> (f64, f64) {
        let change = value - self.last;
        self.last = value;
        (self.up.add(change.max(0.0)), self.down.add((-change).max(0.0)))
    }
}

impl Indicator for RelativeStrength {
    fn add(&mut self, value: f64) -> f64 {
        let (up, down) = self.movements(value);
        // The operations have 1.x's order, so that rounding does not change floor().
        100.0 - 100.0 / (1.0 + up / down)
    }

    fn values_before_first(&self) -> usize {
        self.up.values_before_first()
    }
}
