//! Compares tags and text fields with numbers as texts, as InfluxDB 3 does. DataFusion converts the
//! text to a number, which fails for most texts.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Expr, ExprSchemable as _, Operator, in_list,
};

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
        if let Some(compared) = number_with_texts(&expr, schema)? {
            return Ok(Transformed::yes(compared));
        }
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

/// Rewrites `number IN (…)` if the list contains texts. The texts and the numbers are then compared
/// separately, because two numbers are still compared as numbers. The result contains the number
/// twice, so the number must be a column or a constant.
fn number_with_texts(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Expr::InList(InList { expr, list, negated }) = expr else { return Ok(None) };
    let is_text = |expr: &Expr| is_text_value(expr, schema);
    let is_number = matches!(**expr, Expr::Column(_) | Expr::Literal(..))
        && expr.get_type(schema).is_ok_and(|of| of.is_numeric());
    if !is_number || !list.iter().any(is_text) {
        return Ok(None);
    }
    let (texts, numbers): (Vec<Expr>, Vec<Expr>) = list.iter().cloned().partition(is_text);
    let text = expr.as_ref().clone().cast_to(&DataType::Utf8, schema)?;
    let of_texts = in_list(text, texts, *negated);
    if numbers.is_empty() {
        return Ok(Some(of_texts));
    }
    let of_numbers = in_list(expr.as_ref().clone(), numbers, *negated);
    Ok(Some(if *negated { of_texts.and(of_numbers) } else { of_texts.or(of_numbers) }))
}

/// Whether the expression is a text, and not a constant. A constant may be a number in quotes that
/// is compared with a numeric field.
fn is_text_value(expr: &Expr, schema: &DFSchema) -> bool {
    !matches!(expr, Expr::Literal(..))
        && expr.get_type(schema).is_ok_and(|data_type| is_text(&data_type))
}

/// Casts the numbers in `others` to texts if `text` is a text and not a constant. Returns whether
/// an expression changed.
fn cast_numbers<'e>(
    text: &Expr,
    others: impl IntoIterator<Item = &'e mut Expr>,
    schema: &DFSchema,
) -> Result<bool> {
    if !is_text_value(text, schema) {
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

/// Whether the values are texts or tags.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    }
}
