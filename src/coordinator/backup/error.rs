//! Defines the reasons why a backup cannot be made, read or deleted.

use crate::coordinator::error::Error;

/// A failure of a backup request. A failure never loses data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// No complete backup has this name.
    #[error("backup {0} does not exist or is incomplete: GET /api/v3/backup?db= lists the backups")]
    Missing(String),
    /// Another request for the same database must finish before this request can begin.
    #[error("{0}")]
    Conflict(String),
    /// The backup can never be completed.
    #[error("backup {id} cannot be completed: {reason}; delete the backup and make a new one")]
    Unfinishable {
        /// The backup's name.
        id: String,
        /// The missing or changed data.
        reason: String,
    },
    /// The database has
    /// [`BACKUPS_PER_DATABASE_MAX`](crate::model::limits::BACKUPS_PER_DATABASE_MAX) backups.
    #[error(
        "the database already has {limit} backups, and no more are allowed: delete a backup first"
    )]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A stored object differs from its checksum, is missing, or cannot be decoded.
    #[error("damaged object {key}: {reason}")]
    Damaged {
        /// The object's key.
        key: String,
        /// The kind of damage.
        reason: String,
    },
}

impl BackupError {
    pub(super) fn damaged(key: &str, reason: impl std::fmt::Display) -> Self {
        Self::Damaged { key: key.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn missing_object(key: &str) -> Self {
        Self::damaged(key, "the object is missing")
    }
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}
