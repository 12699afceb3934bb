//! Limits the rows of operators that the memory pool does not control. Window functions and
//! aggregates that build a single text keep all rows in memory without a reservation. Series,
//! recursive queries and joins can produce many rows from few rows. Operators with many or costly
//! expressions get smaller batches.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::Stream;

use crate::error::{Fault, QueryError};
use crate::functions::slice_bytes;
use crate::limits::{
    MADE_ROWS_MAX, PAIRS_MAX, RECURSION_ROWS_MAX, ROWS_PER_BATCH_MIN, WINDOW_BYTES_MAX,
    WINDOW_ROWS_MAX,
};
use crate::sessions::Capabilities;
use crate::tables::expressions::{self, Evaluation};
use crate::tables::pairs_cap::{self, Held, Side};
use crate::tables::window_rows;
use crate::turns::Pace;

pub(super) fn cap(
    node: Arc<dyn ExecutionPlan>,
    _: Capabilities,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let node = pairs_cap::cap(node)?;
    if let Some(limit) = makes_rows(&node) {
        return Ok(Transformed::yes(Arc::new(RowsCap { input: node, limit })));
    }
    let evaluation = expressions::evaluation(&node)?;
    let held = held_rows(&node, evaluation).map(Limit::Held);
    let partitions = windows(&node).and_then(partitions);
    let limits: Vec<Limit> =
        evaluation.map(Limit::Evaluated).into_iter().chain(held).chain(partitions).collect();
    if limits.is_empty() {
        return Ok(Transformed::no(node));
    }
    let capped = |child: &Arc<dyn ExecutionPlan>| {
        limits.iter().fold(Arc::clone(child), |input, limit| {
            Arc::new(RowsCap { input, limit: limit.clone() }) as Arc<dyn ExecutionPlan>
        })
    };
    let capped: Vec<Arc<dyn ExecutionPlan>> = node.children().into_iter().map(capped).collect();
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(capped, options).map(Transformed::yes)
}

/// Returns the maximum number of input rows, if the operator keeps its input in memory.
fn held_rows(node: &Arc<dyn ExecutionPlan>, evaluation: Option<Evaluation>) -> Option<usize> {
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let mut calls = aggregate.aggr_expr().iter();
        let is_text = calls.any(|call| call.fun().name() == "string_agg");
        return is_text.then_some(WINDOW_ROWS_MAX);
    }
    // A window function evaluates its constant arguments for all rows at once.
    windows(node)?;
    Some(evaluation.map_or(WINDOW_ROWS_MAX, |evaluation| evaluation.rows_of_constants))
}

fn windows(node: &Arc<dyn ExecutionPlan>) -> Option<&[Arc<dyn WindowExpr>]> {
    match node.downcast_ref::<WindowAggExec>() {
        Some(window) => Some(window.window_expr()),
        None => Some(node.downcast_ref::<BoundedWindowAggExec>()?.window_expr()),
    }
}

/// Returns the limit on the partitions of an operator's window functions, which all have the same
/// partitions.
fn partitions(windows: &[Arc<dyn WindowExpr>]) -> Option<Limit> {
    let pairs_max = windows.iter().filter_map(window_rows::pairs_max).min()?;
    Some(Limit::Partitions(windows.first()?.partition_by().to_vec(), pairs_max))
}

fn makes_rows(node: &Arc<dyn ExecutionPlan>) -> Option<Limit> {
    if node.is::<RecursiveQueryExec>() {
        return Some(Limit::Recursive);
    }
    let makes = node.is::<LazyMemoryExec>()
        || node.is::<UnnestExec>()
        || node.is::<CrossJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<HashJoinExec>()
        || node.is::<SortMergeJoinExec>();
    makes.then_some(Limit::Made)
}

#[derive(Clone, Debug)]
pub(super) enum Limit {
    Held(usize),
    Made,
    Recursive,
    /// A limit on the pairs of rows that a join compares: the side, and the rows of the side that
    /// the join keeps in memory.
    Pairs(Side, Arc<Held>),
    /// A limit on the pairs of rows of the same partition: the columns of PARTITION BY, and the
    /// maximum number of pairs.
    Partitions(Vec<Arc<dyn PhysicalExpr>>, usize),
    /// A limit on the rows of a batch.
    Evaluated(Evaluation),
}

impl Limit {
    fn rows(&self) -> usize {
        match self {
            Self::Held(rows) => *rows,
            Self::Made => MADE_ROWS_MAX,
            Self::Recursive => RECURSION_ROWS_MAX,
            Self::Pairs(..) => PAIRS_MAX,
            Self::Partitions(_, pairs_max) => *pairs_max,
            Self::Evaluated(evaluation) => evaluation.rows,
        }
    }

    /// Returns the maximum number of rows in a batch.
    fn batch_rows(&self) -> usize {
        match self {
            Self::Evaluated(evaluation) => evaluation.rows,
            _ => usize::MAX,
        }
    }

    /// Returns the cost of a row.
    fn row_cost(&self) -> usize {
        match self {
            Self::Evaluated(evaluation) => evaluation.row_cost,
            _ => 1,
        }
    }

    pub(super) fn error(&self) -> QueryError {
        let what = match self {
            Self::Held(_) | Self::Evaluated(_) => "a window function or string_agg processes",
            Self::Made => "a join or a series returns",
            Self::Recursive => "a recursive query returns",
            Self::Pairs(..) => "a join compares",
            Self::Partitions(..) => "a window function reads",
        };
        let (unit, remedy) = match self {
            Self::Pairs(..) => (
                "pairs of rows",
                "narrow the time range, join on more columns, or replace EXISTS with IN (SELECT …)",
            ),
            Self::Partitions(..) => (
                "pairs of rows of the same partition",
                "use smaller partitions, or a frame of a few rows",
            ),
            _ => ("rows", "narrow the time range or aggregate first"),
        };
        let message = format!("{what} more than {} {unit}: {remedy}", self.rows());
        QueryError { fault: Fault::Memory, message }
    }
}

fn too_many_bytes() -> QueryError {
    let message = format!(
        "a window function or string_agg processes more than {WINDOW_BYTES_MAX} bytes: select \
         fewer columns, narrow the time range or aggregate first"
    );
    QueryError { fault: Fault::Memory, message }
}

/// An operator that returns an error if its input has too many rows.
#[derive(Debug)]
pub(super) struct RowsCap {
    pub(super) input: Arc<dyn ExecutionPlan>,
    pub(super) limit: Limit,
}

impl DisplayAs for RowsCap {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.limit.rows())
    }
}

impl ExecutionPlan for RowsCap {
    fn name(&self) -> &'static str {
        match self.limit {
            Limit::Pairs(..) | Limit::Partitions(..) => "PairsCap",
            Limit::Evaluated(_) => "BatchCap",
            _ => "RowsCap",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, limit: self.limit.clone() }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let pace = Pace::of(&context);
        if let Limit::Pairs(Side::Held, held) = &self.limit {
            held.clear();
        }
        let input = self.input.execute(partition, context)?;
        Ok(match self.limit.clone() {
            Limit::Pairs(side, held) => pairs_cap::compared(input, side, held, pace),
            Limit::Partitions(keys, pairs_max) => pairs_cap::partitioned(input, keys, pairs_max),
            limit => Box::pin(Capped { input, rest: None, rows: 0, bytes: 0, limit, pace }),
        })
    }
}

struct Capped {
    input: SendableRecordBatchStream,
    /// The rest of a batch that has too many rows.
    rest: Option<RecordBatch>,
    rows: usize,
    bytes: usize,
    limit: Limit,
    pace: Arc<Pace>,
}

impl Capped {
    /// Returns the first rows of `batch` and counts them. Keeps the rest.
    fn count(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows().min(self.limit.batch_rows());
        let rest = batch.num_rows() - rows;
        self.rest = (rest > 0).then(|| batch.slice(rows, rest));
        let batch = if rest > 0 { batch.slice(0, rows) } else { batch };
        self.pace.made(rows.saturating_mul(self.limit.row_cost()).max(ROWS_PER_BATCH_MIN));
        self.rows += rows;
        match self.limit {
            Limit::Evaluated(_) => return Ok(batch),
            Limit::Held(_) => {
                self.bytes +=
                    batch.columns().iter().map(|column| slice_bytes(column)).sum::<usize>()
            }
            _ => {}
        }
        if self.rows > self.limit.rows() {
            return Err(self.limit.error().into());
        }
        if self.bytes > WINDOW_BYTES_MAX {
            return Err(too_many_bytes().into());
        }
        Ok(batch)
    }
}

impl Stream for Capped {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.pace.is_over() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(self.count(rest)));
        }
        self.input.as_mut().poll_next(context).map(|batch| match batch? {
            Ok(batch) => Some(self.count(batch)),
            Err(error) => Some(Err(error)),
        })
    }
}

impl RecordBatchStream for Capped {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
