//! Computes the functions of technical analysis (1.x `query/internal/gota`). Each function is an
//! [`Indicator`] that processes one value after another. The module holds back the first results.

mod chande;
mod exponential;
mod indicator;
mod kaufman;
mod relative_strength;

use super::clamped;
use super::stream_batch::{StreamBatch, Transformation};
use crate::influxql::ast::Expr;
use crate::model::value::FieldType;
use crate::query::math;
use crate::query::result::Values;
use indicator::{Indicator, Warmup};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Technical {
    name: String,
    period: usize,
    /// The number of results to hold back. A negative number means the function's default.
    hold: i64,
    warmup: Warmup,
}

impl Technical {
    pub(crate) fn find(name: &str, args: &[Expr]) -> Option<Self> {
        let period = match args.get(1)? {
            Expr::IntegerLiteral(period) => clamped(*period),
            _ => return None,
        };
        let hold = match args.get(2) {
            Some(Expr::IntegerLiteral(hold)) => *hold,
            _ => -1,
        };
        let warmup = match args.get(3) {
            Some(Expr::StringLiteral(text)) if text == "simple" => Warmup::Simple,
            Some(Expr::StringLiteral(text)) if text == "none" => Warmup::None,
            None if name == "chande_momentum_oscillator" => Warmup::None,
            _ => Warmup::Exponential,
        };
        let technical = Self { name: name.to_owned(), period, hold, warmup };
        technical.indicator().map(|_| technical)
    }

    fn indicator(&self) -> Option<Box<dyn Indicator>> {
        let (period, warmup) = (self.period, self.warmup);
        Some(match self.name.as_str() {
            "exponential_moving_average" => Box::new(exponential::Exponential::new(period, warmup)),
            "double_exponential_moving_average" => {
                Box::new(exponential::Double::new(period, warmup))
            }
            "triple_exponential_moving_average" => {
                Box::new(exponential::Triple::new(period, warmup))
            }
            "triple_exponential_derivative" => {
                Box::new(exponential::TripleDerivative::new(period, warmup))
            }
            "relative_strength_index" => {
                Box::new(relative_strength::RelativeStrength::new(period, warmup))
            }
            "kaufmans_efficiency_ratio" => Box::new(kaufman::Efficiency::new(period)),
            "kaufmans_adaptive_moving_average" => Box::new(kaufman::Adaptive::new(period)),
            "chande_momentum_oscillator" if warmup == Warmup::None => {
                Box::new(chande::Plain::new(period))
            }
            "chande_momentum_oscillator" => Box::new(chande::Smooth::new(period, warmup)),
            _ => return None,
        })
    }

    pub(crate) fn start(&self) -> Box<dyn Transformation> {
        let indicator = self.indicator();
        let own = indicator.as_ref().map_or(0, |indicator| indicator.values_before_first());
        let hold = if self.hold < 0 { own } else { clamped(self.hold) };
        Box::new(IndicatorState { indicator, hold, seen: 0 })
    }
}

#[derive(Debug)]
struct IndicatorState {
    indicator: Option<Box<dyn Indicator>>,
    hold: usize,
    seen: usize,
}

impl Transformation for IndicatorState {
    fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let (mut times_ns, mut results) = (Vec::new(), Vec::new());
        let (Some(indicator), Some(values)) = (&mut self.indicator, math::floats(&piece.values))
        else {
            return StreamBatch::empty(FieldType::Float);
        };
        for (&time_ns, &value) in piece.times_ns.iter().zip(&values) {
            let result = indicator.add(value);
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
