//! Checks a SELECT with 1.x's rules and lowers it to a [`Plan`].
//!
//! The steps are:
//! 1. `statement` checks fields, functions, dimensions and time without a schema.
//! 2. `prepare` resolves names in the schemas and expands wildcards.
//! 3. `lower` creates the plan and binds it to the columns of each measurement.

mod arguments;
mod calls;
pub mod continuous;
mod dimensions;
mod expand;
mod fields;
mod fold;
pub(crate) mod local_time;
mod lower;
mod mentions;
pub(crate) mod predicate;
mod plan_size;
mod prepare;
mod resolve;
mod result_names;
mod statement;
mod time_range;
mod type_clash;

pub(crate) use plan_size::condition_entries;
pub(crate) use time_range::has_time;
pub use type_clash::ClashPosition;
pub use type_clash::clashing;

use std::rc::Rc;

use super::error::Result;
use super::plan::Plan;
use super::source::{Defaults, SourceName};
use super::work::{Work, complete};
use plan_size::PlanSize;
use statement::Shared;
use tidemark_influxql::ast::{Expr, SelectStatement};
use tidemark_model::configurable_limits::Limits;
use tidemark_model::limits::WORK_PER_NAME;
use tidemark_model::schema::PolicySchema;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

/// The work of checking a source, an operand or an operator of a statement.
const CHECK_WORK: usize = 4;
/// The work of adding a column of a schema to the known names, or of comparing the column's type.
const COLUMN_WORK: usize = 3;

/// The policies and settings for a statement.
#[derive(Debug)]
pub struct Context<'a> {
    /// The database and policy that apply to unqualified names.
    pub defaults: Defaults<'a>,
    /// The value of `now()`, in nanoseconds.
    pub now_ns: i64,
    /// The operator's limits.
    pub limits: Limits,
    /// The policies from [`crate::source::sources`].
    pub policies: &'a [PolicyView<'a>],
}

/// A policy and its schema.
#[derive(Clone, Debug)]
pub struct PolicyView<'a> {
    /// The name from [`crate::source::sources`].
    pub name: SourceName,
    /// The policy's measurements.
    pub schema: &'a PolicySchema,
    /// The time of the oldest visible point (`Policy::oldest_kept_ns`), in nanoseconds.
    pub oldest_kept_ns: i64,
}

/// Checks and lowers `select` without a pause.
///
/// # Errors
/// `QueryError::Invalid` with 1.x's text for a statement that 1.x rejects,
/// `QueryError::Unsupported` with the name of an unsupported function or clause.
pub fn compile(select: &SelectStatement, context: &Context<'_>) -> Result<Plan> {
    let work = Work::default();
    complete(compile_in_turns(select, context, &work), &work)
}

/// Checks and lowers `select` like [`compile`], and awaits only [`Work::spend`].
pub async fn compile_in_turns(
    select: &SelectStatement,
    context: &Context<'_>,
    work: &Work,
) -> Result<Plan> {
    let mut shared = Shared::new(context.now_ns);
    let checked = statement::check(select, &mut shared, None)?;
    let mut scans = Vec::new();
    let size = PlanSize::new(context.limits, work);
    size.spend(shared.parts.saturating_mul(CHECK_WORK)).await;
    let prepared = prepare::prepare(&checked, context, &size).await?;
    match lower::lower(prepared, &[], &mut scans).await {
        Ok(root) => {
            work.add(size.remaining_work());
            Ok(Plan { scans, root: Rc::new(root) })
        }
        Err(error) => {
            // Freeing thousands of scan requests without a pause would take milliseconds.
            for scan in scans {
                drop(scan);
                work.spend(WORK_PER_NAME).await;
            }
            Err(error)
        }
    }
}

/// Checks `select` without a schema. 1.x performs this check before it looks up the statement's
/// policies.
///
/// # Errors
/// `QueryError::Invalid` with 1.x's text.
pub fn check(select: &SelectStatement, now_ns: i64) -> Result<()> {
    statement::check(select, &mut Shared::new(now_ns), None).map(drop)
}

/// Splits a SHOW statement's condition into a condition without `time` and a time range.
pub(crate) fn split_time(
    condition: Option<&Expr>,
    now_ns: i64,
) -> Result<(Option<Expr>, TimeRange)> {
    let context = fold::FoldContext { now_ns: Some(now_ns), math: false, zone: None };
    let (rest, bounds) = time_range::split(condition, context)?;
    let end_ns = bounds.max_ns.map_or(i64::MAX, |max_ns| max_ns.saturating_add(1));
    Ok((rest, TimeRange::new(bounds.min_ns.unwrap_or(i64::MIN), end_ns)))
}

/// Returns the number of expressions in `expr`, including itself.
pub(crate) fn nodes(expr: &Expr) -> usize {
    let mut count = 0;
    expr.walk(&mut |_| count += 1);
    count
}

/// Returns the expressions of which `expr` directly consists, from left to right.
pub(super) fn operands(expr: &Expr) -> impl Iterator<Item = &Expr> {
    let (sides, args): ([Option<&Expr>; 2], &[Expr]) = match expr {
        Expr::Binary { left, right, .. } => ([Some(left), Some(right)], &[]),
        Expr::Paren(inner) => ([Some(inner), None], &[]),
        Expr::Call { args, .. } => ([None, None], args),
        _ => ([None, None], &[]),
    };
    sides.into_iter().flatten().chain(args)
}

/// Returns the expressions of which `expr` directly consists, from left to right.
fn operands_mut(expr: &mut Expr) -> impl Iterator<Item = &mut Expr> {
    let (sides, args): ([Option<&mut Expr>; 2], &mut [Expr]) = match expr {
        Expr::Binary { left, right, .. } => ([Some(left), Some(right)], &mut []),
        Expr::Paren(inner) => ([Some(inner), None], &mut []),
        Expr::Call { args, .. } => ([None, None], args),
        _ => ([None, None], &mut []),
    };
    sides.into_iter().flatten().chain(args)
}

/// Returns the value of a literal that a point can contain.
fn literal(expr: &Expr) -> Option<FieldValue> {
    Some(match expr {
        Expr::NumberLiteral(value) => FieldValue::Float(*value),
        Expr::IntegerLiteral(value) => FieldValue::Integer(*value),
        Expr::UnsignedLiteral(value) => FieldValue::Unsigned(*value),
        Expr::BooleanLiteral(value) => FieldValue::Boolean(*value),
        Expr::StringLiteral(text) => FieldValue::String(text.as_str().into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::admission::QueryReservation;
    use crate::executor::{ExecStep, Executor};
    use crate::work::run_measured;
    use tidemark_influxql::ast::Statement;
    use tidemark_influxql::bound_params::Params;
    use tidemark_model::ids::{ColumnId, MeasurementId};
    use tidemark_model::limits::COLUMNS_PER_QUERY_MAX;
    use tidemark_model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema};
    use tidemark_model::value::FieldType;

    /// Compiles a statement on measurements with equal fields. Returns the plan and the number of
    /// pauses.
    fn compile_on(text: &str, measurements: u32, fields: u32, work: &Work) -> (Plan, usize) {
        let mut schema = PolicySchema::default();
        for n in 0..measurements {
            let kind = ColumnKind::Field(FieldType::Float);
            let key = |field| if field == 0 { "v".to_owned() } else { format!("v{field}") };
            let column =
                |field| ColumnDefinition { id: ColumnId(1 + field), key: key(field), kind };
            let measurement = MeasurementSchema {
                dropped: false,
                id: MeasurementId(n),
                name: format!("n{n}"),
                version: 1,
                columns: (0..fields).map(column).collect(),
            };
            schema.measurements.insert(measurement.name.clone(), Arc::new(measurement));
        }
        let defaults = Defaults { database: Some("d"), policy: None };
        let name = SourceName { database: "d".to_owned(), policy: None };
        let policies = [PolicyView { name, schema: &schema, oldest_kept_ns: i64::MIN }];
        let limits = Limits::default();
        let context = Context { defaults, now_ns: 0, limits, policies: &policies };
        let statement =
            tidemark_influxql::parse_statement(text, &Params::default()).expect("valid");
        let Statement::Select(select) = statement else { panic!("no SELECT: {text:.80}") };
        // A turn may exceed its work by the entries of one source, or the names of all columns.
        let compiling = compile_in_turns(&select, &context, work);
        let (plan, pauses) = run_measured(work, EXCESS, compiling);
        (plan.expect("a plan"), pauses)
    }

    const EXCESS: usize = COLUMNS_PER_QUERY_MAX * WORK_PER_NAME;

    /// Returns the number of scans, different requests and pauses, and the number of scans that the
    /// executor requests first.
    fn compile_in_200_measurements(text: &str) -> (usize, usize, usize, usize) {
        let work = Work::default();
        let (plan, pauses) = compile_on(text, 200, 1, &work);
        let scans = plan.scans.len();
        let requests: BTreeSet<_> =
            plan.scans.iter().map(|scan| Rc::as_ptr(&scan.request)).collect();
        let mut executor =
            Executor::new(plan, &vec![1; scans], &QueryReservation::default(), &work);
        work.rest();
        let Ok(ExecStep::Need(needs)) = executor.next() else { panic!("no requests") };
        (scans, requests.len(), pauses, needs.len())
    }

    #[test]
    fn compiler_pauses_between_columns() {
        let subquery = |fields: &str| format!("SELECT v FROM (SELECT {fields} FROM n0)");
        for text in ["SELECT *,*,*,*,* FROM n0".to_owned(), subquery("*,*,/v/,/v/")] {
            let (plan, pauses) = compile_on(&text, 1, 1_000, &Work::default());
            assert!(pauses >= 1, "{pauses} pauses: {text}");
            assert!(plan.scans.len() <= 2, "{text}");
        }
    }

    #[test]
    fn compiler_pauses_between_sources() {
        let repeated = vec!["/./"; 98].join(",");
        let condition = vec!["v > 1"; 100].join(" OR ");
        for (text, expected) in [
            ("SELECT v FROM /./".to_owned(), (200, 200, 0, 200)),
            // Repeated sources share a request.
            (format!("SELECT v FROM {repeated}"), (19_600, 200, 4, 98 + 256)),
            // Each request contains 399 operands and operators.
            (format!("SELECT v FROM /./ WHERE {condition}"), (200, 200, 2, 1 + 42)),
        ] {
            assert_eq!(compile_in_200_measurements(&text), expected, "{text:.80}");
        }
    }
}
