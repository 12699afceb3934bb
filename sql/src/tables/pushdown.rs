//! Converts SQL filters to conditions that shards evaluate in the same way.
//!
//! A filter keeps a row only if the filter is true. For a missing value, SQL comparisons are NULL
//! and the conditions of a shard are false, so both drop the row. A missing tag has a separate
//! condition. SQL compares floats in IEEE 754's total order, in which -0.0 precedes 0.0, but for
//! shards both zeros are equal. Some comparisons with zero therefore remain in the plan. Fields
//! never contain NaN. To compare an integer field with a float, SQL casts the field. The shard
//! instead evaluates an equivalent comparison with an integer.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator};
use datafusion::scalar::ScalarValue;
use tidemark_engine::scan::request::Comparison;
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};

use super::measurement::{Kind, tag_type};
use crate::messages::Condition;

/// 2^53. Floats represent all integers with a smaller absolute value exactly.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// A filter that is evaluated by a scan, not by the plan.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pushed {
    /// Keeps the rows inside the time range.
    Time(TimeRange),
    /// Keeps the rows for which the condition is true.
    Condition(Condition),
}

impl Pushed {
    /// Returns the size of the texts with which the filter compares, in bytes.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Time(_) => 0,
            Self::Condition(condition) => text_bytes(condition),
        }
    }
}

fn text_bytes(condition: &Condition) -> usize {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().map(text_bytes).sum(),
        Condition::TagIn(_, values) | Condition::TagNotIn(_, values) => {
            values.iter().map(String::len).sum()
        }
        Condition::Field(_, _, _, FieldValue::String(value)) => value.len(),
        Condition::Field(..) | Condition::TagMissing(_) => 0,
    }
}

/// Converts `filter` for a scan. Returns `None` if the scan cannot evaluate the filter. `kind`
/// returns the kind of a column.
pub(super) fn push(filter: &Expr, kind: &dyn Fn(&str) -> Option<Kind>) -> Option<Pushed> {
    if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter
        && let Some((name, compare, literal)) = comparison(left, *op, right)
        && kind(name) == Some(Kind::Time)
    {
        return time_range(compare, literal).map(Pushed::Time);
    }
    condition(filter, kind).map(Pushed::Condition)
}

fn condition(filter: &Expr, kind: &dyn Fn(&str) -> Option<Kind>) -> Option<Condition> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Some(Condition::All(vec![condition(left, kind)?, condition(right, kind)?]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(Condition::Any(vec![condition(left, kind)?, condition(right, kind)?]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (name, compare, literal) = comparison(left, *op, right)?;
            match kind(name)? {
                Kind::Time => None,
                Kind::Tag => tag_comparison(name, compare, text(literal)?),
                Kind::Field(field_type) => {
                    let given = field_value(literal)?;
                    let value = as_integer(field_type, compare, &given).unwrap_or(given);
                    let agrees = agrees(field_type, compare, &value);
                    agrees.then(|| Condition::Field(name.to_owned(), field_type, compare, value))
                }
            }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let name = column(expr).filter(|name| kind(name) == Some(Kind::Tag))?;
            let values: Option<Vec<String>> = list.iter().map(literal_text).collect();
            // If the list contains an empty value, a shard cannot distinguish NULL from ''.
            let values = values.filter(|values| values.iter().all(|value| !value.is_empty()))?;
            Some(match negated {
                false => Condition::TagIn(name.to_owned(), values),
                true => Condition::TagNotIn(name.to_owned(), values),
            })
        }
        Expr::IsNull(expr) => {
            let name = column(expr).filter(|name| kind(name) == Some(Kind::Tag))?;
            Some(Condition::TagMissing(name.to_owned()))
        }
        Expr::IsNotNull(expr) => {
            let name = column(expr).filter(|name| kind(name) == Some(Kind::Tag))?;
            Some(Condition::TagNotIn(name.to_owned(), Vec::new()))
        }
        Expr::Column(_) => truth(filter, true, kind),
        Expr::Not(inner) => truth(inner, false, kind),
        _ => None,
    }
}

/// Returns the condition that a boolean field equals `value`.
fn truth(expr: &Expr, value: bool, kind: &dyn Fn(&str) -> Option<Kind>) -> Option<Condition> {
    let boolean = FieldType::Boolean;
    let name = column(expr).filter(|name| kind(name) == Some(Kind::Field(boolean)))?;
    let value = FieldValue::Boolean(value);
    Some(Condition::Field(name.to_owned(), boolean, Comparison::Equal, value))
}

/// Returns a comparison between a column and a constant. The column is on the left side of the
/// returned comparison.
fn comparison<'a>(
    left: &'a Expr,
    operator: Operator,
    right: &'a Expr,
) -> Option<(&'a str, Comparison, &'a ScalarValue)> {
    let compare = match operator {
        Operator::Eq => Comparison::Equal,
        Operator::NotEq => Comparison::NotEqual,
        Operator::Lt => Comparison::Less,
        Operator::LtEq => Comparison::LessOrEqual,
        Operator::Gt => Comparison::Greater,
        Operator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    };
    let turned = match compare {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    };
    let column = |side| column(side).or_else(|| as_float(side));
    match (column(left), right, left, column(right)) {
        (Some(name), Expr::Literal(literal, _), _, _) => Some((name, compare, literal)),
        (_, _, Expr::Literal(literal, _), Some(name)) => Some((name, turned, literal)),
        _ => None,
    }
}

/// Returns the name of a column, or of a tag that is cast to text.
fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Cast(Cast { expr, field }) => {
            let is_text = field.data_type().is_string() || *field.data_type() == tag_type();
            match &**expr {
                // The caller rejects a number or boolean that is cast to text, because the column's
                // type is not text.
                Expr::Column(column) if is_text => Some(&column.name),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns the name of a column that is cast to a float. SQL casts integers to compare them with
/// floats.
fn as_float(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Cast(Cast { expr, field }) if *field.data_type() == DataType::Float64 => {
            match &**expr {
                Expr::Column(column) => Some(&column.name),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns an integer constant. Comparing the uncast field with this integer has the same result as
/// comparing the cast field with `given`. Constants from 2^53 are excluded, because floats cannot
/// represent every integer in this range. The constant -0.0 is excluded, because 0 cast to a float
/// is greater than -0.0 in the total order.
fn as_integer(
    field_type: FieldType,
    compare: Comparison,
    given: &FieldValue,
) -> Option<FieldValue> {
    let FieldValue::Float(given) = *given else { return None };
    let is_exact = given.abs() < EXACT_BELOW && !(given == 0.0 && given.is_sign_negative());
    let bound = match compare {
        Comparison::Greater | Comparison::LessOrEqual => given.floor(),
        Comparison::GreaterOrEqual | Comparison::Less => given.ceil(),
        Comparison::Equal | Comparison::NotEqual => given,
    };
    let is_equality = matches!(compare, Comparison::Equal | Comparison::NotEqual);
    if !is_exact || (is_equality && given.fract() != 0.0) {
        return None;
    }
    match field_type {
        FieldType::Integer => Some(FieldValue::Integer(bound as i64)),
        FieldType::Unsigned if bound >= 0.0 => Some(FieldValue::Unsigned(bound as u64)),
        _ => None,
    }
}

fn time_range(compare: Comparison, literal: &ScalarValue) -> Option<TimeRange> {
    let ScalarValue::TimestampNanosecond(Some(at), _) = *literal else { return None };
    let after = at.checked_add(1)?;
    Some(match compare {
        Comparison::Equal => TimeRange::new(at, after),
        Comparison::NotEqual => return None,
        Comparison::Less => TimeRange::new(i64::MIN, at),
        Comparison::LessOrEqual => TimeRange::new(i64::MIN, after),
        Comparison::Greater => TimeRange::new(after, i64::MAX),
        Comparison::GreaterOrEqual => TimeRange::new(at, i64::MAX),
    })
}

fn tag_comparison(name: &str, compare: Comparison, value: &str) -> Option<Condition> {
    if value.is_empty() {
        return None;
    }
    match compare {
        Comparison::Equal => Some(Condition::TagIn(name.to_owned(), vec![value.to_owned()])),
        Comparison::NotEqual => Some(Condition::TagNotIn(name.to_owned(), vec![value.to_owned()])),
        // Shards cannot order the values of a tag.
        _ => None,
    }
}

/// Whether a shard evaluates the comparison in the same way as SQL.
fn agrees(field_type: FieldType, compare: Comparison, value: &FieldValue) -> bool {
    let is_equality = matches!(compare, Comparison::Equal | Comparison::NotEqual);
    match (field_type, value) {
        (FieldType::Float, FieldValue::Float(value)) if *value == 0.0 => match compare {
            Comparison::Greater | Comparison::LessOrEqual => value.is_sign_positive(),
            Comparison::GreaterOrEqual | Comparison::Less => value.is_sign_negative(),
            Comparison::Equal | Comparison::NotEqual => false,
        },
        (FieldType::Float, FieldValue::Float(value)) => value.is_finite(),
        (FieldType::Integer, FieldValue::Integer(_))
        | (FieldType::Unsigned, FieldValue::Unsigned(_)) => true,
        (FieldType::String, FieldValue::String(_))
        | (FieldType::Boolean, FieldValue::Boolean(_)) => is_equality,
        _ => false,
    }
}

fn field_value(literal: &ScalarValue) -> Option<FieldValue> {
    Some(match literal {
        ScalarValue::Float64(value) => FieldValue::Float((*value)?),
        ScalarValue::Int64(value) => FieldValue::Integer((*value)?),
        ScalarValue::UInt64(value) => FieldValue::Unsigned((*value)?),
        ScalarValue::Boolean(value) => FieldValue::Boolean((*value)?),
        other => FieldValue::String(text(other)?.into()),
    })
}

fn literal_text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(literal, _) => text(literal).map(str::to_owned),
        _ => None,
    }
}

fn text(literal: &ScalarValue) -> Option<&str> {
    match literal {
        ScalarValue::Dictionary(_, value) => text(value),
        ScalarValue::Utf8(value) | ScalarValue::Utf8View(value) | ScalarValue::LargeUtf8(value) => {
            value.as_deref()
        }
        _ => None,
    }
}
