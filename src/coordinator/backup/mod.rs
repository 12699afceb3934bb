//! Copies a database into the backup store, and restores it.
//!
//! Each request does a bounded amount of work and returns the amount of remaining work. The stored
//! objects record the progress, so that a repeated request continues where the last request
//! stopped. Two concurrent requests do the same work twice, which is harmless.
//! `docs/design/backups.md` describes the objects.

mod copying;
mod deleting;
pub mod error;
mod listing;
mod place;
mod restoring;
mod scheduled_pass;
mod verifying;

pub use copying::{BackupProgress, back_up};
pub use deleting::delete_backup;
pub use error::BackupError;
pub use listing::{ListedBackup, list_backups};
pub use place::BackupId;
pub use restoring::{RestoreProgress, restore};
pub use scheduled_pass::scheduled_pass;
pub use verifying::{VerifyPosition, VerifyProgress, verify_backup};
