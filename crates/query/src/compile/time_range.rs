//! Extracts the time range from WHERE.
//!
//! InfluxQL treats `time` separately from other operands. Every comparison with `time`, at any
//! position in the condition, narrows the statement's only time range. `WHERE v > 4 OR time < 5s`
//! therefore means *v > 4, for times before 5s* (1.x `influxql.ConditionExpr`). The remaining
//! condition does not contain these comparisons.

use super::fold::{self, FoldContext};
use super::local_time::parse_time;
use crate::error::{Result, invalid, second};
use tidemark_influxql::ast::{BinaryOp, Expr};
use tidemark_influxql::time_literal;
use tidemark_model::time::{MAX_TIME_NS, MIN_TIME_NS};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) min_ns: Option<i64>,
    pub(crate) max_ns: Option<i64>,
}

impl Bounds {
    pub(crate) fn intersect(self, other: Self) -> Self {
        Self {
            min_ns: self.min_ns.max(other.min_ns),
            max_ns: [self.max_ns, other.max_ns].into_iter().flatten().min(),
        }
    }
}

/// Splits a condition into a condition without `time` and the time bounds. The condition is `None`
/// if it contains only comparisons with `time`.
pub(crate) fn split(
    condition: Option<&Expr>,
    context: FoldContext<'_>,
) -> Result<(Option<Expr>, Bounds)> {
    let Some(condition) = condition else { return Ok((None, Bounds::default())) };
    let (rest, bounds) = walk(condition, context)?;
    let rest = match rest {
        Some(Expr::Paren(inner)) => Some(*inner),
        other => other,
    };
    Ok((rest.filter(|expr| *expr != Expr::BooleanLiteral(true)), bounds))
}

fn walk(condition: &Expr, context: FoldContext<'_>) -> Result<(Option<Expr>, Bounds)> {
    match condition {
        Expr::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
            let (left, left_bounds) = walk(left, context)?;
            let (right, right_bounds) = walk(right, context)?;
            let rest = match (left, right) {
                (Some(left), Some(right)) => {
                    Some(fold::binary(*op, left, right, FoldContext::default()))
                }
                (one, None) | (None, one) => one,
            };
            Ok((rest, left_bounds.intersect(right_bounds)))
        }
        Expr::Binary { op, left, right } => {
            if is_time(left) {
                Ok((None, bounds(*op, right, context)?))
            } else if is_time(right) {
                Ok((None, bounds(mirrored(*op), left, context)?))
            } else {
                Ok((Some(fold::fold_inner(condition, context)), Bounds::default()))
            }
        }
        Expr::Paren(inner) => {
            let (rest, bounds) = walk(inner, context)?;
            Ok((rest.map(fold::in_parentheses), bounds))
        }
        Expr::BooleanLiteral(_) => Ok((Some(condition.clone()), Bounds::default())),
        other => invalid(format!("invalid condition expression: {other}")),
    }
}

/// Whether at least one comparison has `time` on its left side (1.x `HasTimeExpr`).
pub(crate) fn has_time(condition: &Expr) -> bool {
    match condition {
        Expr::Binary { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            has_time(left) || has_time(right)
        }
        Expr::Binary { left, .. } => !matches!(**left, Expr::Paren(_)) && is_time(left),
        Expr::Paren(inner) => has_time(inner),
        _ => false,
    }
}

/// Accepts `time` in any letter case, with or without parentheses.
pub(crate) fn is_time(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(inner) => is_time(inner),
        Expr::VarRef { name, .. } => name.eq_ignore_ascii_case("time"),
        _ => false,
    }
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Ge => BinaryOp::Le,
        other => other,
    }
}

fn bounds(op: BinaryOp, value: &Expr, context: FoldContext<'_>) -> Result<Bounds> {
    let literal = match value {
        Expr::StringLiteral(text) if time_literal::is_time(text) => {
            Expr::TimeLiteral(parse_time(text, context.zone)?.into())
        }
        other => fold::fold(other, context),
    };
    let time_ns = match literal {
        Expr::TimeLiteral(ns) => within_limits(ns)?,
        Expr::DurationLiteral(ns) | Expr::IntegerLiteral(ns) => ns,
        Expr::NumberLiteral(ns) => ns as i64,
        other => {
            let other = other.go_type_name();
            return invalid(format!("invalid operation: time and {other} are not compatible"));
        }
    };
    let (min_ns, max_ns) = match op {
        BinaryOp::Gt => (Some(time_ns.saturating_add(1)), None),
        BinaryOp::Ge => (Some(time_ns), None),
        BinaryOp::Lt => (None, Some(time_ns.saturating_sub(1))),
        BinaryOp::Le => (None, Some(time_ns)),
        BinaryOp::Eq => (Some(time_ns), Some(time_ns)),
        other => return invalid(format!("invalid time comparison operator: {other}")),
    };
    Ok(Bounds { min_ns, max_ns })
}

/// Checks that a time is valid.
fn within_limits(time_ns: i128) -> Result<i64> {
    if time_ns > MAX_TIME_NS.into() {
        invalid(format!("time {} overflows time literal", second(time_ns)))
    } else if time_ns <= MIN_TIME_NS.into() {
        invalid(format!("time {} underflows time literal", second(time_ns)))
    } else {
        Ok(time_ns as i64)
    }
}
