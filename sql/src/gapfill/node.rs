//! Defines the logical plan node above a gap-filling aggregate.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::exec::GapFillExec;
use super::fill::Fill;
use crate::error::QueryError;
use crate::functions::bins::Bins;

/// The bins of a gap-filling query, and the fill of each column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spec {
    /// The index of the column that contains the start of the bin.
    pub(super) time: usize,
    pub(super) fills: Vec<Fill>,
    pub(super) interval: IntervalMonthDayNano,
    /// The start of an arbitrary bin, in nanoseconds.
    pub(super) origin_ns: i64,
    /// Whether bins follow the local time in the timestamps' zone.
    pub(super) on_wall_clock: bool,
    /// The first and the last time for which bins exist, in nanoseconds.
    pub(super) range: (i64, i64),
}

/// The plan node that adds a row for each missing bin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GapFill {
    input: LogicalPlan,
    spec: Spec,
    /// The schema, excluding the columns that optimizer rules later add to the input. The node does
    /// not fill these additional columns.
    schema: DFSchemaRef,
}

impl GapFill {
    /// Creates the node above an aggregate. The node and the aggregate have the same columns.
    pub(super) fn new(input: LogicalPlan, spec: Spec) -> Result<Self> {
        let columns = input.schema().iter().zip(&spec.fills);
        let columns = columns.map(|((table, field), fill)| (table.cloned(), fill.field(field)));
        let metadata = input.schema().metadata().clone();
        let schema = DFSchema::new_with_metadata(columns.collect(), metadata)?;
        Ok(Self { input, spec, schema: Arc::new(schema) })
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

/// DataFusion's planner, extended with support for this node.
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
            _ => return Err(QueryError::internal("gap filling received another input").into()),
        };
        let Spec { time, fills, interval, origin_ns, on_wall_clock, range } = node.spec.clone();
        let schema = input.schema();
        let times = schema.field(time).data_type();
        let bins = Bins::for_times(times, interval, origin_ns, on_wall_clock)?;
        Ok(Some(Arc::new(GapFillExec::new(Arc::clone(input), time, fills, bins, range))))
    }
}
