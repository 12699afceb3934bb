//! Defines the reasons why a request to the objects failed. `api` maps each variant to a status and
//! a body.

use super::backup::BackupError;
use tidemark_engine::protocol::call::CallFailure;
use tidemark_engine::protocol::catalog::{CatalogRefusal, FromCatalog};
use tidemark_engine::protocol::database::{DatabaseRefusal, FromDatabase};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::quota::RateExceeded;
use tidemark_engine::protocol::shard::FromShard;
use tidemark_model::bug::Bug;
use tidemark_model::limits::DESCRIBED_BYTES_MAX;
use tidemark_query::admission::OutOfMemory;
use tidemark_query::error::QueryError;

/// The result of a request to the objects.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a request in progress. Each error is based on a
/// reply of the object that owns the data, never on the cache alone.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The database does not exist. A write returns status 404; a query returns the error of the
    /// statement.
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    /// The database has no policy with this name.
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    /// The database's default policy was dropped.
    #[error("default retention policy not set for: {0}")]
    NoDefaultPolicy(String),
    /// The Catalog refused the request: the name or the policy is invalid, there are too many
    /// databases, or the jurisdiction is unsupported (501).
    #[error(transparent)]
    Catalog(CatalogRefusal),
    /// The Database refused the request: the policy is invalid, or the jurisdiction is unsupported
    /// (501).
    #[error(transparent)]
    Database(DatabaseRefusal),
    /// The caller has no permission on the policy that the request selects.
    #[error("{who} not authorized to execute this statement, requires {permission} on {database}")]
    Forbidden {
        /// The caller.
        who: String,
        /// The missing permission.
        permission: &'static str,
        /// The database.
        database: String,
    },
    /// The token or user was deleted, or its password was changed.
    #[error("unauthorized access")]
    Revoked,
    /// A warning, not an error. A permission was reduced and the statement was executed, but some
    /// databases have not received the change yet.
    #[error(
        "the change is stored, but {remaining} databases have not received it yet and may still \
         grant the previous permissions; they usually receive the change within seconds"
    )]
    NotEverywhere {
        /// The number of databases that have not received the change.
        remaining: u64,
    },
    /// A limit per minute is reached. The request itself is valid.
    #[error("{whose} has reached its quota: {over}; try again in {} s", .over.retry_after_s)]
    RateExceeded {
        /// The name of the database or of the caller that has the limit.
        whose: String,
        /// The limit.
        over: RateExceeded,
    },
    /// The query was killed by KILL QUERY.
    #[error("query interrupted")]
    Interrupted,
    /// The statement failed.
    #[error(transparent)]
    Query(QueryError),
    /// The SQL statement failed.
    #[error("{message}")]
    Sql {
        /// The HTTP status.
        status: u16,
        /// The message.
        message: String,
    },
    /// A query needs a block that is damaged.
    #[error("damaged block: {block}")]
    Damaged {
        /// The block's description.
        block: String,
    },
    /// The list of databases exceeds its size limit.
    #[error(
        "the list of databases has more than {DESCRIBED_BYTES_MAX} bytes: request a single \
         database by name, or a page with fewer databases"
    )]
    ListTooLong,
    /// A shard could not decode or process its message.
    #[error("a shard refused the request: {0}")]
    Shard(String),
    /// Some shards may have executed a deletion, and at least one has not.
    #[error("the request was only partly applied; repeat the request: {0}")]
    PartlyApplied(String),
    /// A backup cannot be made, read or deleted.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The code has a bug.
    #[error(transparent)]
    Internal(#[from] Bug),
    /// The server returns 503 with Retry-After. The request itself is valid, as far as is known.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::OutOfMemory(OutOfMemory::Now) => Self::Unavailable(Unavailable::Crowded),
            error => Self::Query(error),
        }
    }
}

impl From<OutOfMemory> for Error {
    fn from(error: OutOfMemory) -> Self {
        QueryError::from(error).into()
    }
}

impl From<CallFailure> for Error {
    fn from(failure: CallFailure) -> Self {
        Self::Unavailable(failure.into())
    }
}

impl Error {
    /// Returns the error for an exceeded rate limit that a shard reported for `database` or for the
    /// caller `who`.
    pub(crate) fn over_rate(over: RateExceeded, who: &str, database: &str) -> Self {
        let whose = match over.of_caller {
            true => format!("{who} on database \"{database}\""),
            false => format!("database \"{database}\""),
        };
        Self::RateExceeded { whose, over }
    }

    /// Returns the error for a reply that does not belong to the message.
    pub fn unexpected_reply() -> Self {
        Self::Unavailable(Unavailable::Unreachable("unexpected reply".to_owned()))
    }
}

/// Returns the error of a reply from which the caller expected a result.
impl From<FromCatalog> for Error {
    fn from(reply: FromCatalog) -> Self {
        match reply {
            FromCatalog::Refused(refusal) => Self::Catalog(refusal),
            FromCatalog::Unavailable(reason) => reason.into(),
            _ => Self::unexpected_reply(),
        }
    }
}

/// Returns the error of a reply from which the caller expected a result.
impl From<FromDatabase> for Error {
    fn from(reply: FromDatabase) -> Self {
        match reply {
            FromDatabase::Refused(refusal) => Self::Database(refusal),
            FromDatabase::Unavailable(reason) => reason.into(),
            // The database was dropped after the Catalog returned its object.
            FromDatabase::NotOpen => Unavailable::Changing.into(),
            _ => Self::unexpected_reply(),
        }
    }
}

/// Returns the error of a reply from which the caller expected a result.
impl From<FromShard> for Error {
    fn from(reply: FromShard) -> Self {
        match reply {
            FromShard::Refused(reason) => Self::Shard(reason.to_string()),
            FromShard::Unavailable(reason) => reason.into(),
            _ => Self::unexpected_reply(),
        }
    }
}
