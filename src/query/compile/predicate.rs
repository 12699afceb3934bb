//! Turns WHERE into a predicate on the columns of one measurement.

use crate::influxql::ast::{BinaryOp, Cast, Expr};
use crate::model::schema::MeasurementSchema;
use crate::model::value::{FieldType, FieldValue};
use crate::query::error::QueryError;
use crate::query::functions::Function;
use crate::scan::request::{Arithmetic, Comparison, Input, Operand, Predicate};

/// Lowers a condition without time. Names that mean nothing are tags that every series lacks. What
/// is `derived` from a subquery has no index to ask: a missing tag is a text there, of no letters.
///
/// # Errors
/// [`QueryError::Unsupported`] for what cannot stand in a condition.
pub(crate) fn lower(
    expr: &Expr,
    schema: &MeasurementSchema,
    derived: bool,
) -> Result<Predicate, QueryError> {
    Ok(match expr {
        Expr::Paren(inner) => lower(inner, schema, derived)?,
        Expr::BooleanLiteral(value) => Predicate::Constant(*value),
        Expr::Binary { op, left, right } => match op {
            BinaryOp::And => Predicate::And(
                Box::new(lower(left, schema, derived)?),
                Box::new(lower(right, schema, derived)?),
            ),
            BinaryOp::Or => Predicate::Or(
                Box::new(lower(left, schema, derived)?),
                Box::new(lower(right, schema, derived)?),
            ),
            BinaryOp::EqRegex | BinaryOp::NeRegex => {
                matches(left, right, *op == BinaryOp::NeRegex, schema)
            }
            other => match comparison(*other) {
                Some(comparison) => compare(comparison, (left, right), schema, derived),
                // A number is not true.
                None => Predicate::Constant(false),
            },
        },
        Expr::VarRef { .. } => match operand(expr, schema) {
            Some(field @ Operand::Field(Input { field_type: FieldType::Boolean, .. })) => {
                Predicate::IsTrue(Box::new(field))
            }
            _ => Predicate::Constant(false),
        },
        _ => Predicate::Constant(false),
    })
}

fn comparison(op: BinaryOp) -> Option<Comparison> {
    Some(match op {
        BinaryOp::Eq => Comparison::Equal,
        BinaryOp::Ne => Comparison::NotEqual,
        BinaryOp::Lt => Comparison::Less,
        BinaryOp::Le => Comparison::LessOrEqual,
        BinaryOp::Gt => Comparison::Greater,
        BinaryOp::Ge => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn compare(
    comparison: Comparison,
    (left, right): (&Expr, &Expr),
    schema: &MeasurementSchema,
    derived: bool,
) -> Predicate {
    let names = is_reference(left) && is_reference(right);
    let (Some(left), Some(right)) = (operand(left, schema), operand(right, schema)) else {
        return Predicate::Constant(false);
    };
    if names && !derived {
        return compare_names(comparison, left, right);
    }
    let is_text = |operand: &Operand| {
        matches!(operand, Operand::Tag(_) | Operand::Literal(FieldValue::String(_)))
    };
    let is_tag = |operand: &Operand| matches!(operand, Operand::Tag(_));
    // 1.x's index knows = and "anything else" on tags (`seriesByBinaryExpr`).
    let on_tags = (is_tag(&left) || is_tag(&right)) && is_text(&left) && is_text(&right);
    let comparison = match comparison {
        Comparison::Equal => Comparison::Equal,
        _ if on_tags => Comparison::NotEqual,
        other => other,
    };
    Predicate::Compare(comparison, Box::new(left), Box::new(right))
}

/// Two names. A tag that is missing equals nothing, not even another that is: as in 1.x's index
/// two tags are either equal or they are not, and no other comparison holds. A field is neither
/// equal to a missing tag nor different from it.
pub(crate) fn compare_names(comparison: Comparison, left: Operand, right: Operand) -> Predicate {
    let is_field = |operand: &Operand| matches!(operand, Operand::Field(_));
    let tag = match (is_field(&left), is_field(&right)) {
        (true, true) => None,
        (true, false) => Some(right.clone()),
        _ => Some(left.clone()),
    };
    let on_tags = !is_field(&left) && !is_field(&right);
    let compare = Predicate::Compare(comparison, Box::new(left), Box::new(right));
    match (tag, comparison) {
        (None, _) => compare,
        (Some(tag), Comparison::NotEqual) if on_tags => {
            Predicate::Or(Box::new(is_missing(tag, true)), Box::new(compare))
        }
        (Some(_), comparison) if on_tags && comparison != Comparison::Equal => {
            Predicate::Constant(false)
        }
        (Some(tag), _) => Predicate::And(Box::new(is_missing(tag, false)), Box::new(compare)),
    }
}

/// Whether a series lacks a tag, or has it.
pub(crate) fn is_missing(tag: Operand, missing: bool) -> Predicate {
    let comparison = if missing { Comparison::Equal } else { Comparison::NotEqual };
    let nothing = Operand::Literal(FieldValue::String("".into()));
    Predicate::Compare(comparison, Box::new(tag), Box::new(nothing))
}

fn is_reference(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(inner) => is_reference(inner),
        other => matches!(other, Expr::VarRef { .. }),
    }
}

fn matches(left: &Expr, right: &Expr, negated: bool, schema: &MeasurementSchema) -> Predicate {
    match (operand(left, schema), right) {
        (Some(operand), Expr::Regex(regex)) => Predicate::Matches {
            operand: Box::new(operand),
            regex: regex.as_str().to_owned(),
            negated,
        },
        _ => Predicate::Constant(false),
    }
}

/// The arithmetic or bitwise operator that `op` is, in WHERE and in fields alike.
pub(super) fn arithmetic(op: BinaryOp) -> Option<Arithmetic> {
    Some(match op {
        BinaryOp::Add => Arithmetic::Add,
        BinaryOp::Sub => Arithmetic::Subtract,
        BinaryOp::Mul => Arithmetic::Multiply,
        BinaryOp::Div => Arithmetic::Divide,
        BinaryOp::Mod => Arithmetic::Modulo,
        BinaryOp::BitwiseAnd => Arithmetic::BitAnd,
        BinaryOp::BitwiseOr => Arithmetic::BitOr,
        BinaryOp::BitwiseXor => Arithmetic::BitXor,
        _ => return None,
    })
}

/// Lowers a value; `None` for what never has one in a condition.
fn operand(expr: &Expr, schema: &MeasurementSchema) -> Option<Operand> {
    Some(match expr {
        Expr::Paren(inner) => operand(inner, schema)?,
        Expr::VarRef { name, cast } => reference(name, *cast, schema)?,
        Expr::StringLiteral(text) => Operand::Literal(FieldValue::String(text.as_str().into())),
        Expr::NumberLiteral(value) => Operand::Literal(FieldValue::Float(*value)),
        Expr::IntegerLiteral(value) => Operand::Literal(FieldValue::Integer(*value)),
        Expr::UnsignedLiteral(value) => Operand::Literal(FieldValue::Unsigned(*value)),
        Expr::BooleanLiteral(value) => Operand::Literal(FieldValue::Boolean(*value)),
        Expr::Binary { op, left, right } => Operand::Arithmetic(
            arithmetic(*op)?,
            Box::new(operand(left, schema)?),
            Box::new(operand(right, schema)?),
        ),
        Expr::Call { name, args } if Function::mathematics(name).is_some() => {
            let args: Option<Vec<Operand>> = args.iter().map(|arg| operand(arg, schema)).collect();
            Operand::Call(name.clone(), args?)
        }
        _ => return None,
    })
}

fn reference(name: &str, cast: Option<Cast>, schema: &MeasurementSchema) -> Option<Operand> {
    let tag = || match schema.tag(name) {
        Some(column) => Operand::Tag(column.id),
        None => Operand::Literal(FieldValue::String("".into())),
    };
    let field = |cast: Option<FieldType>| {
        let (column, field_type) = schema.field(name)?;
        let cast = cast.filter(|cast| *cast != field_type);
        Some(Operand::Field(Input { column: column.id, field_type, cast }))
    };
    if name.eq_ignore_ascii_case("time") {
        return None;
    }
    match cast {
        None => Some(field(None).unwrap_or_else(tag)),
        Some(Cast::Tag) => Some(tag()),
        Some(Cast::Field) => field(None),
        Some(Cast::Float) => field(Some(FieldType::Float)),
        Some(Cast::Integer) => field(Some(FieldType::Integer)),
        Some(Cast::Unsigned) => field(Some(FieldType::Unsigned)),
        Some(Cast::String) => field(Some(FieldType::String)),
        Some(Cast::Boolean) => field(Some(FieldType::Boolean)),
    }
}
