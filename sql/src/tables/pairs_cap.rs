//! Limits joins that compare many pairs of rows without returning a row for each pair. The limits
//! apply to the number of compared pairs, both in total and per turn. A nested-loop join compares
//! all pairs. A hash join compares the pairs with equal keys, and may reject them with a further
//! condition, or return each row only once. This module also limits the number of row pairs within
//! the partitions of window functions.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array as _, RecordBatch};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};
use futures::StreamExt as _;

use crate::error::QueryError;
use crate::limits::{
    CHECKED_PAIRS_MAX, JOIN_CONSTANT_BYTES_MAX, KEY_COUNTERS, PAIRS_MAX, PAIRS_PER_ROW,
    TURN_ROWS_MAX,
};
use crate::tables::expressions;
use crate::tables::pieces::{Piece, in_pieces};
use crate::tables::rows_cap::{Limit, RowsCap, too_many};
use crate::turns::Pace;

/// Adds a cap to both sides of a join that may compare more pairs than it returns rows. Does not
/// change other operators.
pub(super) fn cap(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let keys = match node.downcast_ref::<HashJoinExec>() {
        Some(join) if returns_every_pair(join) => return Ok(node),
        Some(join) => Some(Keys::of(join)),
        None if node.is::<NestedLoopJoinExec>() => None,
        None => return Ok(node),
    };
    let parts = expressions::parts(&node)?;
    if parts.constant_bytes > JOIN_CONSTANT_BYTES_MAX {
        let message = format!(
            "the condition of a join contains more than {JOIN_CONSTANT_BYTES_MAX} bytes of \
             constants: use shorter strings"
        );
        return Err(QueryError::exhausted(message).into());
    }
    let is_costly = parts.has_checked;
    let build_rows = Arc::new(BuildRows { rows: AtomicUsize::new(0), keys, is_costly });
    let children = node.children().into_iter().zip([Side::Build, Side::Probe]);
    let capped: Vec<Arc<dyn ExecutionPlan>> = children
        .map(|(input, side)| {
            let limit = Limit::Pairs(side, Arc::clone(&build_rows));
            Arc::new(RowsCap { input: Arc::clone(input), limit }) as Arc<dyn ExecutionPlan>
        })
        .collect();
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(capped, options)
}

fn returns_every_pair(join: &HashJoinExec) -> bool {
    use JoinType::{Full, Inner, Left, Right};
    join.filter().is_none() && matches!(join.join_type(), Inner | Left | Right | Full)
}

/// The build side or the probe side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The join reads this side completely and keeps its rows in memory.
    Build,
    /// The join compares each batch of this side with the rows that it keeps in memory.
    Probe,
}

/// The rows that a join keeps in memory.
#[derive(Debug)]
pub(super) struct BuildRows {
    rows: AtomicUsize,
    /// The keys of a hash join.
    keys: Option<Keys>,
    /// Whether the condition of the join calls costly functions.
    is_costly: bool,
}

/// The keys of a hash join, with counters for the rows that the join keeps in memory.
#[derive(Debug)]
struct Keys {
    build: Vec<Arc<dyn PhysicalExpr>>,
    probe: Vec<Arc<dyn PhysicalExpr>>,
    null_equality: NullEquality,
    /// The number of rows in memory for each hash of a key, modulo `KEY_COUNTERS`.
    counters: Mutex<Vec<u32>>,
}

impl Keys {
    fn of(join: &HashJoinExec) -> Self {
        let (build, probe) = join.on().iter().cloned().unzip();
        Self { build, probe, null_equality: join.null_equality(), counters: Mutex::default() }
    }

    /// Calls `each` with the counter of each row, except rows whose keys contain NULL and therefore
    /// match no row.
    fn for_each(
        &self,
        batch: &RecordBatch,
        side: Side,
        mut each: impl FnMut(usize, &mut u32),
    ) -> Result<()> {
        let keys = if side == Side::Build { &self.build } else { &self.probe };
        let value = |key: &Arc<dyn PhysicalExpr>| key.evaluate(batch)?.into_array(batch.num_rows());
        let values = keys.iter().map(value).collect::<Result<Vec<_>>>()?;
        let mut hashes = vec![0; batch.num_rows()];
        create_hashes(&values, &RandomState::with_seed(0), &mut hashes)?;
        let nulls: Vec<NullBuffer> = match self.null_equality {
            NullEquality::NullEqualsNothing => {
                values.iter().filter_map(|values| values.logical_nulls()).collect()
            }
            NullEquality::NullEqualsNull => Vec::new(),
        };
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.resize(KEY_COUNTERS, 0);
        for (row, hash) in hashes.into_iter().enumerate() {
            // The remainder fits in usize.
            let counter = counters.get_mut((hash % KEY_COUNTERS as u64) as usize);
            if let Some(counter) = counter
                && !nulls.iter().any(|nulls| nulls.is_null(row))
            {
                each(row, counter);
            }
        }
        Ok(())
    }
}

impl BuildRows {
    /// Forgets the rows of an earlier execution. A recursive query executes its joins repeatedly.
    pub(super) fn clear(&self) {
        self.rows.store(0, Ordering::Relaxed);
        if let Some(keys) = &self.keys {
            keys.counters.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn add(&self, batch: &RecordBatch) -> Result<()> {
        self.rows.fetch_add(batch.num_rows(), Ordering::Relaxed);
        match &self.keys {
            Some(keys) => keys.for_each(batch, Side::Build, |_, counter| *counter += 1),
            None => Ok(()),
        }
    }

    /// Returns the approximate number of pairs that the join compares for each row of `batch`.
    fn pairs(&self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let rows = self.rows.load(Ordering::Relaxed);
        let Some(keys) = &self.keys else { return Ok(vec![rows.max(1); batch.num_rows()]) };
        let mut pairs = vec![0; batch.num_rows()];
        // Different keys share a counter, so the average number of rows per counter does not count.
        let average = rows / KEY_COUNTERS;
        keys.for_each(batch, Side::Probe, |row, counter| {
            if let Some(pairs) = pairs.get_mut(row) {
                *pairs = (*counter as usize).saturating_sub(average);
            }
        })?;
        Ok(pairs)
    }
}

/// Returns the rows of one side of a join.
pub(super) fn compared(
    input: SendableRecordBatchStream,
    side: Side,
    build_rows: Arc<BuildRows>,
    pace: Arc<Pace>,
) -> SendableRecordBatchStream {
    let (pairs_max, pairs_per_row) = match build_rows.is_costly {
        true => (CHECKED_PAIRS_MAX, 1),
        false => (TURN_ROWS_MAX * PAIRS_PER_ROW, PAIRS_PER_ROW),
    };
    let split = move |batch: &RecordBatch| -> Result<VecDeque<Piece>> {
        match side {
            Side::Build => build_rows.add(batch).map(|()| [Piece::whole(batch)].into()),
            Side::Probe => Ok(pieces(&build_rows.pairs(batch)?, pairs_max)),
        }
    };
    let mut pairs = 0_usize;
    in_pieces(input, pace, split, move |pace, _, piece| {
        pairs = pairs.saturating_add(piece.pairs);
        if pairs > PAIRS_MAX {
            let remedy = "narrow the time range, join on more columns, or replace EXISTS with IN \
                          (SELECT …)";
            return Err(too_many("a join compares", PAIRS_MAX, "pairs of rows", remedy).into());
        }
        pace.made(piece.pairs / pairs_per_row);
        Ok(())
    })
}

/// Divides rows, for each of which a join compares this number of pairs. Each piece has at most
/// `pairs_max` pairs, or one row.
fn pieces(pairs: &[usize], pairs_max: usize) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    let mut piece = Piece { rows: 0, pairs: 0 };
    for &of_row in pairs {
        if piece.rows > 0 && piece.pairs.saturating_add(of_row) > pairs_max {
            pieces.push_back(piece);
            piece = Piece { rows: 0, pairs: 0 };
        }
        piece = Piece { rows: piece.rows + 1, pairs: piece.pairs.saturating_add(of_row) };
    }
    pieces.push_back(piece);
    pieces
}

/// Returns the rows of a window function's input. Different partitions may share a counter, so the
/// number of pairs is approximate.
pub(super) fn partitioned(
    input: SendableRecordBatchStream,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    pairs_max: usize,
) -> SendableRecordBatchStream {
    let (null_equality, counters) = (NullEquality::NullEqualsNull, Mutex::default());
    let keys = Keys { build: keys, probe: Vec::new(), null_equality, counters };
    let mut pairs = 0_usize;
    let schema = input.schema();
    let counted = input.map(move |batch| {
        let batch = batch?;
        keys.for_each(&batch, Side::Build, |_, counter| {
            // The difference between the squares of two consecutive numbers.
            pairs = pairs.saturating_add(2 * *counter as usize + 1);
            *counter += 1;
        })?;
        if pairs > pairs_max {
            let unit = "pairs of rows of the same partition";
            let remedy = "use smaller partitions, or a frame of a few rows";
            return Err(too_many("a window function reads", pairs_max, unit, remedy).into());
        }
        Ok(batch)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, counted))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::physical_expr::expressions::Column;

    use super::*;

    fn batch(keys: &[Option<i64>]) -> RecordBatch {
        let keys: Int64Array = keys.iter().copied().collect();
        RecordBatch::try_from_iter([("k", Arc::new(keys) as _)]).unwrap()
    }

    fn build_rows(null_equality: NullEquality) -> Arc<BuildRows> {
        let keys = vec![Arc::new(Column::new("k", 0)) as Arc<dyn PhysicalExpr>];
        let (build, probe, counters) = (keys.clone(), keys, Mutex::default());
        let keys = Some(Keys { build, probe, null_equality, counters });
        Arc::new(BuildRows { rows: AtomicUsize::new(0), keys, is_costly: false })
    }

    #[test]
    fn rows_with_equal_keys_are_counted() {
        let rows = batch(&[Some(1), None, Some(7), Some(7), None, Some(7)]);
        for (null_equality, nulls) in
            [(NullEquality::NullEqualsNothing, 0), (NullEquality::NullEqualsNull, 2)]
        {
            let build_rows = build_rows(null_equality);
            build_rows.add(&rows).unwrap();
            let probe = batch(&[Some(7), Some(8), None, Some(1)]);
            assert_eq!(build_rows.pairs(&probe).unwrap(), [3, 0, nulls, 1]);
            build_rows.clear();
            assert_eq!(build_rows.pairs(&probe).unwrap(), [0; 4]);
        }
    }

    #[test]
    fn pieces_have_limited_pairs() {
        for (pairs, expected) in [
            (&[1, 9, 1, 30, 0, 1][..], &[(2, 10), (1, 1), (1, 30), (2, 1)][..]),
            (&[0, 0], &[(2, 0)]),
            (&[], &[(0, 0)]),
        ] {
            let made = pieces(pairs, 10);
            let made: Vec<_> = made.iter().map(|piece| (piece.rows, piece.pairs)).collect();
            assert_eq!(made, expected, "{pairs:?}");
        }
    }

    #[tokio::test]
    async fn pairs_of_partitions_are_limited() {
        let keys = || vec![Arc::new(Column::new("k", 0)) as Arc<dyn PhysicalExpr>];
        let rows = batch(&[Some(1), None, Some(7), Some(7), None, Some(7)]);
        // The partitions have 1, 2 and 3 rows.
        for (keys, pairs) in [(keys(), 1 + 4 + 9), (Vec::new(), 36)] {
            let passes = async |pairs_max: usize| {
                let input = futures::stream::iter([Ok(rows.slice(0, 4)), Ok(rows.slice(4, 2))]);
                let input = Box::pin(RecordBatchStreamAdapter::new(rows.schema(), input));
                partitioned(input, keys.clone(), pairs_max).all(async |batch| batch.is_ok()).await
            };
            assert!(passes(pairs).await);
            assert!(!passes(pairs - 1).await);
        }
    }
}
