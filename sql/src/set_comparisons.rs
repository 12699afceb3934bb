//! Adds an alias to the subquery in `x > ALL (SELECT …)`, and DISTINCT to `x IN (SELECT …)`.
//!
//! DataFusion plans a comparison with ALL as a join, and identifies columns by name. If both sides
//! read the same table without an alias, the subquery's column would be resolved to the outer
//! column. The join would then compare each row with itself. DataFusion also plans IN as a join,
//! which would compare each row with every equal row of the subquery.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, SubqueryAlias};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

const PREFIX: &str = "__set";

/// The optimizer rule that adds the alias and DISTINCT. This rule must run before all other
/// optimizer rules.
#[derive(Debug)]
pub(crate) struct NameSets;

impl OptimizerRule for NameSets {
    fn name(&self) -> &str {
        "name_sets"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(|node| {
            node.map_expressions(|expr| expr.transform_up(|part| name_set(part, config)))
        })
    }
}

fn name_set(part: Expr, config: &dyn OptimizerConfig) -> Result<Transformed<Expr>> {
    let mut comparison = match part {
        Expr::SetComparison(comparison) => comparison,
        Expr::InSubquery(comparison) => return Ok(with_distinct_values(comparison)),
        other => return Ok(Transformed::no(other)),
    };
    if matches!(&*comparison.subquery.subquery, LogicalPlan::SubqueryAlias(_)) {
        return Ok(Transformed::no(Expr::SetComparison(comparison)));
    }
    let name = config.alias_generator().next(PREFIX);
    let plan = SubqueryAlias::try_new(Arc::clone(&comparison.subquery.subquery), name)?;
    comparison.subquery.subquery = Arc::new(LogicalPlan::SubqueryAlias(plan));
    Ok(Transformed::yes(Expr::SetComparison(comparison)))
}

fn with_distinct_values(mut comparison: InSubquery) -> Transformed<Expr> {
    let subquery = &mut comparison.subquery;
    let is_distinct = matches!(&*subquery.subquery, LogicalPlan::Distinct(_));
    if is_distinct || !subquery.outer_ref_columns.is_empty() {
        return Transformed::no(Expr::InSubquery(comparison));
    }
    let distinct = Distinct::All(Arc::clone(&subquery.subquery));
    subquery.subquery = Arc::new(LogicalPlan::Distinct(distinct));
    Transformed::yes(Expr::InSubquery(comparison))
}
