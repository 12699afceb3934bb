//! Copies a database into the backup store, and restores it.
//!
//! Each request does a bounded amount of work and returns the amount of remaining work. The files
//! in the store record the progress, so that a repeated request continues where the last request
//! stopped. Two concurrent requests do the same work twice, which is harmless.
//!
//! In this module, *object* means an object in the backup store (R2), not a Durable Object.
//! `docs/design/backups.md` describes these objects:
//! - a *snapshot* for each shard: the list of the shard's values at the time of the backup
//! - the *map*: the database's definitions and shards
//! - the *values*, the *indexes* and the *manifest*

mod make_and_delete;
mod restore_and_verify;
mod schedule;
mod store;

pub use make_and_delete::{BackupProgress, back_up, delete_backup};
pub use restore_and_verify::{
    RestoreProgress, VerifyPosition, VerifyProgress, restore, verify_backup,
};
pub use schedule::scheduled_pass;
pub use store::{BackupError, BackupId, ListedBackup, list_backups};
