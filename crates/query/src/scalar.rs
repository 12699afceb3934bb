//! Evaluates expressions on the columns of a result, one column at a time.
//!
//! Expressions follow the rules of SELECT (`influxql.ValuerEval` with `IntegerFloatDivision`):
//! - An operation with a missing operand returns null. If the other operand is a boolean, a missing
//!   operand is false.
//! - A bitwise operation on a boolean and a value of another type returns false.
//! - The quotient of two integers is a float.
//! - The quotient of any value and zero is 0, even if the value is NaN.
//! - A NaN in the result of the whole expression becomes null.

use super::math;
use super::result::{Column, StringColumn, Validity, Values};
use tidemark_engine::batch::bitmap::Bitmap;
use tidemark_engine::scan::math::MathFunction;
use tidemark_engine::scan::request::Arithmetic;
use tidemark_model::value::FieldValue;

/// An expression over the columns of a result.
#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    /// The position in the columns that are passed to [`evaluate`].
    Column(usize),
    Literal(FieldValue),
    Binary(Arithmetic, Box<Scalar>, Box<Scalar>),
    Math(MathFunction, Vec<Scalar>),
    Null,
}

impl Scalar {
    pub(crate) fn nodes(&self) -> usize {
        match self {
            Self::Column(_) | Self::Literal(_) | Self::Null => 1,
            Self::Binary(_, left, right) => 1 + left.nodes() + right.nodes(),
            Self::Math(_, args) => 1 + args.iter().map(Self::nodes).sum::<usize>(),
        }
    }
}

/// The value of an expression: the same value for all rows, or a column.
#[derive(Clone, Debug)]
pub(crate) enum Evaluated {
    Null,
    Literal(FieldValue),
    Column(Column),
}

impl Evaluated {
    fn rows(&self) -> Option<usize> {
        match self {
            Self::Column(column) => Some(column.len()),
            Self::Null | Self::Literal(_) => None,
        }
    }

    fn is_number(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Literal(value) => math::number(value).is_some(),
            Self::Column(Column { values, .. }) => {
                matches!(values, Values::Float(_) | Values::Integer(_) | Values::Unsigned(_))
            }
        }
    }

    /// Returns `None` if the result is null in every row.
    fn column(self, rows: usize) -> Option<Column> {
        match self {
            Self::Null => None,
            Self::Literal(value) => Some(Column::full(repeat(&value, rows))),
            Self::Column(column) => Some(column),
        }
    }

    /// Returns `None` if the result is null in every row.
    pub(crate) fn into_column(self, rows: usize) -> Option<Column> {
        self.column(rows).map(without_nan)
    }
}

/// Evaluates an expression for all rows. A column that is `None` contains only nulls. `filled`
/// states whether `fill(number)` replaces missing booleans with numbers.
pub(crate) fn evaluate(scalar: &Scalar, columns: &[Option<Column>], filled: bool) -> Evaluated {
    match scalar {
        Scalar::Column(index) => match columns.get(*index) {
            Some(Some(column)) => Evaluated::Column(column.clone()),
            _ => Evaluated::Null,
        },
        Scalar::Literal(value) => Evaluated::Literal(value.clone()),
        Scalar::Null => Evaluated::Null,
        Scalar::Binary(op, left, right) => {
            binary(*op, evaluate(left, columns, filled), evaluate(right, columns, filled), filled)
        }
        Scalar::Math(function, args) => {
            call(*function, args.iter().map(|arg| evaluate(arg, columns, filled)).collect())
        }
    }
}

fn call(function: MathFunction, args: Vec<Evaluated>) -> Evaluated {
    let mut args = args.into_iter();
    match (function, args.next(), args.next()) {
        (MathFunction::Binary(apply), Some(left), Some(right)) => {
            combine(left, right, |left, right| {
                let (left, right) = (math::floats(left)?, math::floats(right)?);
                Some(Values::Float(zip(&left, &right, apply)))
            })
        }
        (function, Some(Evaluated::Column(Column { values, validity })), None) => {
            let values = math::column(function, &values);
            values.map_or(Evaluated::Null, |values| Evaluated::Column(Column { values, validity }))
        }
        _ => Evaluated::Null,
    }
}

fn binary(op: Arithmetic, left: Evaluated, right: Evaluated, filled: bool) -> Evaluated {
    let rows = left.rows().or(right.rows());
    let booleans = match (&left, &right, op) {
        (Evaluated::Null, Evaluated::Null, _) => None,
        (Evaluated::Literal(_), Evaluated::Literal(_), _) => None,
        (left, _, Arithmetic::BitAnd | Arithmetic::BitOr | Arithmetic::BitXor)
            if !left.is_number() =>
        {
            let rows = rows.unwrap_or(1);
            let (left, right) = (left.clone().column(rows), right.clone().column(rows));
            of_booleans(op, left.as_ref(), right.as_ref(), rows, filled)
        }
        _ => None,
    };
    match booleans {
        Some(column) if rows.is_some() => Evaluated::Column(column),
        Some(column) => column.get(0).map_or(Evaluated::Null, Evaluated::Literal),
        None => combine(left, right, |left, right| arithmetic(op, left, right)),
    }
}

/// Combines a column of booleans on the left with any column on the right; returns `None` for other
/// types on the left. A boolean combined with a value of another type is false. A column that is
/// `None` contains only missing values. Without `filled`, a missing value next to a boolean is
/// false. With `filled`, a number replaces each missing value: a boolean combined with the number
/// is false, and the number combined with a boolean is null.
fn of_booleans(
    op: Arithmetic,
    left: Option<&Column>,
    right: Option<&Column>,
    rows: usize,
    filled: bool,
) -> Option<Column> {
    let is_boolean =
        |side: Option<&Column>| side.is_none_or(|of| matches!(of.values, Values::Boolean(_)));
    if !is_boolean(left) || (left.is_none() && !is_boolean(right)) {
        return None;
    }
    let other_type = right.filter(|_| !is_boolean(right));
    let value = |side: Option<&Column>, row: usize| match side {
        Some(Column { values: Values::Boolean(values), validity }) if validity.is_valid(row) => {
            values.get(row).copied()
        }
        _ => None,
    };
    let mut values = Vec::with_capacity(rows);
    let mut validity = Validity::All;
    for row in 0..rows {
        let (left, right) = (value(left, row), value(right, row));
        let (one, other) = (left.unwrap_or(false), right.unwrap_or(false));
        let both = match op {
            Arithmetic::BitAnd => one && other,
            Arithmetic::BitOr => one || other,
            Arithmetic::BitXor => one != other,
            _ => return None,
        };
        let is_mixed = other_type.is_some_and(|other| other.validity.is_valid(row));
        values.push(both && !is_mixed && (right.is_some() || !filled));
        validity.push(row, left.is_some() || (right.is_some() && !filled));
    }
    Some(Column { values: Values::Boolean(values), validity })
}

fn combine(
    left: Evaluated,
    right: Evaluated,
    f: impl Fn(&Values, &Values) -> Option<Values>,
) -> Evaluated {
    let rows = left.rows().or(right.rows());
    let of = |side: Evaluated| side.column(rows.unwrap_or(1));
    let (Some(left), Some(right)) = (of(left), of(right)) else { return Evaluated::Null };
    let Some(values) = f(&left.values, &right.values) else { return Evaluated::Null };
    if rows.is_none() {
        return values.get(0).map_or(Evaluated::Null, Evaluated::Literal);
    }
    Evaluated::Column(Column { values, validity: both(&left.validity, &right.validity) })
}

pub(crate) fn repeat(value: &FieldValue, rows: usize) -> Values {
    match value {
        FieldValue::Float(value) => Values::Float(vec![*value; rows]),
        FieldValue::Integer(value) => Values::Integer(vec![*value; rows]),
        FieldValue::Unsigned(value) => Values::Unsigned(vec![*value; rows]),
        FieldValue::String(value) => Values::String(StringColumn::repeated(value, rows)),
        FieldValue::Boolean(value) => Values::Boolean(vec![*value; rows]),
    }
}

fn both(left: &Validity, right: &Validity) -> Validity {
    match (left, right) {
        (Validity::All, other) | (other, Validity::All) => other.clone(),
        (Validity::Some(left), Validity::Some(right)) => {
            let mut bits = Bitmap::default();
            left.iter().zip(right.iter()).for_each(|(l, r)| bits.push(l && r));
            Validity::Some(bits)
        }
    }
}

/// Replaces NaN with null, as 1.x does, because JSON has no NaN.
fn without_nan(mut column: Column) -> Column {
    if let Values::Float(values) = &column.values
        && values.iter().any(|value| value.is_nan())
    {
        let mut validity = Validity::All;
        for (row, value) in values.iter().enumerate() {
            validity.push(row, column.validity.is_valid(row) && !value.is_nan());
        }
        column.validity = validity;
    }
    column
}

fn zip<A: Copy, B: Copy, T>(left: &[A], right: &[B], f: impl Fn(A, B) -> T) -> Vec<T> {
    left.iter().zip(right).map(|(&a, &b)| f(a, b)).collect()
}

/// Computes an operation on two lists of integers of one type. Results wrap around.
macro_rules! integers {
    ($type:ty, $op:expr, $left:expr, $right:expr) => {
        match $op {
            Arithmetic::Add => zip($left, $right, <$type>::wrapping_add),
            Arithmetic::Subtract => zip($left, $right, <$type>::wrapping_sub),
            Arithmetic::Multiply => zip($left, $right, <$type>::wrapping_mul),
            Arithmetic::Divide => zip($left, $right, |a: $type, b| a.checked_div(b).unwrap_or(0)),
            Arithmetic::Modulo => zip($left, $right, |a: $type, b| a.checked_rem(b).unwrap_or(0)),
            Arithmetic::BitAnd => zip($left, $right, |a, b| a & b),
            Arithmetic::BitOr => zip($left, $right, |a, b| a | b),
            Arithmetic::BitXor => zip($left, $right, |a, b| a ^ b),
        }
    };
}

fn arithmetic(op: Arithmetic, left: &Values, right: &Values) -> Option<Values> {
    let unsigned = |values: &[i64]| values.iter().map(|&value| value as u64).collect::<Vec<_>>();
    let of_unsigned = |left: &[u64], right: &[u64]| integers!(u64, op, left, right);
    Some(match (left, right) {
        (Values::Integer(left), Values::Integer(right)) if op != Arithmetic::Divide => {
            Values::Integer(integers!(i64, op, left, right))
        }
        (Values::Unsigned(left), Values::Unsigned(right)) => {
            Values::Unsigned(of_unsigned(left, right))
        }
        (Values::Integer(left), Values::Unsigned(right)) => {
            Values::Unsigned(of_unsigned(&unsigned(left), right))
        }
        (Values::Unsigned(left), Values::Integer(right)) => {
            Values::Unsigned(of_unsigned(left, &unsigned(right)))
        }
        (Values::Boolean(left), Values::Boolean(right)) => Values::Boolean(match op {
            Arithmetic::BitAnd => zip(left, right, |a, b| a && b),
            Arithmetic::BitOr => zip(left, right, |a, b| a || b),
            Arithmetic::BitXor => zip(left, right, |a, b| a != b),
            _ => return None,
        }),
        _ => Values::Float(floats(op, &math::floats(left)?, &math::floats(right)?)?),
    })
}

fn floats(op: Arithmetic, left: &[f64], right: &[f64]) -> Option<Vec<f64>> {
    Some(match op {
        Arithmetic::Add => zip(left, right, |a, b| a + b),
        Arithmetic::Subtract => zip(left, right, |a, b| a - b),
        Arithmetic::Multiply => zip(left, right, |a, b| a * b),
        Arithmetic::Divide => zip(left, right, |a, b| if b == 0.0 { 0.0 } else { a / b }),
        Arithmetic::Modulo => zip(left, right, |a, b| a % b),
        Arithmetic::BitAnd | Arithmetic::BitOr | Arithmetic::BitXor => return None,
    })
}
