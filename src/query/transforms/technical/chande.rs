//! Computes `chande_momentum_oscillator`: upward minus downward movement, in percent of all
//! movement.

use std::collections::VecDeque;

use super::indicator::{Indicator, Warmup};
use super::relative_strength::RelativeStrength;

/// Uses the changes in the last period.
#[derive(Debug)]
pub(super) struct Plain {
    period: usize,
    changes: VecDeque<f64>,
    up: f64,
    down: f64,
    last: Option<f64>,
}

impl Plain {
    pub(super) fn new(period: usize) -> Self {
        Self { period, changes: VecDeque::new(), up: 0.0, down: 0.0, last: None }
    }

    fn count(&mut self, change: f64, sign: f64) {
        if change > 0.0 {
            self.up += sign * change;
        } else {
            self.down -= sign * change;
        }
    }
}

impl Indicator for Plain {
    fn add(&mut self, value: f64) -> f64 {
        let change = self.last.replace(value).map_or(0.0, |last| value - last);
        if self.changes.len() >= self.period
            && let Some(oldest) = self.changes.pop_front()
        {
            self.count(oldest, -1.0);
        }
        self.changes.push_back(change);
        self.count(change, 1.0);
        let all = self.up + self.down;
        if all == 0.0 { 0.0 } else { 100.0 * ((self.up - self.down) / all) }
    }

    fn values_before_first(&self) -> usize {
        self.period.saturating_sub(1)
    }
}

/// Uses averages of the changes.
#[derive(Debug)]
pub(super) struct Smooth(RelativeStrength);

impl Smooth {
    pub(super) fn new(period: usize, warmup: Warmup) -> Self {
        Self(RelativeStrength::new(period, warmup))
    }
}

impl Indicator for Smooth {
    fn add(&mut self, value: f64) -> f64 {
        let (up, down) = self.0.movements(value);
        100.0 * ((up - down) / (up + down))
    }

    fn values_before_first(&self) -> usize {
        self.0.values_before_first()
    }
}
