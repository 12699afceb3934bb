//! Bins without rows: `GROUP BY date_bin_gapfill(…)` answers with every bin of the range of times.
//!
//! The aggregate keeps its place and bins as `date_bin` does; over it stands a node that adds the
//! rows of bins which are missing, and fills their columns: NULL, 0 of a count, or as `locf` and
//! `interpolate` say.

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

/// Behind which rule ours comes: times are constants by then, and filters still stand where they
/// were written.
const BEFORE: &str = "simplify_expressions";

/// Adds what rewrites such a query to these rules.
pub(crate) fn add_rule(rules: &mut Vec<Arc<dyn OptimizerRule + Send + Sync>>) {
    let at = rules.iter().position(|rule| rule.name() == BEFORE).map_or(0, |at| at + 1);
    rules.insert(at, Arc::new(rule::FillGaps));
}

/// What plans the node of such a query.
pub(crate) fn planner() -> Arc<dyn QueryPlanner + Send + Sync> {
    Arc::new(node::Planner)
}
