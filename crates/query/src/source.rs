//! Finds the retention policies that a statement reads, without a schema.

use std::collections::BTreeSet;

use super::error::{QueryError, Result, invalid};
use tidemark_influxql::ast::{Measurement, MeasurementName, SelectStatement, Source};
use tidemark_model::limits::POLICIES_PER_QUERY_MAX;

/// A database and one of its policies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName {
    /// The database, as written.
    pub database: String,
    /// The policy; `None` means the database's default policy.
    pub policy: Option<String>,
}

/// The database and policy that apply to unqualified names: the request's `db` and `rp`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults<'a> {
    /// The value of `db`; `None` if the parameter is absent or empty.
    pub database: Option<&'a str>,
    /// The value of `rp`; `None` if the parameter is absent or empty. This policy applies to every
    /// measurement without an explicit policy, in any database (1.x `normalizeMeasurement`).
    pub policy: Option<&'a str>,
}

impl Defaults<'_> {
    /// Returns the policy of a measurement with `database` and `policy` as written.
    ///
    /// # Errors
    /// [`QueryError::DatabaseRequired`] if neither the statement nor the request names a database.
    pub fn resolve(&self, database: Option<&str>, policy: Option<&str>) -> Result<SourceName> {
        let name = database.or(self.database).ok_or(QueryError::DatabaseRequired)?;
        let policy = policy.or(self.policy).map(str::to_owned);
        Ok(SourceName { database: name.to_owned(), policy })
    }
}

/// Returns the policies that `select` and its subqueries read, in the order of the text and without
/// duplicates.
///
/// # Errors
/// [`QueryError::DatabaseRequired`] if a source specifies no database and there is no default,
/// [`QueryError::TooManyPolicies`], or [`QueryError::Invalid`] if a measurement's name is empty or
/// reserved.
pub fn sources(select: &SelectStatement, defaults: Defaults<'_>) -> Result<Vec<SourceName>> {
    check_system_names(select)?;
    let mut written = Vec::new();
    collect(select, &mut written)?;
    let mut names = Vec::new();
    let mut found = BTreeSet::new();
    for (database, policy) in written {
        let name = defaults.resolve(database, policy)?;
        if found.insert(name.clone()) {
            names.push(name);
        }
    }
    if names.len() > POLICIES_PER_QUERY_MAX {
        return Err(QueryError::TooManyPolicies);
    }
    Ok(names)
}

type WrittenTarget<'a> = (Option<&'a str>, Option<&'a str>);

/// Adds the database and policy of every source, including the sources of subqueries. A source with
/// the database and policy of the previous source adds nothing, because FROM may contain thousands.
fn collect<'a>(select: &'a SelectStatement, written: &mut Vec<WrittenTarget<'a>>) -> Result<()> {
    let mut before = None;
    for source in &select.sources {
        match source {
            Source::Measurement(measurement) => {
                check_name(measurement)?;
                let place = (measurement.database.as_deref(), measurement.policy.as_deref());
                if before.replace(place) != Some(place) {
                    written.push(place);
                }
            }
            Source::Subquery(inner) => collect(inner, written)?,
        }
    }
    Ok(())
}

/// Refuses a direct source with a name that 1.x reserves.
fn check_system_names(select: &SelectStatement) -> Result<()> {
    for source in &select.sources {
        let Source::Measurement(Measurement { name: MeasurementName::Name(name), .. }) = source
        else {
            continue;
        };
        let statement = match name.as_str() {
            "_fieldKeys" => "SHOW FIELD KEYS",
            "_measurements" => "SHOW MEASUREMENTS",
            "_series" => "SHOW SERIES",
            "_tagKeys" => "SHOW TAG KEYS",
            "_tags" => "SHOW TAG VALUES",
            "_name" | "_tagKey" => "the appropriate meta command",
            _ => continue,
        };
        return invalid(format!("unable to use system source '{name}': use {statement} instead"));
    }
    Ok(())
}

/// Refuses an empty name, as 1.x does in every statement that reads points or counts names.
pub(crate) fn check_name(measurement: &Measurement) -> Result<()> {
    if matches!(&measurement.name, MeasurementName::Name(name) if name.is_empty()) {
        return invalid("invalid measurement");
    }
    Ok(())
}
