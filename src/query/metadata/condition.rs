//! WHERE of SHOW statements: on tags only. A name that is no tag is a tag that every series lacks.

use crate::influxql::ast::{BinaryOp, Expr};
use crate::model::schema::MeasurementSchema;
use crate::model::value::FieldValue;
use crate::scan::request::{Comparison, Operand, Predicate};

/// Lowers a condition without time to the tags of one measurement.
pub(super) fn lower(expr: &Expr, schema: &MeasurementSchema) -> Predicate {
    match expr {
        Expr::Paren(inner) => lower(inner, schema),
        Expr::BooleanLiteral(value) => Predicate::Constant(*value),
        Expr::Binary { op: BinaryOp::And, left, right } => {
            Predicate::And(Box::new(lower(left, schema)), Box::new(lower(right, schema)))
        }
        Expr::Binary { op: BinaryOp::Or, left, right } => {
            Predicate::Or(Box::new(lower(left, schema)), Box::new(lower(right, schema)))
        }
        Expr::Binary { op, left, right } => compare(*op, left, right, schema),
        _ => Predicate::Constant(false),
    }
}

fn compare(op: BinaryOp, left: &Expr, right: &Expr, schema: &MeasurementSchema) -> Predicate {
    let Some(left) = operand(left, schema) else { return Predicate::Constant(false) };
    match (op, right) {
        (BinaryOp::EqRegex | BinaryOp::NeRegex, Expr::Regex(regex)) => Predicate::Matches {
            operand: Box::new(left),
            regex: regex.as_str().to_owned(),
            negated: op == BinaryOp::NeRegex,
        },
        _ => match operand(right, schema) {
            Some(right) => {
                // 1.x's index knows = and "anything else" on tags.
                let equal = op == BinaryOp::Eq;
                let comparison = if equal { Comparison::Equal } else { Comparison::NotEqual };
                Predicate::Compare(comparison, Box::new(left), Box::new(right))
            }
            None => Predicate::Constant(false),
        },
    }
}

fn operand(expr: &Expr, schema: &MeasurementSchema) -> Option<Operand> {
    match expr {
        Expr::Paren(inner) => operand(inner, schema),
        Expr::StringLiteral(text) => {
            Some(Operand::Literal(FieldValue::String(text.as_str().into())))
        }
        Expr::VarRef { name, .. } => Some(match schema.tag(name) {
            Some(column) => Operand::Tag(column.id),
            None if name == "_name" => {
                Operand::Literal(FieldValue::String(schema.name.as_str().into()))
            }
            None => Operand::Literal(FieldValue::String("".into())),
        }),
        _ => None,
    }
}
