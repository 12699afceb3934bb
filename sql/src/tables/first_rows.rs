//! Limits the rows of a scan if the plan needs only the first or last rows by time, in total or in
//! each group.
//!
//! The operators above the scan remain unchanged, and select the required rows from the rows of all
//! shards. The rule applies to `ORDER BY time LIMIT n`, `DISTINCT ON`, `first_value` and
//! `last_value` ordered by time, `min(time)` and `max(time)`, and a filter on `row_number()`. All
//! of these except the first need a shard that supports groups. If several rows have the same time,
//! neither SQL nor the shards define which row is selected. The groups in the plan may be coarser
//! than the tags of the scan. In that case, the scan returns more rows than needed.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr::window::StandardWindowExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

use super::aggregates::takes_all_rows;
use super::over_scan::{OverScan, with_scan};
use crate::messages::TimeOrder;

pub(super) fn limit_sort(
    node: Arc<dyn ExecutionPlan>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let limited = node.downcast_ref().map(of_sort).transpose()?.flatten();
    with_input(node, limited)
}

pub(super) fn limit_groups(
    node: Arc<dyn ExecutionPlan>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let limited = match (node.downcast_ref(), node.downcast_ref()) {
        (Some(aggregate), _) => of_aggregate(aggregate)?,
        (_, Some(filter)) => of_filter(filter)?,
        _ => None,
    };
    with_input(node, limited)
}

fn with_input(
    node: Arc<dyn ExecutionPlan>,
    input: Option<Arc<dyn ExecutionPlan>>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(input) = input else { return Ok(Transformed::no(node)) };
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(vec![input], options).map(Transformed::yes)
}

/// Returns `node` with a scan that returns only the first `rows` rows of each group of `tags`.
fn limited(
    node: &Arc<dyn ExecutionPlan>,
    input: &OverScan<'_>,
    tags: Vec<String>,
    order: TimeOrder,
    rows: u64,
) -> Result<Arc<dyn ExecutionPlan>> {
    with_scan(node, input.scan.first_of_groups(tags, order, rows))
}

fn time_order(descending: bool) -> TimeOrder {
    if descending { TimeOrder::Descending } else { TimeOrder::Ascending }
}

/// Returns the limited input of a sort by time with a limit. The sort must have no other column, so
/// that rows with the same time are interchangeable.
fn of_sort(sort: &SortExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (Some(rows), [only]) = (sort.fetch(), &**sort.expr()) else { return Ok(None) };
    let input = OverScan::of(sort.input()).filter(|input| input.is_time(&only.expr));
    let Some(input) = input else { return Ok(None) };
    let order = time_order(only.options.descending);
    limited(sort.input(), &input, Vec::new(), order, rows as u64).map(Some)
}

/// Returns the tags if all of `exprs` are tags.
fn tags<'e>(
    input: &OverScan<'_>,
    exprs: impl Iterator<Item = &'e Arc<dyn PhysicalExpr>>,
) -> Option<Vec<String>> {
    let mut tags: Vec<String> = Vec::new();
    for expr in exprs {
        let tag = input.tag(expr)?;
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    Some(tags)
}

/// Returns the limited input of an aggregate. The groups must be tags, and all functions must read
/// the same row: the first or the last.
fn of_aggregate(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let node = aggregate.input();
    let found = takes_all_rows(aggregate).then(|| OverScan::of(node)).flatten();
    let Some(input) = found else { return Ok(None) };
    let groups = aggregate.group_expr().expr();
    let Some(tags) = tags(&input, groups.iter().map(|(expr, _)| expr)) else { return Ok(None) };
    let mut orders = aggregate.aggr_expr().iter().map(|call| order_of(&input, &tags, call));
    let Some(Some(order)) = orders.next() else { return Ok(None) };
    match orders.all(|other| other == Some(order)) {
        true => limited(node, &input, tags, order, 1).map(Some),
        false => Ok(None),
    }
}

/// Returns the order in which a function reads the first row. Returns `None` if the function does
/// not read exactly one row.
fn order_of(
    input: &OverScan<'_>,
    tags: &[String],
    call: &AggregateFunctionExpr,
) -> Option<TimeOrder> {
    let arguments = call.expressions();
    let is_first = match (call.fun().name(), arguments.as_slice()) {
        ("min", [time]) if input.is_time(time) => true,
        ("max", [time]) if input.is_time(time) => false,
        (name @ ("first_value" | "last_value"), [_]) if !call.ignore_nulls() => {
            let by = by_time(input, tags, call.order_bys())?;
            (name == "first_value") != by.options.descending
        }
        _ => return None,
    };
    Some(time_order(!is_first))
}

/// Returns the last expression of `order` if this expression is the time, and all earlier
/// expressions are constant within a group of `tags`. Otherwise, returns `None`.
pub(super) fn by_time<'o>(
    input: &OverScan<'_>,
    tags: &[String],
    order: &'o [PhysicalSortExpr],
) -> Option<&'o PhysicalSortExpr> {
    let (last, before) = order.split_last()?;
    let is_of_group = |by: &PhysicalSortExpr| {
        input.tag(&by.expr).is_some_and(|tag| tags.iter().any(|known| known == tag))
    };
    (input.is_time(&last.expr) && before.iter().all(is_of_group)).then_some(last)
}

/// Returns the limited input of a filter that keeps only the first rows by time of each group.
fn of_filter(filter: &FilterExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (mut projections, mut node) = (Vec::new(), filter.input());
    while let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        projections.push(projection);
        node = projection.input();
    }
    let Some(window) = node.downcast_ref::<BoundedWindowAggExec>() else { return Ok(None) };
    let number = window.input().schema().fields().len();
    let below = |at: usize| {
        projections.iter().try_fold(at, |at, projection| {
            Some(projection.expr().get(at)?.expr.downcast_ref::<Column>()?.index())
        })
    };
    let conjuncts = split_conjunction(filter.predicate());
    let rows = conjuncts.into_iter().find_map(|one| rows_max(one, &|at| below(at) == Some(number)));
    let Some(sort) = window.input().downcast_ref::<SortExec>() else { return Ok(None) };
    let (Some(rows), Some(input)) = (rows, OverScan::of(sort.input())) else { return Ok(None) };
    let Some((tags, order)) = numbered(window, &input) else { return Ok(None) };
    if sort.fetch().is_some() {
        return Ok(None);
    }
    limited(filter.input(), &input, tags, order, rows).map(Some)
}

/// Returns the tags and the time order by which a window function numbers the rows. The window must
/// have no other function.
fn numbered(
    window: &BoundedWindowAggExec,
    input: &OverScan<'_>,
) -> Option<(Vec<String>, TimeOrder)> {
    let [only] = window.window_expr() else { return None };
    let standard = only.as_any().downcast_ref::<StandardWindowExpr>()?;
    let function = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()?;
    if function.fun().name() != "row_number" {
        return None;
    }
    let tags = tags(input, only.partition_by().iter())?;
    let by = by_time(input, &tags, only.order_by())?;
    Some((tags, time_order(by.options.descending)))
}

/// Returns the maximum row number that satisfies a condition. `is_number` identifies the column of
/// row numbers.
fn rows_max(condition: &Arc<dyn PhysicalExpr>, is_number: &dyn Fn(usize) -> bool) -> Option<u64> {
    let binary = condition.downcast_ref::<BinaryExpr>()?;
    let column = binary.left().downcast_ref::<Column>()?;
    let literal = binary.right().downcast_ref::<Literal>()?;
    let ScalarValue::UInt64(Some(bound)) = *literal.value() else { return None };
    let rows = match binary.op() {
        Operator::Eq | Operator::LtEq => bound,
        Operator::Lt => bound.checked_sub(1)?,
        _ => return None,
    };
    (rows > 0 && is_number(column.index())).then_some(rows)
}
