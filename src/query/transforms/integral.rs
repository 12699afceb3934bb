//! `integral(x, unit)`: the area under the line between values (1.x `FloatIntegralReducer`).

use super::{Piece, Stream};
use crate::model::value::FieldType;
use crate::query::result::Values;
use crate::scan::request::Window;

#[derive(Debug)]
pub(crate) struct Integral {
    unit_ns: i64,
    window: Option<Window>,
    descending: bool,
    last: Option<(i64, f64)>,
    /// Where the window at hand begins and ends in the direction of the statement.
    bounds: (i64, i64),
    sum: f64,
}

impl Integral {
    pub(crate) fn new(unit_ns: i64, window: Option<Window>, descending: bool) -> Self {
        Self { unit_ns, window, descending, last: None, bounds: (0, 0), sum: 0.0 }
    }

    fn bounds_of(&self, time_ns: i64) -> (i64, i64) {
        let Some(window) = &self.window else { return (0, 0) };
        let bounds = window.bounds(time_ns);
        if self.descending { (bounds.end, bounds.start) } else { (bounds.start, bounds.end) }
    }

    fn is_past(&self, time_ns: i64) -> bool {
        let end = self.bounds.1;
        self.window.is_some() && if self.descending { time_ns <= end } else { time_ns >= end }
    }

    fn add_area(&mut self, from: (i64, f64), to: (i64, f64)) {
        let elapsed = to.0.wrapping_sub(from.0) as f64 / self.unit_ns as f64;
        self.sum += 0.5 * (to.1 + from.1) * elapsed;
    }

    fn add(&mut self, time_ns: i64, value: f64, out: &mut (Vec<i64>, Vec<f64>)) {
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
                last = edge;
            }
            out.0.push(self.bounds.0);
            out.1.push(std::mem::take(&mut self.sum));
            self.bounds = self.bounds_of(time_ns);
        }
        self.add_area(last, (time_ns, value));
    }
}

impl Stream for Integral {
    fn push(&mut self, piece: &Piece) -> Piece {
        let Some(values) = crate::query::math::floats(&piece.values) else {
            return Piece::empty(FieldType::Float);
        };
        let mut out = (Vec::new(), Vec::new());
        for (&time_ns, &value) in piece.times_ns.iter().zip(values.iter()) {
            self.add(time_ns, value, &mut out);
        }
        Piece { times_ns: out.0, values: Values::Float(out.1) }
    }

    fn finish(&mut self) -> Option<Piece> {
        // A lone point where the window begins has no area, nor has one at the epoch without any.
        let (last_ns, _) = self.last.take()?;
        if last_ns == self.bounds.0 {
            return None;
        }
        // Without windows the epoch, whatever the range.
        Some(Piece { times_ns: vec![self.bounds.0], values: Values::Float(vec![self.sum]) })
    }
}
