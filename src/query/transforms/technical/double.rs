//! `double_exponential_moving_average`: follows its values faster than the plain one.

use super::exponential::Exponential;
use super::{Indicator, Warmup};

#[derive(Debug)]
pub(super) struct Double {
    warmup: Warmup,
    first: Exponential,
    second: Exponential,
}

impl Double {
    pub(super) fn new(period: usize, warmup: Warmup) -> Self {
        let average = Exponential::new(period, warmup);
        Self { warmup, first: average.clone(), second: average }
    }
}

impl Indicator for Double {
    fn add(&mut self, value: f64) -> f64 {
        let first = self.first.add(value);
        // An average that is not fed yet stands for the next one.
        let second = if self.first.feeds() { self.second.add(first) } else { first };
        2.0 * first - second
    }

    fn warm_count(&self) -> usize {
        let times = if self.warmup == Warmup::Exponential { 1 } else { 2 };
        self.first.warm_count().saturating_mul(times)
    }
}
