//! Carries out the statements that ask every database that the caller may read: SHOW CONTINUOUS
//! QUERIES and SHOW MEASUREMENTS ON *.

use std::ops::Range;
use std::vec;

use super::database_names::DatabaseNames;
use super::error::Error;
use super::grants::Principal;
use super::query::Query;
use super::session::Session;
use super::single_call::SingleCall;
use super::{Context, RoundMachine, Turn};
use crate::admission::Held;
use crate::influxql::ast::{NamePattern, ShowMeasurementsStatement, Statement};
use crate::model::grant::{Right, Scope};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::{Next, Replies, Round};
use crate::query::metadata::SortedNames;
use crate::query::result::SeriesChunk;

/// Rows of a chunk.
const CHUNK_ROWS: usize = 10_000;

/// What is asked of each.
#[derive(Debug)]
pub(super) enum Question {
    /// SHOW CONTINUOUS QUERIES
    ContinuousQueries,
    /// SHOW MEASUREMENTS ON *
    Measurements(Box<Listing>),
}

impl Question {
    /// SHOW MEASUREMENTS ON *, as a session asks it.
    pub(super) fn measurements(show: Box<ShowMeasurementsStatement>, session: Session) -> Self {
        Self::Measurements(Box::new(Listing::new(show, session)))
    }
}

/// A statement in progress. Answers as [`super::statement::Execution`] does.
#[derive(Debug)]
pub(super) struct EveryDatabase {
    question: Question,
    principal: Principal,
    stage: EveryStage,
    rest: vec::IntoIter<String>,
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
}

/// The measurements of all databases, in one order once all were asked.
#[derive(Debug)]
pub(super) struct Listing {
    show: Box<ShowMeasurementsStatement>,
    session: Session,
    /// By database, policy and name.
    names: SortedNames,
    held: Option<Held>,
    /// Those that are still to be shown, once they are sorted.
    shown: Option<Range<usize>>,
}

impl Listing {
    fn new(show: Box<ShowMeasurementsStatement>, session: Session) -> Self {
        let end = rows(show.offset).saturating_add(rows(show.limit));
        let names = SortedNames::new((show.limit > 0).then_some(end));
        Self { show, session, names, held: None, shown: None }
    }

    /// The question to one database.
    fn query(&self, database: &str) -> Query {
        let mut show = self.show.clone();
        show.database = NamePattern::Name(database.to_owned());
        if show.policy == NamePattern::Absent {
            show.policy = NamePattern::All;
        }
        (show.limit, show.offset) = (0, 0);
        let statement = Statement::ShowMeasurements(show);
        Query::show(statement, database.to_owned(), self.session.clone())
    }

    /// Takes in rows of one database.
    ///
    /// # Errors
    /// When they are more than are listed, or than there is memory for.
    fn add(&mut self, chunk: &SeriesChunk) -> Result<(), Error> {
        for row in chunk.strings() {
            if let [name, database, policy] = &row[..] {
                self.names.push(&[database, policy, name]);
            }
        }
        self.names.check()?;
        Ok(self.session.room.hold(&mut self.held, self.names.bytes())?)
    }

    /// The next rows of the answer, once every database was asked.
    fn next(&mut self) -> Option<SeriesChunk> {
        let rest = self.shown.get_or_insert_with(|| {
            self.names.sort();
            rows(self.show.offset)..self.names.len()
        });
        let end = rest.end.min(rest.start.saturating_add(CHUNK_ROWS));
        if rest.start >= end {
            return None;
        }
        let mut rows = self.names.rows(rest.start..end, 3);
        rows.iter_mut().for_each(|row| row.rotate_right(1));
        let columns = ["name", "database", "retention policy"];
        let mut chunk = SeriesChunk::of_strings(Some("measurements"), &columns, &rows);
        chunk.partial = end < rest.end;
        rest.start = end;
        Some(chunk)
    }
}

/// A number of rows that a statement names.
fn rows(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl EveryDatabase {
    pub(super) fn new(question: Question, principal: Principal) -> Self {
        let stage = EveryStage::DatabaseNames(DatabaseNames::default());
        Self { question, principal, stage, rest: Vec::new().into_iter(), round: Round::default() }
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
            Question::Measurements(listing) => EveryStage::Query(Box::new(listing.query(&name))),
        }
    }

    /// What is shown once all were asked.
    fn show(&mut self) -> Option<SeriesChunk> {
        match &mut self.question {
            Question::ContinuousQueries => None,
            Question::Measurements(listing) => listing.next(),
        }
    }

    /// Takes in rows of one database.
    fn add(&mut self, chunk: &SeriesChunk) -> Result<(), Error> {
        match &mut self.question {
            Question::ContinuousQueries => Ok(()),
            Question::Measurements(listing) => listing.add(chunk),
        }
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
                        self.add(&chunk)?;
                        self.stage = EveryStage::Query(query);
                    }
                    Ok(Next::Reply(None)) | Err(Error::DatabaseNotFound(_)) => {}
                    Err(error) => return Err(error),
                },
                EveryStage::End => {
                    self.stage = EveryStage::End;
                    return Ok(Next::Reply(self.show()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Admission, QueryMemory};
    use crate::influxql::bound_params::Params;

    fn listing(text: &str, session: Session) -> Listing {
        match crate::influxql::parse(text, &Params::default()).unwrap().pop() {
            Some(Statement::ShowMeasurements(show)) => Listing::new(show, session),
            other => panic!("{other:?}"),
        }
    }

    /// What a database of `count` measurements answers.
    fn of_database(database: &str, count: usize) -> SeriesChunk {
        let row = |number| [format!("m{number:06}"), database.to_owned(), "autogen".to_owned()];
        let rows: Vec<Vec<String>> = (0..count).map(|number| row(number).to_vec()).collect();
        SeriesChunk::of_strings(None, &["name", "database", "retention policy"], &rows)
    }

    #[test]
    fn many_rows_come_in_order_and_in_chunks_of_one_series() {
        let mut listing = listing("SHOW MEASUREMENTS ON *", Session::default());
        for database in ["b", "a"] {
            listing.add(&of_database(database, 15_000)).unwrap();
        }
        let chunks: Vec<SeriesChunk> = std::iter::from_fn(|| listing.next()).collect();
        assert_eq!(chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), [CHUNK_ROWS; 3]);
        assert_eq!(chunks.iter().map(|c| c.partial).collect::<Vec<_>>(), [true, true, false]);
        let rows: Vec<Vec<String>> = chunks.iter().flat_map(SeriesChunk::strings).collect();
        let expected = ["a", "b"].map(|database| of_database(database, 15_000).strings());
        assert_eq!(rows, expected.concat());
    }

    #[test]
    fn no_more_is_held_than_a_limit_asks_for_and_what_is_held_is_counted() {
        let memory = QueryMemory::new(&Admission::default());
        let session = Session::default();
        let _ = session.room.enter(&memory, "a");
        let free = memory.free_bytes();
        let mut limited = listing("SHOW MEASUREMENTS ON * LIMIT 2 OFFSET 1", session.clone());
        let mut whole = listing("SHOW MEASUREMENTS ON *", session);
        for number in 0..60 {
            limited.add(&of_database(&format!("d{number:02}"), 1_000)).unwrap();
        }
        assert!(limited.names.bytes() < 400_000, "{}", limited.names.bytes());
        let refused = (0..200)
            .find_map(|number| whole.add(&of_database(&format!("d{number:03}"), 10_000)).err());
        assert!(refused.is_some() && memory.free_bytes() < free);
        let shown = limited.next().map(|chunk| chunk.strings());
        assert_eq!(shown, Some(of_database("d00", 3).strings()[1..].to_vec()));
        assert!(limited.next().is_none());
    }
}
