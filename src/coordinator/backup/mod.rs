//! Copies a database into the place that backups are kept in, and back.
//!
//! Every request does a bounded amount of work and says what remains: what is there already is how
//! far it is, so whoever repeats a request goes on where the one before stopped, wherever that
//! was. Two that run at once do the same work twice and no harm. `docs/design/backups.md` says why,
//! and draws the objects.

mod access;
mod copying;
mod deleting;
pub mod error;
mod listing;
mod place;
mod restoring;
mod schedule;
mod scheduled;
mod verifying;

pub use access::{AccessPosition, AccessProgress, RestoreAccess};
pub use copying::{BackUp, BackUpProgress};
pub use deleting::DeleteBackup;
pub use error::BackupError;
pub use listing::{ListBackups, ListedBackup};
pub use place::BackupId;
pub use restoring::{Restore, RestoreProgress};
pub use schedule::AskSchedule;
pub use scheduled::ScheduledPass;
pub use verifying::{VerifyBackup, VerifyPosition, VerifyProgress};
