//! Answers the SHOW statements about what is stored, from summaries of the rows that are alive.
//!
//! This goes as for a SELECT: [`database`] says what must be loaded, [`compile`] lowers the
//! statement to requests for summaries, [`executor::MetaExecutor`] asks every shard for its pages
//! and merges them one measurement at a time. SERIES and FIELD KEYS look at one policy, the others
//! at all of them.

mod cardinality;
mod column_names;
mod condition;
mod context;
mod deletion;
pub mod executor;
mod measurement_filter;
mod name_filter;
mod names;
mod plan;
mod policies;
mod render;

use super::error::QueryError;
use super::result::SeriesChunk;
use super::source::Defaults;
use crate::influxql::ast::{NamePattern, Source, Statement};

pub use context::{MetaContext, MetaPolicy};
pub use deletion::deletions;
pub use executor::{MetaExecutor, MetaNeed, MetaStep};
pub(crate) use names::SortedNames;
pub use plan::{MetaPlan, MetaScan, compile};
pub use policies::show_retention_policies;

/// The database that a SHOW statement of this module is about; `None` for any other statement.
///
/// # Errors
/// [`QueryError::DatabaseRequired`]
pub fn database(
    statement: &Statement,
    defaults: Defaults<'_>,
) -> Option<Result<String, QueryError>> {
    let named = match statement {
        Statement::ShowMeasurements(show) => match &show.database {
            NamePattern::Absent => None,
            NamePattern::Name(name) => Some(name),
            // Every database, one after the other: the route asks for each by its name.
            NamePattern::All => return None,
        },
        Statement::ShowSeries(show) => placed(&show.sources).or(show.database.as_ref()),
        Statement::ShowCardinality(show) => placed(&show.sources).or(show.database.as_ref()),
        Statement::ShowTagKeys(show) => show.database.as_ref(),
        Statement::ShowTagValues(show) => show.database.as_ref(),
        Statement::ShowFieldKeys(show) => placed(&show.sources).or(show.database.as_ref()),
        _ => return None,
    };
    let name = named.map(String::as_str).or(defaults.database);
    Some(name.map(str::to_owned).ok_or(QueryError::DatabaseRequired))
}

/// The database that FROM names: 1.x makes a SELECT of these statements.
fn placed(sources: &[Source]) -> Option<&String> {
    sources.iter().find_map(|source| match source {
        Source::Measurement(measurement) => measurement.database.as_ref(),
        Source::Subquery(_) => None,
    })
}

/// SHOW DATABASES: `names` in the order to print.
pub fn show_databases(names: &[String]) -> SeriesChunk {
    let rows: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
    SeriesChunk::of_strings(Some("databases"), &["name"], &rows)
}

/// What SHOW MEASUREMENTS and its kind answer for a database that does not exist: nothing, or 0.
/// `None` for the statements that fail.
pub fn of_missing_database(statement: &Statement) -> Option<Option<SeriesChunk>> {
    match statement {
        Statement::ShowMeasurements(_) => Some(None),
        Statement::ShowCardinality(show) => {
            let count =
                cardinality::CardinalityCount::new(show).ok().filter(|count| count.is_estimate)?;
            Some(Some(count.chunk(None, None, 0)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
