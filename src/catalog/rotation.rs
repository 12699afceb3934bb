//! Rotates a token's secret, and revokes one of a token's two secrets.
//!
//! Both secrets are valid for a limited time. Other objects treat a token with two secrets as two
//! tokens. The token with the previous secret expires earlier (PROTOCOL.md rule 11).

use super::access::Notified;
use super::grants::Put;
use super::{Catalog, Failure, Started};
use crate::protocol::call::Platform;
use crate::protocol::catalog::{CatalogRefusal, FromCatalog, Rotation};
use crate::protocol::grants::EarlierSecret;
use crate::protocol::host::Unavailable;
use crate::store::Store;

impl<S: Store> Catalog<S> {
    pub(super) fn rotate_token(
        &mut self,
        platform: &dyn Platform,
        rotation: Rotation,
    ) -> Result<Started, Failure> {
        let Rotation { name, hash, now_ns, until_ns } = rotation;
        let (grantees, store) = self.grantees()?;
        let Some(mut row) = grantees.named(store, false, &name)? else {
            return Ok(Started::Reply(FromCatalog::Dropped { existed: false, remaining: 0 }));
        };
        if row.hash == hash {
            return self.notify_again(false, &name, Notified::Granted(row.id));
        }
        // If a client lost the reply to its first request, it repeats the request with another
        // secret. The Catalog rejects this request, because the previous secret is still in use.
        if row.earlier.as_ref().is_some_and(|old| platform.now_ns() < old.until_ns) {
            return Err(CatalogRefusal::TwoSecrets.into());
        }
        let since_ns = row.secret_since_ns();
        let old = EarlierSecret { hash: row.hash, since_ns, until_ns };
        row.earlier = (now_ns < until_ns).then_some(old);
        (row.hash, row.rotated_ns) = (hash, now_ns);
        self.put_grantee(platform, row)
    }

    /// Revokes one of a token's two secrets. If the current secret is revoked, the previous secret
    /// becomes the current secret and stays valid as long as the token.
    pub(super) fn end_secret(
        &mut self,
        platform: &dyn Platform,
        (name, hash): (&str, &str),
    ) -> Result<Started, Failure> {
        let (grantees, store) = self.grantees()?;
        let Some(mut row) = grantees.named(store, false, name)? else {
            return self.notify_again(false, name, Notified::Removed);
        };
        let earlier = row.earlier.take();
        match earlier {
            Some(old) if old.hash == hash => {}
            Some(old) if row.hash == hash && platform.now_ns() < old.until_ns => {
                (row.hash, row.rotated_ns) = (old.hash, old.since_ns);
            }
            _ if row.hash == hash => return Err(CatalogRefusal::OnlySecret.into()),
            _ => return self.notify_again(false, name, Notified::Removed),
        }
        let (grantees, store) = self.grantees()?;
        match grantees.put(store, row)? {
            Put::Change(change) => self.change(platform, *change, Notified::Removed),
            Put::Same(_) => self.notify_again(false, name, Notified::Removed),
            Put::Refused(refusal) => {
                Err(refusal.map_or(Unavailable::Changing.into(), Failure::from))
            }
        }
    }
}
