//! Computes `elapsed(x, unit)`: the time between consecutive values (1.x `ElapsedReducer`).

use super::stream_batch::{StreamBatch, Transformation};
use crate::query::result::Values;

#[derive(Debug)]
pub(crate) struct Elapsed {
    unit_ns: i64,
    last_ns: Option<i64>,
}

impl Elapsed {
    pub(crate) fn new(unit_ns: i64) -> Self {
        Self { unit_ns, last_ns: None }
    }
}

impl Transformation for Elapsed {
    fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
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
