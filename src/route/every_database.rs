//! Statements about every database that the caller may read: SHOW CONTINUOUS QUERIES, SHOW
//! MEASUREMENTS ON *.

use std::vec;

use super::ask::Ask;
use super::error::Error;
use super::grants::Principal;
use super::names::Names;
use super::query::Query;
use super::statement::Session;
use super::{Context, Machine};
use crate::influxql::ast::{NamePattern, ShowMeasurementsStatement, Statement};
use crate::model::grant::{Right, Scope};
use crate::model::sorted;
use crate::protocol::call::{Reply, Step};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::query::result::SeriesChunk;

/// What is asked of each.
#[derive(Debug)]
pub(super) enum Question {
    /// SHOW CONTINUOUS QUERIES
    ContinuousQueries,
    /// SHOW MEASUREMENTS ON *
    Measurements(Box<ShowMeasurementsStatement>, Session),
}

/// A statement in progress. Answers as [`super::statement::Execution`] does.
#[derive(Debug)]
pub(super) struct EveryDatabase {
    question: Question,
    principal: Principal,
    stage: Stage,
    rest: vec::IntoIter<String>,
    /// Measurements so far.
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
enum Stage {
    Names(Names),
    Between,
    Ask(String, Ask),
    Query(Box<Query>),
    Finished,
}

type Answer = Result<Option<SeriesChunk>, Error>;

impl EveryDatabase {
    pub(super) fn new(question: Question, principal: Principal) -> Self {
        let stage = Stage::Names(Names::default());
        Self { question, principal, stage, rest: Vec::new().into_iter(), rows: Vec::new() }
    }

    /// A continuous query shows all that it reads: its database must be the caller's to read whole.
    fn may_read(&self, name: &str) -> bool {
        match (&self.question, self.principal.grants.scope(Right::Read, name)) {
            (_, Scope::None) | (Question::ContinuousQueries, Scope::Policies(_)) => false,
            (_, Scope::Policies(_) | Scope::All) => true,
        }
    }

    fn next_stage(&mut self) -> Stage {
        let Some(name) = self.rest.next() else { return Stage::Finished };
        match &self.question {
            Question::ContinuousQueries => {
                let ask = Ask::database(&name, &ToDatabase::ContinuousQueries);
                Stage::Ask(name, ask)
            }
            Question::Measurements(show, session) => {
                let mut show = show.clone();
                show.database = NamePattern::Name(name.clone());
                if show.policy == NamePattern::Absent {
                    show.policy = NamePattern::All;
                }
                (show.limit, show.offset) = (0, 0);
                let statement = Statement::ShowMeasurements(show);
                Stage::Query(Box::new(Query::show(statement, name, session.clone())))
            }
        }
    }

    /// Everything was asked.
    fn end(&mut self) -> Answer {
        let Question::Measurements(show, _) = &self.question else { return Ok(None) };
        let place = |row: &Vec<String>| (row.get(1).cloned(), row.get(2).cloned());
        sorted::sort_by_key(&mut self.rows, place);
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let limit = if show.limit == 0 { usize::MAX } else { count(show.limit) };
        let rows = std::mem::take(&mut self.rows).into_iter().skip(count(show.offset));
        let rows: Vec<Vec<String>> = rows.take(limit).collect();
        let columns = ["name", "database", "retention policy"];
        let chunk = SeriesChunk::of_strings(Some("measurements"), &columns, &rows);
        Ok((!rows.is_empty()).then_some(chunk))
    }
}

/// The answer of one database; one that was dropped meanwhile has none.
fn continuous_queries(name: &str, reply: Result<Vec<u8>, Error>) -> Answer {
    let reply = match reply {
        Err(Error::DatabaseNotFound(_)) => return Ok(None),
        reply => envelope::decode_reply::<FromDatabase>(Ok(reply?))?,
    };
    match reply {
        FromDatabase::ContinuousQueries(all) => {
            let rows: Vec<Vec<String>> = all.into_iter().map(|(n, text)| vec![n, text]).collect();
            Ok(Some(SeriesChunk::of_strings(Some(name), &["name", "query"], &rows)))
        }
        FromDatabase::NotOpen => Ok(None),
        FromDatabase::Unavailable(why) => Err(why.into()),
        _ => Err(Error::unexpected_reply()),
    }
}

impl Machine for EveryDatabase {
    type Answer = Answer;

    fn step(&mut self, context: &mut Context<'_>, mut reply: Option<Reply>) -> Step<Answer> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Between) {
                Stage::Names(mut names) => match names.step(context, reply.take()) {
                    Step::Calls(calls) => {
                        self.stage = Stage::Names(names);
                        return Step::Calls(calls);
                    }
                    Step::Done(Ok(mut names)) => {
                        names.retain(|name| self.may_read(name));
                        self.rest = names.into_iter();
                    }
                    Step::Done(Err(error)) => return Step::Done(Err(error)),
                },
                Stage::Between => match self.next_stage() {
                    Stage::Finished => {
                        self.stage = Stage::Finished;
                        return Step::Done(self.end());
                    }
                    stage => self.stage = stage,
                },
                Stage::Ask(name, mut ask) => match ask.step(context, reply.take()) {
                    Step::Calls(calls) => {
                        self.stage = Stage::Ask(name, ask);
                        return Step::Calls(calls);
                    }
                    Step::Done(reply) => match continuous_queries(&name, reply) {
                        Ok(None) => {}
                        answer => return Step::Done(answer),
                    },
                },
                Stage::Query(mut query) => match query.step(context, reply.take()) {
                    Step::Calls(calls) => {
                        self.stage = Stage::Query(query);
                        return Step::Calls(calls);
                    }
                    Step::Done(Ok(Some(chunk))) => {
                        self.rows.extend(chunk.strings());
                        self.stage = Stage::Query(query);
                    }
                    Step::Done(Ok(None) | Err(Error::DatabaseNotFound(_))) => {}
                    Step::Done(Err(error)) => return Step::Done(Err(error)),
                },
                Stage::Finished => {
                    self.stage = Stage::Finished;
                    return Step::Done(Ok(None));
                }
            }
        }
    }
}
