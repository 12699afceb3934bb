//! Copies a database into the place that backups are kept in, and back.
//!
//! Every request does a bounded amount of work and says what remains: what is there already is how
//! far it is, so whoever repeats a request goes on where the one before stopped, wherever that
//! was. Two that run at once do the same work twice and no harm. `docs/design/backups.md` says why,
//! and draws the objects.

mod copying;
mod deleting;
pub mod error;
mod listing;
mod place;
mod restoring;
mod verifying;

pub use copying::{BackUp, BackUpProgress};
pub use deleting::DeleteBackup;
pub use error::BackupError;
pub use listing::{ListBackups, ListedBackup};
pub use place::BackupId;
pub use restoring::{Restore, RestoreProgress};
pub use verifying::{VerifyBackup, VerifyPosition, VerifyProgress};
