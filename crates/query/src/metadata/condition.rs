//! Lowers the WHERE condition of a SHOW statement to a predicate on tags and `_name`. An unknown
//! name counts as a tag that every series lacks.
//!
//! A comparison with a field, or between a tag and a non-string, does not depend on the series. In
//! 1.x, such a comparison is true for every series in lists, and false in counts. When 1.x counts
//! tag values, every comparison with a missing tag is false.

use crate::compile::predicate::{compare_names, is_missing};
use crate::error::{Result, invalid};
use tidemark_engine::scan::request::{Comparison, Operand, Predicate};
use tidemark_influxql::ast::{BinaryOp, Cast, Expr};
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::value::FieldValue;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConditionUse {
    /// SHOW SERIES, in which 1.x ignores `::field`.
    Series,
    List,
    Count,
    CountOfValues,
}

impl ConditionUse {
    fn is_list(self) -> bool {
        matches!(self, Self::Series | Self::List)
    }
}

/// Lowers a condition without time comparisons.
///
/// # Errors
/// `QueryError::Invalid` with 1.x's text, for lists only.
pub(super) fn lower(
    expr: &Expr,
    schema: &MeasurementSchema,
    purpose: ConditionUse,
) -> Result<Predicate> {
    let of = |side| lower(side, schema, purpose);
    Ok(match expr {
        Expr::Paren(inner) => lower(inner, schema, purpose)?,
        Expr::BooleanLiteral(value) => Predicate::Constant(*value),
        Expr::Binary { op: BinaryOp::And, left, right } => join(false, of(left)?, of(right)?),
        Expr::Binary { op: BinaryOp::Or, left, right } => join(true, of(left)?, of(right)?),
        Expr::Binary { op, left, right } => match op {
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::EqRegex | BinaryOp::NeRegex => {
                let compared = compare(*op, left, right, schema, purpose);
                compared.unwrap_or(Predicate::Constant(purpose.is_list()))
            }
            _ if !purpose.is_list() => Predicate::Constant(false),
            _ => return invalid("invalid tag comparison operator"),
        },
        _ => Predicate::Constant(false),
    })
}

/// Returns an OR if `decisive` is true, and an AND if it is false.
fn join(decisive: bool, left: Predicate, right: Predicate) -> Predicate {
    match (left, right) {
        (Predicate::Constant(value), other) | (other, Predicate::Constant(value)) => {
            if value == decisive { Predicate::Constant(decisive) } else { other }
        }
        (left, right) if decisive => Predicate::Or(Box::new(left), Box::new(right)),
        (left, right) => Predicate::And(Box::new(left), Box::new(right)),
    }
}

/// Evaluates a comparison of two strings. A shard would repeat it for every series.
fn fold(predicate: Predicate) -> Predicate {
    let Predicate::Compare(comparison, left, right) = &predicate else { return predicate };
    let (Operand::Literal(FieldValue::String(left)), Operand::Literal(FieldValue::String(right))) =
        (&**left, &**right)
    else {
        return predicate;
    };
    match comparison {
        Comparison::Equal => Predicate::Constant(left == right),
        Comparison::NotEqual => Predicate::Constant(left != right),
        _ => predicate,
    }
}

/// Returns `None` unless each side is a tag or a string.
fn compare(
    op: BinaryOp,
    left: &Expr,
    right: &Expr,
    schema: &MeasurementSchema,
    purpose: ConditionUse,
) -> Option<Predicate> {
    // In counts of tag values, every comparison with a missing tag is false.
    let present = |sides: &[&Operand], predicate: Predicate| {
        let missing = sides.iter().filter(|side| matches!(side, Operand::Tag(_)));
        let unknown = |(side, expr): (&&Operand, &&Expr)| {
            matches!(side, Operand::Literal(_)) && matches!(expr, Expr::VarRef { .. })
        };
        match purpose {
            ConditionUse::CountOfValues if sides.iter().zip(&[left, right]).any(unknown) => {
                Predicate::Constant(false)
            }
            ConditionUse::CountOfValues => missing.fold(predicate, |all, tag| {
                Predicate::And(Box::new(is_missing((*tag).clone(), false)), Box::new(all))
            }),
            ConditionUse::Series | ConditionUse::List | ConditionUse::Count => predicate,
        }
    };
    let left_side = operand(left, schema, purpose)?;
    if let (BinaryOp::EqRegex | BinaryOp::NeRegex, Expr::Regex(regex)) = (op, right) {
        let (regex, negated) = (regex.as_str().to_owned(), op == BinaryOp::NeRegex);
        let matches = Predicate::Matches { operand: Box::new(left_side.clone()), regex, negated };
        return Some(present(&[&left_side], matches));
    }
    let right_side = operand(right, schema, purpose)?;
    let comparison = match op {
        BinaryOp::Eq => Comparison::Equal,
        _ => Comparison::NotEqual,
    };
    let names = matches!((left, right), (Expr::VarRef { .. }, Expr::VarRef { .. }));
    Some(match purpose {
        ConditionUse::Series | ConditionUse::List if names => {
            // 1.x's index ignores the values of the two tags. `=` selects the series that have both
            // tags, and `!=` selects the series that have only the left tag.
            let other = is_missing(right_side, op == BinaryOp::Ne);
            join(false, fold(is_missing(left_side, false)), fold(other))
        }
        ConditionUse::Count if names => compare_names(comparison, left_side, right_side),
        _ => {
            let (one, other) = (Box::new(left_side.clone()), Box::new(right_side.clone()));
            let compared = fold(Predicate::Compare(comparison, one, other));
            present(&[&left_side, &right_side], compared)
        }
    })
}

fn operand(expr: &Expr, schema: &MeasurementSchema, purpose: ConditionUse) -> Option<Operand> {
    let (name, cast) = match expr {
        Expr::Paren(inner) => return operand(inner, schema, purpose),
        Expr::StringLiteral(literal) => return Some(text(literal)),
        Expr::VarRef { name, .. } if name == "_name" => return Some(text(&schema.name)),
        Expr::VarRef { name, cast } => (name, *cast),
        _ => return None,
    };
    let (tag, is_field) = (schema.tag(name), schema.field(name).is_some());
    let is_tag = match cast {
        Some(Cast::Tag) => true,
        None => tag.is_some() || !is_field,
        Some(Cast::Field) => match purpose {
            ConditionUse::Series => tag.is_some() || !is_field,
            ConditionUse::List => false,
            ConditionUse::Count | ConditionUse::CountOfValues => tag.is_none() && !is_field,
        },
        Some(_) => false,
    };
    is_tag.then(|| tag.map_or(text(""), |column| Operand::Tag(column.id)))
}

fn text(text: &str) -> Operand {
    Operand::Literal(FieldValue::String(text.into()))
}
