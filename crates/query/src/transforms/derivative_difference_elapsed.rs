//! Computes three functions of consecutive values (the name in 1.x is in parentheses):
//! - `derivative(x, unit)`: the change per unit of time (`FloatDerivativeReducer`)
//! - `difference(x)`: the change (`FloatDifferenceReducer`)
//! - `elapsed(x, unit)`: the elapsed time (`ElapsedReducer`)

use super::StreamBatch;
use crate::result::Values;
use tidemark_engine::merge::cursor::Direction;

/// The time and value of a stream's last point. Only the field with the stream's type is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LastPoint {
    float: Option<(i64, f64)>,
    integer: Option<(i64, i64)>,
    unsigned: Option<(i64, u64)>,
}

/// Returns the times and results of `change`, which receives a value, the previous value, and the
/// time between them. If several points have the same time, only the first point is used.
fn changes<T: Copy, R>(
    last: &mut Option<(i64, T)>,
    times_ns: &[i64],
    values: &[T],
    change: impl Fn(T, T, i64) -> Option<R>,
) -> (Vec<i64>, Vec<R>) {
    let (mut shown_ns, mut results) = (Vec::new(), Vec::new());
    for (&time_ns, &value) in times_ns.iter().zip(values) {
        match *last {
            Some((last_ns, _)) if last_ns == time_ns => continue,
            Some((last_ns, last)) => {
                if let Some(result) = change(value, last, time_ns.wrapping_sub(last_ns)) {
                    shown_ns.push(time_ns);
                    results.push(result);
                }
            }
            None => {}
        }
        *last = Some((time_ns, value));
    }
    (shown_ns, results)
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Derivative {
    pub(super) unit_ns: i64,
    pub(super) non_negative: bool,
    pub(super) direction: Direction,
    pub(super) last: LastPoint,
}

impl Derivative {
    pub(super) fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let Self { unit_ns, non_negative, direction, ref mut last } = *self;
        let rate = |change: f64, passed_ns: i64| {
            let passed_ns = if direction.is_descending() { -passed_ns } else { passed_ns };
            let is_shown = !(non_negative && change < 0.0);
            is_shown.then(|| change / (passed_ns as f64 / unit_ns as f64))
        };
        let times_ns = &piece.times_ns;
        let (times_ns, rates) = match &piece.values {
            Values::Float(values) => {
                changes(&mut last.float, times_ns, values, |a, b, ns| rate(a - b, ns))
            }
            Values::Integer(values) => {
                let change = |a: i64, b, ns| rate(a.wrapping_sub(b) as f64, ns);
                changes(&mut last.integer, times_ns, values, change)
            }
            Values::Unsigned(values) => {
                let change = |a: u64, b| if a > b { (a - b) as f64 } else { -((b - a) as f64) };
                changes(&mut last.unsigned, times_ns, values, |a, b, ns| rate(change(a, b), ns))
            }
            Values::String(_) | Values::Boolean(_) => return StreamBatch::empty(),
        };
        StreamBatch { times_ns, values: Values::Float(rates) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(super) non_negative: bool,
    pub(super) last: LastPoint,
}

impl Difference {
    pub(super) fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let (last, all, times_ns) = (&mut self.last, !self.non_negative, &piece.times_ns);
        let (times_ns, values) = match &piece.values {
            Values::Float(values) => {
                let change = |a: f64, b, _| {
                    let is_negative = a < b;
                    (all || !is_negative).then_some(a - b)
                };
                let (times_ns, changes) = changes(&mut last.float, times_ns, values, change);
                (times_ns, Values::Float(changes))
            }
            Values::Integer(values) => {
                let change = |a: i64, b, _| Some(a.wrapping_sub(b)).filter(|&by| all || by >= 0);
                let (times_ns, changes) = changes(&mut last.integer, times_ns, values, change);
                (times_ns, Values::Integer(changes))
            }
            Values::Unsigned(values) => {
                let change = |a: u64, b, _| (all || a >= b).then(|| a.wrapping_sub(b));
                let (times_ns, changes) = changes(&mut last.unsigned, times_ns, values, change);
                (times_ns, Values::Unsigned(changes))
            }
            Values::String(_) | Values::Boolean(_) => return StreamBatch::empty(),
        };
        StreamBatch { times_ns, values }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Elapsed {
    pub(super) unit_ns: i64,
    pub(super) last_ns: Option<i64>,
}

impl Elapsed {
    pub(super) fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let (mut times_ns, mut results) = (Vec::new(), Vec::new());
        for &time in &piece.times_ns {
            if let Some(last) = self.last_ns.replace(time) {
                times_ns.push(time);
                results.push(time.wrapping_sub(last).checked_div(self.unit_ns).unwrap_or(0));
            }
        }
        StreamBatch { times_ns, values: Values::Integer(results) }
    }
}
