//! Why a backup cannot be made, read or deleted.

use crate::coordinator::error::Error;

/// See the module. Nothing is lost by any of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// No whole backup has the name.
    #[error("there is no whole backup {0}: GET /api/v3/backup?db= lists them")]
    Missing(String),
    /// One request has to end before the other can begin.
    #[error("{0}")]
    Conflict(String),
    /// It can never be whole any more.
    #[error("backup {id} cannot be finished: {why}; delete the backup and begin another")]
    Unfinishable {
        /// Which.
        id: String,
        /// What is gone.
        why: String,
    },
    /// [`BACKUPS_PER_DATABASE_MAX`](crate::model::limits::BACKUPS_PER_DATABASE_MAX)
    #[error("the database has {limit} backups, which is the limit: delete one first")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// An object is not what it was when it was kept.
    #[error("damaged object {key}: {why}")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

impl BackupError {
    pub(super) fn damaged(key: &str, why: impl std::fmt::Display) -> Self {
        Self::Damaged { key: key.to_owned(), why: why.to_string() }
    }

    pub(super) fn missing_object(key: &str) -> Self {
        Self::damaged(key, "it is missing")
    }
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}
