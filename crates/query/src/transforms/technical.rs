//! Computes the functions of technical analysis (1.x `query/internal/gota`). Each function has an
//! [`Indicator`] that processes one value after another. The module holds back the first results.

use std::collections::VecDeque;

use super::{StreamBatch, clamped};
use crate::math;
use crate::result::Values;
use tidemark_influxql::ast::Expr;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Technical {
    indicator: Indicator,
    /// The number of results to hold back.
    hold: usize,
    seen: usize,
}

impl Technical {
    pub(super) fn find(name: &str, args: &[Expr]) -> Option<Self> {
        let period = match args.get(1)? {
            Expr::IntegerLiteral(period) => clamped(*period),
            _ => return None,
        };
        let warmup = match args.get(3) {
            Some(Expr::StringLiteral(text)) if text == "simple" => Warmup::Simple,
            Some(Expr::StringLiteral(text)) if text == "none" => Warmup::None,
            None if name == "chande_momentum_oscillator" => Warmup::None,
            _ => Warmup::Exponential,
        };
        let average = || Exponential::new(period, warmup);
        let movement = || Movement::new(period, warmup);
        let before_average = period.saturating_sub(1);
        // Until an average is ready, the next average of its values has no value.
        let before = |averages: usize| match warmup {
            Warmup::Exponential => before_average,
            Warmup::Simple | Warmup::None => before_average.saturating_mul(averages),
        };
        let (indicator, values_before_first) = match name {
            "exponential_moving_average" => (Indicator::Average(average()), before_average),
            "double_exponential_moving_average" => {
                (Indicator::Double([average(), average()]), before(2))
            }
            "triple_exponential_moving_average" => {
                (Indicator::Triple([average(), average(), average()]), before(3))
            }
            "triple_exponential_derivative" => {
                let averages = [average(), average(), average()];
                (Indicator::TripleDerivative(averages, 0.0), before(3).saturating_add(1))
            }
            "relative_strength_index" => (Indicator::RelativeStrength(movement()), period),
            "kaufmans_efficiency_ratio" => (Indicator::Efficiency(Efficiency::new(period)), period),
            "kaufmans_adaptive_moving_average" => {
                (Indicator::Adaptive(Efficiency::new(period), 0.0), period)
            }
            "chande_momentum_oscillator" if warmup == Warmup::None => {
                (Indicator::Chande(Chande::new(period)), before_average)
            }
            "chande_momentum_oscillator" => (Indicator::SmoothChande(movement()), period),
            _ => return None,
        };
        let hold = match args.get(2) {
            Some(Expr::IntegerLiteral(hold)) if *hold >= 0 => clamped(*hold),
            _ => values_before_first,
        };
        Some(Self { indicator, hold, seen: 0 })
    }

    pub(super) fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let Some(values) = math::floats(&piece.values) else { return StreamBatch::empty() };
        let (mut times_ns, mut results) = (Vec::new(), Vec::new());
        for (&time_ns, &value) in piece.times_ns.iter().zip(&values) {
            let result = self.indicator.add(value);
            self.seen = self.seen.saturating_add(1);
            // 1.x omits a derivative after the value 0 (`TripleExponentialDerivativeReducer`).
            if self.seen > self.hold && !result.is_infinite() {
                times_ns.push(time_ns);
                results.push(result);
            }
        }
        StreamBatch { times_ns, values: Values::Float(results) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Warmup {
    /// The average starts as an exponential average.
    Exponential,
    /// The average starts as the arithmetic mean of the first period.
    Simple,
    /// The function has no averages (`chande_momentum_oscillator` only).
    None,
}

#[derive(Clone, Debug, PartialEq)]
enum Indicator {
    /// `exponential_moving_average`: a mean in which older values have lower weights.
    Average(Exponential),
    /// `double_exponential_moving_average`, which follows changes faster.
    Double([Exponential; 2]),
    /// `triple_exponential_moving_average`, which follows changes still faster.
    Triple([Exponential; 3]),
    /// `triple_exponential_derivative`: the change of an average that is smoothed three times, in
    /// percent. Contains the average's last value.
    TripleDerivative([Exponential; 3], f64),
    /// `relative_strength_index`: the upward movement as a percentage of total movement.
    RelativeStrength(Movement),
    /// `chande_momentum_oscillator`: upward minus downward movement, in percent of all movement,
    /// from the changes in the last period.
    Chande(Chande),
    /// `chande_momentum_oscillator` from averages of the changes.
    SmoothChande(Movement),
    /// `kaufmans_efficiency_ratio`
    Efficiency(Efficiency),
    /// `kaufmans_adaptive_moving_average`, which uses the ratio. Contains the last average.
    Adaptive(Efficiency, f64),
}

impl Indicator {
    fn add(&mut self, value: f64) -> f64 {
        match self {
            Self::Average(average) => average.add(value),
            Self::Double([first, second]) => {
                let first_value = first.add(value);
                // Until the first average is ready, its current value replaces the second average.
                let is_ready = first.feeds();
                let second = if is_ready { second.add(first_value) } else { first_value };
                2.0 * first_value - second
            }
            Self::Triple([first, second, third]) => {
                let first_value = first.add(value);
                // Until an average is ready, its current value replaces the next average.
                let is_ready = first.feeds();
                let second_value = if is_ready { second.add(first_value) } else { first_value };
                let is_ready = is_ready && second.feeds();
                let third = if is_ready { third.add(second_value) } else { second_value };
                3.0 * first_value - 3.0 * second_value + third
            }
            Self::TripleDerivative([first, second, third], last) => {
                let mut current = first.add(value);
                if first.feeds() {
                    current = second.add(current);
                    if second.feeds() {
                        current = third.add(current);
                    }
                }
                (current / std::mem::replace(last, current) - 1.0) * 100.0
            }
            Self::RelativeStrength(movement) => {
                let (up, down) = movement.add(value);
                // The operations have 1.x's order, so that rounding does not change floor().
                100.0 - 100.0 / (1.0 + up / down)
            }
            Self::Chande(chande) => chande.add(value),
            Self::SmoothChande(movement) => {
                let (up, down) = movement.add(value);
                100.0 * ((up - down) / (up + down))
            }
            Self::Efficiency(efficiency) => efficiency.add(value),
            Self::Adaptive(efficiency, last) => {
                const SLOW: f64 = 2.0 / 31.0;
                /// The difference between the fast weight (2 / 3) and the slow weight, rounded once
                /// like a Go constant.
                const RANGE: f64 = 56.0 / 93.0;
                let is_warm = efficiency.is_warm();
                let weight = efficiency.add(value) * RANGE + SLOW;
                let average = *last + weight * weight * (value - *last);
                *last = if is_warm { average } else { value };
                average
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Exponential {
    period: usize,
    alpha: f64,
    warmup: Warmup,
    last: f64,
    count: usize,
}

impl Exponential {
    fn new(period: usize, warmup: Warmup) -> Self {
        let alpha = 2.0 / (period as f64 + 1.0);
        Self { period, alpha, warmup, last: 0.0, count: 0 }
    }

    /// Whether the average is ready, so that its values feed the next average.
    fn feeds(&self) -> bool {
        self.count == self.period || self.warmup == Warmup::Exponential
    }

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
}

/// Wilder's averages of the upward and downward changes. Such an average has a period of
/// `period + 1` values, and each new value has the weight 1/`period`.
#[derive(Clone, Debug, PartialEq)]
struct Movement {
    up: Exponential,
    down: Exponential,
    last: f64,
}

impl Movement {
    fn new(period: usize, warmup: Warmup) -> Self {
        let average = Exponential::new(period.saturating_add(1), warmup);
        let average = Exponential { alpha: 1.0 / period as f64, ..average };
        Self { up: average.clone(), down: average, last: 0.0 }
    }

    fn add(&mut self, value: f64) -> (f64, f64) {
        let change = value - std::mem::replace(&mut self.last, value);
        (self.up.add(change.max(0.0)), self.down.add((-change).max(0.0)))
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Chande {
    period: usize,
    changes: VecDeque<f64>,
    up: f64,
    down: f64,
    last: Option<f64>,
}

impl Chande {
    fn new(period: usize) -> Self {
        Self { period, changes: VecDeque::new(), up: 0.0, down: 0.0, last: None }
    }

    fn count(&mut self, change: f64, sign: f64) {
        if change > 0.0 {
            self.up += sign * change;
        } else {
            self.down -= sign * change;
        }
    }

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
}

/// The ratio of the net change to the sum of absolute changes in a period.
#[derive(Clone, Debug, PartialEq)]
struct Efficiency {
    period: usize,
    /// Each value, and its absolute difference from the previous value. The value before the first
    /// value is 0.
    points: VecDeque<(f64, f64)>,
    noise: f64,
    last: f64,
}

impl Efficiency {
    fn new(period: usize) -> Self {
        Self { period, points: VecDeque::new(), noise: 0.0, last: 0.0 }
    }

    fn is_warm(&self) -> bool {
        self.points.len() >= self.period
    }

    fn add(&mut self, value: f64) -> f64 {
        let change = (value - std::mem::replace(&mut self.last, value)).abs();
        let oldest = if self.is_warm() { self.points.pop_front() } else { None };
        let (oldest, oldest_change) = oldest.unwrap_or_default();
        self.points.push_back((value, change));
        self.noise = self.noise - oldest_change + change;
        let net = (value - oldest).abs();
        // Rounding errors can make `noise` negative if changes cancel.
        if net == 0.0 || self.noise == 0.0 { 0.0 } else { net / self.noise }
    }
}
