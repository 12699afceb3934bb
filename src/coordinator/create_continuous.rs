//! Executes CREATE and DROP CONTINUOUS QUERY. CREATE adds the database and the policy to every
//! name, checks the names, and stores the text in the Database.

use std::rc::Rc;

use super::Parts;
use super::canonical_names::{default_policy, each_place};
use super::error::{Error, Result};
use super::into::check_names;
use super::load_schemas::{Load, Want};
use super::single_call::call_database;
use crate::influxql::ast::CreateContinuousQueryStatement;
use crate::protocol::continuous::ContinuousQuery;
use crate::protocol::database::{Description, FromDatabase, ToDatabase};
use crate::query::error::QueryError;
use crate::query::result::SeriesChunk;
use crate::query::source::{self, Defaults};

pub(super) fn create_continuous(
    mut statement: CreateContinuousQueryStatement,
    defaults: Defaults<'_>,
) -> Result<Parts<SeriesChunk>> {
    let own = Some(statement.database.as_str()).filter(|name| !name.is_empty());
    let database = defaults.database.or(own).ok_or(QueryError::DatabaseRequired)?.to_owned();
    let policy = defaults.policy.map(str::to_owned);
    if let Some(target) = &statement.source.into {
        check_names(&statement.source, target)?;
    }
    // Checks the names of the measurements.
    source::sources(&statement.source, Defaults { database: Some(&database), ..defaults })?;
    let mut names: Vec<String> = Vec::new();
    each_place(&mut statement.source, &mut |named, of_policy| {
        let name = named.get_or_insert_with(|| database.clone()).clone();
        *of_policy = of_policy.take().or_else(|| policy.clone());
        if !names.contains(&name) {
            names.push(name);
        }
        Ok(())
    })?;
    Ok(Parts::once(|io| async move {
        let mut databases = Databases::new();
        for name in names {
            let loaded = Load::from_owner(&name, Want::Nothing).run(&io).await?;
            databases.push((name, loaded.description));
        }
        let query = qualify(&mut statement, &databases)?;
        let message = ToDatabase::CreateContinuousQuery { query };
        match call_database(&io, &statement.database, &message).await? {
            FromDatabase::Done => Ok(None),
            _ => Err(Error::unexpected_reply()),
        }
    }))
}

/// As in 1.x, a missing database is not an error.
pub(super) fn drop_continuous(database: String, name: String) -> Parts<SeriesChunk> {
    Parts::once(|io| async move {
        match call_database(&io, &database, &ToDatabase::DropContinuousQuery { name }).await {
            Ok(FromDatabase::Done) | Err(Error::DatabaseNotFound(_)) => Ok(None),
            Ok(_) => Err(Error::unexpected_reply()),
            Err(error) => Err(error),
        }
    })
}

type Databases = Vec<(String, Rc<Description>)>;

fn qualify(
    statement: &mut CreateContinuousQueryStatement,
    databases: &Databases,
) -> Result<ContinuousQuery> {
    each_place(&mut statement.source, &mut |database, policy| {
        let database = database.as_deref().unwrap_or_default();
        let Some((_, found)) = databases.iter().find(|(known, _)| known == database) else {
            return Err(Error::DatabaseNotFound(database.to_owned()));
        };
        let default = || default_policy(found).cloned().unwrap_or_default();
        let name = policy.get_or_insert_with(default);
        if found.policies.iter().all(|policy| policy.name != *name) {
            return Err(Error::PolicyNotFound(format!("{database}.{name}")));
        }
        Ok(())
    })?;
    let source = &statement.source;
    let interval_ns = source.group_by_interval_ns().unwrap_or(0);
    // 1.x stores a query without windows but never runs it.
    let is_run = interval_ns > 0 && !source.is_raw();
    let every_ns = match statement.resample_every_ns {
        0 => interval_ns,
        every_ns => every_ns,
    };
    Ok(ContinuousQuery {
        name: statement.name.clone(),
        text: statement.to_string(),
        every_ns: if is_run { every_ns } else { 0 },
        last_run_ns: None,
        windows_max: None,
    })
}
