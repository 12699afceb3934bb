//! Folds constants like 1.x (`influxql.Reduce`). Combines literals, evaluates `now()` and
//! mathematical functions of literals, and removes parentheses around single operands.

use super::arguments::check_numbers;
use super::fields::is_literal;
use super::local_time::{Zone, parse_time};
use crate::math;
use tidemark_engine::scan::math::MathFunction;
use tidemark_influxql::ast::{BinaryOp, Expr};

#[derive(Clone, Copy, Default)]
pub(crate) struct FoldContext<'a> {
    /// `None` keeps calls of `now()`.
    pub(crate) now_ns: Option<i64>,
    pub(crate) math: bool,
    /// The zone of time literals without an offset.
    pub(crate) zone: Option<&'a Zone>,
}

/// Folds `expr` and removes outer parentheses.
pub(crate) fn fold(expr: &Expr, context: FoldContext<'_>) -> Expr {
    match fold_inner(expr, context) {
        Expr::Paren(inner) => *inner,
        other => other,
    }
}

/// Folds `expr` and keeps parentheses around an operator.
pub(crate) fn fold_inner(expr: &Expr, context: FoldContext<'_>) -> Expr {
    match expr {
        Expr::Binary { op, left, right } => {
            binary(*op, fold_inner(left, context), fold_inner(right, context), context)
        }
        Expr::Call { name, args } => {
            let args: Vec<Expr> = args.iter().map(|arg| fold_inner(arg, context)).collect();
            if name == "now"
                && args.is_empty()
                && let Some(now_ns) = context.now_ns
            {
                return Expr::TimeLiteral(now_ns.into());
            }
            if context.math
                && let Some(function) = MathFunction::named(name)
                && check_numbers(name, &args).is_ok()
                && args.iter().all(|arg| is_literal(arg) && !matches!(arg, Expr::Regex(_)))
            {
                return math::fold(function, &args).unwrap_or(Expr::NilLiteral);
            }
            Expr::Call { name: name.clone(), args }
        }
        Expr::Paren(inner) => in_parentheses(fold_inner(inner, context)),
        other => other.clone(),
    }
}

/// Adds parentheses to an operator.
pub(crate) fn in_parentheses(expr: Expr) -> Expr {
    match expr {
        binary @ Expr::Binary { .. } => Expr::Paren(Box::new(binary)),
        other => other,
    }
}

pub(crate) fn binary(op: BinaryOp, left: Expr, right: Expr, context: FoldContext<'_>) -> Expr {
    use Expr::BooleanLiteral as Bool;
    match (op, &left, &right) {
        (BinaryOp::And, Bool(false), _) | (BinaryOp::And, _, Bool(false)) => return Bool(false),
        (BinaryOp::Or, Bool(true), _) | (BinaryOp::Or, _, Bool(true)) => return Bool(true),
        (BinaryOp::And, Bool(true), _) | (BinaryOp::Or, Bool(false), _) => return right,
        (BinaryOp::And, _, Bool(true)) | (BinaryOp::Or, _, Bool(false)) => return left,
        _ => {}
    }
    literals(op, &left, &right, context).unwrap_or_else(|| Expr::binary(op, left, right))
}

fn literals(op: BinaryOp, left: &Expr, right: &Expr, context: FoldContext<'_>) -> Option<Expr> {
    use Expr::{
        BooleanLiteral, DurationLiteral, IntegerLiteral, NilLiteral, NumberLiteral, StringLiteral,
        TimeLiteral, UnsignedLiteral,
    };
    match (left, right) {
        (NilLiteral, _) | (StringLiteral(_), NilLiteral) => {
            matches!(op, BinaryOp::Eq | BinaryOp::Ne).then_some(BooleanLiteral(false))
        }
        (
            BooleanLiteral(_) | DurationLiteral(_) | IntegerLiteral(_) | NumberLiteral(_)
            | TimeLiteral(_),
            NilLiteral,
        ) => Some(BooleanLiteral(false)),
        (BooleanLiteral(a), BooleanLiteral(b)) => booleans(op, *a, *b),
        (IntegerLiteral(a), IntegerLiteral(b)) => integers(op, *a, *b),
        (IntegerLiteral(a), UnsignedLiteral(b)) => mixed(op, (*a).into(), (*b).into()),
        (UnsignedLiteral(a), IntegerLiteral(b)) => mixed(op, (*a).into(), (*b).into()),
        (UnsignedLiteral(a), UnsignedLiteral(b)) => unsigneds(op, *a, *b),
        (NumberLiteral(a), NumberLiteral(b)) => numbers(op, *a, *b),
        (NumberLiteral(a), IntegerLiteral(b)) => numbers(op, *a, *b as f64),
        (NumberLiteral(a), UnsignedLiteral(b)) => numbers(op, *a, *b as f64),
        (IntegerLiteral(a), NumberLiteral(b)) => numbers(op, *a as f64, *b),
        (UnsignedLiteral(a), NumberLiteral(b)) => numbers(op, *a as f64, *b),
        (DurationLiteral(a), DurationLiteral(b)) => durations(op, *a, *b),
        (DurationLiteral(a), IntegerLiteral(b)) => scaled_duration(op, *a, *b),
        (DurationLiteral(a), NumberLiteral(b)) => scaled_duration(op, *a, *b as i64),
        (IntegerLiteral(a), DurationLiteral(b)) => shifted(op, (*a).into(), *b),
        (TimeLiteral(a), DurationLiteral(b) | IntegerLiteral(b)) => shifted(op, *a, *b),
        (DurationLiteral(a) | IntegerLiteral(a), TimeLiteral(b)) => {
            (op == BinaryOp::Add).then(|| TimeLiteral(b.saturating_add((*a).into())))
        }
        (TimeLiteral(a), TimeLiteral(b)) => times(op, *a, *b),
        (StringLiteral(a), StringLiteral(b)) => strings(op, a, b, context),
        (StringLiteral(a), DurationLiteral(_) | TimeLiteral(_) | IntegerLiteral(_)) => {
            literals(op, &TimeLiteral(parse_time(a, context.zone).ok()?.into()), right, context)
        }
        (DurationLiteral(_) | TimeLiteral(_) | IntegerLiteral(_), StringLiteral(b)) => {
            literals(op, left, &TimeLiteral(parse_time(b, context.zone).ok()?.into()), context)
        }
        _ => None,
    }
}

fn compare<T: PartialOrd>(op: BinaryOp, a: T, b: T) -> Option<Expr> {
    Some(Expr::BooleanLiteral(match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Lt => a < b,
        BinaryOp::Le => a <= b,
        BinaryOp::Gt => a > b,
        BinaryOp::Ge => a >= b,
        _ => return None,
    }))
}

fn booleans(op: BinaryOp, a: bool, b: bool) -> Option<Expr> {
    Some(Expr::BooleanLiteral(match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne | BinaryOp::BitwiseXor => a != b,
        BinaryOp::And | BinaryOp::BitwiseAnd => a && b,
        BinaryOp::Or | BinaryOp::BitwiseOr => a || b,
        _ => return None,
    }))
}

fn integers(op: BinaryOp, a: i64, b: i64) -> Option<Expr> {
    Some(Expr::IntegerLiteral(match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div => return numbers(op, a as f64, b as f64),
        BinaryOp::Mod => a.checked_rem(b).unwrap_or(0),
        BinaryOp::BitwiseAnd => a & b,
        BinaryOp::BitwiseOr => a | b,
        BinaryOp::BitwiseXor => a ^ b,
        _ => return compare(op, a, b),
    }))
}

/// Combines an integer and an unsigned integer.
fn mixed(op: BinaryOp, a: i128, b: i128) -> Option<Expr> {
    match op {
        BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => compare(op, a, b),
        _ => unsigneds(op, a as u64, b as u64),
    }
}

fn unsigneds(op: BinaryOp, a: u64, b: u64) -> Option<Expr> {
    Some(Expr::UnsignedLiteral(match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div => a.checked_div(b).unwrap_or(0),
        BinaryOp::Mod => a.checked_rem(b).unwrap_or(0),
        _ => return compare(op, a, b),
    }))
}

fn numbers(op: BinaryOp, a: f64, b: f64) -> Option<Expr> {
    Some(Expr::NumberLiteral(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div if b == 0.0 => 0.0,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        _ => return compare(op, a, b),
    }))
}

fn durations(op: BinaryOp, a: i64, b: i64) -> Option<Expr> {
    match op {
        BinaryOp::Add => Some(Expr::DurationLiteral(a.wrapping_add(b))),
        BinaryOp::Sub => Some(Expr::DurationLiteral(a.wrapping_sub(b))),
        _ => compare(op, a, b),
    }
}

fn scaled_duration(op: BinaryOp, a: i64, b: i64) -> Option<Expr> {
    match op {
        BinaryOp::Mul => Some(Expr::DurationLiteral(a.wrapping_mul(b))),
        BinaryOp::Div => Some(Expr::DurationLiteral(a.checked_div(b).unwrap_or(0))),
        _ => None,
    }
}

fn shifted(op: BinaryOp, time_ns: i128, by_ns: i64) -> Option<Expr> {
    match op {
        BinaryOp::Add => Some(Expr::TimeLiteral(time_ns.saturating_add(by_ns.into()))),
        BinaryOp::Sub => Some(Expr::TimeLiteral(time_ns.saturating_sub(by_ns.into()))),
        _ => None,
    }
}

/// Computes with two times. Their difference saturates, as in 1.x (Go's `Time.Sub`).
fn times(op: BinaryOp, a: i128, b: i128) -> Option<Expr> {
    match op {
        BinaryOp::Sub => {
            let ns = a.saturating_sub(b).clamp(i64::MIN.into(), i64::MAX.into());
            Some(Expr::DurationLiteral(ns as i64))
        }
        _ => compare(op, a, b),
    }
}

fn strings(op: BinaryOp, a: &str, b: &str, context: FoldContext<'_>) -> Option<Expr> {
    let as_times = || {
        let a = parse_time(a, context.zone).ok()?;
        Some((a, parse_time(b, context.zone).ok()?))
    };
    match op {
        BinaryOp::Add => Some(Expr::StringLiteral(format!("{a}{b}"))),
        BinaryOp::Eq | BinaryOp::Ne => match as_times() {
            Some((a, b)) => compare(op, a, b),
            None => compare(op, a, b),
        },
        _ => as_times().and_then(|(a, b)| times(op, a.into(), b.into())),
    }
}
