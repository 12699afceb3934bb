//! Determines the rows that DELETE and DROP SERIES remove in each policy.

use super::name_filter::SourceTests;
use super::plan::written_policies;
use crate::compile::predicate::Columns;
use crate::compile::{has_time, nodes, operands, predicate, split_time};
use crate::error::{QueryError, Result, invalid};
use tidemark_engine::scan::request::Deletion;
use tidemark_engine::shard::check_predicate;
use tidemark_influxql::ast::{BinaryOp, Cast, DeleteStatement, Expr, Statement};
use tidemark_model::regex::{Patterns, RegexWork};
use tidemark_model::schema::{MeasurementSchema, PolicySchema};
use tidemark_model::time::TimeRange;

/// The deletions of a statement.
pub struct Deletions<'a> {
    /// `None` selects every measurement.
    sources: Option<SourceTests<'a>>,
    /// The work of the regexes in `sources`. If it exceeds its limit, the deletions may be wrong.
    source_work: RegexWork,
    condition: Option<Expr>,
    time: TimeRange,
    /// The regexes of the condition, which all measurements share.
    patterns: Patterns,
}

impl<'a> Deletions<'a> {
    /// Reads the statement. `policies` contains the names of all policies of the database.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] with 1.x's text, [`QueryError::PolicyNotFound`].
    pub fn new(statement: &'a Statement, policies: &[&str], now_ns: i64) -> Result<Self> {
        let (sources, condition) = match statement {
            Statement::Delete(DeleteStatement { sources, condition })
            | Statement::DropSeries(DeleteStatement { sources, condition }) => (sources, condition),
            other => return Err(QueryError::Unsupported(other.to_string())),
        };
        let drops_series = matches!(statement, Statement::DropSeries(_));
        let refusal = "DROP SERIES doesn't support time in WHERE clause";
        if drops_series && condition.as_ref().is_some_and(has_time) {
            return invalid(refusal);
        }
        let (condition, time) = split_time(condition.as_ref(), now_ns)?;
        if drops_series && time != TimeRange::ALL {
            return invalid(refusal);
        }
        let source_patterns = Patterns::limited();
        let tests = SourceTests::new(sources, &source_patterns)?;
        if let Some(policy) = written_policies(sources).find(|policy| !policies.contains(policy)) {
            return Err(QueryError::PolicyNotFound(policy.to_owned()));
        }
        let sources = (!sources.is_empty()).then_some(tests);
        let source_work = source_patterns.work().clone();
        Ok(Self { sources, source_work, condition, time, patterns: Patterns::of_new_delete() })
    }

    /// Returns the number of terms that each deletion compiles.
    pub fn terms(&self) -> usize {
        self.condition.as_ref().map_or(0, nodes)
    }

    /// Returns the deletions in a policy, one for each selected measurement. A source without a
    /// policy applies to all policies. After an error, the caller must not delete anything.
    pub fn within(
        &self,
        policy: &str,
        schema: &PolicySchema,
    ) -> impl Iterator<Item = Result<Deletion>> {
        let here = |of: Option<&str>| of.is_none_or(|of| of == policy);
        let named = self.sources.as_ref().map(|sources| sources.within(here));
        let is_meant = move |name: &str| named.as_ref().is_none_or(|named| named.accepts(name));
        let meant = schema.measurements.iter().filter(move |(name, _)| is_meant(name));
        let deletions = meant.filter_map(|(_, measurement)| self.deletion(measurement).transpose());
        let check = || self.source_work.check().err().map(|error| Err(QueryError::from(error)));
        deletions.chain(std::iter::once_with(check).flatten())
    }

    /// Returns `None` if the time range is empty.
    fn deletion(&self, measurement: &MeasurementSchema) -> Result<Option<Deletion>> {
        let mut predicate = None;
        if let Some(condition) = &self.condition {
            let columns = Columns::new(measurement, usize::MAX);
            check(condition, &columns)?;
            let lowered = predicate::lower(condition, &columns, None);
            check_predicate(&lowered, &self.patterns)
                .map_err(|refusal| QueryError::Invalid(refusal.to_string()))?;
            predicate = Some(lowered);
        }
        let time = self.time;
        Ok((!time.is_empty()).then_some(Deletion { measurement: measurement.id, predicate, time }))
    }
}

/// Rejects every condition that does not exactly specify a set of series. A valid condition
/// combines `=`, `!=` and regexes on tags with AND and OR. A SELECT with the condition returns rows
/// of the same series.
fn check(condition: &Expr, schema: &Columns<'_>) -> Result<()> {
    match condition {
        Expr::Paren(inner) => check(inner, schema),
        Expr::BooleanLiteral(_) => Ok(()),
        Expr::Binary { op: BinaryOp::And | BinaryOp::Or, .. } => {
            operands(condition).try_for_each(|operand| check(operand, schema))
        }
        Expr::Binary { op, left, right } => {
            check_operand(condition, schema)?;
            let is_exact = match op {
                BinaryOp::Eq | BinaryOp::Ne => is_text(left) && is_text(right),
                BinaryOp::EqRegex | BinaryOp::NeRegex => {
                    is_text(left) && matches!(**right, Expr::Regex(_))
                }
                _ => false,
            };
            if is_exact { Ok(()) } else { invalid("invalid tag comparison operator") }
        }
        other => check_operand(other, schema),
    }
}

/// Rejects operands other than strings, tags and booleans. In 1.x, the error also contains the
/// number of the first shard from SHOW SHARDS.
fn check_operand(expr: &Expr, schema: &Columns<'_>) -> Result<()> {
    let is_refused = match expr {
        Expr::Paren(_) | Expr::Binary { .. } => {
            return operands(expr).try_for_each(|operand| check_operand(operand, schema));
        }
        Expr::VarRef { cast: Some(Cast::Tag), .. } => false,
        Expr::VarRef { cast: Some(_), .. } => true,
        Expr::VarRef { name, .. } => schema.field(name).is_some(),
        Expr::StringLiteral(_) | Expr::Regex(_) | Expr::BooleanLiteral(_) => false,
        _ => true,
    };
    if is_refused {
        return invalid("shard 1: fields not supported in WHERE clause during deletion");
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
