//! Computes the maximum number of rows in a batch of an operator that evaluates many expressions,
//! costly functions or long constants, or converts tags and texts. An operator evaluates its
//! expressions for a whole batch without a pause, and copies a constant or a tag to each row.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::{
    CaseExpr, CastExpr, Column, InListExpr, Literal, TryCastExpr,
};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use crate::functions::{is_checked, is_text};
use crate::limits::{
    BATCH_EXPRESSIONS_MAX, BATCH_ROWS, BYTES_PER_ROW, CHECKED_BATCH_ROWS, COPIED_BATCH_ROWS,
    EXPRESSIONS_PER_ROW, LONG_CONSTANT_BYTES, TURN_BYTES_MAX, WINDOW_ROWS_MAX,
};
use crate::tables::rows_cap::is_large_value;

/// The number of operands of a usual call, CASE or IN. Each further operand counts as an
/// expression.
const OPERANDS_USUAL: usize = 8;

/// The limits of an operator with many or costly expressions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evaluation {
    /// The maximum number of rows in a batch.
    pub(super) rows: usize,
    /// The maximum number of rows for which the operator may copy its constants.
    pub(super) rows_of_constants: usize,
    /// The cost of a row, as a number of rows with ordinary cost. The cost is 0 if the expressions
    /// are few and cheap.
    pub(super) row_cost: usize,
    /// The number of expressions that may convert the tags and texts of a batch to other texts.
    pub(super) conversions: usize,
}

/// The parts of an operator's expressions.
#[derive(Default)]
pub(super) struct Parts {
    /// The number of expressions, except columns and constants.
    expressions: usize,
    /// The total size of the long constants, in bytes.
    pub(super) constant_bytes: usize,
    /// Whether an expression calls a function that checks its cost.
    pub(super) has_checked: bool,
    /// Whether an expression contains a scalar subquery whose value is a text or a list.
    has_large_subquery: bool,
    /// The number of expressions that call a function or cast a value, and read a tag or a text.
    conversions: usize,
}

/// Returns the parts of an operator's expressions.
pub(super) fn parts(node: &Arc<dyn ExecutionPlan>) -> Result<Parts> {
    let mut parts = Parts::default();
    let input = node.children().first().map_or_else(|| node.schema(), |input| input.schema());
    node.apply_expressions(&mut |root| {
        let (mut converts, mut reads_text) = (false, false);
        root.apply(|part| {
            converts |= is_conversion(part);
            reads_text |=
                part.is::<Column>() && part.data_type(&input).is_ok_and(|of| is_text(&of));
            if let Some(literal) = part.downcast_ref::<Literal>() {
                let bytes = literal.value().size();
                parts.constant_bytes += if bytes >= LONG_CONSTANT_BYTES { bytes } else { 0 };
            } else if !part.is::<Column>() {
                parts.expressions += 1;
            }
            parts.has_large_subquery |= part.is::<ScalarSubqueryExpr>()
                && is_large_value(&part.data_type(&Schema::empty())?);
            parts.expressions += operands(part).saturating_sub(OPERANDS_USUAL);
            let call = part.downcast_ref::<ScalarFunctionExpr>();
            parts.has_checked |= call.is_some_and(|call| is_checked(call.fun(), call.args().len()));
            Ok(TreeNodeRecursion::Continue)
        })?;
        parts.conversions += usize::from(converts && reads_text);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(parts)
}

/// Whether an expression that reads a tag may copy the tag's text to each row.
pub(super) fn is_conversion(part: &Arc<dyn PhysicalExpr>) -> bool {
    part.is::<ScalarFunctionExpr>() || part.is::<CastExpr>() || part.is::<TryCastExpr>()
}

/// Returns the number of operands that an expression may read for each row: the arguments of a
/// call, and the values that CASE and IN compare with their first operand.
fn operands(part: &Arc<dyn PhysicalExpr>) -> usize {
    if let Some(call) = part.downcast_ref::<ScalarFunctionExpr>() {
        return call.args().len();
    }
    let compares = part.is::<InListExpr>()
        || part.downcast_ref::<CaseExpr>().is_some_and(|case| case.expr().is_some());
    let operands = part.children();
    // DataFusion searches constants in a hash table.
    let are_constants = operands.iter().skip(1).all(|operand| operand.is::<Literal>());
    if compares && !are_constants { operands.len() } else { 0 }
}

/// Returns the limits of an operator, or `None` if its expressions are few and cheap and convert no
/// tags and texts.
pub(super) fn evaluation(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Evaluation>> {
    let evaluates = node.is::<ProjectionExec>()
        || node.is::<FilterExec>()
        || node.is::<AggregateExec>()
        || node.is::<SortExec>()
        || node.is::<WindowAggExec>()
        || node.is::<BoundedWindowAggExec>();
    if !evaluates {
        return Ok(None);
    }
    let Parts { mut expressions, constant_bytes, has_checked, has_large_subquery, conversions } =
        parts(node)?;
    // The aggregate evaluates the keys of all grouping sets for each row.
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let group_by = aggregate.group_expr();
        expressions += group_by.groups().len().saturating_mul(group_by.expr().len());
    }
    let is_few = expressions <= BATCH_EXPRESSIONS_MAX;
    let is_cheap = is_few && constant_bytes == 0 && !has_checked && !has_large_subquery;
    if is_cheap && conversions == 0 {
        return Ok(None);
    }
    let copies_max = match has_large_subquery {
        true => COPIED_BATCH_ROWS,
        false => WINDOW_ROWS_MAX,
    };
    let copies_max = copies_max.min(TURN_BYTES_MAX / constant_bytes.max(1)).max(1);
    let rows_max = if has_checked { CHECKED_BATCH_ROWS } else { BATCH_ROWS };
    let rows = (BATCH_ROWS * BATCH_EXPRESSIONS_MAX / expressions.max(1)).clamp(1, rows_max);
    let row_cost = 1 + expressions / EXPRESSIONS_PER_ROW + constant_bytes / BYTES_PER_ROW;
    Ok(Some(Evaluation {
        rows: rows.min(copies_max),
        rows_of_constants: copies_max,
        row_cost: if is_cheap { 0 } else { row_cost },
        conversions,
    }))
}
