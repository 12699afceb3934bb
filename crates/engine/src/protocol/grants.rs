//! Tokens and users as the Catalog stores them, and the message that sends them to Databases.

use serde::{Deserialize, Serialize};

use tidemark_model::grant::Grants;

/// A token or a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grantee {
    /// The id, which is never reused, or 0 before the Catalog assigns an id.
    pub id: u64,
    /// The Catalog version of the last change, or 0 before the Catalog stores the entry.
    pub version: u64,
    /// Whether this is a user. The key of a user is its name, and the key of a token is its hash.
    pub user: bool,
    /// The name, unique among tokens or among users.
    pub name: String,
    /// The hex of the token's SHA-256 hash, or of the key derived from a user's password.
    pub hash: String,
    /// The salt of the password derivation, in hex. A token has no salt.
    pub salt: String,
    /// The number of iterations of the password derivation, or 0 for a token.
    pub iterations: u32,
    /// The permissions.
    pub grants: Grants,
    /// The creation time, in nanoseconds since the epoch.
    pub created_ns: i64,
    /// The expiry time, in nanoseconds since the epoch, or `i64::MAX`.
    pub expires_ns: i64,
    /// The time of the last rotation of a token's secret, in nanoseconds, or 0.
    #[serde(default)]
    pub rotated_ns: i64,
    /// The token's previous secret, which only the Catalog stores.
    #[serde(default)]
    pub earlier: Option<EarlierSecret>,
}

/// A token's previous secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierSecret {
    /// The SHA-256 hash of the secret, in lower-case hex.
    pub hash: String,
    /// The time when the token received the secret, in nanoseconds.
    pub since_ns: i64,
    /// The expiry time of the secret, in nanoseconds.
    pub until_ns: i64,
}

impl Grantee {
    /// Creates a token without an id. `times_ns` are the creation time and the expiry time.
    pub fn token(name: &str, hash: String, grants: Grants, times_ns: [i64; 2]) -> Self {
        let [created_ns, expires_ns] = times_ns;
        let (name, salt) = (name.to_owned(), String::new());
        let (id, version, user, iterations) = (0, 0, false, 0);
        let (rotated_ns, earlier) = (0, None);
        Self {
            id,
            version,
            user,
            name,
            hash,
            salt,
            iterations,
            grants,
            created_ns,
            expires_ns,
            rotated_ns,
            earlier,
        }
    }

    /// Returns the time when a token received its current secret, in nanoseconds.
    pub fn secret_since_ns(&self) -> i64 {
        if self.rotated_ns == 0 { self.created_ns } else { self.rotated_ns }
    }

    /// Returns the lookup key: a user's name, or the hash of a token's current secret.
    pub fn key(&self) -> GranteeKey {
        let text = if self.user { &self.name } else { &self.hash };
        GranteeKey { user: self.user, text: text.clone() }
    }

    /// Returns all lookup keys. A token with a previous secret has two keys.
    pub fn keys(&self) -> impl Iterator<Item = GranteeKey> {
        let earlier = self.earlier.iter().filter(|_| !self.user);
        let earlier = earlier.map(|old| GranteeKey { user: false, text: old.hash.clone() });
        std::iter::once(self.key()).chain(earlier)
    }

    /// Returns the token or user with only the secret of `key`, and with the expiry time of this
    /// secret. Returns `None` if `key` does not match.
    pub fn found_by(&self, key: &GranteeKey) -> Option<Self> {
        let row = Self { earlier: None, ..self.clone() };
        if row.key() == *key {
            return Some(row);
        }
        let old = self.earlier.as_ref().filter(|old| !key.user && old.hash == key.text)?;
        let expires_ns = row.expires_ns.min(old.until_ns);
        (!self.user).then(|| Self { hash: old.hash.clone(), expires_ns, ..row })
    }

    /// Returns a copy with only the permissions that apply to `database`.
    #[must_use]
    pub fn on(&self, database: &str) -> Self {
        Self { grants: self.grants.on(database), ..self.clone() }
    }
}

/// The lookup key of a token or user, unique in the deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GranteeKey {
    /// Whether this is the key of a user, not of a token.
    pub user: bool,
    /// The user's name, or the SHA-256 hash of the token's secret in lower-case hex.
    pub text: String,
}

/// A message from the Catalog to a Database about tokens and users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantsPush {
    /// The Catalog version of this content. A Database with a later version responds with `Late`,
    /// because entries of this message may be deleted.
    pub sequence: u64,
    /// The current tokens and users, with only the permissions that apply to this database.
    pub put: Vec<Grantee>,
    /// The keys that were deleted or no longer have permissions on this database.
    pub removed: Vec<GranteeKey>,
    /// Whether a token or user loses a permission. The Database then raises its access number.
    pub narrows: bool,
    /// The Catalog version of the change. A repeated change does not raise the access number again.
    pub change: u64,
    /// Whether this message starts a full list, so that the Database must forget earlier entries.
    #[serde(default)]
    pub anew: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_token_accepts_both_secrets() {
        let mut row = Grantee::token("t", "new".to_owned(), Grants::admin(), [1, 50]);
        let key = |text: &str| GranteeKey { user: false, text: text.to_owned() };
        assert_eq!(row.keys().collect::<Vec<_>>(), [key("new")]);
        assert_eq!((row.secret_since_ns(), row.found_by(&key("old"))), (1, None));
        row.rotated_ns = 20;
        for (until_ns, expires_ns) in [(30, 30), (70, 50)] {
            let (hash, since_ns) = ("old".to_owned(), row.created_ns);
            row.earlier = Some(EarlierSecret { hash, since_ns, until_ns });
            assert_eq!(row.keys().collect::<Vec<_>>(), [key("new"), key("old")]);
            let [new, old] = ["new", "old"].map(|text| row.found_by(&key(text)).unwrap());
            assert_eq!((new.hash.as_str(), new.expires_ns, new.earlier), ("new", 50, None));
            assert_eq!((old.hash.as_str(), old.expires_ns, old.earlier), ("old", expires_ns, None));
            assert_eq!((old.id, old.grants, row.secret_since_ns()), (row.id, new.grants, 20));
        }
        assert_eq!(row.found_by(&GranteeKey { user: true, text: "old".to_owned() }), None);
    }
}
