//! Implements gap filling: `GROUP BY date_bin_gapfill(…)` returns every bin in the time range,
//! including bins without rows.
//!
//! An optimizer rule replaces the function in the aggregate with `date_bin`. A new plan node above
//! the aggregate adds a row for each missing bin. The node fills a column of these rows with NULL,
//! with the value 0 for a count, or with the values that `locf` or `interpolate` computes.

mod calls;
mod exec;
mod fill;
mod node;
mod range;
mod rule;

use std::sync::Arc;

use datafusion::execution::context::QueryPlanner;
use datafusion::optimizer::OptimizerRule;

pub(crate) use calls::functions;

/// The name of the optimizer rule after which the gap-filling rule runs. At this stage, times are
/// constants, and filters are still at their original positions in the plan.
const BEFORE: &str = "simplify_expressions";

pub(crate) fn add_rule(rules: &mut Vec<Arc<dyn OptimizerRule + Send + Sync>>) {
    let at = rules.iter().position(|rule| rule.name() == BEFORE).map_or(0, |at| at + 1);
    rules.insert(at, Arc::new(rule::FillGaps));
}

pub(crate) fn planner() -> Arc<dyn QueryPlanner + Send + Sync> {
    Arc::new(node::Planner)
}
