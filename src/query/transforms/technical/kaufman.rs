//! Computes `kaufmans_efficiency_ratio` and `kaufmans_adaptive_moving_average`, which uses the
//! ratio.

use std::collections::VecDeque;

use super::indicator::Indicator;

/// The ratio of the net change to the sum of absolute changes in a period.
#[derive(Debug)]
pub(super) struct Efficiency {
    period: usize,
    /// Each value, and its absolute difference from the previous value. The value before the first
    /// value is 0.
    points: VecDeque<(f64, f64)>,
    noise: f64,
    last: f64,
}

impl Efficiency {
    pub(super) fn new(period: usize) -> Self {
        Self { period, points: VecDeque::new(), noise: 0.0, last: 0.0 }
    }

    fn is_warm(&self) -> bool {
        self.points.len() >= self.period
    }
}

impl Indicator for Efficiency {
    fn add(&mut self, value: f64) -> f64 {
        let change = (value - self.last).abs();
        self.last = value;
        let full = self.is_warm();
        let oldest = if full { self.points.pop_front() } else { None };
        let (oldest, oldest_change) = oldest.unwrap_or_default();
        self.points.push_back((value, change));
        self.noise = self.noise - oldest_change + change;
        let net = (value - oldest).abs();
        // Rounding errors can make `noise` negative if changes cancel.
        if net == 0.0 || self.noise == 0.0 { 0.0 } else { net / self.noise }
    }

    fn values_before_first(&self) -> usize {
        self.period
    }
}

#[derive(Debug)]
pub(super) struct Adaptive {
    efficiency: Efficiency,
    last: f64,
}

impl Adaptive {
    pub(super) fn new(period: usize) -> Self {
        Self { efficiency: Efficiency::new(period), last: 0.0 }
    }
}

impl Indicator for Adaptive {
    fn add(&mut self, value: f64) -> f64 {
        const SLOW: f64 = 2.0 / 31.0;
        /// The difference between the fast weight (2 / 3) and the slow weight, rounded once like a
        /// Go constant.
        const RANGE: f64 = 56.0 / 93.0;
        let warm = self.efficiency.is_warm();
        let efficiency = self.efficiency.add(value);
        let weight = efficiency * RANGE + SLOW;
        let average = self.last + weight * weight * (value - self.last);
        self.last = if warm { average } else { value };
        average
    }

    fn values_before_first(&self) -> usize {
        self.efficiency.values_before_first()
    }
}
