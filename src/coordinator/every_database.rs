//! Executes the statements that read all databases that the caller may read: SHOW CONTINUOUS
//! QUERIES and SHOW MEASUREMENTS ON *.

use std::ops::Range;

use super::Parts;
use super::database_names;
use super::error::{Error, Result};
use super::grants::Principal;
use super::query::Query;
use super::session::Session;
use super::single_call::call_database;
use crate::admission::HeldBytes;
use crate::influxql::ast::{NamePattern, ShowMeasurementsStatement, Statement};
use crate::model::grant::{PermissionKind, Scope};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::query::metadata::SortedNames;
use crate::query::result::SeriesChunk;

const CHUNK_ROWS: usize = 10_000;

/// Lists only queries of databases that the caller may read as a whole, because the text of a
/// continuous query reveals all its sources.
pub(super) fn show_continuous_queries(principal: Principal) -> Parts<SeriesChunk> {
    Parts::new(|io, output| async move {
        for name in database_names::list(&io, None).await? {
            if !matches!(principal.grants.scope(PermissionKind::Read, &name), Scope::All) {
                continue;
            }
            match call_database(&io, &name, &ToDatabase::ContinuousQueries).await {
                Ok(FromDatabase::ContinuousQueries(all)) => {
                    let row = |(query, text)| vec![query, text];
                    let rows: Vec<Vec<String>> = all.into_iter().map(row).collect();
                    let columns = ["name", "query"];
                    output.emit(SeriesChunk::of_strings(Some(&name), &columns, &rows)).await;
                }
                // The database was dropped after the list was read.
                Err(Error::DatabaseNotFound(_)) => {}
                Ok(_) => return Err(Error::unexpected_reply()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
}

pub(super) fn show_measurements(
    show: Box<ShowMeasurementsStatement>,
    session: Session,
) -> Parts<SeriesChunk> {
    let mut listing = Listing::new(show, session);
    Parts::new(|io, output| async move {
        let names = database_names::list(&io, None).await?;
        for name in names {
            let grants = &listing.session.principal.grants;
            if matches!(grants.scope(PermissionKind::Read, &name), Scope::None) {
                continue;
            }
            let mut query = listing.query(&name);
            loop {
                match io.next(&mut query).await {
                    Ok(Some(chunk)) => listing.add(&chunk)?,
                    // The database was dropped after the list was read.
                    Ok(None) | Err(Error::DatabaseNotFound(_)) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        while let Some(chunk) = listing.next() {
            output.emit(chunk).await;
        }
        Ok(())
    })
}

/// The measurements of all databases, sorted after the last database was read.
#[derive(Debug)]
pub(super) struct Listing {
    show: Box<ShowMeasurementsStatement>,
    session: Session,
    /// The names, sorted by database, policy and name.
    names: SortedNames,
    held: Option<HeldBytes>,
    /// The rows that `next` has not returned yet; `None` until the rows are sorted.
    shown: Option<Range<usize>>,
}

impl Listing {
    fn new(show: Box<ShowMeasurementsStatement>, session: Session) -> Self {
        let end = rows(show.offset).saturating_add(rows(show.limit));
        let names = SortedNames::new((show.limit > 0).then_some(end));
        Self { show, session, names, held: None, shown: None }
    }

    fn query(&self, database: &str) -> Parts<SeriesChunk> {
        let mut show = self.show.clone();
        show.database = NamePattern::Name(database.to_owned());
        if show.policy == NamePattern::Absent {
            show.policy = NamePattern::All;
        }
        (show.limit, show.offset) = (0, 0);
        let statement = Statement::ShowMeasurements(show);
        Query::show(statement, database.to_owned(), self.session.clone()).execute()
    }

    fn add(&mut self, chunk: &SeriesChunk) -> Result<()> {
        for row in chunk.strings() {
            if let [name, database, policy] = &row[..] {
                self.names.push(&[database, policy, name]);
            }
        }
        self.names.check()?;
        Ok(self.session.reservation.hold(&mut self.held, self.names.bytes())?)
    }

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

fn rows(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
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

    fn of_database(database: &str, count: usize) -> SeriesChunk {
        let row = |number| [format!("m{number:06}"), database.to_owned(), "autogen".to_owned()];
        let rows: Vec<Vec<String>> = (0..count).map(|number| row(number).to_vec()).collect();
        SeriesChunk::of_strings(None, &["name", "database", "retention policy"], &rows)
    }

    #[test]
    fn multi_database_listing_is_sorted() {
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
    fn listing_memory_is_limited_and_counted() {
        let memory = QueryMemory::new(&Admission::default());
        let session = Session::default();
        let _ = session.reservation.enter(&memory, "a");
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
