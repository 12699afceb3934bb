//! Computes mathematical functions for whole columns (1.x `query/math.go`).

use super::result::{Column, Values};
use crate::influxql::ast::Expr;
use crate::model::value::FieldValue;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unary {
    Abs,
    Ceil,
    Floor,
    Round,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Exp,
    Ln,
    Log2,
    Log10,
    Sqrt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Log,
    Pow,
    Atan2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MathFunction {
    Unary(Unary),
    Binary(Binary),
}

pub(crate) fn fold_literals(function: MathFunction, args: &[Expr]) -> Option<Expr> {
    let value = |arg: &Expr| match arg {
        Expr::NumberLiteral(value) => Some(FieldValue::Float(*value)),
        Expr::IntegerLiteral(value) => Some(FieldValue::Integer(*value)),
        Expr::UnsignedLiteral(value) => Some(FieldValue::Unsigned(*value)),
        _ => None,
    };
    let folded = match (function, args) {
        (MathFunction::Unary(function), [arg]) => function.value(&value(arg)?)?,
        (MathFunction::Binary(function), [left, right]) => {
            FieldValue::Float(function.apply(number(&value(left)?)?, number(&value(right)?)?))
        }
        _ => return None,
    };
    Some(match folded {
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

impl Unary {
    /// Whether an integer argument has an integer result.
    fn keeps_type(self) -> bool {
        matches!(self, Self::Abs | Self::Ceil | Self::Floor | Self::Round)
    }

    fn apply(self, x: f64) -> f64 {
        match self {
            Self::Abs => x.abs(),
            Self::Ceil => x.ceil(),
            Self::Floor => x.floor(),
            // Rust rounds half away from zero, like Go's `math.Round`.
            Self::Round => x.round(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tan => x.tan(),
            Self::Asin => x.asin(),
            Self::Acos => x.acos(),
            Self::Atan => x.atan(),
            Self::Exp => x.exp(),
            Self::Ln => x.ln(),
            Self::Log2 => x.log2(),
            Self::Log10 => x.log10(),
            Self::Sqrt => x.sqrt(),
        }
    }

    fn value(self, value: &FieldValue) -> Option<FieldValue> {
        Some(match value {
            FieldValue::Integer(value) if self == Self::Abs => {
                FieldValue::Integer(value.wrapping_abs())
            }
            FieldValue::Integer(_) | FieldValue::Unsigned(_) if self.keeps_type() => value.clone(),
            other => FieldValue::Float(self.apply(number(other)?)),
        })
    }

    pub(crate) fn column(self, column: &Column) -> Option<Column> {
        let values = match &column.values {
            Values::Integer(values) if self == Self::Abs => {
                Values::Integer(values.iter().map(|value| value.wrapping_abs()).collect())
            }
            Values::Integer(_) | Values::Unsigned(_) if self.keeps_type() => column.values.clone(),
            other => Values::Float(floats(other)?.iter().map(|&x| self.apply(x)).collect()),
        };
        Some(Column { values, validity: column.validity.clone() })
    }
}

impl Binary {
    pub(crate) fn apply(self, x: f64, y: f64) -> f64 {
        match self {
            Self::Log => x.ln() / y.ln(),
            Self::Pow => x.powf(y),
            Self::Atan2 => x.atan2(y),
        }
    }
}

pub(crate) fn floats(values: &Values) -> Option<Vec<f64>> {
    match values {
        Values::Float(values) => Some(values.clone()),
        Values::Integer(values) => Some(values.iter().map(|&value| value as f64).collect()),
        Values::Unsigned(values) => Some(values.iter().map(|&value| value as f64).collect()),
        Values::String(_) | Values::Boolean(_) => None,
    }
}
