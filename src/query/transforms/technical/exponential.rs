//! Computes the exponential moving averages.
//!
//! - `exponential_moving_average` is a mean in which older values have lower weights.
//! - The double and triple averages follow changes faster than the simple exponential average.
//! - The triple exponential derivative is the change of an average that is smoothed three times, in
//!   percent.

use super::indicator::{Indicator, Warmup};

#[derive(Clone, Debug)]
pub(super) struct Exponential {
    period: usize,
    alpha: f64,
    warmup: Warmup,
    last: f64,
    count: usize,
}

impl Exponential {
    pub(super) fn new(period: usize, warmup: Warmup) -> Self {
        let alpha = 2.0 / (period as f64 + 1.0);
        Self { period, alpha, warmup, last: 0.0, count: 0 }
    }

    /// Wilder's average has a period of `period + 1` values, and each new value has the weight
    /// 1/`period`.
    pub(super) fn wilder(period: usize, warmup: Warmup) -> Self {
        Self { alpha: 1.0 / period as f64, ..Self::new(period.saturating_add(1), warmup) }
    }

    pub(super) fn feeds(&self) -> bool {
        self.count == self.period || self.warmup == Warmup::Exponential
    }
}

impl Indicator for Exponential {
    fn add(&mut self, value: f64) -> f64 {
        self.last = if self.count == 0 {
            value
        } else if self.count < self.period && self.warmup == Warmup::Simple {
            (self.last * self.count as f64 + value) / (self.count as f64 + 1.0)
        } else {
            // While the average warms up, its period is the number of values so far.
            let warming = self.count < self.period;
            let alpha = if warming { 2.0 / (self.count as f64 + 2.0) } else { self.alpha };
            (value - self.last) * alpha + self.last
        };
        self.count = self.period.min(self.count + 1);
        self.last
    }

    fn values_before_first(&self) -> usize {
        self.period.saturating_sub(1)
    }
}

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
        // Until the first average is ready, its current value replaces the second average.
        let second = if self.first.feeds() { self.second.add(first) } else { first };
        2.0 * first - second
    }

    fn values_before_first(&self) -> usize {
        let times = if self.warmup == Warmup::Exponential { 1 } else { 2 };
        self.first.values_before_first().saturating_mul(times)
    }
}

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
        // Until an average is ready, its current value replaces the next average.
        let second = if self.first.feeds() { self.second.add(first) } else { first };
        let fed = self.first.feeds() && self.second.feeds();
        let third = if fed { self.third.add(second) } else { second };
        3.0 * first - 3.0 * second + third
    }

    fn values_before_first(&self) -> usize {
        let times = if self.warmup == Warmup::Exponential { 1 } else { 3 };
        self.first.values_before_first().saturating_mul(times)
    }
}

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

    fn values_before_first(&self) -> usize {
        let times = if self.warmup == Warmup::Exponential { 1 } else { 3 };
        self.first.values_before_first().saturating_mul(times).saturating_add(1)
    }
}
