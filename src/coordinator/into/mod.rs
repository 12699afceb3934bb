//! Executes SELECT … INTO: writes the rows of a query as points. Each batch of rows is written
//! immediately after the batch is read.
//!
//! If a statement fails, its earlier batches stay written, as in 1.x.

mod rows_to_batch;

use super::error::Error;
use super::grants::Principal;
use super::query::Query;
use super::session::Session;
use super::statement::Execution;
use super::write::{self, WriteOutcome, WriteRequest};
use super::{Io, Parts};
use crate::batch::Batch;
use crate::influxql::ast::{ExplainStatement, Expr, SelectStatement, Target};
use crate::model::name::{NameKind, Unwritable, check_writable};
use crate::query::error::QueryError;
use crate::query::functions;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};
use crate::query::source::SourceName;
use rows_to_batch::IntoPoints;

pub(super) fn select_into(
    select: SelectStatement,
    target: Target,
    session: Session,
) -> Result<Execution, QueryError> {
    check_names(&select, &target)?;
    let place = session.defaults().resolve(target.database.as_deref(), target.policy.as_deref())?;
    let mut points = IntoPoints::new(tag_arguments(&select));
    let principal = session.principal.clone();
    let query = Query::select(select, session)?;
    let status = query.status();
    let mut query = query.execute();
    let parts = Parts::once(|io| async move {
        check_target(&io, &place, &principal).await?;
        let mut written = 0;
        loop {
            let chunk = io.next(&mut query).await?;
            let is_end = chunk.is_none();
            if let Some(chunk) = chunk {
                check_time_column(&chunk)?;
                points.push(target.name.as_deref(), &chunk);
            }
            if points.is_enough() || is_end && points.count() > 0 {
                written += points.count();
                let batch = points.take().map_err(|unwritable| invalid(&unwritable))?;
                write(&io, &place, &principal, batch).await?;
            }
            if is_end {
                return Ok(Some(written_row(written)));
            }
        }
    });
    Ok(Execution { parts, status })
}

/// Explains a SELECT … INTO. The statement checks the target's database, and writes nothing.
pub(super) fn explain_into(
    explain: ExplainStatement,
    target: &Target,
    session: Session,
) -> Result<Execution, QueryError> {
    let place = session.defaults().resolve(target.database.as_deref(), target.policy.as_deref())?;
    let principal = session.principal.clone();
    let query = Query::explain(explain, session)?;
    let status = query.status();
    let mut query = query.execute();
    let parts = Parts::once(|io| async move {
        check_target(&io, &place, &principal).await?;
        let plan = io.next(&mut query).await?;
        // The query ends after its only part.
        io.next(&mut query).await?;
        Ok(plan)
    });
    Ok(Execution { parts, status })
}

async fn write(
    io: &Io,
    place: &SourceName,
    principal: &Principal,
    batch: Batch,
) -> Result<(), Error> {
    let SourceName { database, policy } = place.clone();
    let (auto_create, all_or_nothing, principal) = (None, false, principal.clone());
    let request = WriteRequest { database, policy, principal, batch, auto_create, all_or_nothing };
    match partial(&io.run(write::write(request)).await?) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Checks the target before the sources, as in 1.x. A missing database is an error. A missing policy
/// is an error only when a row is written.
async fn check_target(io: &Io, place: &SourceName, principal: &Principal) -> Result<(), Error> {
    match write(io, place, principal, Batch::default()).await {
        Err(Error::PolicyNotFound(_)) => Ok(()),
        checked => checked,
    }
}

fn check_time_column(chunk: &SeriesChunk) -> Result<(), QueryError> {
    let mut times = chunk.columns.iter().enumerate().filter(|(_, name)| *name == "time");
    match (times.next(), times.next()) {
        (Some((0, _)), None) => Ok(()),
        // This is 1.x's message for a renamed time column. Two time columns make 1.x panic.
        _ => Err(QueryError::Invalid("error finding time index in result".into())),
    }
}

/// Checks that the names in the statement can be written, before any row is read. Names that depend
/// on the data are checked in each batch.
pub(super) fn check_names(select: &SelectStatement, target: &Target) -> Result<(), QueryError> {
    if let Some(name) = &target.name {
        check_writable(name, NameKind::Measurement).map_err(|reason| invalid(&reason))?;
    }
    for alias in select.fields.iter().filter_map(|field| field.alias.as_deref()) {
        // The check of the chunks refuses a renamed or repeated time column with 1.x's message.
        if alias != "time" {
            check_writable(alias, NameKind::FieldKey).map_err(|reason| invalid(&reason))?;
        }
    }
    Ok(())
}

fn invalid(reason: &Unwritable) -> QueryError {
    QueryError::Invalid(reason.to_string())
}

/// Returns the tag arguments of top() and bottom(), which stay tags. All other columns become
/// fields.
fn tag_arguments(select: &SelectStatement) -> Vec<String> {
    let mut names = Vec::new();
    for field in &select.fields {
        if let Expr::Call { name, args } = &field.expr
            && functions::takes_tags(name)
        {
            names.extend(args.iter().skip(1).filter_map(|arg| match arg {
                Expr::VarRef { name, .. } => Some(name.clone()),
                _ => None,
            }));
        }
    }
    names
}

fn partial(outcome: &WriteOutcome) -> Option<QueryError> {
    let first = outcome.rejected.named.first()?;
    let (cause, dropped) = (&first.cause, outcome.rejected.total);
    Some(QueryError::Invalid(format!("partial write: {cause} dropped={dropped}")))
}

fn written_row(points: u64) -> SeriesChunk {
    let points = i64::try_from(points).unwrap_or(i64::MAX);
    let count = ResultColumn::Values(Column::full(Values::Integer(vec![points])));
    SeriesChunk {
        name: Some("result".into()),
        tags: [].into(),
        columns: ["time".to_owned(), "written".to_owned()].into(),
        values: vec![ResultColumn::Time(vec![0]), count],
        rows: 1,
        partial: false,
        zone: [].into(),
    }
}
