//! Carries out SELECT … INTO: writes the rows of a query as points, batch by batch as they are
//! read.
//!
//! A statement that fails has written the batches before. 1.x leaves them too; repeated, it writes
//! the same points.

mod rows_to_batch;

use super::grants::Principal;
use super::query::Query;
use super::session::Session;
use super::write::{Write, WriteOutcome, WriteRequest};
use super::{Context, RoundMachine, Turn};
use crate::influxql::ast::{Expr, SelectStatement};
use crate::influxql::into::{Target, TargetName};
use crate::model::name::{Place, Unwritable, check_writable};
use crate::protocol::round::{Next, Replies, Round};
use crate::query::error::QueryError;
use crate::query::functions;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};
use crate::query::source::SourceName;
use rows_to_batch::IntoPoints;

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
    points: IntoPoints,
    /// Points that have been written or are being.
    written: u64,
    stage: IntoStage,
    round: Round,
}

#[derive(Debug)]
enum IntoStage {
    Read,
    Write(Box<Write>),
    Finished,
}

type IntoTurn = Turn<Option<SeriesChunk>>;

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
        let points = IntoPoints::new(tag_arguments(&select));
        let principal = session.principal.clone();
        let query = Box::new(Query::select(select, session)?);
        let stage = IntoStage::Read;
        let (written, round) = (0, Round::default());
        Ok(Self { place, measurement, principal, query, points, written, stage, round })
    }

    fn read(&mut self, context: &mut Context<'_>, mut replies: Replies) -> IntoTurn {
        loop {
            match self.query.go_on(context, std::mem::take(&mut replies))? {
                Next::Calls(requests) => {
                    self.stage = IntoStage::Read;
                    return Ok(Next::Calls(requests));
                }
                Next::Reply(Some(chunk)) => {
                    let mut times = chunk.columns.iter().enumerate().filter(|(_, c)| *c == "time");
                    if !matches!((times.next(), times.next()), (Some((0, _)), None)) {
                        // 1.x's words where the time has another name; two of them it panics over.
                        let text = "error finding time index in result";
                        return Err(QueryError::Invalid(text.into()).into());
                    }
                    self.points.push(self.measurement.as_deref(), &chunk);
                    if self.points.is_enough() {
                        return self.write_batch(context);
                    }
                }
                Next::Reply(None) if self.points.count() > 0 => {
                    return self.write_batch(context);
                }
                Next::Reply(None) => return Ok(Next::Reply(Some(written(self.written)))),
            }
        }
    }

    fn write_batch(&mut self, context: &mut Context<'_>) -> IntoTurn {
        let SourceName { database, policy } = self.place.clone();
        self.written += self.points.count();
        let batch = match self.points.take() {
            Ok(batch) => batch,
            Err(unwritable) => return Err(invalid(&unwritable).into()),
        };
        let (auto_create, all_or_nothing) = (None, false);
        let principal = self.principal.clone();
        let request =
            WriteRequest { database, policy, principal, batch, auto_create, all_or_nothing };
        self.write(context, Vec::new(), Box::new(Write::new(request)))
    }

    fn write(
        &mut self,
        context: &mut Context<'_>,
        replies: Replies,
        mut write: Box<Write>,
    ) -> IntoTurn {
        match write.go_on(context, replies)? {
            Next::Calls(requests) => {
                self.stage = IntoStage::Write(write);
                Ok(Next::Calls(requests))
            }
            Next::Reply(outcome) => match partial(&outcome) {
                Some(error) => Err(error.into()),
                None => self.read(context, Vec::new()),
            },
        }
    }
}

impl RoundMachine for SelectInto {
    type Reply = Option<SeriesChunk>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> IntoTurn {
        match std::mem::replace(&mut self.stage, IntoStage::Finished) {
            IntoStage::Read => self.read(context, replies),
            IntoStage::Write(write) => self.write(context, replies, write),
            IntoStage::Finished => Ok(Next::Reply(None)),
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

/// The one row that the statement answers with.
fn written(points: u64) -> SeriesChunk {
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
