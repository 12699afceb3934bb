//! Executes an InfluxQL statement of any kind in a session, and returns the result piece by piece.
//! Also writes 1.x's warning for a statement that writes and was sent by GET.

use super::Pieces;
use super::cache::{Cache, find_policy};
use super::continuous::{create_continuous, drop_continuous};
use super::create_drop::{self, Change, alter_policy, create_database, create_policy};
use super::database_lists::{list_databases, show_continuous_queries, show_measurements};
use super::delete::delete;
use super::diagnostics::diagnostics;
use super::error::Result;
use super::grants::Principal;
use super::into::{explain_into, select_into};
use super::live_queries::{kill_query, show_queries};
use super::load_schemas::{Load, SchemaSelection};
use super::query::Query;
use super::session::Session;
use super::users_and_tokens::{show_users, user_statement};
use tidemark_engine::protocol::database::{Description, ToDatabase};
use tidemark_influxql::ast::{SelectStatement, Source, Statement};
use tidemark_model::grant::PermissionKind;
use tidemark_query::error::QueryError;
use tidemark_query::metadata;
use tidemark_query::result::SeriesChunk;
use tidemark_query::source::Defaults;

/// Executes a statement. An error ends the statement, possibly after some pieces.
pub fn execute(statement: Statement, session: Session) -> Pieces<SeriesChunk> {
    prepare(statement, session).unwrap_or_else(|error| Pieces::once(|_| async { Err(error) }))
}

fn prepare(statement: Statement, session: Session) -> Result<Pieces<SeriesChunk>> {
    if let Some(database) = metadata::database(&statement, session.defaults()) {
        // As in 1.x, a missing database is not an error of some statements.
        let otherwise = metadata::of_missing_database(&statement).filter(|_| !session.as_v3);
        return Ok(Query::show(statement, database?, session).or_if_missing(otherwise).execute());
    }
    Ok(match statement {
        Statement::Select(select) => match select.into.clone() {
            Some(target) => select_into(*select, target, session)?,
            None => Query::select(*select, session)?.execute(),
        },
        Statement::Explain(explain) => match explain.select.into.clone() {
            Some(target) => explain_into(explain, &target, session)?,
            None => Query::explain(explain, session)?.execute(),
        },
        Statement::CreateDatabase(create) => {
            change_pieces(create_database(&create, session.default_shards))
        }
        Statement::DropDatabase { name } => change_pieces(Change::DropDatabase { name }),
        Statement::CreateRetentionPolicy(create) => change_pieces(create_policy(&create)),
        Statement::AlterRetentionPolicy(alter) => change_pieces(alter_policy(&alter)),
        Statement::DropRetentionPolicy(drop) => change_pieces(Change::within(
            &drop.database,
            ToDatabase::DropPolicy { name: drop.name },
        )),
        Statement::DropMeasurement { name } => {
            let database = session.database.unwrap_or_default();
            change_pieces(Change::within(&database, ToDatabase::DropMeasurement { name }))
        }
        statement @ (Statement::Delete(_) | Statement::DropSeries(_)) => {
            // Without a database name, 1.x returns "database not found".
            let database = session.database.unwrap_or_default();
            let now_ns = session.now_ns;
            Pieces::once(move |io| async move {
                delete(&io, statement, &database, SchemaSelection::All, now_ns).await?;
                Ok(None)
            })
        }
        show @ (Statement::ShowShards
        | Statement::ShowShardGroups
        | Statement::ShowStats { .. }
        | Statement::ShowDiagnostics { .. }) => diagnostics(show),
        Statement::ShowMeasurements(show) => show_measurements(show, session),
        Statement::ShowContinuousQueries => show_continuous_queries(session.principal),
        Statement::CreateContinuousQuery(create) => create_continuous(*create, session.defaults())?,
        Statement::DropContinuousQuery(drop) => drop_continuous(drop.database, drop.name),
        // This server has no subscriptions.
        Statement::ShowSubscriptions => Pieces::once(|_| async { Ok(None) }),
        Statement::ShowQueries => show_queries(),
        // The host in the statement is ignored, because all hosts are one service.
        Statement::KillQuery { id, .. } => kill_query(id),
        Statement::ShowUsers => Pieces::new(show_users),
        statement @ (Statement::CreateUser(_)
        | Statement::DropUser { .. }
        | Statement::SetPassword { .. }
        | Statement::Grant(_)
        | Statement::Revoke(_)
        | Statement::ShowGrants { .. }) => Pieces::once(|io| user_statement(io, statement)),
        Statement::ShowDatabases => show_databases(session.principal),
        Statement::ShowRetentionPolicies { database } => {
            let database = database.or(session.database).ok_or(QueryError::DatabaseRequired)?;
            show_retention_policies(database, session.principal)
        }
        other => return Err(unsupported(&other).into()),
    })
}

fn change_pieces(change: Change) -> Pieces<SeriesChunk> {
    Pieces::once(|io| async move { create_drop::execute(&io, change).await.map(|_| None) })
}

/// Lists the databases on which the caller has a permission, as in 1.x.
fn show_databases(principal: Principal) -> Pieces<SeriesChunk> {
    Pieces::once(|io| async move {
        let mut names = list_databases(&io, None).await?;
        let grants = principal.grants.sorted();
        names.retain(|name| grants.sees(name));
        Ok(Some(metadata::show_databases(&names)))
    })
}

/// Lists the policies that the caller may read.
fn show_retention_policies(database: String, principal: Principal) -> Pieces<SeriesChunk> {
    Pieces::once(|io| async move {
        let load = Load::from_owner(&database, SchemaSelection::Nothing).for_caller(&principal);
        let loaded = load.run(&io).await?;
        let mut policies = loaded.description.policies.clone();
        let visible = loaded.permissions.scope(PermissionKind::Read, &database);
        policies.retain(|policy| visible.covers(&policy.name));
        let default = loaded.description.default_policy;
        let default = policies.iter().find(|policy| Some(policy.id) == default);
        let default = default.map_or("", |policy| policy.name.as_str());
        Ok(Some(metadata::show_retention_policies(&policies, default)))
    })
}

fn unsupported(statement: &Statement) -> QueryError {
    let text = match statement {
        Statement::CreateSubscription { .. } | Statement::DropSubscription { .. } => {
            "subscriptions are not supported: configure Telegraf to write to both servers"
        }
        Statement::DropShard { .. } => {
            "DROP SHARD is not supported: use DELETE … WHERE time or a retention policy to remove \
             points"
        }
        other => return QueryError::Unsupported(other.to_string()),
    };
    QueryError::Invalid(text.to_owned())
}

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
    find_policy(database, None).map(|policy| &policy.name).or(database.dropped_default.as_ref())
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
