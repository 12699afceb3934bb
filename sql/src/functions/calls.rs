//! Rewrites calls of aggregates and window functions that DataFusion can plan but cannot execute.
//! During execution, an assertion of DataFusion would end the whole instance.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;

use crate::error::QueryError;

/// The aggregates whose results depend on the order of the rows.
const OF_ORDERED_ROWS: [&str; 5] =
    ["array_agg", "string_agg", "first_value", "last_value", "nth_value"];
/// The window functions that need an argument, although their signatures do not require it.
const OF_ONE_ARGUMENT: [&str; 5] = ["first_value", "last_value", "nth_value", "lag", "lead"];

#[derive(Debug)]
pub(super) struct CheckedCalls;

impl FunctionRewrite for CheckedCalls {
    fn name(&self) -> &str {
        "checked_calls"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            // Grouped aggregates would interpret the values of ORDER BY as additional arguments.
            Expr::AggregateFunction(mut call)
                if !call.params.order_by.is_empty()
                    && !OF_ORDERED_ROWS.contains(&call.func.name())
                    && !call.func.supports_within_group_clause() =>
            {
                call.params.order_by.clear();
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            Expr::WindowFunction(call)
                if call.params.args.is_empty() && OF_ONE_ARGUMENT.contains(&call.fun.name()) =>
            {
                let message = format!("{} requires an argument", call.fun.name());
                Err(QueryError::invalid(message).into())
            }
            other => Ok(Transformed::no(other)),
        }
    }
}
