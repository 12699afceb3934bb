//! Lists the names of databases. The Catalog returns these names page by page.

use super::Io;
use super::error::{Error, Result};
use super::single_call::call_catalog;
use crate::model::grant::Grants;
use crate::model::ids::PolicyId;
use crate::protocol::catalog::{FromCatalog, ToCatalog};

/// Returns the names in order of creation. With `holding`, returns only the few databases that may
/// have that policy.
pub async fn list(io: &Io, holding: Option<PolicyId>) -> Result<Vec<String>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        match call_catalog(io, &ToCatalog::List { after, holding }).await? {
            FromCatalog::Listed { names, resume, .. } => {
                all.extend(names);
                after = resume;
            }
            _ => return Err(Error::unexpected_reply()),
        }
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Returns the sorted names of the databases on which `grants` has a permission.
pub fn seen_by_name(grants: &Grants, mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| grants.sees(name));
    names.sort();
    names
}
