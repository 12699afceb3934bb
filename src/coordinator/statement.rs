//! Carries out one InfluxQL statement of any kind: gives it to the machine that knows its kind, and
//! brings its result piece by piece.

use super::create_continuous::{self, CreateContinuous};
use super::create_drop::{Change, CreateDrop};
use super::database_names::DatabaseNames;
use super::delete::Delete;
use super::diagnostics::Diagnostics;
use super::error::Error;
use super::every_database::{EveryDatabase, Question};
use super::grants::Principal;
use super::into::SelectInto;
use super::live_queries::Queries;
use super::load_schemas::{Load, Want};
use super::query::Query;
use super::session::Session;
use super::single_call::SingleCall;
use super::users::Users;
use super::{Context, RoundMachine, Turn};
use crate::influxql::ast::Statement;
use crate::model::grant::Right;
use crate::protocol::call::Call;
use crate::protocol::database::ToDatabase;
use crate::protocol::round::{Next, Replies, Round};
use crate::query::error::QueryError;
use crate::query::metadata;
use crate::query::result::{ResultColumns, SeriesChunk};

/// A statement in progress.
///
/// `Done(Ok(Some(chunk)))` is a piece of the result: step with `None` for the next one.
/// `Done(Ok(None))` is its end. An error ends it too, possibly after pieces.
#[derive(Debug)]
pub struct Execution {
    kind: Kind,
    round: Round,
}

#[derive(Debug)]
enum Kind {
    Query(Box<Query>),
    /// What is answered if the database does not exist, which is no error then (1.x).
    QueryOrElse(Box<Query>, Option<SeriesChunk>),
    Into(Box<SelectInto>),
    Change(Box<CreateDrop>),
    Delete(Box<Delete>),
    Databases(Databases),
    Every(Box<EveryDatabase>),
    CreateContinuous(Box<CreateContinuous>),
    DropContinuous(SingleCall),
    Policies(Box<Policies>),
    Queries(Queries),
    Users(Box<Users>),
    Diagnostics(Box<Diagnostics>),
    /// Known before anything was asked.
    Failed(Option<Error>),
}

impl Execution {
    /// Prepares a statement.
    pub fn new(statement: Statement, session: Session) -> Self {
        let kind = prepare(statement, session);
        let kind = kind.unwrap_or_else(|error| Kind::Failed(Some(error)));
        Self { kind, round: Round::default() }
    }
}

fn prepare(statement: Statement, session: Session) -> Result<Kind, Error> {
    if let Some(database) = metadata::database(&statement, session.defaults()) {
        return Ok(show(statement, database?, session));
    }
    if let Some(change) = Change::from_statement(&statement, session.default_shards) {
        return Ok(Kind::Change(Box::new(CreateDrop::new(change?))));
    }
    let statement = match Users::new(statement) {
        Ok(users) => return Ok(Kind::Users(Box::new(users))),
        Err(statement) => statement,
    };
    match statement {
        Statement::Select(select) => Ok(match select.into.clone() {
            Some(target) => Kind::Into(Box::new(SelectInto::new(*select, target, session)?)),
            None => Kind::Query(Box::new(Query::select(*select, session)?)),
        }),
        Statement::DropMeasurement { name } => {
            let database = session.database.unwrap_or_default();
            let change = Change::DropMeasurement { database, name };
            Ok(Kind::Change(Box::new(CreateDrop::new(change))))
        }
        delete @ (Statement::Delete(_) | Statement::DropSeries(_)) => {
            // 1.x finds a database without a name missing too.
            let database = session.database.unwrap_or_default();
            Ok(Kind::Delete(Box::new(Delete::new(delete, database, session.now_ns))))
        }
        show @ (Statement::ShowShards
        | Statement::ShowShardGroups
        | Statement::ShowStats { .. }
        | Statement::ShowDiagnostics { .. }) => {
            Ok(Kind::Diagnostics(Box::new(Diagnostics::new(show))))
        }
        Statement::ShowMeasurements(show) => {
            let principal = session.principal.clone();
            let question = Question::measurements(show, session);
            Ok(Kind::Every(Box::new(EveryDatabase::new(question, principal))))
        }
        Statement::ShowContinuousQueries => {
            let question = Question::ContinuousQueries;
            Ok(Kind::Every(Box::new(EveryDatabase::new(question, session.principal))))
        }
        Statement::CreateContinuousQuery(create) => {
            let create = CreateContinuous::new(*create, session.defaults())?;
            Ok(Kind::CreateContinuous(Box::new(create)))
        }
        Statement::DropContinuousQuery(drop) => {
            let message = ToDatabase::DropContinuousQuery { name: drop.name };
            Ok(Kind::DropContinuous(SingleCall::database(&drop.database, &message)))
        }
        // Nothing can be subscribed to, so nothing is.
        Statement::ShowSubscriptions => Ok(Kind::Failed(None)),
        Statement::Explain(explain) => Ok(Kind::Query(Box::new(Query::explain(explain, session)?))),
        Statement::ShowQueries => Ok(Kind::Queries(Queries::new(None))),
        // There is one service, whatever host the statement names.
        Statement::KillQuery(kill) => Ok(Kind::Queries(Queries::new(Some(kill.id)))),
        Statement::ShowDatabases => Ok(Kind::Databases(Databases::new(session.principal))),
        Statement::ShowRetentionPolicies { database } => {
            let database = database.or(session.database).ok_or(QueryError::DatabaseRequired)?;
            let load = Load::from_owner(&database, Want::Nothing).for_caller(&session.principal);
            Ok(Kind::Policies(Box::new(Policies { database, load, finished: false })))
        }
        other => Err(without(&other).into()),
    }
}

/// A SHOW statement that the shards of `database` answer.
fn show(statement: Statement, database: String, session: Session) -> Kind {
    let otherwise = metadata::of_missing_database(&statement).filter(|_| !session.as_v3);
    let query = Box::new(Query::show(statement, database, session));
    match otherwise {
        Some(otherwise) => Kind::QueryOrElse(query, otherwise),
        None => Kind::Query(query),
    }
}

/// Why a statement is not carried out.
fn without(statement: &Statement) -> QueryError {
    let text = match statement {
        Statement::CreateSubscription(_) | Statement::DropSubscription(_) => {
            "subscriptions are not supported: there is no host that points could be forwarded \
             from; have Telegraf write to both places"
        }
        Statement::DropShard { .. } => {
            "DROP SHARD is not supported: there is no file to drop; DELETE … WHERE time or a \
             retention policy removes points"
        }
        other => return QueryError::Unsupported(other.to_string()),
    };
    QueryError::Invalid(text.to_owned())
}

impl Execution {
    /// What every row of the answer to a SELECT consists of; known when its first piece or its end
    /// is.
    pub fn columns(&self) -> Option<&ResultColumns> {
        match &self.kind {
            Kind::Query(query) => query.columns(),
            _ => None,
        }
    }

    /// Stops: the calls that take a listed query off the list. Replies to them need not come back.
    pub fn abandon(&mut self) -> Vec<Call> {
        let (Kind::Query(query) | Kind::QueryOrElse(query, _)) = &mut self.kind else {
            return Vec::new();
        };
        query.abandon().map_or_else(Vec::new, |request| self.round.start(vec![request]))
    }
}

impl RoundMachine for Execution {
    type Reply = Option<SeriesChunk>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<Option<SeriesChunk>> {
        match &mut self.kind {
            Kind::Query(query) => query.go_on(context, replies),
            Kind::QueryOrElse(query, otherwise) => match query.go_on(context, replies) {
                Err(Error::DatabaseNotFound(_)) => Ok(Next::Reply(otherwise.take())),
                turn => turn,
            },
            Kind::Into(into) => into.go_on(context, replies),
            Kind::Change(change) => Ok(change.go_on(context, replies)?.map(|_| None)),
            Kind::Delete(delete) => Ok(delete.go_on(context, replies)?.map(|()| None)),
            Kind::Every(every) => every.go_on(context, replies),
            Kind::CreateContinuous(create) => Ok(create.go_on(context, replies)?.map(|()| None)),
            Kind::DropContinuous(ask) => match ask.go_on(context, replies) {
                Ok(Next::Calls(requests)) => Ok(Next::Calls(requests)),
                Ok(Next::Reply(reply)) => {
                    create_continuous::done(reply).map(|()| Next::Reply(None))
                }
                Err(Error::DatabaseNotFound(_)) => Ok(Next::Reply(None)),
                Err(error) => Err(error),
            },
            Kind::Databases(databases) => databases.go_on(context, replies),
            Kind::Diagnostics(operators) => operators.go_on(context, replies),
            Kind::Queries(queries) => queries.go_on(context, replies),
            Kind::Policies(policies) => policies.go_on(context, replies),
            Kind::Users(users) => users.go_on(context, replies),
            Kind::Failed(error) => error.take().map_or(Ok(Next::Reply(None)), Err),
        }
    }
}

/// SHOW DATABASES: those that the caller has a right on (1.x).
#[derive(Debug)]
struct Databases {
    principal: Principal,
    names: DatabaseNames,
    finished: bool,
}

impl Databases {
    fn new(principal: Principal) -> Self {
        Self { principal, names: DatabaseNames::default(), finished: false }
    }

    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<Option<SeriesChunk>> {
        if self.finished {
            return Ok(Next::Reply(None));
        }
        match self.names.go_on(context, replies)? {
            Next::Calls(requests) => Ok(Next::Calls(requests)),
            Next::Reply(mut names) => {
                self.finished = true;
                names.retain(|name| self.principal.grants.sees(name));
                Ok(Next::Reply(Some(metadata::show_databases(&names))))
            }
        }
    }
}

/// SHOW RETENTION POLICIES: those that the caller may read.
#[derive(Debug)]
struct Policies {
    database: String,
    load: Load,
    finished: bool,
}

impl Policies {
    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<Option<SeriesChunk>> {
        if self.finished {
            return Ok(Next::Reply(None));
        }
        match self.load.go_on(context, replies)? {
            Next::Calls(requests) => Ok(Next::Calls(requests)),
            Next::Reply(loaded) => {
                self.finished = true;
                let mut policies = loaded.description.policies.clone();
                let visible = loaded.standing.scope(Right::Read, &self.database);
                policies.retain(|policy| visible.covers(&policy.name));
                let default = loaded.description.default_policy;
                let default = policies.iter().find(|policy| Some(policy.id) == default);
                let default = default.map_or("", |policy| policy.name.as_str());
                Ok(Next::Reply(Some(metadata::show_retention_policies(&policies, default))))
            }
        }
    }
}
