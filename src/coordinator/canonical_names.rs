//! Adds the database and the retention policy to the names in a statement, as 1.x prints the names.

use super::cache::Cache;
use super::error::Result;
use crate::influxql::ast::{SelectStatement, Source, Statement};
use crate::protocol::database::Description;
use crate::query::source::Defaults;

type Name = Option<String>;
type Visit<'a> = dyn FnMut(&mut Name, &mut Name) -> Result<()> + 'a;

/// Visits the target and every source, including the sources of subqueries, in the order in which
/// 1.x checks them.
pub(super) fn each_place(select: &mut SelectStatement, visit: &mut Visit<'_>) -> Result<()> {
    if let Some(target) = &mut select.into {
        visit(&mut target.database, &mut target.policy)?;
    }
    for source in &mut select.sources {
        match source {
            Source::Measurement(measurement) => {
                visit(&mut measurement.database, &mut measurement.policy)?;
            }
            Source::Subquery(inner) => each_place(inner, visit)?,
        }
    }
    Ok(())
}

pub(super) fn default_policy(database: &Description) -> Option<&String> {
    let mut policies = database.policies.iter();
    let default = policies.find(|policy| Some(policy.id) == database.default_policy);
    default.map(|policy| &policy.name).or(database.dropped_default.as_ref())
}

/// Returns 1.x's warning for a `statement` that writes and was sent by GET. 1.x has no warning for
/// DELETE.
pub fn read_only_warning(
    mut statement: Statement,
    defaults: Defaults<'_>,
    cache: &mut Cache,
) -> Option<String> {
    let (select, defaults) = match &mut statement {
        Statement::Delete(_) => return None,
        Statement::Select(select) => (Some(&mut **select), defaults),
        Statement::CreateContinuousQuery(create) => {
            let database = defaults.database.or(Some(&create.database));
            (Some(&mut *create.source), Defaults { database, ..defaults })
        }
        _ => (None, defaults),
    };
    if let Some(select) = select {
        let complete = &mut |database: &mut Name, policy: &mut Name| {
            let name = database.get_or_insert_with(|| defaults.database.unwrap_or_default().into());
            let known = cache.database(name).map(|known| known.description);
            let default = known.as_deref().and_then(default_policy).map(String::as_str);
            *policy = policy.take().or_else(|| defaults.policy.or(default).map(str::to_owned));
            Ok(())
        };
        each_place(select, complete).ok()?;
    }
    Some(format!(
        "deprecated use of '{statement}' in a read only context, please use a POST request instead"
    ))
}
