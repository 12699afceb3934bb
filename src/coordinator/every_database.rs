//! Carries out the statements that ask every database that the caller may read: SHOW CONTINUOUS
//! QUERIES and SHOW MEASUREMENTS ON *.

use std::vec;

use super::database_names::DatabaseNames;
use super::error::Error;
use super::grants::Principal;
use super::query::Query;
use super::session::Session;
use super::single_call::SingleCall;
use super::{Context, RoundMachine, Turn};
use crate::influxql::ast::{NamePattern, ShowMeasurementsStatement, Statement};
use crate::model::grant::{Right, Scope};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::{Next, Replies, Round};
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
    stage: EveryStage,
    rest: vec::IntoIter<String>,
    /// Measurements so far.
    rows: Vec<Vec<String>>,
    round: Round,
}

#[derive(Debug)]
enum EveryStage {
    DatabaseNames(DatabaseNames),
    Between,
    Ask(String, Box<SingleCall>),
    Query(Box<Query>),
    /// Everything was asked.
    End,
    Finished,
}

impl EveryDatabase {
    pub(super) fn new(question: Question, principal: Principal) -> Self {
        let stage = EveryStage::DatabaseNames(DatabaseNames::default());
        let (rest, rows) = (Vec::new().into_iter(), Vec::new());
        Self { question, principal, stage, rest, rows, round: Round::default() }
    }

    /// A continuous query shows all that it reads: its database must be the caller's to read whole.
    fn may_read(&self, name: &str) -> bool {
        match (&self.question, self.principal.grants.scope(Right::Read, name)) {
            (_, Scope::None) | (Question::ContinuousQueries, Scope::Policies(_)) => false,
            (_, Scope::Policies(_) | Scope::All) => true,
        }
    }

    fn next_stage(&mut self) -> EveryStage {
        let Some(name) = self.rest.next() else { return EveryStage::End };
        match &self.question {
            Question::ContinuousQueries => {
                let ask = SingleCall::database(&name, &ToDatabase::ContinuousQueries);
                EveryStage::Ask(name, Box::new(ask))
            }
            Question::Measurements(show, session) => {
                let mut show = show.clone();
                show.database = NamePattern::Name(name.clone());
                if show.policy == NamePattern::Absent {
                    show.policy = NamePattern::All;
                }
                (show.limit, show.offset) = (0, 0);
                let statement = Statement::ShowMeasurements(show);
                EveryStage::Query(Box::new(Query::show(statement, name, session.clone())))
            }
        }
    }

    /// The rows of all databases in one order.
    fn end(&mut self) -> Option<SeriesChunk> {
        let Question::Measurements(show, _) = &self.question else { return None };
        let place = |row: &Vec<String>| (row.get(1).cloned(), row.get(2).cloned());
        self.rows.sort_by_key(place);
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let limit = if show.limit == 0 { usize::MAX } else { count(show.limit) };
        let rows = std::mem::take(&mut self.rows).into_iter().skip(count(show.offset));
        let rows: Vec<Vec<String>> = rows.take(limit).collect();
        let columns = ["name", "database", "retention policy"];
        let chunk = SeriesChunk::of_strings(Some("measurements"), &columns, &rows);
        (!rows.is_empty()).then_some(chunk)
    }
}

/// The answer of one database; one that was dropped meanwhile has none.
fn continuous_queries(name: &str, reply: Vec<u8>) -> Result<Option<SeriesChunk>, Error> {
    match envelope::decode_reply::<FromDatabase>(Ok(reply))? {
        FromDatabase::ContinuousQueries(all) => {
            let rows: Vec<Vec<String>> = all.into_iter().map(|(n, text)| vec![n, text]).collect();
            Ok(Some(SeriesChunk::of_strings(Some(name), &["name", "query"], &rows)))
        }
        FromDatabase::NotOpen => Ok(None),
        FromDatabase::Unavailable(why) => Err(why.into()),
        _ => Err(Error::unexpected_reply()),
    }
}

impl RoundMachine for EveryDatabase {
    type Reply = Option<SeriesChunk>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(
        &mut self,
        context: &mut Context<'_>,
        mut replies: Replies,
    ) -> Turn<Option<SeriesChunk>> {
        loop {
            let replies = std::mem::take(&mut replies);
            match std::mem::replace(&mut self.stage, EveryStage::Between) {
                EveryStage::DatabaseNames(mut names) => match names.go_on(context, replies)? {
                    Next::Calls(requests) => {
                        self.stage = EveryStage::DatabaseNames(names);
                        return Ok(Next::Calls(requests));
                    }
                    Next::Reply(mut names) => {
                        names.retain(|name| self.may_read(name));
                        self.rest = names.into_iter();
                    }
                },
                EveryStage::Between => self.stage = self.next_stage(),
                EveryStage::Ask(name, mut ask) => match ask.go_on(context, replies) {
                    Ok(Next::Calls(requests)) => {
                        self.stage = EveryStage::Ask(name, ask);
                        return Ok(Next::Calls(requests));
                    }
                    Ok(Next::Reply(reply)) => {
                        if let Some(chunk) = continuous_queries(&name, reply)? {
                            return Ok(Next::Reply(Some(chunk)));
                        }
                    }
                    Err(Error::DatabaseNotFound(_)) => {}
                    Err(error) => return Err(error),
                },
                EveryStage::Query(mut query) => match query.go_on(context, replies) {
                    Ok(Next::Calls(requests)) => {
                        self.stage = EveryStage::Query(query);
                        return Ok(Next::Calls(requests));
                    }
                    Ok(Next::Reply(Some(chunk))) => {
                        self.rows.extend(chunk.strings());
                        self.stage = EveryStage::Query(query);
                    }
                    Ok(Next::Reply(None)) | Err(Error::DatabaseNotFound(_)) => {}
                    Err(error) => return Err(error),
                },
                EveryStage::End => {
                    self.stage = EveryStage::Finished;
                    return Ok(Next::Reply(self.end()));
                }
                EveryStage::Finished => {
                    self.stage = EveryStage::Finished;
                    return Ok(Next::Reply(None));
                }
            }
        }
    }
}
