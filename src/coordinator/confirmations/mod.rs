//! Remembers what the Catalog has said of callers that were let in: what a database says of one is
//! believed no more once the Catalog has said less.
//!
//! Everything here is plain memory; [`super::confirm`] asks.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::grants::{Caller, Held};
use crate::model::limits::{CALLERS_REMEMBERED_MAX, CONFIRM_RETRY_NS, CONFIRMED_NS};
use crate::protocol::grants::{Grantee, GranteeKey};

/// What the Catalog has said of one caller.
#[derive(Clone, Copy, Debug, Default)]
struct Confirmation {
    /// It is not asked again before then, nanoseconds.
    next_ns: i64,
    /// What databases say at lower versions is more than the Catalog says.
    least_version: u64,
}

/// What the Catalog has said of callers that were let in.
#[derive(Debug, Default)]
pub struct Confirmations {
    rows: BTreeMap<GranteeKey, Confirmation>,
}

impl Confirmations {
    /// Whether the Catalog is to be asked now; then it is not asked again within a minute.
    pub(super) fn begin(&mut self, key: &GranteeKey, now_ns: i64) -> bool {
        if self.rows.get(key).is_some_and(|known| now_ns < known.next_ns) {
            return false;
        }
        if self.rows.len() >= CALLERS_REMEMBERED_MAX {
            self.rows.retain(|_, known| now_ns < known.next_ns || known.least_version > 0);
        }
        if self.rows.len() >= CALLERS_REMEMBERED_MAX {
            // Each is asked for again when it is let in next.
            self.rows = BTreeMap::new();
        }
        let least_version = self.rows.get(key).map_or(0, |known| known.least_version);
        let next_ns = now_ns.saturating_add(CONFIRM_RETRY_NS);
        self.rows.insert(key.clone(), Confirmation { next_ns, least_version });
        true
    }

    /// Takes in what the Catalog says of a caller of whom databases have said `held`.
    pub(super) fn heard(
        &mut self,
        caller: &Caller,
        (held, row): (&[Rc<Held>], Option<&Grantee>),
        now_ns: i64,
    ) {
        let versions = held.iter().map(|held| held.row.version).chain([caller.version]);
        let contradicted = match row {
            None => versions.max().map(|newest| newest + 1),
            Some(row) => {
                let is_more = |held: &Rc<Held>| says_more(&held.row, row);
                let other = caller.id != row.id || caller.hash != row.hash;
                (other || held.iter().any(is_more)).then_some(row.version)
            }
        };
        let known = self.rows.entry(caller.key.clone()).or_default();
        known.next_ns = now_ns.saturating_add(CONFIRMED_NS);
        known.least_version = known.least_version.max(contradicted.unwrap_or_default());
    }

    /// Whether what a database says may be true: not where the Catalog has said less since.
    pub fn believes(&self, row: &Grantee) -> bool {
        self.rows.get(&row.key()).is_none_or(|known| row.version >= known.least_version)
    }
}

/// Whether `held`, of one database, lets in what `row`, of all, does not.
fn says_more(held: &Grantee, row: &Grantee) -> bool {
    let is_same = held.id == row.id && held.hash == row.hash;
    !is_same || held.expires_ns > row.expires_ns || !row.grants.include(&held.grants)
}

#[cfg(test)]
mod tests;
