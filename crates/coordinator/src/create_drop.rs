//! Creates, changes and drops databases, policies and measurements, for statements and for
//! management calls.

use super::Io;
use super::error::{Error, Result};
use super::load_schemas::{Load, Retries, SchemaSelection};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{
    CreateDatabase, DatabaseRefusal, FromDatabase, PolicyChange, PolicySpec, ToDatabase,
};
use tidemark_influxql::ast::{
    AlterRetentionPolicyStatement, CreateDatabaseStatement, CreateRetentionPolicyStatement,
};

/// A change to databases, policies or measurements.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// CREATE DATABASE, `POST /api/v3/configure/database`
    CreateDatabase(CreateDatabase),
    /// DROP DATABASE. As in 1.x, a missing database is not an error.
    DropDatabase {
        /// The database's name.
        name: String,
    },
    /// A change inside a database: CREATE, ALTER and DROP RETENTION POLICY, DROP MEASUREMENT, and
    /// the settings and quotas of `/api/v3/configure`. As in 1.x, a policy or measurement to drop
    /// may be missing.
    InDatabase {
        /// The database's name.
        database: String,
        /// The change.
        message: ToDatabase,
    },
}

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whether the database existed before the change, for `CreateDatabase` and `DropDatabase`.
    pub existed: bool,
}

impl Change {
    /// Returns a change inside `database`.
    pub fn within(database: &str, message: ToDatabase) -> Self {
        Self::InDatabase { database: database.to_owned(), message }
    }
}

/// Creates a database. `shards` is the number of shards in each of its shard groups.
pub(super) fn create_database(create: &CreateDatabaseStatement, shards: u32) -> Change {
    let policy = create.policy.as_ref().map(|policy| PolicySpec {
        name: policy.name.clone(),
        duration_ns: policy.duration_ns,
        replica_n: policy.replication,
        shard_group_duration_ns: policy.shard_duration_ns,
        future_limit_ns: policy.future_limit_ns,
        past_limit_ns: policy.past_limit_ns,
    });
    Change::CreateDatabase(CreateDatabase {
        name: create.name.clone(),
        policy,
        shards,
        ..CreateDatabase::default()
    })
}

pub(super) fn create_policy(create: &CreateRetentionPolicyStatement) -> Change {
    let spec = PolicySpec {
        name: Some(create.name.clone()),
        duration_ns: Some(create.duration_ns),
        replica_n: Some(create.replication),
        shard_group_duration_ns: create.shard_duration_ns,
        future_limit_ns: Some(create.future_limit_ns),
        past_limit_ns: Some(create.past_limit_ns),
    };
    let message = ToDatabase::CreatePolicy { spec, make_default: create.default };
    Change::within(&create.database, message)
}

pub(super) fn alter_policy(alter: &AlterRetentionPolicyStatement) -> Change {
    let spec = PolicyChange {
        name: alter.name.clone(),
        duration_ns: alter.duration_ns,
        replica_n: alter.replication,
        shard_group_duration_ns: alter.shard_duration_ns,
        future_limit_ns: alter.future_limit_ns,
        past_limit_ns: alter.past_limit_ns,
    };
    let message = ToDatabase::AlterPolicy { spec, make_default: alter.default };
    Change::within(&alter.database, message)
}

/// Executes a change.
pub async fn execute(io: &Io, change: Change) -> Result<Changed> {
    match change {
        Change::CreateDatabase(create) => {
            let create = io.with(|context| create.placed(context.platform))?;
            change_in_catalog(io, &create.name.clone(), &ToCatalog::Create(create)).await
        }
        Change::DropDatabase { name } => {
            let message = ToCatalog::Drop { name: name.clone() };
            change_in_catalog(io, &name, &message).await
        }
        Change::InDatabase { database, message } => {
            // 1.x checks the policy before it looks for the database.
            if let ToDatabase::CreatePolicy { spec, .. } = &message {
                let refused = |reason| Error::Database(DatabaseRefusal::Policy(reason));
                spec.check().map_err(refused)?;
            }
            let mut retries = Retries::default();
            loop {
                match change_in_database(io, &database, &message).await? {
                    Some(existed) => return Ok(Changed { existed }),
                    None => retries.count()?,
                }
            }
        }
    }
}

async fn change_in_catalog(io: &Io, database: &str, message: &ToCatalog) -> Result<Changed> {
    let reply = io.call_catalog(message).await;
    // The cached state may be wrong even after an error.
    io.with(|context| context.cache.forget(database))?;
    match reply? {
        FromCatalog::Created { existed, .. } | FromCatalog::Dropped { existed, .. } => {
            Ok(Changed { existed })
        }
        _ => Err(Error::unexpected_reply()),
    }
}

/// Returns whether the database exists. Returns `None` if the database was dropped, and possibly
/// created again, after the Catalog returned its object.
async fn change_in_database(io: &Io, name: &str, message: &ToDatabase) -> Result<Option<bool>> {
    let loaded = match Load::from_owner(name, SchemaSelection::Nothing).run(io).await {
        Err(Error::DatabaseNotFound(_)) if matches!(message, ToDatabase::DropPolicy { .. }) => {
            return Ok(Some(false));
        }
        loaded => loaded?,
    };
    let reply = io.call_database(&loaded.object, message).await;
    io.with(|context| context.cache.forget(name))?;
    match reply? {
        FromDatabase::Done => Ok(Some(true)),
        FromDatabase::NotOpen => Ok(None),
        reply => Err(reply.into()),
    }
}
