//! Limits joins that compare each row of one side with each row of the other side. The limits apply
//! to the number of compared pairs, both in total and per turn, because such a join can compare
//! many pairs without finding a match.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};
use futures::Stream;

use crate::limits::{PAIRS_MAX, PAIRS_PER_ROW, TURN_ROWS_MAX};
use crate::tables::rows_cap::{Limit, RowsCap};
use crate::turns::Pace;

/// Adds a cap to both sides of a join that compares all pairs of rows. Does not change other
/// operators.
pub(super) fn cap(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if !node.is::<NestedLoopJoinExec>() {
        return Ok(node);
    }
    let held = Arc::new(AtomicUsize::new(0));
    let children = node.children().into_iter().zip([Side::Held, Side::Streamed]);
    let capped: Vec<Arc<dyn ExecutionPlan>> = children
        .map(|(input, side)| {
            let limit = Limit::Pairs(side, Arc::clone(&held));
            Arc::new(RowsCap { input: Arc::clone(input), limit }) as Arc<dyn ExecutionPlan>
        })
        .collect();
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(capped, options)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The join reads this side completely and keeps its rows in memory.
    Held,
    /// The join compares each batch of this side with all rows that it keeps in memory.
    Streamed,
}

/// Returns the rows of one side of a join.
pub(super) fn compared(
    input: SendableRecordBatchStream,
    side: Side,
    held: Arc<AtomicUsize>,
    pace: Arc<Pace>,
) -> SendableRecordBatchStream {
    Box::pin(Compared { input, side, held, pairs: 0, rest: None, pace })
}

struct Compared {
    input: SendableRecordBatchStream,
    side: Side,
    held: Arc<AtomicUsize>,
    pairs: usize,
    /// The rest of a batch that the join compares in later turns.
    rest: Option<RecordBatch>,
    pace: Arc<Pace>,
}

impl Compared {
    /// Returns the part of `batch` that the join compares in this turn. Keeps the rest for later
    /// turns.
    fn piece(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        if self.side == Side::Held {
            self.held.fetch_add(batch.num_rows(), Ordering::Relaxed);
            return Ok(batch);
        }
        let held = self.held.load(Ordering::Relaxed).max(1);
        let rows = batch.num_rows().min((TURN_ROWS_MAX * PAIRS_PER_ROW / held).max(1));
        let pairs = rows.saturating_mul(held);
        self.pairs = self.pairs.saturating_add(pairs);
        if self.pairs > PAIRS_MAX {
            return Err(Limit::Pairs(self.side, Arc::clone(&self.held)).error().into());
        }
        self.pace.made(pairs / PAIRS_PER_ROW);
        let left = batch.num_rows() - rows;
        self.rest = (left > 0).then(|| batch.slice(rows, left));
        Ok(batch.slice(0, rows))
    }
}

impl Stream for Compared {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.pace.is_over() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(self.piece(rest)));
        }
        self.input.as_mut().poll_next(context).map(|batch| match batch? {
            Ok(batch) => Some(self.piece(batch)),
            Err(error) => Some(Err(error)),
        })
    }
}

impl RecordBatchStream for Compared {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
