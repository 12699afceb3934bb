//! Executes an InfluxQL statement of any kind, and returns the result piece by piece.

use std::rc::Rc;

use super::create_continuous::{create_continuous, drop_continuous};
use super::create_drop::{Change, carry_out};
use super::delete::delete;
use super::diagnostics::diagnostics;
use super::error::Error;
use super::every_database::{show_continuous_queries, show_measurements};
use super::grants::Principal;
use super::into::{explain_into, select_into};
use super::live_queries::{kill_query, show_queries};
use super::load_schemas::{Load, Want};
use super::query::{Query, QueryStatus};
use super::session::Session;
use super::users::users;
use super::{Context, Parts, RoundMachine, Turn, database_names};
use crate::influxql::ast::Statement;
use crate::model::grant::PermissionKind;
use crate::protocol::call::Call;
use crate::protocol::round::{Replies, Round};
use crate::query::error::QueryError;
use crate::query::metadata;
use crate::query::result::{ResultColumns, SeriesChunk};

/// A statement in progress.
///
/// `Done(Ok(Some(chunk)))` is a piece of the result, after which a step with `None` requests the
/// next piece. `Done(Ok(None))` is the end. An error also ends the statement, possibly after some
/// pieces.
#[derive(Debug)]
pub struct Execution {
    pub(super) parts: Parts<SeriesChunk>,
    /// The state of a query, which stays empty for other statements.
    pub(super) status: Rc<QueryStatus>,
}

impl Execution {
    /// Prepares a statement.
    pub fn new(statement: Statement, session: Session) -> Self {
        prepare(statement, session)
            .unwrap_or_else(|error| Parts::once(|_| async { Err(error) }).into())
    }
}

impl From<Query> for Execution {
    fn from(query: Query) -> Self {
        let status = query.status();
        Self { parts: query.execute(), status }
    }
}

impl From<Parts<SeriesChunk>> for Execution {
    fn from(parts: Parts<SeriesChunk>) -> Self {
        Self { parts, status: Rc::default() }
    }
}

fn prepare(statement: Statement, session: Session) -> Result<Execution, Error> {
    if let Some(database) = metadata::database(&statement, session.defaults()) {
        // As in 1.x, a missing database is not an error of some statements.
        let otherwise = metadata::of_missing_database(&statement).filter(|_| !session.as_v3);
        return Ok(Query::show(statement, database?, session).or_if_missing(otherwise).into());
    }
    if let Some(change) = Change::from_statement(&statement, session.default_shards) {
        return Ok(change_parts(change?).into());
    }
    let statement = match users(statement) {
        Ok(users) => return Ok(users.into()),
        Err(statement) => statement,
    };
    let parts = match statement {
        Statement::Select(select) => match select.into.clone() {
            Some(target) => return Ok(select_into(*select, target, session)?),
            None => return Ok(Query::select(*select, session)?.into()),
        },
        Statement::Explain(explain) => match explain.select.into.clone() {
            Some(target) => return Ok(explain_into(explain, &target, session)?),
            None => return Ok(Query::explain(explain, session)?.into()),
        },
        Statement::DropMeasurement { name } => {
            let database = session.database.unwrap_or_default();
            change_parts(Change::DropMeasurement { database, name })
        }
        statement @ (Statement::Delete(_) | Statement::DropSeries(_)) => {
            // Without a database name, 1.x returns "database not found".
            let database = session.database.unwrap_or_default();
            let delete = delete(statement, database, Want::All, session.now_ns);
            Parts::once(|io| async move { io.run(delete).await.map(|()| None) })
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
        Statement::ShowSubscriptions => Parts::once(|_| async { Ok(None) }),
        Statement::ShowQueries => show_queries(),
        // The host in the statement is ignored, because all hosts are one service.
        Statement::KillQuery { id, .. } => kill_query(id),
        Statement::ShowDatabases => show_databases(session.principal),
        Statement::ShowRetentionPolicies { database } => {
            let database = database.or(session.database).ok_or(QueryError::DatabaseRequired)?;
            show_retention_policies(database, session.principal)
        }
        other => return Err(without(&other).into()),
    };
    Ok(parts.into())
}

fn change_parts(change: Change) -> Parts<SeriesChunk> {
    let change = carry_out(change);
    Parts::once(|io| async move { io.run(change).await.map(|_| None) })
}

/// As in 1.x, lists the databases on which the caller has a permission.
fn show_databases(principal: Principal) -> Parts<SeriesChunk> {
    Parts::once(|io| async move {
        let mut names = database_names::list(&io, None).await?;
        names.retain(|name| principal.grants.sees(name));
        Ok(Some(metadata::show_databases(&names)))
    })
}

/// Lists the policies that the caller may read.
fn show_retention_policies(database: String, principal: Principal) -> Parts<SeriesChunk> {
    Parts::once(|io| async move {
        let load = Load::from_owner(&database, Want::Nothing).for_caller(&principal);
        let loaded = load.run(&io).await?;
        let mut policies = loaded.description.policies.clone();
        let visible = loaded.standing.scope(PermissionKind::Read, &database);
        policies.retain(|policy| visible.covers(&policy.name));
        let default = loaded.description.default_policy;
        let default = policies.iter().find(|policy| Some(policy.id) == default);
        let default = default.map_or("", |policy| policy.name.as_str());
        Ok(Some(metadata::show_retention_policies(&policies, default)))
    })
}

fn without(statement: &Statement) -> QueryError {
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

impl Execution {
    /// Takes the columns of a SELECT's rows, which are known after the first piece or at the end.
    pub fn take_columns(&self) -> Option<ResultColumns> {
        self.status.columns.take()
    }

    /// Stops the statement. Returns the calls that remove a listed statement from the list of
    /// queries.
    pub fn abandon(mut self) -> Vec<Call> {
        let end = self.status.report.end();
        end.map_or_else(Vec::new, |request| self.parts.round().start(vec![request]))
    }
}

impl RoundMachine for Execution {
    type Reply = Option<SeriesChunk>;

    fn round(&mut self) -> &mut Round {
        self.parts.round()
    }

    fn take_turn(
        &mut self,
        context: &mut Context<'_>,
        replies: Replies,
    ) -> Turn<Option<SeriesChunk>> {
        self.parts.take_turn(context, replies)
    }
}
