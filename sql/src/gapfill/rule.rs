//! Implements the optimizer rule that finds gap-filling aggregates and inserts a gap-filling node
//! above each of them.

use std::sync::Arc;

use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan, Projection, ScalarUDF};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;

use super::calls::{Call, called};
use super::fill::Fill;
use super::node::{GapFill, Spec};
use super::range::range;
use crate::error::QueryError;
use crate::functions::binning::Binning;

/// The aggregates that are 0 without rows.
const COUNTS: [&str; 3] = ["approx_distinct", "count", "regr_count"];

#[derive(Debug)]
pub(super) struct FillGaps;

impl OptimizerRule for FillGaps {
    fn name(&self) -> &str {
        "fill_gaps"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::Projection(projection) => fill_projection(projection),
            LogicalPlan::Aggregate(aggregate) => match fill_aggregate(&aggregate, &[])? {
                Some(plan) => Ok(Transformed::yes(plan)),
                None => Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
            },
            other => Ok(Transformed::no(other)),
        })
    }
}

/// A column that `locf` or `interpolate` fills.
struct Filled {
    expr: Expr,
    fill: Fill,
}

impl Filled {
    fn name(at: usize) -> String {
        format!("__filled_{at}")
    }
}

/// Rewrites a SELECT list above a gap-filling aggregate. The new node computes the filled columns.
fn fill_projection(projection: Projection) -> Result<Transformed<LogicalPlan>> {
    let mut filled: Vec<Filled> = Vec::new();
    let names = NamePreserver::new_for_projection();
    let mut exprs = Vec::new();
    for expr in projection.expr.clone() {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|part| {
            let fill = match called(&part) {
                Some((Call::Locf, _)) => Fill::Previous,
                Some((Call::Interpolate, _)) => Fill::Linear,
                _ => return Ok(Transformed::no(part)),
            };
            let argument = called(&part).and_then(|(_, arguments)| arguments.first()).cloned();
            let Some(expr) = argument else { return Ok(Transformed::no(part)) };
            let known = filled.iter().position(|one| one.expr == expr && one.fill == fill);
            let at = known.unwrap_or_else(|| {
                filled.push(Filled { expr, fill });
                filled.len() - 1
            });
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(Filled::name(at)))))
        })?;
        exprs.push(name.restore(rewritten.data));
    }
    if filled.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Projection(projection)));
    }
    match fill_below(&projection.input, &filled)? {
        // Without an aggregate, the placeholder functions remain in the plan and return an error.
        None => Ok(Transformed::no(LogicalPlan::Projection(projection))),
        Some(input) => {
            let plan = Projection::try_new(exprs, Arc::new(input))?;
            Ok(Transformed::yes(LogicalPlan::Projection(plan)))
        }
    }
}

/// Finds the aggregate below nodes that do not change its columns, and adds the gap-filling node.
fn fill_below(plan: &LogicalPlan, filled: &[Filled]) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => fill_aggregate(aggregate, filled),
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Window(_) => {
            let inputs = plan.inputs();
            let Some(input) = inputs.first() else { return Ok(None) };
            let Some(input) = fill_below(input, filled)? else { return Ok(None) };
            plan.with_new_exprs(plan.expressions(), vec![input]).map(Some)
        }
        _ => Ok(None),
    }
}

/// Returns the replacement for a gap-filling aggregate, or `None` for other aggregates.
fn fill_aggregate(aggregate: &Aggregate, filled: &[Filled]) -> Result<Option<LogicalPlan>> {
    let Some((time, call, arguments)) = gapfill_group(aggregate)? else { return Ok(None) };
    let (interval, origin_ns) = constants(arguments)?;
    let Some(time_expr) = arguments.get(1) else { return Ok(None) };
    let range = range(time_expr, &aggregate.input)?;
    let on_wall_clock = call == Call::DateBinWallclock;
    let binning = Arc::new(ScalarUDF::new_from_impl(Binning::new(on_wall_clock)));
    let mut group_expr = aggregate.group_expr.clone();
    if let Some(group) = group_expr.get_mut(time) {
        *group = binning.call(arguments.to_vec());
    }
    let groups = group_expr.len();
    let binned =
        Aggregate::try_new(Arc::clone(&aggregate.input), group_expr, aggregate.aggr_expr.clone())?;
    // The projection restores the column names that the nodes above expect, and adds the columns
    // that must be filled.
    let mut exprs = Vec::new();
    let pairs = binned.schema.columns().into_iter().zip(aggregate.schema.iter());
    for (column, (qualifier, field)) in pairs {
        let is_same = column.relation.as_ref() == qualifier && column.name == *field.name();
        let expr = Expr::Column(column);
        exprs.push(match is_same {
            true => expr,
            false => expr.alias_qualified(qualifier.cloned(), field.name()),
        });
    }
    let fills_of_calls = aggregate.aggr_expr.iter().map(own_fill);
    let mut fills: Vec<Fill> = vec![Fill::Key; groups];
    fills.extend(fills_of_calls);
    // The argument of `locf` refers to columns by these restored names.
    let named = LogicalPlan::Projection(Projection::try_new(
        exprs,
        Arc::new(LogicalPlan::Aggregate(binned)),
    )?);
    let mut exprs: Vec<Expr> = named.schema().columns().into_iter().map(Expr::Column).collect();
    for (at, one) in filled.iter().enumerate() {
        exprs.push(one.expr.clone().alias(Filled::name(at)));
        fills.push(one.fill);
    }
    let input = match filled.is_empty() {
        true => named,
        false => LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(named))?),
    };
    let spec = Spec { time, fills, interval, origin_ns, on_wall_clock, range };
    let node = GapFill::new(input, spec)?;
    Ok(Some(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
}

/// Returns the gap-filling expression in GROUP BY: its index, its function and the function's
/// arguments.
fn gapfill_group(aggregate: &Aggregate) -> Result<Option<(usize, Call, &[Expr])>> {
    let mut found = None;
    for (at, group) in aggregate.group_expr.iter().enumerate() {
        let plain = match group {
            Expr::Alias(alias) => &alias.expr,
            other => other,
        };
        if let Some((call, arguments)) = called(plain).filter(|(call, _)| call.bins()) {
            if found.replace((at, call, arguments)).is_some() {
                let message = "DATE_BIN_GAPFILL specified more than once";
                return Err(QueryError::invalid(message).into());
            }
        } else if calls_bins(group)? {
            let message = "DATE_BIN_GAPFILL must be a top-level expression in the GROUP BY clause \
                           when gap filling. It cannot be part of another expression or cast";
            return Err(QueryError::invalid(message).into());
        }
    }
    Ok(found)
}

fn calls_bins(expr: &Expr) -> Result<bool> {
    let mut found = false;
    expr.apply(|part| {
        found |= called(part).is_some_and(|(call, _)| call.bins());
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn constants(arguments: &[Expr]) -> Result<(IntervalMonthDayNano, i64)> {
    let wrong = |what: &str| QueryError::invalid(format!("gap filling expects a constant {what}"));
    let interval = match arguments.first() {
        Some(Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)) => *interval,
        _ => return Err(wrong("interval").into()),
    };
    let origin_ns = match arguments.get(2) {
        None => 0,
        Some(Expr::Literal(ScalarValue::TimestampNanosecond(Some(origin), _), _)) => *origin,
        Some(_) => return Err(wrong("origin").into()),
    };
    Ok((interval, origin_ns))
}

/// Returns the fill for a column of an aggregate that is not an argument of `locf` or
/// `interpolate`.
fn own_fill(aggregate: &Expr) -> Fill {
    match aggregate {
        Expr::Alias(alias) => own_fill(&alias.expr),
        Expr::AggregateFunction(call) if COUNTS.contains(&call.func.name()) => Fill::Zero,
        _ => Fill::Null,
    }
}
