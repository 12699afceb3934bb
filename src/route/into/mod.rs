//! SELECT … INTO: the rows of a query, written as points, batch by batch as they are read.
//!
//! A statement that fails has written the batches before. 1.x leaves them too; repeated, it writes
//! the same points.

mod points;

use super::error::Error;
use super::grants::Principal;
use super::query::Query;
use super::statement::Session;
use super::write::{Write, WriteOutcome, WriteRequest};
use super::{Context, Machine};
use crate::influxql::ast::{Expr, SelectStatement};
use crate::influxql::target::{Target, TargetName};
use crate::model::name::{Place, Unwritable, check_writable};
use crate::protocol::call::{Reply, Step};
use crate::query::error::QueryError;
use crate::query::functions;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};
use crate::query::source::SourceName;
use points::Points;

/// A SELECT INTO in progress. Answers as [`super::statement::Execution`] does.
#[derive(Debug)]
pub struct SelectInto {
    /// Where to.
    place: SourceName,
    /// The measurement; `None` is each row's own.
    measurement: Option<String>,
    principal: Principal,
    query: Box<Query>,
    /// Rows that wait to be written.
    points: Points,
    /// Points that have been written or are being.
    written: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Read,
    Write(Box<Write>),
    Finished,
}

type Answer = Result<Option<SeriesChunk>, Error>;

impl SelectInto {
    /// Prepares `select`, whose rows go to `target`.
    ///
    /// # Errors
    /// [`QueryError::DatabaseRequired`], and for a name that cannot be written.
    pub fn new(
        select: SelectStatement,
        target: Target,
        session: Session,
    ) -> Result<Self, QueryError> {
        check_names(&select, &target)?;
        let place =
            session.defaults().resolve(target.database.as_deref(), target.policy.as_deref())?;
        let measurement = match target.name {
            TargetName::Name(name) => Some(name),
            TargetName::SameAsSource => None,
        };
        let points = Points::new(tag_arguments(&select));
        let principal = session.principal.clone();
        let query = Box::new(Query::select(select, session)?);
        let stage = Stage::Read;
        Ok(Self { place, measurement, principal, query, points, written: 0, stage })
    }

    fn read(&mut self, context: &mut Context<'_>, mut reply: Option<Reply>) -> Step<Answer> {
        loop {
            match self.query.step(context, reply.take()) {
                Step::Calls(calls) => {
                    self.stage = Stage::Read;
                    return Step::Calls(calls);
                }
                Step::Done(Ok(Some(chunk))) => {
                    let mut times = chunk.columns.iter().enumerate().filter(|(_, c)| *c == "time");
                    if !matches!((times.next(), times.next()), (Some((0, _)), None)) {
                        // 1.x's words where the time has another name; two of them it panics over.
                        let text = "error finding time index in result";
                        return Step::Done(Err(QueryError::Invalid(text.into()).into()));
                    }
                    self.points.push(self.measurement.as_deref(), &chunk);
                    if self.points.is_enough() {
                        return self.write_batch(context);
                    }
                }
                Step::Done(Ok(None)) if self.points.count() > 0 => {
                    return self.write_batch(context);
                }
                Step::Done(Ok(None)) => return written(self.written),
                Step::Done(Err(error)) => return Step::Done(Err(error)),
            }
        }
    }

    fn write_batch(&mut self, context: &mut Context<'_>) -> Step<Answer> {
        let SourceName { database, policy } = self.place.clone();
        self.written += self.points.count();
        let batch = match self.points.take() {
            Ok(batch) => batch,
            Err(unwritable) => return Step::Done(Err(invalid(&unwritable).into())),
        };
        let (auto_create, all_or_nothing) = (None, false);
        let principal = self.principal.clone();
        let request =
            WriteRequest { database, policy, principal, batch, auto_create, all_or_nothing };
        self.write(context, None, Box::new(Write::new(request)))
    }

    fn write(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Reply>,
        mut write: Box<Write>,
    ) -> Step<Answer> {
        match write.step(context, reply) {
            Step::Calls(calls) => {
                self.stage = Stage::Write(write);
                Step::Calls(calls)
            }
            Step::Done(Ok(outcome)) => match partial(&outcome) {
                Some(error) => Step::Done(Err(error.into())),
                None => self.read(context, None),
            },
            Step::Done(Err(error)) => Step::Done(Err(error)),
        }
    }
}

impl Machine for SelectInto {
    type Answer = Answer;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Answer> {
        match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Read => self.read(context, reply),
            Stage::Write(write) => self.write(context, reply, write),
            Stage::Finished => Step::Done(Ok(None)),
        }
    }
}

/// Refuses the names that a statement makes by itself where they cannot be written, before
/// anything is read. What follows from data is checked as it comes.
pub(super) fn check_names(select: &SelectStatement, target: &Target) -> Result<(), QueryError> {
    if let TargetName::Name(name) = &target.name {
        check_writable(name, Place::Measurement).map_err(|why| invalid(&why))?;
    }
    for alias in select.fields.iter().filter_map(|field| field.alias.as_deref()) {
        // A time of another name, or two of them, is refused in 1.x's words.
        if alias != "time" {
            check_writable(alias, Place::FieldKey).map_err(|why| invalid(&why))?;
        }
    }
    Ok(())
}

fn invalid(why: &Unwritable) -> QueryError {
    QueryError::Invalid(why.to_string())
}

/// Tags that top() and bottom() take: they stay tags where everything else becomes a field.
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

/// What 1.x says of points that the target did not take.
fn partial(outcome: &WriteOutcome) -> Option<QueryError> {
    let first = outcome.rejected.named.first()?;
    let (cause, dropped) = (&first.cause, outcome.rejected.total);
    Some(QueryError::Invalid(format!("partial write: {cause} dropped={dropped}")))
}

fn written(points: u64) -> Step<Answer> {
    let points = i64::try_from(points).unwrap_or(i64::MAX);
    let count = ResultColumn::Values(Column::full(Values::Integer(vec![points])));
    Step::Done(Ok(Some(SeriesChunk {
        name: Some("result".into()),
        tags: [].into(),
        columns: ["time".to_owned(), "written".to_owned()].into(),
        values: vec![ResultColumn::Time(vec![0]), count],
        rows: 1,
        partial: false,
        zone: [].into(),
    })))
}
