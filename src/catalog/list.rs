//! Lists the databases that are ready, in pages.

use super::Catalog;
use crate::model::ids::PolicyId;
use crate::model::limits::{JOB_FAILURES_MAX, PAGE_BYTES_MAX};
use crate::protocol::catalog::FromCatalog;
use crate::protocol::release;
use crate::store::{Store, StoreResult};

impl<S: Store> Catalog<S> {
    /// Returns a page of names with ids above `after`. With `holding`, the page contains only
    /// databases that may have this policy.
    pub(super) fn list(
        &mut self,
        after: Option<u64>,
        holding: Option<PolicyId>,
    ) -> StoreResult<FromCatalog> {
        let mut names = Vec::new();
        let mut bytes = 0;
        let mut last = after;
        for (number, entry) in self.entries()?.ready_after(after) {
            if !holding.is_none_or(|policy| entry.accepts_policy(policy)) {
                continue;
            }
            // The size of the name, and of its length as a varint.
            bytes += entry.create.name.len() + 5;
            if bytes > PAGE_BYTES_MAX && !names.is_empty() {
                let (troubles, release) = (Vec::new(), String::new());
                return Ok(FromCatalog::Listed { names, resume: last, troubles, release });
            }
            names.push(entry.create.name.clone());
            last = Some(number);
        }
        let entries = self.entries()?;
        let mut troubles = entries.problems(JOB_FAILURES_MAX);
        if let Some(entries) = &self.entries {
            troubles.extend(self.notifications.problems(entries, JOB_FAILURES_MAX));
            troubles.extend(self.recoveries.problems(entries, JOB_FAILURES_MAX));
        }
        let release = release::current();
        Ok(FromCatalog::Listed { names, resume: None, troubles, release })
    }
}
