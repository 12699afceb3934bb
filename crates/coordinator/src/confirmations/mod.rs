//! At intervals, looks up in the Catalog the callers that databases have admitted, and remembers
//! the results. If the Catalog reports fewer permissions than a database did, the isolate ignores
//! the older rows of databases about this caller.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Io;
use super::error::{Error, Result};
use super::grants::{ConfirmedGrantee, Identity};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::grants::{Grantee, GranteeKey};
use tidemark_model::limits::{CALLERS_REMEMBERED_MAX, CONFIRM_RETRY_NS, CONFIRMED_NS};

#[derive(Clone, Copy, Debug, Default)]
struct Confirmation {
    /// The earliest time of the next request to the Catalog, in nanoseconds.
    next_ns: i64,
    /// The lowest acceptable version of a database's row about the caller. Rows with lower versions
    /// grant more than the Catalog.
    least_version: u64,
}

/// The Catalog's replies about admitted callers.
#[derive(Debug, Default)]
pub struct Confirmations {
    rows: BTreeMap<GranteeKey, Confirmation>,
}

impl Confirmations {
    /// Whether the isolate must look up the caller in the Catalog now. If so, records the attempt:
    /// the next one follows after [`CONFIRM_RETRY_NS`] at the earliest.
    pub(super) fn begin(&mut self, key: &GranteeKey, now_ns: i64) -> bool {
        if self.rows.get(key).is_some_and(|known| now_ns < known.next_ns) {
            return false;
        }
        self.make_room(key, now_ns);
        let least_version = self.rows.get(key).map_or(0, |known| known.least_version);
        let next_ns = now_ns.saturating_add(CONFIRM_RETRY_NS);
        self.rows.insert(key.clone(), Confirmation { next_ns, least_version });
        true
    }

    /// Makes room for the row of a new caller. Removes the rows that are no longer needed, and if
    /// this is not enough the oldest row. A row with a revocation is removed only if all rows have
    /// a revocation. A caller without a row is confirmed again at its next request.
    fn make_room(&mut self, key: &GranteeKey, now_ns: i64) {
        if self.rows.len() < CALLERS_REMEMBERED_MAX || self.rows.contains_key(key) {
            return;
        }
        self.rows.retain(|_, known| now_ns < known.next_ns || known.least_version > 0);
        if self.rows.len() < CALLERS_REMEMBERED_MAX {
            return;
        }
        let age = |known: &Confirmation| (known.least_version > 0, known.next_ns);
        let oldest = self.rows.iter().min_by_key(|(_, known)| age(known));
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
            self.rows.remove(&oldest);
        }
    }

    /// Records the Catalog's reply. `grantees` contains the earlier replies of the databases.
    pub(super) fn on_reply(
        &mut self,
        caller: &Identity,
        grantees: &[Rc<ConfirmedGrantee>],
        row: Option<&Grantee>,
        now_ns: i64,
    ) {
        let versions = grantees.iter().map(|grantee| grantee.row.version).chain([caller.version]);
        let contradicted = match row {
            None => versions.max().map(|newest| newest + 1),
            Some(row) => {
                let is_more = |grantee: &Rc<ConfirmedGrantee>| grants_more(&grantee.row, row);
                let other = caller.id != row.id || caller.hash != row.hash;
                (other || grantees.iter().any(is_more)).then_some(row.version)
            }
        };
        // Another request may have removed the row since `begin`.
        self.make_room(&caller.key, now_ns);
        let known = self.rows.entry(caller.key.clone()).or_default();
        known.next_ns = now_ns.saturating_add(CONFIRMED_NS);
        known.least_version = known.least_version.max(contradicted.unwrap_or_default());
    }

    /// Whether a database's row may be used: the Catalog has not reported fewer permissions since
    /// the row's version.
    pub fn is_trusted(&self, row: &Grantee) -> bool {
        self.rows.get(&row.key()).is_none_or(|known| row.version >= known.least_version)
    }
}

/// Whether `grantee`, a row of one database, grants more than `row`, the Catalog's row for all
/// databases.
fn grants_more(grantee: &Grantee, row: &Grantee) -> bool {
    let is_same = grantee.id == row.id && grantee.hash == row.hash;
    !is_same || grantee.expires_ns > row.expires_ns || !row.grants.include(&grantee.grants)
}

/// Reports an admitted caller to the Catalog after a response was sent, unless this isolate
/// confirmed the caller recently. The Catalog records the day on which a token was used. The reply
/// contains the caller's current state, and ends a permission in this isolate if the Catalog could
/// not notify a database of the change (PROTOCOL.md rule 11). An unreachable Catalog has no effect.
pub async fn confirm(io: &Io, caller: &Identity) -> Result<()> {
    let now_ns = io.now_ns()?;
    if !io.with(|context| context.cache.callers.confirmed.begin(&caller.key, now_ns))? {
        return Ok(());
    }
    let keys = vec![caller.key.clone()];
    match io.call_catalog(&ToCatalog::RecordUse { keys }).await? {
        FromCatalog::Identified { found, .. } => io.with(|context| {
            let now_ns = context.platform.now_ns();
            context.cache.callers.confirm(caller, found.first(), now_ns);
        }),
        _ => Err(Error::unexpected_reply()),
    }
}

#[cfg(test)]
mod tests;
