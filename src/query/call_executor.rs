//! Runs a call over one group, and applies the call's transformations and the statement's LIMIT.

use super::error::QueryError;
use super::operators::gather::GatherExecutor;
use super::operators::limit::Limiter;
use super::operators::series::CallSeries;
use super::plan::CallPlan;
use super::result::Column;
use super::transforms::{Finish, StreamBatch, Transform, Transformation};
use super::work::Work;
use crate::admission::QueryReservation;

#[derive(Debug)]
pub(super) struct CallExecutor {
    streams: Vec<Box<dyn Transformation>>,
    pub(super) limiter: Limiter,
    pub(super) gathered: GatherExecutor,
    pub(super) series: Option<CallSeries>,
    finished_streams: usize,
    /// The last values of the previous transformation, which are the input of the current one.
    left: Option<StreamBatch>,
    through: Option<StreamBatch>,
}

impl CallExecutor {
    pub(super) fn new(
        plan: &CallPlan,
        limiter: Limiter,
        room: &QueryReservation,
        work: &Work,
    ) -> Self {
        Self {
            streams: plan.transforms.iter().map(Transform::start).collect(),
            limiter,
            gathered: GatherExecutor::new(room, work),
            series: None,
            finished_streams: 0,
            left: None,
            through: None,
        }
    }

    pub(super) fn push(&mut self, mut piece: StreamBatch) {
        for stream in &mut self.streams {
            piece = stream.push(&piece);
        }
        self.keep(piece);
    }

    /// Collects the last values of the transformations. Returns `false` if the statement must pause
    /// first.
    pub(super) fn finish_streams(&mut self, work: &Work) -> Result<bool, QueryError> {
        while let Some(stream) = self.streams.get_mut(self.finished_streams) {
            if let Some(piece) = self.left.take() {
                self.through = Some(stream.push(&piece));
            }
            // `finish` returns values only for functions that return their values at the end.
            self.left = match stream.finish(work)? {
                Finish::Pause => return Ok(false),
                Finish::Nothing => self.through.take(),
                Finish::StreamBatch(last) => Some(last),
            };
            self.finished_streams += 1;
        }
        if let Some(piece) = self.left.take() {
            self.keep(piece);
        }
        Ok(true)
    }

    fn keep(&mut self, piece: StreamBatch) {
        let (times_ns, values) = (piece.times_ns, Column::full(piece.values));
        self.keep_series(CallSeries { times_ns, values, aux: Vec::new() });
    }

    /// Adds rows to which the transformations were applied. Drops the rows that LIMIT and OFFSET
    /// hide.
    pub(super) fn keep_series(&mut self, next: CallSeries) {
        let count = next.times_ns.len();
        let (from, to) = self.limiter.take(count);
        let next = if (from, to) == (0, count) { next } else { next.slice(from, to) };
        match &mut self.series {
            _ if next.times_ns.is_empty() => {}
            Some(series) => series.extend(&next),
            none => *none = Some(next),
        }
    }
}
