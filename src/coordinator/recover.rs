//! Sends the Catalog a request to recover a database to an earlier time, or to report the progress
//! of a recovery.

use super::Task;
use super::error::Error;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::recovery::{RecoveryRequest, RecoveryStatus};

/// Begins a recovery, or returns the progress if `request` has already begun the recovery.
pub fn begin_recovery(request: RecoveryRequest) -> Task<Option<RecoveryStatus>> {
    call(request.name.clone(), ToCatalog::Recover(request))
}

/// Returns the progress of the last recovery of a database, if any.
pub fn show_recovery(database: &str) -> Task<Option<RecoveryStatus>> {
    call(database.to_owned(), ToCatalog::Recovery { name: database.to_owned() })
}

fn call(database: String, message: ToCatalog) -> Task<Option<RecoveryStatus>> {
    Task::new(|io| async move {
        let reply = io.call_catalog(&message).await;
        // The cached state may be wrong even after an error.
        io.with(|context| context.cache.forget(&database))?;
        match reply? {
            FromCatalog::Recovery(status) => Ok(status),
            _ => Err(Error::unexpected_reply()),
        }
    })
}
