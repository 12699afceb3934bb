//! `triple_exponential_moving_average`: follows its values faster still.

use super::exponential::Exponential;
use super::{Indicator, Warmup};

#[derive(Debug)]
pub(super) struct Triple {
    warmup: Warmup,
    first: Exponential,
    second: Exponential,
    third: Exponential,
}

impl Triple {
    pub(super) fn new(period: usize, warmup: Warmup) -> Self {
        let average = Exponential::new(period, warmup);
        Self { warmup, first: average.clone(), second: average.clone(), third: average }
    }
}

impl Indicator for Triple {
    fn add(&mut self, value: f64) -> f64 {
        let first = self.first.add(value);
        let (mut second, mut third) = (0.0, 0.0);
        if self.first.feeds() {
            second = self.second.add(first);
            if self.second.feeds() {
                third = self.third.add(second);
            }
        }
        3.0 * first - 3.0 * second + third
    }

    fn warm_count(&self) -> usize {
        let times = if self.warmup == Warmup::Exponential { 1 } else { 3 };
        self.first.warm_count().saturating_mul(times)
    }
}
