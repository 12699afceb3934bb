//! Passes the rows of an operator on in pieces, over several turns.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt as _;
use futures::stream::try_unfold;

use crate::turns::Pace;

/// A piece of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) rows: usize,
    /// The number of row pairs that a join compares for the piece, or 0.
    pub(super) pairs: usize,
}

impl Piece {
    pub(super) fn whole(batch: &RecordBatch) -> Self {
        Self { rows: batch.num_rows(), pairs: 0 }
    }

    /// Divides a batch into pieces of at most `rows_max` rows.
    pub(super) fn small(batch: &RecordBatch, rows_max: usize) -> VecDeque<Self> {
        let mut left = batch.num_rows();
        let mut pieces = VecDeque::from([Self { rows: left.min(rows_max), pairs: 0 }]);
        while left > rows_max {
            left -= rows_max;
            pieces.push_back(Self { rows: left.min(rows_max), pairs: 0 });
        }
        pieces
    }
}

/// Returns the rows of `input`. `split` divides each batch into at least one piece. `count` gets
/// every piece before the next operator gets the piece.
pub(super) fn in_pieces(
    input: SendableRecordBatchStream,
    pace: Arc<Pace>,
    split: impl FnMut(&RecordBatch) -> Result<VecDeque<Piece>> + Send + 'static,
    count: impl FnMut(&Pace, &RecordBatch, Piece) -> Result<()> + Send + 'static,
) -> SendableRecordBatchStream {
    let schema = input.schema();
    let state = (input, pace, split, count, None);
    let passed = try_unfold(state, |(mut input, pace, mut split, mut count, rest)| async move {
        pace.wait().await;
        let (batch, mut pieces) = match rest {
            Some(rest) => rest,
            None => {
                let Some(batch) = input.next().await.transpose()? else { return Ok(None) };
                let pieces = split(&batch)?;
                (batch, pieces)
            }
        };
        let Some(piece) = pieces.pop_front() else { return Ok(None) };
        let (passed, rest) = match pieces.is_empty() {
            true => (batch, None),
            false => {
                let rest = batch.slice(piece.rows, batch.num_rows() - piece.rows);
                (batch.slice(0, piece.rows), Some((rest, pieces)))
            }
        };
        count(&pace, &passed, piece)?;
        Ok::<_, DataFusionError>(Some((passed, (input, pace, split, count, rest))))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, passed))
}
