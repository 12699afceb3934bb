//! Compares tags and text fields with numbers as texts, as InfluxDB 3 does. DataFusion converts the
//! text to a number, which fails for most texts.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Between, BinaryExpr, Case, Expr, ExprSchemable as _, Operator};

#[derive(Debug)]
pub(super) struct TextComparisons;

impl FunctionRewrite for TextComparisons {
    fn name(&self) -> &str {
        "text_comparisons"
    }

    fn rewrite(
        &self,
        mut expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        let is_changed = match &mut expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
                cast_numbers(left, [&mut **right], schema)?
                    || cast_numbers(right, [&mut **left], schema)?
            }
            Expr::InList(InList { expr, list, .. }) => cast_numbers(expr, list, schema)?,
            Expr::Between(Between { expr, low, high, .. }) => {
                cast_numbers(expr, [&mut **low, &mut **high], schema)?
            }
            Expr::Case(Case { expr: Some(expr), when_then_expr, .. }) => {
                cast_numbers(expr, when_then_expr.iter_mut().map(|(when, _)| &mut **when), schema)?
            }
            _ => false,
        };
        Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) })
    }
}

fn compares(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Casts the numbers in `others` to texts if `text` is a text. A constant text does not count: it
/// may be a number in quotes that is compared with a numeric field. Returns whether an expression
/// changed.
fn cast_numbers<'e>(
    text: &Expr,
    others: impl IntoIterator<Item = &'e mut Expr>,
    schema: &DFSchema,
) -> Result<bool> {
    let is_constant = matches!(text, Expr::Literal(..));
    if is_constant || !text.get_type(schema).is_ok_and(|data_type| is_text(&data_type)) {
        return Ok(false);
    }
    let mut is_changed = false;
    for other in others {
        if other.get_type(schema).is_ok_and(|data_type| data_type.is_numeric()) {
            *other = std::mem::take(other).cast_to(&DataType::Utf8, schema)?;
            is_changed = true;
        }
    }
    Ok(is_changed)
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    }
}
