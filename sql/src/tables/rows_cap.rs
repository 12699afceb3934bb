//! Limits the rows of operators that the memory pool does not control. Window functions and
//! aggregates that build a single text keep all rows in memory without a reservation. Series,
//! recursive queries and joins can produce many rows from few rows.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
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
use crate::limits::{
    MADE_ROWS_MAX, PAIRS_MAX, RECURSION_ROWS_MAX, ROWS_PER_BATCH_MIN, WINDOW_ROWS_MAX,
};
use crate::tables::pairs_cap::{self, Side};
use crate::turns::Pace;

#[derive(Debug)]
pub(crate) struct RowsCapRule;

impl PhysicalOptimizerRule for RowsCapRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(cap).data()
    }

    fn name(&self) -> &str {
        "cap_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn cap(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let node = pairs_cap::cap(node)?;
    if let Some(limit) = makes_rows(&node) {
        return Ok(Transformed::yes(Arc::new(RowsCap { input: node, limit })));
    }
    if !holds_its_rows(&node) {
        return Ok(Transformed::no(node));
    }
    let children = node.children().into_iter();
    let capped: Vec<Arc<dyn ExecutionPlan>> = children
        .map(|child| RowsCap { input: Arc::clone(child), limit: Limit::Held })
        .map(|cap| Arc::new(cap) as Arc<dyn ExecutionPlan>)
        .collect();
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(capped, options).map(Transformed::yes)
}

fn holds_its_rows(node: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let mut calls = aggregate.aggr_expr().iter();
        return calls.any(|call| call.fun().name() == "string_agg");
    }
    node.is::<WindowAggExec>() || node.is::<BoundedWindowAggExec>()
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
    Held,
    Made,
    Recursive,
    /// A limit on the pairs of rows that a join compares: the side, and the rows of the side that
    /// the join keeps in memory.
    Pairs(Side, Arc<AtomicUsize>),
}

impl Limit {
    fn rows(&self) -> usize {
        match self {
            Self::Held => WINDOW_ROWS_MAX,
            Self::Made => MADE_ROWS_MAX,
            Self::Recursive => RECURSION_ROWS_MAX,
            Self::Pairs(..) => PAIRS_MAX,
        }
    }

    pub(super) fn error(&self) -> QueryError {
        let what = match self {
            Self::Held => "a window function or string_agg processes",
            Self::Made => "a join or a series returns",
            Self::Recursive => "a recursive query returns",
            Self::Pairs(..) => "a join compares",
        };
        let (unit, remedy) = match self {
            Self::Pairs(..) => ("pairs of rows", "narrow the time range, or join on equal columns"),
            _ => ("rows", "narrow the time range or aggregate first"),
        };
        let message = format!("{what} more than {} {unit}: {remedy}", self.rows());
        QueryError { fault: Fault::Memory, message }
    }
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
            Limit::Pairs(..) => "PairsCap",
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
        let input = self.input.execute(partition, context)?;
        Ok(match self.limit.clone() {
            Limit::Pairs(side, held) => pairs_cap::compared(input, side, held, pace),
            limit => Box::pin(Capped { input, rows: 0, limit, pace }),
        })
    }
}

struct Capped {
    input: SendableRecordBatchStream,
    rows: usize,
    limit: Limit,
    pace: Arc<Pace>,
}

impl Stream for Capped {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.pace.is_over() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.input.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(batch))) = &polled {
            self.pace.made(batch.num_rows().max(ROWS_PER_BATCH_MIN));
            self.rows += batch.num_rows();
            if self.rows > self.limit.rows() {
                return Poll::Ready(Some(Err(self.limit.error().into())));
            }
        }
        polled
    }
}

impl RecordBatchStream for Capped {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
