//! Computes mathematical functions for whole columns (1.x `query/math.go`).

use super::result::Values;
use tidemark_engine::scan::math::MathFunction;
use tidemark_influxql::ast::Expr;
use tidemark_model::value::FieldValue;

/// Computes a function of one column. Returns `None` for strings and booleans.
pub(crate) fn column(function: MathFunction, values: &Values) -> Option<Values> {
    use MathFunction::{Abs, Binary, Rounding, Unary};
    let apply: fn(f64) -> f64 = match (function, values) {
        (Abs, Values::Integer(values)) => {
            let absolute = values.iter().map(|value| value.wrapping_abs());
            return Some(Values::Integer(absolute.collect()));
        }
        (Abs | Rounding(_), Values::Integer(_) | Values::Unsigned(_)) => {
            return Some(values.clone());
        }
        (Abs, _) => f64::abs,
        (Rounding(apply) | Unary(apply), _) => apply,
        (Binary(_), _) => return None,
    };
    Some(Values::Float(floats(values)?.into_iter().map(apply).collect()))
}

/// Computes a function of literals. Returns `None` if an argument is not a number.
pub(crate) fn fold(function: MathFunction, args: &[Expr]) -> Option<Expr> {
    let value = |arg: &Expr| match arg {
        Expr::NumberLiteral(value) => Some(Values::Float(vec![*value])),
        Expr::IntegerLiteral(value) => Some(Values::Integer(vec![*value])),
        Expr::UnsignedLiteral(value) => Some(Values::Unsigned(vec![*value])),
        _ => None,
    };
    let folded = match (function, args) {
        (MathFunction::Binary(apply), [left, right]) => {
            let (left, right) = (floats(&value(left)?)?, floats(&value(right)?)?);
            Values::Float(vec![apply(*left.first()?, *right.first()?)])
        }
        (_, [arg]) => column(function, &value(arg)?)?,
        _ => return None,
    };
    Some(match folded.get(0)? {
        FieldValue::Integer(value) => Expr::IntegerLiteral(value),
        FieldValue::Unsigned(value) => Expr::UnsignedLiteral(value),
        FieldValue::Float(value) => Expr::NumberLiteral(value),
        FieldValue::String(_) | FieldValue::Boolean(_) => return None,
    })
}

/// Returns `None` for strings and booleans.
pub(crate) fn number(value: &FieldValue) -> Option<f64> {
    match value {
        FieldValue::Float(value) => Some(*value),
        FieldValue::Integer(value) => Some(*value as f64),
        FieldValue::Unsigned(value) => Some(*value as f64),
        FieldValue::String(_) | FieldValue::Boolean(_) => None,
    }
}

/// Returns `None` for strings and booleans.
pub(crate) fn floats(values: &Values) -> Option<Vec<f64>> {
    match values {
        Values::Float(values) => Some(values.clone()),
        Values::Integer(values) => Some(values.iter().map(|&value| value as f64).collect()),
        Values::Unsigned(values) => Some(values.iter().map(|&value| value as f64).collect()),
        Values::String(_) | Values::Boolean(_) => None,
    }
}
