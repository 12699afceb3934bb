//! Limits the rows of a scan for `ORDER BY time LIMIT n`. Each shard returns its first `n` rows.
//! The plan sorts these rows again, because they come from several shards.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

use super::scan::{Scan, Scanned};
use crate::messages::TimeOrder;

#[derive(Debug)]
pub(crate) struct FirstRows;

impl PhysicalOptimizerRule for FirstRows {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some((order, column, rows)) = wanted(&node) else {
                return Ok(Transformed::no(node));
            };
            let children = node.children();
            let Some(input) = children.first() else { return Ok(Transformed::no(node)) };
            let Some(input) = limited(input, column, order, rows)? else {
                return Ok(Transformed::no(node));
            };
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            node.replace_children(vec![input], options).map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &str {
        "first_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns the order, the column and the number of rows of a sort with a limit. The sort must have
/// a single column. Rows with equal values in this column are then interchangeable.
fn wanted(node: &Arc<dyn ExecutionPlan>) -> Option<(TimeOrder, usize, u64)> {
    let sort = node.downcast_ref::<SortExec>()?;
    let rows = sort.fetch()? as u64;
    let mut by = sort.expr().iter();
    let (Some(only), None) = (by.next(), by.next()) else { return None };
    let order = if only.options.descending { TimeOrder::Descending } else { TimeOrder::Ascending };
    Some((order, column(&only.expr)?, rows))
}

fn column(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

/// Returns `node` over a limited scan, or `None` unless all operators between `node` and the scan
/// return every row of their input.
fn limited(
    node: &Arc<dyn ExecutionPlan>,
    at: usize,
    order: TimeOrder,
    rows: u64,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = node.downcast_ref::<Scan>() {
        let limited = matches!(scan.column(at), Some(Scanned::Time))
            .then(|| scan.first_rows(order, rows))
            .flatten();
        return Ok(limited.map(|scan| Arc::new(scan) as Arc<dyn ExecutionPlan>));
    }
    let below = match node.downcast_ref::<ProjectionExec>() {
        Some(projection) => projection.expr().get(at).and_then(|one| column(&one.expr)),
        None => node.is::<CooperativeExec>().then_some(at),
    };
    let children = node.children();
    let (Some(at), Some(input)) = (below, children.first()) else { return Ok(None) };
    let Some(input) = limited(input, at, order, rows)? else { return Ok(None) };
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(node).replace_children(vec![input], options).map(Some)
}
