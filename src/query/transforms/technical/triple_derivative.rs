//! `triple_exponential_derivative`: change of a triply smoothed average, percent.

use super::exponential::Exponential;
use super::{Indicator, Warmup};

#[derive(Debug)]
pub(super) struct TripleDerivative {
    warmup: Warmup,
    first: Exponential,
    second: Exponential,
    third: Exponential,
    last: f64,
}

impl TripleDerivative {
    pub(super) fn new(period: usize, warmup: Warmup) -> Self {
        let average = Exponential::new(period, warmup);
        let (first, second) = (average.clone(), average.clone());
        Self { warmup, first, second, third: average, last: 0.0 }
    }
}

impl Indicator for TripleDerivative {
    fn add(&mut self, value: f64) -> f64 {
        let mut current = self.first.add(value);
        if self.first.feeds() {
            current = self.second.add(current);
            if self.second.feeds() {
                current = self.third.add(current);
            }
        }
        let rate = (current / self.last - 1.0) * 100.0;
        self.last = current;
        rate
    }

    fn warm_count(&self) -> usize {
        let times = if self.warmup == Warmup::Exponential { 1 } else { 3 };
        self.first.warm_count().saturating_mul(times).saturating_add(1)
    }
}
