//! Checks a SELECT with 1.x's rules and lowers it to a [`Plan`].
//!
//! The steps are:
//! 1. `statement` checks fields, functions, dimensions and time without a schema.
//! 2. `prepare` resolves names in the schemas and expands wildcards.
//! 3. `lower` creates the plan and binds it to the columns of each measurement.

mod arguments;
mod bind;
mod calls;
pub(crate) mod columns;
mod type_clash;
mod context;
pub mod continuous;
mod dimensions;
mod expand;
mod fields;
mod fold;
mod lower;
mod result_names;
pub(crate) mod predicate;
mod plan_size;
mod prepare;
mod resolve;
mod statement;
mod subquery;
mod time_literal;
mod time_range;
mod zone;

pub use context::{Context, PolicyView};
pub(crate) use plan_size::{condition_entries, nodes};
pub use type_clash::{ClashPosition, clashing};

use super::error::QueryError;
use super::plan::Plan;
use crate::influxql::ast::{Expr, SelectStatement};
use crate::model::time::TimeRange;
use plan_size::PlanSize;

/// Checks and lowers `select`.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text for a statement that 1.x rejects,
/// [`QueryError::Unsupported`] with the name of an unsupported function or clause.
pub fn compile(select: &SelectStatement, context: &Context<'_>) -> Result<Plan, QueryError> {
    let checked = statement::check(select, context.now_ns, None)?;
    let mut scans = Vec::new();
    let size = PlanSize::new(context.limits);
    let prepared = prepare::prepare(&checked, context, &size)?;
    let root = lower::lower(prepared, &[], &mut scans)?;
    Ok(Plan { scans, work: size.work(), root })
}

/// Checks `select` without a schema. 1.x performs this check before it looks up the statement's
/// policies.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text.
pub fn check(select: &SelectStatement, now_ns: i64) -> Result<(), QueryError> {
    statement::check(select, now_ns, None).map(drop)
}

/// Splits a SHOW statement's condition into a condition without `time` and a time range.
pub(crate) fn split_time(
    condition: Option<&Expr>,
    now_ns: i64,
) -> Result<(Option<Expr>, TimeRange), QueryError> {
    let context = fold::FoldContext { now_ns: Some(now_ns), math: false, zone: None };
    let (rest, bounds) = time_range::split(condition, context)?;
    let end_ns = bounds.max_ns.map_or(i64::MAX, |max_ns| max_ns.saturating_add(1));
    Ok((rest, TimeRange::new(bounds.min_ns.unwrap_or(i64::MIN), end_ns)))
}
