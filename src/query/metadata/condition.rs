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
                compare(*op, left, right, schema, counted).unwrap_or(Predicate::Constant(!counted))
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
    counted: bool,
) -> Option<Predicate> {
    let operand = |expr| operand(expr, schema).map(Box::new);
    if let (BinaryOp::EqRegex | BinaryOp::NeRegex, Expr::Regex(regex)) = (op, right) {
        let (regex, negated) = (regex.as_str().to_owned(), op == BinaryOp::NeRegex);
        return Some(Predicate::Matches { operand: operand(left)?, regex, negated });
    }
    let is = |equal: bool, left, right| {
        let comparison = if equal { Comparison::Equal } else { Comparison::NotEqual };
        Predicate::Compare(comparison, left, right)
    };
    let (left_side, right_side) = (operand(left)?, operand(right)?);
    if let (false, Expr::VarRef { .. }, Expr::VarRef { .. }) = (counted, left, right) {
        // 1.x's index asks only which series have both tags, or the left one alone.
        let has = is(false, left_side, Box::new(text("")));
        let other = is(op == BinaryOp::Ne, right_side, Box::new(text("")));
        return Some(Predicate::And(Box::new(has), Box::new(other)));
    }
    Some(is(op == BinaryOp::Eq, left_side, right_side))
}

fn operand(expr: &Expr, schema: &MeasurementSchema) -> Option<Operand> {
    match expr {
        Expr::Paren(inner) => operand(inner, schema),
        Expr::StringLiteral(literal) => Some(text(literal)),
        Expr::VarRef { name, .. } if name == "_name" => Some(text(&schema.name)),
        Expr::VarRef { name, cast: None } if schema.tag(name).is_none() => {
            schema.field(name).is_none().then(|| text(""))
        }
        Expr::VarRef { name, cast: None | Some(Cast::Tag) } => {
            Some(schema.tag(name).map_or(text(""), |column| Operand::Tag(column.id)))
        }
        _ => None,
    }
}

fn text(text: &str) -> Operand {
    Operand::Literal(FieldValue::String(text.into()))
}
