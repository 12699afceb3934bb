//! Checks a SELECT by 1.x's rules and lowers it to a [`Plan`].

use super::error::QueryError;
use super::plan::Plan;
use super::source::{Defaults, SourceName};
use crate::influxql::ast::SelectStatement;
use crate::model::schema::PolicySchema;

/// What a statement is compiled against.
pub struct Context<'a> {
    /// What unqualified names mean.
    pub defaults: Defaults<'a>,
    /// `now()`, nanoseconds.
    pub now_ns: i64,
    /// The policies named by [`super::source::sources`].
    pub policies: &'a [PolicyView<'a>],
}

/// A policy as the planner sees it.
#[derive(Clone, Debug)]
pub struct PolicyView<'a> {
    /// As [`super::source::sources`] named it.
    pub name: SourceName,
    /// Its measurements.
    pub schema: &'a PolicySchema,
    /// Points before are not shown (`Policy::oldest_kept_ns`).
    pub oldest_kept_ns: i64,
}

/// Checks and lowers `select`.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text for a statement that 1.x refuses too,
/// [`QueryError::Unsupported`] naming what is not carried out yet.
pub fn compile(_select: &SelectStatement, _context: &Context<'_>) -> Result<Plan, QueryError> {
    Err(QueryError::Unsupported("SELECT".into()))
}
