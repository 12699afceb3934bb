//! Determines the time range of the bins from the conditions in WHERE.

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Cast, Distinct, Expr, LogicalPlan, Operator, Projection,
};
use datafusion::scalar::ScalarValue;

use crate::error::QueryError;

/// Returns the range of the column in the expression `time`: the first and the last time, in
/// nanoseconds. The range follows from the filters in `plan` and its inputs, down to the node that
/// computes the column.
///
/// # Errors
/// Returns an error if the filters do not specify both a lower and an upper bound.
pub(super) fn range(time: &Expr, plan: &LogicalPlan) -> Result<(i64, i64)> {
    let mut columns = time.column_refs().into_iter();
    let (Some(column), None) = (columns.next(), columns.next()) else {
        let message = "gap filling needs an expression of exactly one time column";
        return Err(QueryError::invalid(message).into());
    };
    let (mut first_ns, mut last_ns) = (None, None);
    let mut next = Some((plan, column.clone()));
    while let Some((node, column)) = next {
        if let LogicalPlan::Filter(filter) = node {
            for part in split_conjunction(&filter.predicate) {
                let (first, last) = bounds(part, &column);
                first_ns = first_ns.max(first);
                last_ns = match (last_ns, last) {
                    (Some(known), Some(last)) => Some(i64::min(known, last)),
                    (known, last) => known.or(last),
                };
            }
        }
        next = source(node, &column);
    }
    let missing = match (first_ns, last_ns) {
        (Some(first_ns), Some(last_ns)) => return Ok((first_ns, last_ns)),
        (None, None) => "both upper and lower time bounds",
        (Some(_), None) => "upper time bound",
        (None, Some(_)) => "lower time bound",
    };
    Err(QueryError::invalid(format!("gap-filling query is missing {missing}")).into())
}

/// Returns the input of `node`, and the column of the input that becomes `column`. Returns `None`
/// if `node` computes the column or has several inputs.
fn source<'p>(node: &'p LogicalPlan, column: &Column) -> Option<(&'p LogicalPlan, Column)> {
    let at = node.schema().maybe_index_of_column(column)?;
    let (input, exprs) = match node {
        LogicalPlan::Projection(Projection { input, expr, .. }) => (input, expr),
        LogicalPlan::Aggregate(Aggregate { input, group_expr, .. }) => (input, group_expr),
        LogicalPlan::Distinct(Distinct::On(on)) => (&on.input, &on.select_expr),
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => {
            let input = node.inputs().into_iter().next()?;
            return Some((input, input.schema().columns().into_iter().nth(at)?));
        }
        _ => return None,
    };
    match exprs.get(at)?.clone().unalias_nested().data {
        Expr::Column(column) => Some((input.as_ref(), column)),
        _ => None,
    }
}

/// Returns the lower and the upper bound that a condition specifies.
fn bounds(condition: &Expr, column: &Column) -> (Option<i64>, Option<i64>) {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return (None, None) };
    let (operator, at) = match (is_column(left, column), time_ns(right)) {
        (true, Some(at)) => (*op, at),
        _ => match (is_column(right, column), time_ns(left), op.swap()) {
            (true, Some(at), Some(turned)) => (turned, at),
            _ => return (None, None),
        },
    };
    match operator {
        Operator::Eq => (Some(at), Some(at)),
        Operator::GtEq => (Some(at), None),
        Operator::Gt => (at.checked_add(1), None),
        Operator::LtEq => (None, Some(at)),
        Operator::Lt => (None, at.checked_sub(1)),
        _ => (None, None),
    }
}

fn is_column(expr: &Expr, column: &Column) -> bool {
    match expr {
        Expr::Column(other) => other == column,
        Expr::Cast(Cast { expr, .. }) => is_column(expr, column),
        _ => false,
    }
}

fn time_ns(expr: &Expr) -> Option<i64> {
    let Expr::Literal(literal, _) = expr else { return None };
    match literal {
        ScalarValue::TimestampNanosecond(at, _) => *at,
        ScalarValue::TimestampMicrosecond(at, _) => at.and_then(|at| at.checked_mul(1_000)),
        ScalarValue::TimestampMillisecond(at, _) => at.and_then(|at| at.checked_mul(1_000_000)),
        ScalarValue::TimestampSecond(at, _) => at.and_then(|at| at.checked_mul(1_000_000_000)),
        _ => None,
    }
}
