//! Executes the SHOW statements about stored data, from summaries of rows that are not deleted.
//!
//! A SHOW statement is executed in the same steps as a SELECT. [`database`] returns the database to
//! load. [`compile`] lowers the statement to requests for summaries. [`executor::MetaExecutor`]
//! merges the pages of every shard, one measurement at a time. SHOW SERIES and SHOW FIELD KEYS read
//! one policy; all other statements read every policy.

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
use crate::influxql::ast::{ListOf, NamePattern, Source, Statement};

pub use context::{MetaContext, MetaPolicy};
pub use deletion::Deletions;
pub use executor::{MetaExecutor, MetaNeed, MetaStep};
pub(crate) use names::SortedNames;
pub use plan::{MetaPlan, MetaScan, compile};
pub use policies::show_retention_policies;

/// Returns the database that a SHOW statement reads; `None` if this module does not execute the
/// statement.
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
            // The route executes the statement for each database separately.
            NamePattern::All => return None,
        },
        Statement::ShowList(show) => match show.of {
            ListOf::Series | ListOf::FieldKeys => placed(&show.sources).or(show.database.as_ref()),
            ListOf::TagKeys(_) | ListOf::TagValues(_) => show.database.as_ref(),
        },
        Statement::ShowCardinality(show) => placed(&show.sources).or(show.database.as_ref()),
        _ => return None,
    };
    let name = named.map(String::as_str).or(defaults.database);
    Some(name.map(str::to_owned).ok_or(QueryError::DatabaseRequired))
}

/// The database in FROM. 1.x rewrites these statements to a SELECT.
fn placed(sources: &[Source]) -> Option<&String> {
    sources.iter().find_map(|source| match source {
        Source::Measurement(measurement) => measurement.database.as_ref(),
        Source::Subquery(_) => None,
    })
}

/// Returns the result of SHOW DATABASES, with `names` in the given order.
pub fn show_databases(names: &[String]) -> SeriesChunk {
    let rows: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
    SeriesChunk::of_strings(Some("databases"), &["name"], &rows)
}

/// Returns the result of a SHOW statement for an unknown database: no series, or a count of 0. The
/// outer `None` means that the statement fails instead.
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
