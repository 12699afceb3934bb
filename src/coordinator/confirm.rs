//! Reports to the Catalog, after a response was sent, which caller this isolate admitted. The reply
//! contains the caller's current state.
//!
//! The Catalog records the day on which a token was used. The confirmation also ends a permission
//! in this isolate if the Catalog could not notify a database of the change (PROTOCOL.md rule 11;
//! see [`super::confirmations`]). No request waits for the confirmation, and an unreachable Catalog
//! has no effect.

use std::rc::Rc;

use super::Task;
use super::error::Error;
use super::grants::Caller;
use super::single_call::call_catalog;
use crate::protocol::catalog::{FromCatalog, ToCatalog};

/// Confirms a caller, unless this isolate confirmed the caller recently.
pub fn confirm(caller: Rc<Caller>) -> Task<()> {
    Task::new(|io| async move {
        let now_ns = io.with(|context| context.platform.now_ns())?;
        if !io.with(|context| context.cache.callers.confirmed.begin(&caller.key, now_ns))? {
            return Ok(());
        }
        let keys = vec![caller.key.clone()];
        match call_catalog(&io, &ToCatalog::RecordUse { keys }).await? {
            FromCatalog::Identified { found, .. } => io.with(|context| {
                let now_ns = context.platform.now_ns();
                context.cache.callers.confirm(&caller, found.first(), now_ns);
            }),
            _ => Err(Error::unexpected_reply()),
        }
    })
}
