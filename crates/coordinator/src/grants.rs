//! Caches, for an isolate, the permissions of each caller on each database, with the version of the
//! database's grants (PROTOCOL.md rule 11). Also caches failed credentials and verified passwords.
//!
//! This module makes no calls and no decisions; [`super::identify`] does both.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::confirmations::Confirmations;
use super::error::{Error, Result};
use tidemark_engine::protocol::call::Platform;
use tidemark_engine::protocol::grants::{Grantee, GranteeKey};
use tidemark_model::grant::{Grants, PermissionKind, Scope};
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{
    CALLERS_REMEMBERED_MAX, REFUSED_CREDENTIALS_MAX, UNKNOWN_CALLERS_PER_SECOND_MAX,
    VERIFIED_PASSWORD_NS,
};
use tidemark_model::time::S_NS;

/// An identified caller. The default has no permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The name in error messages: `token "name"` or the user's name.
    pub name: Rc<str>,
    /// Whether the caller is a user.
    pub user: bool,
    /// The known permissions. For its own data, a database's reply takes precedence over these
    /// permissions.
    pub grants: Rc<Grants>,
    /// Whether this request queried the Catalog. Otherwise a refusal must not be based on the
    /// permissions (PROTOCOL.md rule 6).
    pub fresh: bool,
    /// The identity to look up in each database; `None` for the administrator and the default
    /// value.
    pub identity: Option<Rc<Identity>>,
}

/// The identity by which databases look up a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The lookup key.
    pub key: GranteeKey,
    /// The token's or user's number. A later user with the same name has another number.
    pub id: u64,
    /// The hash of the accepted secret. After a change of the password, running requests that use
    /// the old password are refused.
    pub hash: String,
    /// The version of the Catalog's change that produced the identified state.
    pub version: u64,
}

impl Identity {
    /// Whether `row` is the identified token or user, has the same secret and has not expired.
    pub fn is(&self, row: &Grantee, now_ns: i64) -> bool {
        row.id == self.id && row.hash == self.hash && now_ns < row.expires_ns
    }
}

impl Principal {
    /// Returns the principal of the admin token.
    pub fn admin() -> Self {
        let grants = Rc::new(Grants::admin());
        Self { name: "admin".into(), user: false, grants, fresh: true, identity: None }
    }

    /// Returns the principal with the permissions of all `rows`. Each row comes from one database.
    pub fn of(rows: &[Rc<ConfirmedGrantee>], fresh: bool) -> Self {
        let Some(newest) = rows.iter().max_by_key(|grantee| grantee.row.version) else {
            return Self::default();
        };
        let row = &newest.row;
        let name = if row.user { row.name.clone() } else { format!("token \"{}\"", row.name) };
        let own = rows.iter().filter(|grantee| grantee.row.id == row.id);
        let mut known = BTreeSet::new();
        let permissions = own.flat_map(|grantee| &grantee.row.grants.permissions);
        let permissions = permissions.filter(|permission| known.insert(*permission)).cloned();
        let grants = Grants { admin: row.grants.admin, permissions: permissions.collect() };
        let (key, id, hash, version) = (row.key(), row.id, row.hash.clone(), row.version);
        let identity = Some(Rc::new(Identity { key, id, hash, version }));
        Self { name: name.into(), user: row.user, grants: Rc::new(grants), fresh, identity }
    }

    /// Whether this request must look up the caller's permissions; `false` for the administrator.
    pub fn needs_lookup(&self) -> bool {
        self.identity.is_some() && !self.fresh
    }
}

/// A caller's permissions on one database, as the database reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerPermissions {
    name: Rc<str>,
    grants: Rc<Grants>,
    /// The version of the grants ([`tidemark_engine::protocol::shard::Stamp::access`]).
    pub access: u64,
}

impl CallerPermissions {
    /// Creates the permissions of a caller from `grants`.
    pub fn new(name: &Rc<str>, grants: Rc<Grants>, access: u64) -> Self {
        Self { name: Rc::clone(name), grants, access }
    }

    /// Returns the part of `database` that the permission covers.
    pub fn scope(&self, permission: PermissionKind, database: &str) -> Scope {
        self.grants.scope(permission, database)
    }

    /// Checks the permission on a policy of `database`. The policy must already be resolved.
    pub fn check(&self, permission: PermissionKind, database: &str, policy: &str) -> Result<()> {
        if self.scope(permission, database).covers(policy) {
            return Ok(());
        }
        let (who, database) = ((*self.name).to_owned(), database.to_owned());
        Err(Error::Forbidden { who, permission: permission.as_str(), database })
    }
}

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Hashes `parts` with the length of each part, so that different lists have different hashes.
pub fn hash_of(parts: &[&str]) -> Hash {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

/// The prefix of tokens. It is the same as InfluxDB's, because scanners for leaked secrets
/// recognize it.
pub const TOKEN_PREFIX: &str = "apiv3_";

/// Returns the SHA-256 hash under which a token is stored, in lower-case hexadecimal.
pub fn token_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// Returns `bytes` in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS[usize::from(nibble & 15)];
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).map(char::from).collect()
}

/// A database's reply about a caller.
#[derive(Clone, Debug)]
pub struct ConfirmedGrantee {
    /// The token or user, reduced to the permissions on that database.
    pub row: Grantee,
    /// The permissions.
    pub grants: Rc<Grants>,
    /// The version of the database's grants at the time of the reply.
    pub access: u64,
}

impl ConfirmedGrantee {
    /// Creates an entry for `row` with the version `access`.
    pub fn new(row: Grantee, access: u64) -> Self {
        let grants = Rc::new(row.grants.clone());
        Self { row, grants, access }
    }
}

/// The callers that have sent requests to this isolate.
#[derive(Debug, Default)]
pub struct Callers {
    /// The databases' replies with the time of the last use.
    grantees: BTreeMap<(GranteeKey, ObjectId), (Rc<ConfirmedGrantee>, u64)>,
    clock: u64,
    /// Hashes of refused credentials, each with the hash of the user's salt and key. The last entry
    /// is the newest. The Catalog confirms the salt and key before the entry refuses a request.
    refused: Vec<(Hash, Hash)>,
    /// For each user id, the hash of the last password that a key derivation verified, and the
    /// expiry of this hash. A user has one entry, so that no entry is removed before it expires.
    verified: BTreeMap<u64, (Hash, i64)>,
    /// The expiry of each verified pair of name and password.
    verified_pairs: BTreeMap<Hash, i64>,
    /// The secret that is hashed together with each password, so that the hashes are useless
    /// outside of this isolate.
    secret: Option<String>,
    /// The start of the current second, and the number of unknown callers in this second.
    unknown_callers: (i64, u32),
    /// The Catalog's later replies about admitted callers.
    pub confirmed: Confirmations,
}

impl Callers {
    /// Returns the last reply of `database` about the caller.
    pub fn reply_of(
        &mut self,
        key: &GranteeKey,
        database: &ObjectId,
    ) -> Option<Rc<ConfirmedGrantee>> {
        self.clock += 1;
        let (grantee, used) = self.grantees.get_mut(&(key.clone(), database.clone()))?;
        *used = self.clock;
        Some(Rc::clone(grantee)).filter(|grantee| self.confirmed.is_trusted(&grantee.row))
    }

    /// Returns the last replies of all databases about the caller.
    pub fn replies_of_all_databases(&self, key: &GranteeKey) -> Vec<Rc<ConfirmedGrantee>> {
        let first = (key.clone(), ObjectId(String::new()));
        let rows = self.grantees.range(first..).take_while(|((of, _), _)| of == key);
        let grantees = rows.map(|(_, (grantee, _))| grantee);
        grantees.filter(|grantee| self.confirmed.is_trusted(&grantee.row)).cloned().collect()
    }

    /// Stores the Catalog's reply about an admitted caller: the caller's row, or `None` if the
    /// caller is unknown.
    pub fn confirm(&mut self, caller: &Identity, row: Option<&Grantee>, now_ns: i64) {
        let grantees = self.replies_of_all_databases(&caller.key);
        self.confirmed.on_reply(caller, &grantees, row, now_ns);
    }

    /// Caches a reply of the Database `object`, unless a newer reply is cached.
    pub fn on_reply(
        &mut self,
        object: &ObjectId,
        grantee: ConfirmedGrantee,
    ) -> Rc<ConfirmedGrantee> {
        self.clock += 1;
        let key = (grantee.row.key(), object.clone());
        let grantee = Rc::new(grantee);
        if self.grantees.get(&key).is_some_and(|(known, _)| known.access > grantee.access) {
            return grantee;
        }
        self.grantees.insert(key, (Rc::clone(&grantee), self.clock));
        if self.grantees.len() > CALLERS_REMEMBERED_MAX {
            let before = self.clock - CALLERS_REMEMBERED_MAX as u64 / 2;
            self.grantees.retain(|_, (_, used)| *used >= before);
        }
        grantee
    }

    /// Removes the entry of a caller that no longer has a permission on the database.
    pub fn forget(&mut self, key: &GranteeKey, database: &ObjectId) {
        self.grantees.remove(&(key.clone(), database.clone()));
    }

    /// Removes all entries of a dropped database.
    pub fn forget_database(&mut self, database: &ObjectId) {
        self.grantees.retain(|(_, of), _| of != database);
    }

    /// Whether the request may query the owners about a possibly unknown caller. The limit is
    /// `UNKNOWN_CALLERS_PER_SECOND_MAX` unknown callers per second.
    pub fn may_look_up(&self, now_ns: i64) -> bool {
        let (since_ns, count) = self.unknown_callers;
        count < UNKNOWN_CALLERS_PER_SECOND_MAX || now_ns.saturating_sub(since_ns) >= S_NS
    }

    /// Counts a caller whom the owners do not know.
    pub fn count_unknown_caller(&mut self, now_ns: i64) {
        let (since_ns, count) = self.unknown_callers;
        self.unknown_callers = match now_ns.saturating_sub(since_ns) < S_NS {
            true => (since_ns, count.saturating_add(1)),
            false => (now_ns, 1),
        };
    }

    /// Whether `credentials` were refused.
    pub fn was_refused(&self, credentials: &Hash) -> bool {
        self.refused.iter().any(|(known, _)| known == credentials)
    }

    /// Whether `credentials` were refused for a user with this salt and key.
    pub fn is_refused(&self, credentials: &Hash, user: &Hash) -> bool {
        self.refused.contains(&(*credentials, *user))
    }

    /// Stores that `credentials` do not belong to a user with this salt and key.
    pub fn refuse(&mut self, credentials: Hash, user: Hash) {
        self.refused.retain(|(known, _)| *known != credentials);
        if self.refused.len() >= REFUSED_CREDENTIALS_MAX {
            self.refused.remove(0);
        }
        self.refused.push((credentials, user));
    }

    /// Hashes a password with a secret of this isolate.
    pub fn password_hash(
        &mut self,
        platform: &dyn Platform,
        [name, salt, password]: [&str; 3],
    ) -> Hash {
        let draw = || {
            let words = [(); 4].map(|()| platform.random_u64().to_be_bytes());
            hex(words.as_flattened())
        };
        hash_of(&[self.secret.get_or_insert_with(draw), name, salt, password])
    }

    /// Whether this password of the user with this id was recently verified.
    pub fn is_verified(&self, id: u64, password: &Hash, now_ns: i64) -> bool {
        let known = self.verified.get(&id);
        known.is_some_and(|(hash, until_ns)| hash == password && now_ns < *until_ns)
    }

    /// Whether this pair of name and password was recently verified. A verified pair alone does not
    /// admit a caller.
    pub fn is_verified_password(&self, pair: &Hash, now_ns: i64) -> bool {
        self.verified_pairs.get(pair).is_some_and(|until_ns| now_ns < *until_ns)
    }

    /// Stores that this password is correct for the user and for the name.
    pub fn verify(&mut self, id: u64, password: Hash, pair: Hash, now_ns: i64) {
        if self.verified.len().max(self.verified_pairs.len()) >= CALLERS_REMEMBERED_MAX {
            self.verified.retain(|_, (_, until_ns)| now_ns < *until_ns);
            self.verified_pairs.retain(|_, until_ns| now_ns < *until_ns);
        }
        let until_ns = now_ns.saturating_add(VERIFIED_PASSWORD_NS);
        self.verified.insert(id, (password, until_ns));
        self.verified_pairs.insert(pair, until_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::grant::Permission;

    /// Takes minutes if the time grows with the square of the number of permissions.
    #[test]
    fn many_permissions_are_merged_fast() {
        let permission = |at: usize| Permission {
            database: Some(format!("database {at:06}")),
            policy: None,
            read: true,
            write: false,
            metrics: false,
        };
        let row = |from: usize| {
            let permissions = (from..from + 200_000).map(permission).collect();
            let grants = Grants { admin: false, permissions };
            let row = Grantee::token("t", String::new(), grants, [0, i64::MAX]);
            Rc::new(ConfirmedGrantee::new(row, 0))
        };
        let grants = Principal::of(&[row(0), row(100_000)], true).grants;
        let expected: Vec<Permission> = (0..300_000).map(permission).collect();
        assert!(grants.permissions == expected);
        assert!(grants.include(&Grants { admin: false, permissions: expected }));
    }
}
