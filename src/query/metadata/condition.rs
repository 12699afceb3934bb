//! WHERE of SHOW statements: on tags and `_name` only. A name that is no tag is a tag that every
//! series lacks. What compares a field, or a tag with anything but a text, holds for every series
//! of a list and for none that is counted: 1.x asks its index for the one and its data for the
//! other.

use crate::influxql::ast::{BinaryOp, Cast, Expr};
use crate::model::schema::MeasurementSchema;
use crate::model::value::FieldValue;
use crate::query::error::QueryError;
use crate::scan::request::{Comparison, Operand, Predicate};

/// Lowers a condition without time to the tags of one measurement.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text, for lists only.
pub(super) fn lower(
    expr: &Expr,
    schema: &MeasurementSchema,
    counted: bool,
) -> Result<Predicate, QueryError> {
    let both = |left, right| -> Result<_, QueryError> {
        Ok((Box::new(lower(left, schema, counted)?), Box::new(lower(right, schema, counted)?)))
    };
    Ok(match expr {
        Expr::Paren(inner) => lower(inner, schema, counted)?,
        Expr::BooleanLiteral(value) => Predicate::Constant(*value),
        Expr::Binary { op: BinaryOp::And, left, right } => {
            let (left, right) = both(left, right)?;
            Predicate::And(left, right)
        }
        Expr::Binary { op: BinaryOp::Or, left, right } => {
            let (left, right) = both(left, right)?;
            Predicate::Or(left, right)
        }
        Expr::Binary { op, left, right } => match op {
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::EqRegex | BinaryOp::NeRegex => {
                compare(*op, left, right, schema).unwrap_or(Predicate::Constant(!counted))
            }
            _ if counted => Predicate::Constant(false),
            _ => return Err(QueryError::Invalid("invalid tag comparison operator".into())),
        },
        _ => Predicate::Constant(false),
    })
}

/// `None` unless both sides are tags or texts.
fn compare(
    op: BinaryOp,
    left: &Expr,
    right: &Expr,
    schema: &MeasurementSchema,
) -> Option<Predicate> {
    let operand = |expr| operand(expr, schema).map(Box::new);
    if let (BinaryOp::EqRegex | BinaryOp::NeRegex, Expr::Regex(regex)) = (op, right) {
        let (regex, negated) = (regex.as_str().to_owned(), op == BinaryOp::NeRegex);
        return Some(Predicate::Matches { operand: operand(left)?, regex, negated });
    }
    let comparison = if op == BinaryOp::Eq { Comparison::Equal } else { Comparison::NotEqual };
    let same = Predicate::Compare(comparison, operand(left)?, operand(right)?);
    Some(match (op, left, right) {
        // Two tags that a series lacks are not equal.
        (BinaryOp::Eq, Expr::VarRef { .. }, Expr::VarRef { .. }) => {
            let is_there =
                Predicate::Compare(Comparison::NotEqual, operand(left)?, Box::new(text("")));
            Predicate::And(Box::new(same), Box::new(is_there))
        }
        _ => same,
    })
}

fn operand(expr: &Expr, schema: &MeasurementSchema) -> Option<Operand> {
    match expr {
        Expr::Paren(inner) => operand(inner, schema),
        Expr::StringLiteral(literal) => Some(text(literal)),
        Expr::VarRef { name, .. } if name == "_name" => Some(text(&schema.name)),
        Expr::VarRef { name, cast } => match schema.tag(name) {
            Some(column) if matches!(cast, None | Some(Cast::Tag)) => Some(Operand::Tag(column.id)),
            _ if schema.field(name).is_some() || cast.is_some() => None,
            _ => Some(text("")),
        },
        _ => None,
    }
}

fn text(text: &str) -> Operand {
    Operand::Literal(FieldValue::String(text.into()))
}
