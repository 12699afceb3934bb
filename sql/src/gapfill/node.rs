//! The node of a logical plan that stands over a gap-filling aggregate.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::catalog::Session;
use datafusion::common::DFSchemaRef;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::exec::GapFillExec;
use crate::error::QueryError;
use crate::functions::arguments::zone_of;
use crate::functions::bins::Bins;

/// What stands in a column of a row that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fill {
    /// What its group has: it is a column of the key, or the time.
    Key,
    /// Nothing.
    Null,
    /// It counts.
    Zero,
    /// The last value before it.
    Previous,
    /// What lies on the line between its neighbours.
    Linear,
}

/// How gaps are filled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spec {
    /// Which column is the bin's start.
    pub(super) time: usize,
    /// Of each column.
    pub(super) fills: Vec<Fill>,
    /// Width of a bin.
    pub(super) interval: IntervalMonthDayNano,
    /// A bin begins there, nanoseconds.
    pub(super) origin_ns: i64,
    /// Bins are those of the zone of the times.
    pub(super) on_wall_clock: bool,
    /// The first and the last time that have bins, nanoseconds.
    pub(super) range: (i64, i64),
}

/// Adds the bins that are missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GapFill {
    input: LogicalPlan,
    spec: Spec,
    /// Columns that others would hand through it are none of its own, and it fills none for them.
    schema: DFSchemaRef,
}

impl GapFill {
    /// Over an aggregate, whose columns it has.
    pub(super) fn new(input: LogicalPlan, spec: Spec) -> Self {
        let schema = Arc::clone(input.schema());
        Self { input, spec, schema }
    }
}

impl PartialOrd for GapFill {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        "GapFill"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { fills, range, .. } = &self.spec;
        write!(f, "GapFill: time=[{}, {}], fill={fills:?}", range.0, range.1)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.pop().unwrap_or_else(|| self.input.clone());
        Ok(Self { input, spec: self.spec.clone(), schema: Arc::clone(&self.schema) })
    }
}

/// DataFusion's planner, and ours for this node.
#[derive(Debug)]
pub(super) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Self)]);
        planner.create_physical_plan(plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for Planner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<GapFill>() else { return Ok(None) };
        let input = match inputs {
            [input] if input.schema().fields().len() == node.spec.fills.len() => input,
            _ => return Err(QueryError::internal("gaps of another input").into()),
        };
        let Spec { time, fills, interval, origin_ns, on_wall_clock, range } = node.spec.clone();
        let zone = zone_of(input.schema().field(time).data_type())?;
        let bins = match on_wall_clock {
            true => Bins::on_wall_clock(interval, origin_ns, zone)?,
            false => Bins::new(interval, origin_ns)?,
        };
        Ok(Some(Arc::new(GapFillExec::new(Arc::clone(input), time, fills, bins, range))))
    }
}
