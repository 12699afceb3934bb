//! Caches the plans of recent statements. Planning a small statement takes longer than executing
//! its plan, and dashboards repeat their statements.
//!
//! A plan depends only on three inputs: the statement, the schemas of its tables, and the
//! operations that the owner of the data supports. A plan that depends on any other input, such as
//! the current time, is not cached.
//!
//! Before the lookup, [`RowFilter`](crate::tables::RowFilter) moves conditions from the statement
//! to its scan. Statements that differ only in these conditions share one plan.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;

use crate::limits::{CACHED_COLUMNS_MAX, CACHED_PLANS_MAX};
use crate::messages::TableSchema;
use crate::plan::Plan;

/// The operators that have no state between two executions.
const STATELESS: [&str; 17] = [
    "AggregateExec",
    "BatchCap",
    "BoundedWindowAggExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "EmptyExec",
    "FilterExec",
    "GapFillExec",
    "GlobalLimitExec",
    "LocalLimitExec",
    "PlaceholderRowExec",
    "ProjectionExec",
    "RowsCap",
    "Scan",
    "SortExec",
    // This operator passes a filter to its input, which excludes rows that cannot be among the
    // first rows. Each copy of the plan has a separate filter.
    "SortExec(TopK)",
    "UnionExec",
];

/// The cached plans. The most recently used plan is at the end.
#[derive(Debug, Default)]
pub(crate) struct PlanCache(Mutex<VecDeque<(PlanInputs, Plan)>>);

/// The inputs on which a plan depends.
#[derive(Debug, PartialEq)]
pub(crate) struct PlanInputs {
    pub(crate) statement: Statement,
    /// Whether shards group rows.
    pub(crate) shards_group: bool,
    pub(crate) tables: Vec<TableSchema>,
}

impl PlanCache {
    /// Returns a copy of a cached plan. No query has executed this copy.
    pub(crate) fn find(&self, inputs: &PlanInputs) -> Result<Option<Plan>> {
        let mut plans = self.lock();
        let at = plans.iter().position(|(known, _)| known == inputs);
        let Some(cached) = at.and_then(|at| plans.remove(at)) else { return Ok(None) };
        let plan = cached.1.copy();
        plans.push_back(cached);
        plan.map(Some)
    }

    /// Caches a copy of a plan, unless the tables are too wide.
    pub(crate) fn keep(&self, inputs: PlanInputs, plan: &Plan) -> Result<()> {
        let columns: usize = inputs.tables.iter().map(|table| table.columns.len()).sum();
        if columns > CACHED_COLUMNS_MAX {
            return Ok(());
        }
        let plan = plan.copy()?;
        let mut plans = self.lock();
        plans.retain(|(known, _)| *known != inputs);
        if plans.len() >= CACHED_PLANS_MAX {
            plans.pop_front();
        }
        plans.push_back((inputs, plan));
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(PlanInputs, Plan)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether every function in the statement always returns the same value for the same
/// arguments.
pub(crate) fn is_immutable(plan: &LogicalPlan) -> Result<bool> {
    let is_call = |expression: &Expr| match expression {
        Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
        _ => false,
    };
    let mut is_immutable = true;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            is_immutable &= !expression.exists(|inner| Ok(is_call(inner)))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(is_immutable)
}

/// Returns the total size of the constants in an optimized statement, in bytes. Constants with less
/// than `bytes_min` bytes do not count.
pub(crate) fn constant_bytes(plan: &LogicalPlan, bytes_min: usize) -> Result<usize> {
    let mut bytes = 0;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|inner| {
                if let Expr::Literal(value, _) = inner {
                    bytes += Some(value.size()).filter(|size| *size >= bytes_min).unwrap_or(0);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(bytes)
}

/// Returns whether a copy of the plan can be executed later, and at the same time as another copy.
pub(crate) fn is_stateless(plan: &Arc<dyn ExecutionPlan>) -> bool {
    STATELESS.contains(&plan.name()) && plan.children().into_iter().all(is_stateless)
}
