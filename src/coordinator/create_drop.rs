//! Creates, changes and drops databases, policies and measurements, for statements and for
//! management calls.

use super::error::{Error, Result};
use super::load_schemas::Retries;
use super::load_schemas::call_catalog;
use super::load_schemas::{Load, Want};
use super::{Io, Task};
use crate::influxql::ast::{
    AlterRetentionPolicyStatement, CreateDatabaseStatement, CreateRetentionPolicyStatement,
    Statement,
};
use crate::protocol::call::Address;
use crate::protocol::catalog::{CreateDatabase, FromCatalog, ToCatalog};
use crate::protocol::database::{
    DatabaseRefusal, FromDatabase, PolicyChange, PolicySpec, QuotaChange, ToDatabase,
};
use crate::protocol::envelope;
use crate::query::error::QueryError;

/// A change to databases, policies or measurements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// CREATE DATABASE, `POST /api/v3/configure/database`
    CreateDatabase(CreateDatabase),
    /// DROP DATABASE. As in 1.x, a missing database is not an error.
    DropDatabase {
        /// The database's name.
        name: String,
    },
    /// CREATE RETENTION POLICY
    CreatePolicy {
        /// The database that contains the policy.
        database: String,
        /// The policy's settings, with its name.
        spec: PolicySpec,
        /// Whether the policy becomes the default.
        make_default: bool,
    },
    /// ALTER RETENTION POLICY
    AlterPolicy {
        /// The database that contains the policy.
        database: String,
        /// The settings to change.
        spec: PolicyChange,
        /// Whether the policy becomes the default.
        make_default: bool,
    },
    /// DROP MEASUREMENT, in every policy. As in 1.x, a missing measurement is not an error.
    DropMeasurement {
        /// The database that contains the measurement.
        database: String,
        /// The measurement's name.
        name: String,
    },
    /// `PUT /api/v3/configure/database`
    Configure {
        /// The database's name.
        database: String,
        /// The number of shards in each new group.
        shards: Option<u32>,
        /// The duration of the default policy, in nanoseconds; 0 keeps points permanently.
        duration_ns: Option<i64>,
    },
    /// `POST /api/v3/configure/quota`
    SetQuota {
        /// The database's name.
        database: String,
        /// The limits to change.
        change: QuotaChange,
    },
    /// DROP RETENTION POLICY. As in 1.x, a missing policy or database is not an error.
    DropPolicy {
        /// The database that contains the policy.
        database: String,
        /// The policy's name.
        name: String,
    },
}

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whether the database existed before the change, for `CreateDatabase` and `DropDatabase`.
    pub existed: bool,
}

impl Change {
    /// Returns the change that a statement describes; `None` for any other statement. `shards` is
    /// the number of shards per group of a new database.
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

    /// Returns the name of the changed database.
    pub fn database(&self) -> &str {
        match self {
            Self::CreateDatabase(create) => &create.name,
            Self::DropDatabase { name } => name,
            Self::CreatePolicy { database, .. }
            | Self::AlterPolicy { database, .. }
            | Self::DropMeasurement { database, .. }
            | Self::Configure { database, .. }
            | Self::SetQuota { database, .. }
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

/// Executes a change.
pub fn carry_out(change: Change) -> Task<Changed> {
    Task::new(|io| async move {
        // 1.x checks the policy before it looks for the database.
        if let Change::CreatePolicy { spec, .. } = &change {
            spec.check().map_err(|reason| Error::Database(DatabaseRefusal::Policy(reason)))?;
        }
        let mut retries = Retries::default();
        loop {
            let done = match to_catalog(&io, &change)? {
                Some(message) => Some(change_in_catalog(&io, &change, &message).await?),
                None => change_in_database(&io, &change).await?,
            };
            match done {
                Some(changed) => return Ok(changed),
                // The database was dropped, and possibly created again, after the Catalog returned
                // its object.
                None => retries.count()?,
            }
        }
    })
}

/// Returns `None` for a change inside a database.
fn to_catalog(io: &Io, change: &Change) -> Result<Option<ToCatalog>> {
    Ok(match change {
        Change::CreateDatabase(create) => {
            let create = create.clone();
            Some(ToCatalog::Create(io.with(|context| create.placed(context.platform))?))
        }
        Change::DropDatabase { name } => Some(ToCatalog::Drop { name: name.clone() }),
        _ => None,
    })
}

async fn change_in_catalog(io: &Io, change: &Change, message: &ToCatalog) -> Result<Changed> {
    let reply = call_catalog(io, message).await;
    io.with(|context| {
        // The cached state may be wrong even after an error.
        context.cache.forget(change.database());
        if let Change::DropDatabase { .. } = change {
            // Dropping the database also removed the users' permissions on this database.
            context.cache.callers.forget_refused();
        }
    })?;
    match reply? {
        FromCatalog::Created { existed, .. } | FromCatalog::Dropped { existed, .. } => {
            Ok(Changed { existed })
        }
        _ => Err(Error::unexpected_reply()),
    }
}

/// Returns `None` if the database was dropped after the Catalog returned its object.
async fn change_in_database(io: &Io, change: &Change) -> Result<Option<Changed>> {
    let loaded = match Load::from_owner(change.database(), Want::Nothing).run(io).await {
        Err(Error::DatabaseNotFound(_)) if matches!(change, Change::DropPolicy { .. }) => {
            return Ok(Some(Changed { existed: false }));
        }
        loaded => loaded?,
    };
    let message = match change.clone() {
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
        Change::SetQuota { change, .. } => ToDatabase::SetQuota(change),
        Change::CreateDatabase(_) | Change::DropDatabase { .. } => {
            return Err(Error::unexpected_reply());
        }
    };
    let reply = io.call(Address::Database(loaded.object), &message).await;
    io.with(|context| context.cache.forget(change.database()))?;
    match envelope::decode_reply::<FromDatabase>(reply)? {
        FromDatabase::Done => Ok(Some(Changed { existed: true })),
        FromDatabase::NotOpen => Ok(None),
        reply => Err(reply.into()),
    }
}
