//! Sets the number of databases that a token or user may create.

use super::{Catalog, Failure};
use crate::protocol::catalog::{CreatorQuota, FromCatalog};
use crate::store::Store;

impl<S: Store> Catalog<S> {
    pub(super) fn set_creator_quota(
        &mut self,
        quota: CreatorQuota,
    ) -> Result<FromCatalog, Failure> {
        let creators = self.entries()?.creators_with(quota)?;
        let entries = self.entries.get_or_insert_default();
        entries.set_creators(&self.store, creators)?;
        Ok(FromCatalog::CreatorQuotas(entries.creators()))
    }
}
