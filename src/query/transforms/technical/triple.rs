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
        // An average that is not fed yet stands for the next one.
        let second = if self.first.feeds() { self.second.add(first) } else { first };
        let fed = self.first.feeds() && self.second.feeds();
        let third = if fed { self.third.add(second) } else { second };
        3.0 * first - 3.0 * second + third
    }

    fn warm_count(&self) -> usize {
        let times = if self.warmup == Warmup::Exponential { 1 } else { 3 };
        self.first.warm_count().saturating_mul(times)
    }
}
