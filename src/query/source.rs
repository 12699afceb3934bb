//! Finds the retention policies that a statement reads, before a schema is loaded.

use super::error::QueryError;
use crate::influxql::ast::{SelectStatement, Source};
use crate::model::limits::POLICIES_PER_QUERY_MAX;

/// A database and one of its policies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName {
    /// The database, as written.
    pub database: String,
    /// The policy; `None` is the database's default policy.
    pub policy: Option<String>,
}

/// The database and policy of unqualified names: the request's `db` and `rp`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults<'a> {
    /// `db`; `None` if absent or empty.
    pub database: Option<&'a str>,
    /// `rp`; `None` if absent or empty. It applies to every measurement without a policy, in any
    /// database (1.x `normalizeMeasurement`).
    pub policy: Option<&'a str>,
}

impl Defaults<'_> {
    /// Returns the policy of a measurement with the given `database` and `policy` in the statement.
    ///
    /// # Errors
    /// [`QueryError::DatabaseRequired`] if neither the statement nor the request names a database.
    pub fn resolve(
        &self,
        database: Option<&str>,
        policy: Option<&str>,
    ) -> Result<SourceName, QueryError> {
        let name = database.or(self.database).ok_or(QueryError::DatabaseRequired)?;
        let policy = policy.or(self.policy).map(str::to_owned);
        Ok(SourceName { database: name.to_owned(), policy })
    }
}

/// Returns the policies that `select` and its subqueries read, in ascending order without
/// duplicates.
///
/// # Errors
/// [`QueryError::DatabaseRequired`] if a source names no database and there is no default,
/// [`QueryError::TooManyPolicies`].
pub fn sources(
    select: &SelectStatement,
    defaults: Defaults<'_>,
) -> Result<Vec<SourceName>, QueryError> {
    let mut names = Vec::new();
    collect(select, defaults, &mut names)?;
    names.sort();
    names.dedup();
    if names.len() > POLICIES_PER_QUERY_MAX {
        return Err(QueryError::TooManyPolicies);
    }
    Ok(names)
}

fn collect(
    select: &SelectStatement,
    defaults: Defaults<'_>,
    names: &mut Vec<SourceName>,
) -> Result<(), QueryError> {
    for source in &select.sources {
        match source {
            Source::Measurement(measurement) => names.push(
                defaults.resolve(measurement.database.as_deref(), measurement.policy.as_deref())?,
            ),
            Source::Subquery(inner) => collect(inner, defaults, names)?,
        }
    }
    Ok(())
}
