//! Sends the Catalog a request to recover a database to an earlier time, or to report the progress
//! of a recovery.

use super::Io;
use super::error::{Error, Result};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::recovery::{RecoveryRequest, RecoveryStatus};

/// Begins a recovery, or returns the progress if `request` has already begun the recovery.
pub async fn begin_recovery(io: &Io, request: RecoveryRequest) -> Result<Option<RecoveryStatus>> {
    call(io, &request.name.clone(), &ToCatalog::Recover(request)).await
}

/// Returns the progress of the last recovery of a database, if any.
pub async fn show_recovery(io: &Io, database: &str) -> Result<Option<RecoveryStatus>> {
    call(io, database, &ToCatalog::Recovery { name: database.to_owned() }).await
}

async fn call(io: &Io, database: &str, message: &ToCatalog) -> Result<Option<RecoveryStatus>> {
    let reply = io.call_catalog(message).await;
    // The cached state may be wrong even after an error.
    io.with(|context| context.cache.forget(database))?;
    match reply? {
        FromCatalog::Recovery(status) => Ok(status),
        _ => Err(Error::unexpected_reply()),
    }
}
