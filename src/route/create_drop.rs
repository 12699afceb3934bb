//! Statements and management calls that change databases and policies.

use std::ops::ControlFlow;

use super::error::Error;
use super::load::{Load, Progress, Want};
use super::{Context, Machine};
use crate::influxql::ast::{
    AlterRetentionPolicyStatement, CreateDatabaseStatement, CreateRetentionPolicyStatement,
    Statement,
};
use crate::model::limits::STALE_RETRIES_MAX;
use crate::protocol::call::{Address, CallFailure, Reply, Step};
use crate::protocol::catalog::{CreateDatabase, FromCatalog, ToCatalog};
use crate::protocol::database::{FromDatabase, PolicyChange, PolicySpec, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::{Request, Round};
use crate::query::error::QueryError;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// CREATE DATABASE, `POST /api/v3/configure/database`
    CreateDatabase(CreateDatabase),
    /// DROP DATABASE; a missing one is no error (1.x).
    DropDatabase {
        /// Which.
        name: String,
    },
    /// CREATE RETENTION POLICY
    CreatePolicy {
        /// Of which database.
        database: String,
        /// With a name.
        spec: PolicySpec,
        /// It becomes the default.
        make_default: bool,
    },
    /// ALTER RETENTION POLICY
    AlterPolicy {
        /// Of which database.
        database: String,
        /// What changes.
        spec: PolicyChange,
        /// It becomes the default.
        make_default: bool,
    },
    /// DROP MEASUREMENT, in every policy; a missing one is no error (1.x).
    DropMeasurement {
        /// Of which database.
        database: String,
        /// Which.
        name: String,
    },
    /// `PUT /api/v3/configure/database`
    Configure {
        /// Which database.
        database: String,
        /// Shards of each new group.
        shards: Option<u32>,
        /// Of the default policy, nanoseconds; 0 is for ever.
        duration_ns: Option<i64>,
    },
    /// DROP RETENTION POLICY; a missing one is no error (1.x), nor is a missing database.
    DropPolicy {
        /// Of which database.
        database: String,
        /// Which.
        name: String,
    },
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// CreateDatabase, DropDatabase: there was one before.
    pub existed: bool,
}

impl Change {
    /// The change that a statement asks for; `None` for a statement that changes none of these.
    /// `shards` are those of a database that is created.
    ///
    /// # Errors
    /// [`QueryError::Unsupported`] for the limits that 1.12 added.
    pub fn from_statement(statement: &Statement, shards: u32) -> Option<Result<Self, QueryError>> {
        Some(match statement {
            Statement::CreateDatabase(create) => create_database(create, shards),
            Statement::DropDatabase { name } => Ok(Self::DropDatabase { name: name.clone() }),
            Statement::CreateRetentionPolicy(create) => create_policy(create),
            Statement::AlterRetentionPolicy(alter) => alter_policy(alter),
            Statement::DropRetentionPolicy(drop) => {
                let (database, name) = (drop.database.clone(), drop.name.clone());
                Ok(Self::DropPolicy { database, name })
            }
            _ => return None,
        })
    }

    /// The database that changes.
    pub fn database(&self) -> &str {
        match self {
            Self::CreateDatabase(create) => &create.name,
            Self::DropDatabase { name } => name,
            Self::CreatePolicy { database, .. }
            | Self::AlterPolicy { database, .. }
            | Self::DropMeasurement { database, .. }
            | Self::Configure { database, .. }
            | Self::DropPolicy { database, .. } => database,
        }
    }
}

fn create_database(create: &CreateDatabaseStatement, shards: u32) -> Result<Change, QueryError> {
    let policy = create.policy.as_ref().map(|policy| -> Result<PolicySpec, QueryError> {
        no_limits(policy.future_limit_ns, policy.past_limit_ns)?;
        Ok(PolicySpec {
            name: policy.name.clone(),
            duration_ns: policy.duration_ns,
            replica_n: policy.replication,
            shard_group_duration_ns: policy.shard_duration_ns,
        })
    });
    Ok(Change::CreateDatabase(CreateDatabase {
        name: create.name.clone(),
        policy: policy.transpose()?,
        shards,
        location: None,
        jurisdiction: None,
    }))
}

fn create_policy(create: &CreateRetentionPolicyStatement) -> Result<Change, QueryError> {
    let set = |limit_ns: i64| (limit_ns != 0).then_some(limit_ns);
    no_limits(set(create.future_limit_ns), set(create.past_limit_ns))?;
    Ok(Change::CreatePolicy {
        database: create.database.clone(),
        spec: PolicySpec {
            name: Some(create.name.clone()),
            duration_ns: Some(create.duration_ns),
            replica_n: Some(create.replication),
            shard_group_duration_ns: create.shard_duration_ns,
        },
        make_default: create.default,
    })
}

fn alter_policy(alter: &AlterRetentionPolicyStatement) -> Result<Change, QueryError> {
    no_limits(alter.future_limit_ns, alter.past_limit_ns)?;
    Ok(Change::AlterPolicy {
        database: alter.database.clone(),
        spec: PolicyChange {
            name: alter.name.clone(),
            duration_ns: alter.duration_ns,
            replica_n: alter.replication,
            shard_group_duration_ns: alter.shard_duration_ns,
        },
        make_default: alter.default,
    })
}

fn no_limits(future_ns: Option<i64>, past_ns: Option<i64>) -> Result<(), QueryError> {
    match (future_ns, past_ns) {
        (None, None) => Ok(()),
        _ => Err(QueryError::Unsupported("FUTURE LIMIT and PAST LIMIT".to_owned())),
    }
}

/// A change in progress.
#[derive(Debug)]
pub struct CreateDrop {
    change: Change,
    stage: Stage,
    round: Round,
    retries: u32,
}

#[derive(Debug)]
enum Stage {
    Start,
    Catalog,
    Load(Load),
    Database,
}

type Answer = Result<Changed, Error>;
type Flow = ControlFlow<Answer, Vec<Request>>;

impl CreateDrop {
    /// Prepares a change.
    pub fn new(change: Change) -> Self {
        Self { change, stage: Stage::Start, round: Round::default(), retries: 0 }
    }

    fn start(&mut self, context: &mut Context<'_>) -> Flow {
        let message = match &self.change {
            Change::CreateDatabase(create) => {
                ToCatalog::Create(create.clone().near(context.platform.location()))
            }
            Change::DropDatabase { name } => ToCatalog::Drop { name: name.clone() },
            Change::CreatePolicy { database, .. }
            | Change::AlterPolicy { database, .. }
            | Change::DropMeasurement { database, .. }
            | Change::Configure { database, .. }
            | Change::DropPolicy { database, .. } => {
                let load = Load::from_owner(database, Want::Nothing);
                return self.load(context, load, None);
            }
        };
        self.stage = Stage::Catalog;
        let message = envelope::encode(&message);
        Flow::Continue(vec![Request::new(Address::Catalog, message)])
    }

    fn load(
        &mut self,
        context: &mut Context<'_>,
        mut load: Load,
        reply: Option<Result<Vec<u8>, CallFailure>>,
    ) -> Flow {
        let loaded = match load.step(context, reply) {
            Progress::Ask(request) => {
                self.stage = Stage::Load(load);
                return Flow::Continue(vec![request]);
            }
            Progress::Ready(Ok(loaded)) => loaded,
            Progress::Ready(Err(Error::DatabaseNotFound(_)))
                if matches!(self.change, Change::DropPolicy { .. }) =>
            {
                return Flow::Break(Ok(Changed { existed: false }));
            }
            Progress::Ready(Err(error)) => return Flow::Break(Err(error)),
        };
        let message = match self.change.clone() {
            Change::CreatePolicy { spec, make_default, .. } => {
                ToDatabase::CreatePolicy { spec, make_default }
            }
            Change::AlterPolicy { spec, make_default, .. } => {
                ToDatabase::AlterPolicy { spec, make_default }
            }
            Change::DropMeasurement { name, .. } => ToDatabase::DropMeasurement { name },
            Change::DropPolicy { name, .. } => ToDatabase::DropPolicy { name },
            Change::Configure { shards, duration_ns, .. } => {
                ToDatabase::Configure { shards, duration_ns }
            }
            Change::CreateDatabase(_) | Change::DropDatabase { .. } => {
                return Flow::Break(Err(Error::unexpected_reply()));
            }
        };
        self.stage = Stage::Database;
        let to = Address::Database(loaded.object);
        Flow::Continue(vec![Request::new(to, envelope::encode(&message))])
    }

    fn learn_catalog(
        &self,
        context: &mut Context<'_>,
        reply: Result<Vec<u8>, CallFailure>,
    ) -> Answer {
        // Whatever became of it, what this isolate remembers may be wrong now.
        context.cache.forget(self.change.database());
        if let Change::DropDatabase { .. } = self.change {
            // What users were granted on it went too.
            context.cache.grants.forget();
        }
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Created { existed, .. } | FromCatalog::Dropped { existed } => {
                Ok(Changed { existed })
            }
            FromCatalog::Refused(refusal) => Err(Error::Catalog(refusal)),
            FromCatalog::Unavailable(why) => Err(why.into()),
            FromCatalog::Resolved { .. }
            | FromCatalog::Listed { .. }
            | FromCatalog::Reported { .. }
            | FromCatalog::Queries(_)
            | FromCatalog::Grants(_)
            | FromCatalog::Granted { .. }
            | FromCatalog::Verified(_) => Err(Error::unexpected_reply()),
        }
    }

    fn learn_database(
        &mut self,
        context: &mut Context<'_>,
        reply: Result<Vec<u8>, CallFailure>,
    ) -> Flow {
        context.cache.forget(self.change.database());
        Flow::Break(match envelope::decode_reply::<FromDatabase>(reply) {
            Ok(FromDatabase::Done) => Ok(Changed { existed: true }),
            Ok(FromDatabase::Refused(refusal)) => Err(Error::Database(refusal)),
            Ok(FromDatabase::NotOpen) => {
                // Dropped meanwhile, perhaps created again: the Catalog knows.
                if self.retries >= STALE_RETRIES_MAX {
                    return Flow::Break(Err(Unavailable::Changing.into()));
                }
                self.retries += 1;
                return self.start(context);
            }
            Ok(FromDatabase::Unavailable(why)) => Err(why.into()),
            Ok(_) => Err(Error::unexpected_reply()),
            Err(failure) => Err(failure.into()),
        })
    }
}

impl Machine for CreateDrop {
    type Answer = Result<Changed, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let Some(mut replies) = self.round.resume(reply) else { return Step::Calls(Vec::new()) };
        let flow = match (std::mem::replace(&mut self.stage, Stage::Start), replies.pop()) {
            (Stage::Load(load), Some(reply)) => self.load(context, load, Some(reply)),
            (Stage::Catalog, Some(reply)) => Flow::Break(self.learn_catalog(context, reply)),
            (Stage::Database, Some(reply)) => self.learn_database(context, reply),
            _ => self.start(context),
        };
        match flow {
            Flow::Continue(requests) => Step::Calls(self.round.start(requests)),
            Flow::Break(answer) => Step::Done(answer),
        }
    }
}
