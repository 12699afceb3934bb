//! Executes the SHOW statements about stored data, from summaries of rows that are not deleted.
//!
//! A SHOW statement is executed in the same steps as a SELECT. [`database`] returns the database to
//! load. [`compile`] lowers the statement to requests for summaries. [`executor::MetaExecutor`]
//! merges the pages of every shard, one measurement at a time. SHOW SERIES and SHOW FIELD KEYS read
//! one policy; all other statements read every policy.

mod cardinality;
mod condition;
mod deletion;
pub mod executor;
mod name_filter;
mod names;
mod plan;
mod render;

use super::error::{QueryError, Result, invalid};
use super::result::{SeriesChunk, Values};
use super::source::Defaults;
use tidemark_influxql::ast::{ListOf, NamePattern, Source, Statement};
use tidemark_influxql::duration;
use tidemark_model::regex::Patterns;
use tidemark_model::shard_map::Policy;

pub use deletion::Deletions;
pub use executor::MetaExecutor;
pub use names::SortedNames;
pub use plan::compile_in_turns;
pub use plan::{MetaContext, MetaPlan, MetaPolicy, MetaScan, compile};

/// Returns the database that a SHOW statement reads; `None` if this module does not execute the
/// statement.
pub fn database(statement: &Statement, defaults: Defaults<'_>) -> Option<Result<String>> {
    let named = match statement {
        Statement::ShowMeasurements(show) => match &show.database {
            NamePattern::Absent => None,
            NamePattern::Name(name) => Some(name),
            // The route executes the statement for each database separately.
            NamePattern::All => return None,
        },
        Statement::ShowList(show) => match show.of {
            ListOf::Series | ListOf::FieldKeys => {
                return Some(of_sources(&show.sources, show.database.as_deref(), defaults));
            }
            ListOf::TagKeys(_) | ListOf::TagValues(_) => show.database.as_ref(),
        },
        Statement::ShowCardinality(show) => {
            return Some(of_sources(&show.sources, show.database.as_deref(), defaults));
        }
        _ => return None,
    };
    let name = named.map(String::as_str).or(defaults.database);
    Some(name.map(str::to_owned).ok_or(QueryError::DatabaseRequired))
}

/// Returns the database of FROM. `on` is the database of the ON clause. 1.x rewrites these
/// statements to a SELECT, which can read several databases.
fn of_sources(sources: &[Source], on: Option<&str>, defaults: Defaults<'_>) -> Result<String> {
    let unnamed = on.or(defaults.database);
    let mut names = sources.iter().filter_map(|source| match source {
        Source::Measurement(measurement) => Some(measurement.database.as_deref().or(unnamed)),
        Source::Subquery(_) => None,
    });
    let name = names.next().unwrap_or(unnamed).ok_or(QueryError::DatabaseRequired)?;
    if names.any(|other| other != Some(name)) {
        return invalid("a SHOW statement reads one database: run one statement for each database");
    }
    Ok(name.to_owned())
}

/// Returns the result of SHOW DATABASES, with `names` in the given order.
pub fn show_databases(names: &[String]) -> SeriesChunk {
    let rows: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
    SeriesChunk::of_strings(Some("databases"), &["name"], &rows)
}

/// Returns the result of SHOW RETENTION POLICIES, with `policies` in the given order. `default` is
/// the default policy's name. The two columns of 1.12 are present only if a policy has a limit,
/// because clients of earlier versions expect five columns.
pub fn show_retention_policies(policies: &[Policy], default: &str) -> SeriesChunk {
    let texts = |text: &dyn Fn(&Policy) -> String| {
        let texts: Vec<String> = policies.iter().map(text).collect();
        Values::String(texts.iter().map(String::as_str).collect())
    };
    let mut columns = vec!["name", "duration", "shardGroupDuration", "replicaN"];
    let mut values = vec![
        texts(&|policy| policy.name.clone()),
        texts(&|policy| duration::format_go(policy.duration_ns)),
        texts(&|policy| duration::format_go(policy.shard_group_duration_ns)),
        Values::Integer(policies.iter().map(|policy| policy.replica_n.into()).collect()),
    ];
    if policies.iter().any(Policy::limits_writes) {
        columns.extend(["futureWriteLimit", "pastWriteLimit"]);
        values.push(texts(&|policy| duration::format_go(policy.future_limit_ns)));
        values.push(texts(&|policy| duration::format_go(policy.past_limit_ns)));
    }
    columns.push("default");
    values.push(Values::Boolean(policies.iter().map(|policy| policy.name == default).collect()));
    SeriesChunk::of_columns(None, &columns, values)
}

/// Returns the result of a SHOW statement for an unknown database: no series, or a count of 0. The
/// outer `None` means that the statement fails instead.
pub fn of_missing_database(statement: &Statement) -> Option<Option<SeriesChunk>> {
    match statement {
        Statement::ShowMeasurements(_) => Some(None),
        Statement::ShowCardinality(show) => {
            let count = cardinality::CardinalityCount::new(show, &Patterns::limited());
            let count = count.ok().filter(|count| count.is_estimate)?;
            Some(Some(count.chunk(None, None, 0)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
