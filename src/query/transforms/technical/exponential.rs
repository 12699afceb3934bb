//! `exponential_moving_average`: a mean in which a value counts less the older it is.

use super::{Indicator, Warmup};

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

    /// Wilder's: one value longer, and each new value weighs 1/period.
    pub(super) fn wilder(period: usize, warmup: Warmup) -> Self {
        Self { alpha: 1.0 / period as f64, ..Self::new(period.saturating_add(1), warmup) }
    }

    /// Whether what follows may build on it.
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
            // Until it is warm an average over as many values as there are.
            let warming = self.count < self.period;
            let alpha = if warming { 2.0 / (self.count as f64 + 2.0) } else { self.alpha };
            (value - self.last) * alpha + self.last
        };
        self.count = self.period.min(self.count + 1);
        self.last
    }

    fn warm_count(&self) -> usize {
        self.period.saturating_sub(1)
    }
}
