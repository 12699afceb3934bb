//! Why a request to the objects failed; `api` maps each variant to a status and a body.

use super::backup::BackupError;
use crate::admission::NoRoom;
use crate::model::limits::DESCRIBED_BYTES_MAX;
use crate::protocol::call::CallFailure;
use crate::protocol::catalog::CatalogRefusal;
use crate::protocol::database::DatabaseRefusal;
use crate::protocol::host::Unavailable;
use crate::protocol::quota::OverRate;
use crate::query::error::QueryError;

/// Why a machine has no better answer. Checked at the owner, never from a cache alone.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// No database has the name (404 on writes, the statement's error on queries).
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    /// The database has no policy of that name.
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    /// The database's default policy was dropped.
    #[error("default retention policy not set for: {0}")]
    NoDefaultPolicy(String),
    /// The Catalog refuses: a bad name, too many databases, a jurisdiction (501), a bad policy.
    #[error(transparent)]
    Catalog(CatalogRefusal),
    /// The Database refuses: a bad policy, a jurisdiction (501).
    #[error(transparent)]
    Database(DatabaseRefusal),
    /// The caller may not use the policy that the request turned out to mean.
    #[error("{who} not authorized to execute this statement, requires {right} on {database}")]
    Forbidden {
        /// The caller.
        who: String,
        /// What is missing.
        right: &'static str,
        /// On which database.
        database: String,
    },
    /// The token or user is gone, or its password is another one now.
    #[error("unauthorized access")]
    Revoked,
    /// No error but a warning: a right was narrowed, and some databases have not heard of it yet.
    /// The statement is carried out.
    #[error(
        "stored, but {remaining} databases have not heard of it yet and may let the user in as \
         before until they have; that goes on by itself, within seconds where they can be reached"
    )]
    NotEverywhere {
        /// How many.
        remaining: u64,
    },
    /// A limit of what may be done in a minute is reached; nothing is wrong with the request.
    #[error("{whose} has reached its quota: {over}; come back in {} s", .over.retry_after_s)]
    OverRate {
        /// Database or caller.
        whose: String,
        /// Which limit.
        over: OverRate,
    },
    /// KILL QUERY.
    #[error("query interrupted")]
    Interrupted,
    /// The statement itself.
    #[error(transparent)]
    Query(QueryError),
    /// SQL has no answer, with the status and the text that it says.
    #[error("{message}")]
    Sql {
        /// Of HTTP.
        status: u16,
        /// What is said about it.
        message: String,
    },
    /// A query needs a block that is damaged.
    #[error("damaged block: {block}")]
    Damaged {
        /// Which.
        block: String,
    },
    /// The databases that a request lists are too many.
    #[error(
        "a list of databases takes more than {DESCRIBED_BYTES_MAX} bytes: ask for one by its name, \
         or for an earlier page"
    )]
    ListTooLong,
    /// A shard cannot make sense of what it was sent.
    #[error("a shard refused the request: {0}")]
    Shard(String),
    /// A delete that some shards may have carried out and at least one has not.
    #[error("partly applied, repeat: {0}")]
    PartlyApplied(String),
    /// A backup cannot be made, read or deleted.
    #[error(transparent)]
    Backup(BackupError),
    /// 503 with Retry-After: nothing is known to be wrong with the request.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::NoRoom(NoRoom::Now) => Self::Unavailable(Unavailable::Crowded),
            error => Self::Query(error),
        }
    }
}

impl From<NoRoom> for Error {
    fn from(error: NoRoom) -> Self {
        QueryError::from(error).into()
    }
}

impl From<CallFailure> for Error {
    fn from(failure: CallFailure) -> Self {
        Self::Unavailable(failure.into())
    }
}

impl Error {
    /// A shard says that a limit of `database`, or of the caller `who` on it, is reached.
    pub(crate) fn over_rate(over: OverRate, who: &str, database: &str) -> Self {
        let whose = match over.of_caller {
            true => format!("{who} on database \"{database}\""),
            false => format!("database \"{database}\""),
        };
        Self::OverRate { whose, over }
    }

    /// A reply of a kind that does not answer the call.
    pub(crate) fn unexpected_reply() -> Self {
        Self::Unavailable(Unavailable::Unreachable("unexpected reply".to_owned()))
    }
}
