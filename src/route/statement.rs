//! One InfluxQL statement of any kind, from its AST to its result, piece by piece.

use super::ask::Ask;
use super::create_continuous::{self, CreateContinuous};
use super::create_drop::{Change, CreateDrop};
use super::delete::Delete;
use super::error::Error;
use super::every_database::{EveryDatabase, Question};
use super::grants::Principal;
use super::into::SelectInto;
use super::load::{Load, Progress, Want};
use super::names::Names;
use super::operators::Operators;
use super::queries::Queries;
use super::query::Query;
use super::users::Users;
use super::{Context, Machine};
use crate::influxql::ast::Statement;
use crate::model::grant::{Right, Scope};
use crate::protocol::call::{Call, Reply, Step};
use crate::protocol::database::ToDatabase;
use crate::protocol::round::Round;
use crate::query::error::QueryError;
use crate::query::metadata;
use crate::query::result::SeriesChunk;
use crate::query::source::Defaults;

/// What a statement's answer depends on beside its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// `db`; `None` when absent or empty.
    pub database: Option<String>,
    /// `rp`; `None` when absent or empty.
    pub policy: Option<String>,
    /// What `now()` is, nanoseconds; the same for all statements of a request.
    pub now_ns: i64,
    /// `DEFAULT_SHARDS`, for CREATE DATABASE.
    pub default_shards: u32,
    /// Who asks. The default may do nothing.
    pub principal: Principal,
}

impl Session {
    /// What unqualified names mean.
    pub fn defaults(&self) -> Defaults<'_> {
        Defaults { database: self.database.as_deref(), policy: self.policy.as_deref() }
    }
}

/// A statement in progress.
///
/// `Done(Ok(Some(chunk)))` is a piece of the result: step with `None` for the next one.
/// `Done(Ok(None))` is its end. An error ends it too, possibly after pieces.
#[derive(Debug)]
pub struct Execution(Kind);

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
    DropContinuous(Ask),
    Policies(Box<Policies>),
    Queries(Queries),
    Users(Box<Users>),
    Operators(Box<Operators>),
    /// Known before anything was asked.
    Failed(Option<Error>),
}

impl Execution {
    /// Prepares a statement.
    pub fn new(statement: Statement, session: Session) -> Self {
        Self(prepare(statement, session).unwrap_or_else(|error| Kind::Failed(Some(error))))
    }
}

fn prepare(statement: Statement, session: Session) -> Result<Kind, Error> {
    if let Some(database) = metadata::database(&statement, session.defaults()) {
        let database = database?;
        let otherwise = metadata::of_missing_database(&statement);
        let query = Box::new(Query::show(statement, database, session));
        return Ok(match otherwise {
            Some(otherwise) => Kind::QueryOrElse(query, otherwise),
            None => Kind::Query(query),
        });
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
        | Statement::ShowDiagnostics { .. }) => Ok(Kind::Operators(Box::new(Operators::new(show)))),
        Statement::ShowMeasurements(show) => {
            let principal = session.principal.clone();
            let question = Question::Measurements(show, session);
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
            Ok(Kind::DropContinuous(Ask::database(&drop.database, &message)))
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
            let load = Load::from_owner(&database, Want::Nothing);
            let visible = session.principal.grants.scope(Right::Read, &database);
            let (round, finished) = (Round::default(), false);
            Ok(Kind::Policies(Box::new(Policies { load, visible, round, finished })))
        }
        other => Err(without(&other).into()),
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
    /// Stops: the calls that take a listed query off the list. Replies to them need not come back.
    pub fn abandon(&mut self) -> Vec<Call> {
        match &mut self.0 {
            Kind::Query(query) | Kind::QueryOrElse(query, _) => query.abandon(),
            _ => Vec::new(),
        }
    }
}

impl Machine for Execution {
    type Answer = Result<Option<SeriesChunk>, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        match &mut self.0 {
            Kind::Query(query) => query.step(context, reply),
            Kind::QueryOrElse(query, otherwise) => match query.step(context, reply) {
                Step::Done(Err(Error::DatabaseNotFound(_))) => Step::Done(Ok(otherwise.take())),
                step => step,
            },
            Kind::Into(into) => into.step(context, reply),
            Kind::Change(change) => match change.step(context, reply) {
                Step::Calls(calls) => Step::Calls(calls),
                Step::Done(answer) => Step::Done(answer.map(|_| None)),
            },
            Kind::Delete(delete) => match delete.step(context, reply) {
                Step::Calls(calls) => Step::Calls(calls),
                Step::Done(answer) => Step::Done(answer.map(|()| None)),
            },
            Kind::Every(every) => every.step(context, reply),
            Kind::CreateContinuous(create) => match create.step(context, reply) {
                Step::Calls(calls) => Step::Calls(calls),
                Step::Done(answer) => Step::Done(answer.map(|()| None)),
            },
            Kind::DropContinuous(ask) => match ask.step(context, reply) {
                Step::Calls(calls) => Step::Calls(calls),
                Step::Done(Err(Error::DatabaseNotFound(_))) => Step::Done(Ok(None)),
                Step::Done(reply) => Step::Done(create_continuous::done(reply).map(|()| None)),
            },
            Kind::Databases(databases) => databases.step(context, reply),
            Kind::Operators(operators) => operators.step(context, reply),
            Kind::Queries(queries) => queries.step(context, reply),
            Kind::Policies(policies) => policies.step(context, reply),
            Kind::Users(users) => users.step(context, reply),
            Kind::Failed(error) => Step::Done(error.take().map_or(Ok(None), Err)),
        }
    }
}

/// SHOW DATABASES: those that the caller has a right on (1.x).
#[derive(Debug)]
struct Databases {
    principal: Principal,
    names: Names,
    finished: bool,
}

impl Databases {
    fn new(principal: Principal) -> Self {
        Self { principal, names: Names::default(), finished: false }
    }
}

impl Machine for Databases {
    type Answer = Result<Option<SeriesChunk>, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        if self.finished {
            return Step::Done(Ok(None));
        }
        match self.names.step(context, reply) {
            Step::Calls(calls) => Step::Calls(calls),
            Step::Done(Ok(mut names)) => {
                self.finished = true;
                names.retain(|name| self.principal.grants.sees(name));
                Step::Done(Ok(Some(metadata::show_databases(&names))))
            }
            Step::Done(Err(error)) => Step::Done(Err(error)),
        }
    }
}

/// SHOW RETENTION POLICIES: those that the caller may read.
#[derive(Debug)]
struct Policies {
    load: Load,
    visible: Scope,
    round: Round,
    finished: bool,
}

impl Machine for Policies {
    type Answer = Result<Option<SeriesChunk>, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        if reply.is_none() && self.finished {
            return Step::Done(Ok(None));
        }
        let Some(mut replies) = self.round.resume(reply) else { return Step::Calls(Vec::new()) };
        match self.load.step(context, replies.pop()) {
            Progress::Ask(request) => Step::Calls(self.round.start(vec![request])),
            Progress::Ready(Err(error)) => Step::Done(Err(error)),
            Progress::Ready(Ok(loaded)) => {
                self.finished = true;
                let mut policies = loaded.description.policies.clone();
                policies.retain(|policy| self.visible.covers(&policy.name));
                let default = loaded.description.default_policy;
                let default = policies.iter().find(|policy| Some(policy.id) == default);
                let default = default.map_or("", |policy| policy.name.as_str());
                Step::Done(Ok(Some(metadata::show_retention_policies(&policies, default))))
            }
        }
    }
}
