//! SHOW statements about what is stored: summaries of live rows to series of names.
//!
//! As a SELECT: [`database`] says what must be loaded, [`compile`] lowers the statement to summary
//! requests, [`executor::MetaExecutor`] asks every shard for its pages and merges them one
//! measurement at a time. SERIES and FIELD KEYS look at one policy, the others at all of them.

mod condition;
mod deletion;
pub mod executor;
mod measurement_filter;
mod plan;
mod policies;
mod render;

use super::error::QueryError;
use super::result::SeriesChunk;
use super::source::Defaults;
use crate::influxql::ast::{NamePattern, Statement};
use crate::model::schema::PolicySchema;

pub use deletion::deletions;
pub use executor::{MetaExecutor, MetaNeed, MetaStep};
pub use plan::{MetaPlan, MetaScan, compile};
pub use policies::show_retention_policies;

/// What a SHOW statement is compiled against.
#[derive(Debug)]
pub struct MetaContext<'a> {
    /// Every policy of the database, by name.
    pub policies: &'a [(String, &'a PolicySchema)],
    /// The default policy's name.
    pub default_policy: &'a str,
    /// The request's `db` and `rp`.
    pub defaults: Defaults<'a>,
    /// `now()`, nanoseconds.
    pub now_ns: i64,
}

/// The database that a SHOW statement of this module is about; `None` for any other statement.
///
/// # Errors
/// [`QueryError::DatabaseRequired`], and [`QueryError::Unsupported`] for `ON *`.
pub fn database(
    statement: &Statement,
    defaults: Defaults<'_>,
) -> Option<Result<String, QueryError>> {
    let named = match statement {
        Statement::ShowMeasurements(show) => match &show.database {
            NamePattern::Absent => None,
            NamePattern::Name(name) => Some(name),
            NamePattern::All => {
                return Some(Err(QueryError::Unsupported("SHOW MEASUREMENTS ON *".into())));
            }
        },
        Statement::ShowSeries(show) => show.database.as_ref(),
        Statement::ShowTagKeys(show) => show.database.as_ref(),
        Statement::ShowTagValues(show) => show.database.as_ref(),
        Statement::ShowFieldKeys(show) => show.database.as_ref(),
        _ => return None,
    };
    let name = named.map(String::as_str).or(defaults.database);
    Some(name.map(str::to_owned).ok_or(QueryError::DatabaseRequired))
}

/// SHOW DATABASES: `names` in the order to print.
pub fn show_databases(names: &[String]) -> SeriesChunk {
    let rows: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
    SeriesChunk::of_strings(Some("databases"), &["name"], &rows)
}

#[cfg(test)]
mod tests;
