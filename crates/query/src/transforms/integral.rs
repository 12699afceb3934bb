//! Computes `integral(x, unit)`: the area under the line between values (1.x
//! `FloatIntegralReducer`).

use super::StreamBatch;
use crate::math;
use crate::result::Values;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::request::Window;
use tidemark_model::time::{MIN_TIME_NS, TimeRange};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Integral {
    unit_ns: i64,
    window: Option<Window>,
    range: TimeRange,
    direction: Direction,
    last: Option<(i64, f64)>,
    /// The current window's start and end, in the statement's direction.
    bounds: (i64, i64),
    sum: f64,
    /// Whether the values are integers, which 1.x treats differently in two places.
    integers: bool,
}

impl Integral {
    pub(super) fn new(
        unit_ns: i64,
        window: Option<Window>,
        range: TimeRange,
        direction: Direction,
    ) -> Self {
        let (last, bounds, sum, integers) = (None, (0, 0), 0.0, false);
        Self { unit_ns, window, range, direction, last, bounds, sum, integers }
    }

    fn bounds_of(&self, time_ns: i64) -> (i64, i64) {
        let bounds = match &self.window {
            Some(window) => window.bounds(time_ns),
            None if self.integers => {
                let start_ns = self.range.start_ns;
                let start_ns = if start_ns <= MIN_TIME_NS { 0 } else { start_ns };
                start_ns..self.range.end_ns
            }
            None => return (0, 0),
        };
        if self.direction.is_descending() {
            (bounds.end, bounds.start)
        } else {
            (bounds.start, bounds.end)
        }
    }

    fn is_past(&self, time_ns: i64) -> bool {
        let end = self.bounds.1;
        (self.window.is_some() || self.integers)
            && if self.direction.is_descending() { time_ns <= end } else { time_ns >= end }
    }

    fn add_area(&mut self, from: (i64, f64), to: (i64, f64)) {
        let elapsed = to.0.wrapping_sub(from.0) as f64 / self.unit_ns as f64;
        self.sum += 0.5 * (to.1 + from.1) * elapsed;
    }

    fn add(&mut self, time_ns: i64, mut value: f64, out: &mut (Vec<i64>, Vec<f64>)) {
        let Some(mut last) = self.last.replace((time_ns, value)) else {
            self.bounds = self.bounds_of(time_ns);
            return;
        };
        if last.0 == time_ns {
            return;
        }
        if self.is_past(time_ns) {
            let end = self.bounds.1;
            if last.0 != end {
                let slope = (value - last.1) / time_ns.wrapping_sub(last.0) as f64;
                let edge = (end, slope * end.wrapping_sub(last.0) as f64 + last.1);
                self.add_area(last, edge);
                if self.integers {
                    // 1.x assigns an integer at the border to the point after the border.
                    (last, value) = ((end, last.1), edge.1);
                } else {
                    last = edge;
                }
            }
            out.0.push(self.bounds.0);
            out.1.push(std::mem::take(&mut self.sum));
            self.bounds = self.bounds_of(time_ns);
        }
        self.add_area(last, (time_ns, value));
    }

    pub(super) fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        let Some(values) = math::floats(&piece.values) else { return StreamBatch::empty() };
        self.integers = !matches!(piece.values, Values::Float(_));
        let mut out = (Vec::new(), Vec::new());
        for (&time_ns, &value) in piece.times_ns.iter().zip(values.iter()) {
            self.add(time_ns, value, &mut out);
        }
        StreamBatch { times_ns: out.0, values: Values::Float(out.1) }
    }

    pub(super) fn finish(&mut self) -> Option<StreamBatch> {
        // A single point at the start of a window has no area. Without windows, a single point at
        // the epoch has no area either.
        if self.last.take().is_none_or(|(last_ns, _)| last_ns == self.bounds.0) {
            return None;
        }
        // Without windows, the result's time is the epoch for every range.
        let values = Values::Float(vec![self.sum]);
        Some(StreamBatch { times_ns: vec![self.bounds.0], values })
    }
}
