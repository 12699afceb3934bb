//! Converts the condition of a SQL scan into a shard's predicate with column ids.

use crate::model::schema::MeasurementSchema;
use crate::model::value::FieldValue;
use crate::protocol::sql::Condition;
use crate::scan::request::{Comparison, Input, Operand, Predicate};

pub(super) fn lower(condition: &Condition, schema: &MeasurementSchema) -> Option<Predicate> {
    let all = |parts: &[Condition]| -> Option<Vec<Predicate>> {
        parts.iter().map(|part| lower(part, schema)).collect()
    };
    let tag = |name: &str| schema.tag(name).map(|column| Operand::Tag(column.id));
    Some(match condition {
        Condition::All(parts) => every(all(parts)?),
        Condition::Any(parts) => any(all(parts)?),
        Condition::TagIn(name, values) => {
            let tag = tag(name)?;
            any(values.iter().map(|value| text(&tag, Comparison::Equal, value)).collect())
        }
        Condition::TagNotIn(name, values) => {
            let tag = tag(name)?;
            // A shard treats a missing tag as an empty text.
            let values = std::iter::once("").chain(values.iter().map(String::as_str));
            every(values.map(|value| text(&tag, Comparison::NotEqual, value)).collect())
        }
        Condition::TagMissing(name) => text(&tag(name)?, Comparison::Equal, ""),
        Condition::Field(name, field_type, comparison, value) => {
            let (column, known) = schema.field(name)?;
            let input = Input { column: column.id, field_type: known, cast: None };
            if known != *field_type {
                return None;
            }
            let (field, value) = (Operand::Field(input), Operand::Literal(value.clone()));
            Predicate::Compare(*comparison, Box::new(field), Box::new(value))
        }
    })
}

fn text(tag: &Operand, comparison: Comparison, value: &str) -> Predicate {
    let value = Operand::Literal(FieldValue::String(value.into()));
    Predicate::Compare(comparison, Box::new(tag.clone()), Box::new(value))
}

fn every(parts: Vec<Predicate>) -> Predicate {
    balanced(parts, &Predicate::And).unwrap_or(Predicate::Constant(true))
}

fn any(parts: Vec<Predicate>) -> Predicate {
    balanced(parts, &Predicate::Or).unwrap_or(Predicate::Constant(false))
}

/// Joins the parts pairwise in rounds, so that thousands of values do not produce thousands of
/// nested levels.
fn balanced(
    mut parts: Vec<Predicate>,
    join: &dyn Fn(Box<Predicate>, Box<Predicate>) -> Predicate,
) -> Option<Predicate> {
    while parts.len() > 1 {
        let mut rest = std::mem::take(&mut parts).into_iter();
        while let Some(first) = rest.next() {
            parts.push(match rest.next() {
                Some(second) => join(Box::new(first), Box::new(second)),
                None => first,
            });
        }
    }
    parts.pop()
}
