//! Determines the rows that DELETE and DROP SERIES remove in each policy.

use super::name_filter::SourceTests;
use crate::influxql::ast::{
    BinaryOp, Cast, DeleteStatement, DropSeriesStatement, Expr, Source, Statement,
};
use crate::model::schema::PolicySchema;
use crate::model::time::TimeRange;
use crate::query::compile::columns::Columns;
use crate::query::compile::{predicate, split_time};
use crate::query::error::QueryError;
use crate::scan::request::Deletion;

/// Returns the deletions for each affected policy's shards, with the policy's name.
///
/// `policies` contains all policies of the database. A source without a policy applies to all.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text, [`QueryError::PolicyNotFound`]. After an error, the
/// caller must not delete anything.
pub fn deletions(
    statement: &Statement,
    policies: &[(String, &PolicySchema)],
    now_ns: i64,
) -> Result<Vec<(String, Vec<Deletion>)>, QueryError> {
    let (sources, condition) = match statement {
        Statement::Delete(DeleteStatement { sources, condition })
        | Statement::DropSeries(DropSeriesStatement { sources, condition }) => (sources, condition),
        other => return Err(QueryError::Unsupported(other.to_string())),
    };
    let (condition, time) = split_time(condition.as_ref(), now_ns)?;
    if time != TimeRange::ALL && matches!(statement, Statement::DropSeries(_)) {
        let text = "DROP SERIES doesn't support time in WHERE clause";
        return Err(QueryError::Invalid(text.to_owned()));
    }
    let names = SourceTests::new(sources)?;
    let known = |policy: &str| policies.iter().any(|(name, _)| name == policy);
    let written = sources.iter().filter_map(|source| match source {
        Source::Measurement(measurement) => measurement.policy.as_deref(),
        Source::Subquery(_) => None,
    });
    if let Some(policy) = written.into_iter().find(|policy| !known(policy)) {
        return Err(QueryError::PolicyNotFound(policy.to_owned()));
    }
    let mut all = Vec::new();
    for (policy, schema) in policies {
        let named = names.within(|of| of.is_none_or(|of| of == policy));
        let is_meant = |name: &str| sources.is_empty() || named.accepts(name);
        let mut here = Vec::new();
        for (_, measurement) in schema.measurements.iter().filter(|(name, _)| is_meant(name)) {
            let predicate = match &condition {
                None => None,
                Some(condition) => {
                    let columns = Columns::new(measurement, usize::MAX);
                    check(condition, &columns)?;
                    Some(predicate::lower(condition, &columns, None))
                }
            };
            if !time.is_empty() {
                here.push(Deletion { measurement: measurement.id, predicate, time });
            }
        }
        if !here.is_empty() {
            all.push((policy.clone(), here));
        }
    }
    Ok(all)
}

/// Rejects every condition that does not exactly specify a set of series. A valid condition
/// combines `=`, `!=` and regexes on tags with AND and OR. A SELECT with the condition returns rows
/// of the same series.
fn check(condition: &Expr, schema: &Columns<'_>) -> Result<(), QueryError> {
    match condition {
        Expr::Paren(inner) => check(inner, schema),
        Expr::BooleanLiteral(_) => Ok(()),
        Expr::Binary { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            check(left, schema)?;
            check(right, schema)
        }
        Expr::Binary { op, left, right } => {
            check_operand(left, schema)?;
            check_operand(right, schema)?;
            let is_exact = match op {
                BinaryOp::Eq | BinaryOp::Ne => is_text(left) && is_text(right),
                BinaryOp::EqRegex | BinaryOp::NeRegex => {
                    is_text(left) && matches!(**right, Expr::Regex(_))
                }
                _ => false,
            };
            if is_exact {
                return Ok(());
            }
            Err(QueryError::Invalid("invalid tag comparison operator".to_owned()))
        }
        other => check_operand(other, schema),
    }
}

/// Rejects operands other than strings, tags and booleans. In 1.x, the error also contains the
/// number of the first shard from SHOW SHARDS.
fn check_operand(expr: &Expr, schema: &Columns<'_>) -> Result<(), QueryError> {
    let is_refused = match expr {
        Expr::Paren(inner) => return check_operand(inner, schema),
        Expr::Binary { left, right, .. } => {
            check_operand(left, schema)?;
            return check_operand(right, schema);
        }
        Expr::VarRef { cast: Some(Cast::Tag), .. } => false,
        Expr::VarRef { cast: Some(_), .. } => true,
        Expr::VarRef { name, .. } => schema.field(name).is_some(),
        Expr::StringLiteral(_) | Expr::Regex(_) | Expr::BooleanLiteral(_) => false,
        _ => true,
    };
    if is_refused {
        let text = "shard 1: fields not supported in WHERE clause during deletion";
        return Err(QueryError::Invalid(text.to_owned()));
    }
    Ok(())
}

/// Whether an operand without fields is a tag or a string.
fn is_text(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(inner) => is_text(inner),
        other => matches!(other, Expr::VarRef { .. } | Expr::StringLiteral(_)),
    }
}
