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
}

impl Grantee {
    /// Creates a token without an id. `times_ns` are the creation time and the expiry time.
    pub fn token(name: &str, hash: String, grants: Grants, times_ns: [i64; 2]) -> Self {
        let [created_ns, expires_ns] = times_ns;
        let (name, salt) = (name.to_owned(), String::new());
        let (id, version, user, iterations) = (0, 0, false, 0);
        Self { id, version, user, name, hash, salt, iterations, grants, created_ns, expires_ns }
    }

    /// Returns the lookup key: a user's name, or a token's hash.
    pub fn key(&self) -> GranteeKey {
        let text = if self.user { &self.name } else { &self.hash };
        GranteeKey { user: self.user, text: text.clone() }
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
    /// The Catalog version of this content. A Database that has already received a later version
    /// responds with `Late`, because the entries of this message may have been deleted since then.
    pub sequence: u64,
    /// The current tokens and users, with only the permissions that apply to this database.
    pub put: Vec<Grantee>,
    /// The keys that were deleted or no longer have permissions on this database.
    pub removed: Vec<GranteeKey>,
    /// Whether a token or user loses a permission. The Database then increases its access number,
    /// so that shards reject requests that were authorised before the change. The field is
    /// `narrows` in JSON.
    #[serde(rename = "narrows")]
    pub revokes: bool,
    /// The Catalog version of the change. A repeated change does not raise the access number again.
    pub change: u64,
    /// Whether this message starts a full list, so that the Database must forget earlier entries.
    /// The field is `anew` in JSON.
    #[serde(default, rename = "anew")]
    pub is_full_list: bool,
}
