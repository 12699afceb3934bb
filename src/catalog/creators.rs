//! Limits the number of databases that the writes of a token or user may create. Administrators and
//! creators without a quota have no limit.

use serde::{Deserialize, Serialize};

use crate::model::limits::CREATOR_QUOTAS_MAX;
use crate::protocol::catalog::{CatalogRefusal, CreatorQuota};

/// The quotas, in the order of their creation. The Catalog's `state` row contains these quotas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creators(Vec<CreatorQuota>);

impl Creators {
    /// Returns all quotas.
    pub fn all(&self) -> &[CreatorQuota] {
        &self.0
    }

    /// Returns a copy that includes `quota`, which replaces a quota with the same id, or with the
    /// same name and kind.
    ///
    /// # Errors
    /// [`CatalogRefusal::TooManyCreatorQuotas`]
    pub fn with(&self, quota: CreatorQuota) -> Result<Self, CatalogRefusal> {
        let is_same = |known: &CreatorQuota| {
            known.id == quota.id || (known.user == quota.user && known.name == quota.name)
        };
        let at = self.0.iter().position(is_same).unwrap_or(self.0.len());
        let mut all: Vec<_> = self.0.iter().filter(|known| !is_same(known)).cloned().collect();
        if quota.databases.is_some() {
            all.insert(at.min(all.len()), quota);
        }
        if all.len() > CREATOR_QUOTAS_MAX {
            let limit = CREATOR_QUOTAS_MAX as u64;
            return Err(CatalogRefusal::TooManyCreatorQuotas { limit });
        }
        Ok(Self(all))
    }

    /// Checks whether `creator`, which has created `current` databases, may create one more
    /// database.
    ///
    /// # Errors
    /// [`CatalogRefusal::TooManyOfCreator`]
    pub fn check(&self, creator: u64, current: u64) -> Result<(), CatalogRefusal> {
        let quota = self.0.iter().find(|quota| quota.id == creator && creator != 0);
        let Some((quota, limit)) = quota.and_then(|quota| Some((quota, quota.databases?))) else {
            return Ok(());
        };
        if current < limit {
            return Ok(());
        }
        let kind = if quota.user { "user" } else { "token" };
        let name = format!("{kind} \"{}\"", quota.name);
        Err(CatalogRefusal::TooManyOfCreator { name, limit, current, requested: current + 1 })
    }
}
