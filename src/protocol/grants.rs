//! Describes tokens and users as the Catalog keeps them, and how Databases and edges hear of those
//! that concern them.

use serde::{Deserialize, Serialize};

use crate::model::grant::Grants;

/// A token or a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grantee {
    /// Its number, never reused; 0 for one that is to be created.
    pub id: u64,
    /// Which change of the Catalog's made it what it is; 0 for one that is to be created.
    pub version: u64,
    /// A user, found by name. Otherwise a token, found by its hash.
    pub user: bool,
    /// Unique among tokens, and among users.
    pub name: String,
    /// Of a token its SHA-256, of a user the key derived from the password; lower-case hex.
    pub hash: String,
    /// What the password was salted with, hex. A token needs none.
    pub salt: String,
    /// Rounds of the derivation.
    pub iterations: u32,
    /// What it may do.
    pub grants: Grants,
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
    /// From when on it is unknown, nanoseconds since the epoch; `i64::MAX` is never.
    pub expires_ns: i64,
}

impl Grantee {
    /// What it is found by.
    pub fn key(&self) -> GranteeKey {
        let text = if self.user { &self.name } else { &self.hash };
        GranteeKey { user: self.user, text: text.clone() }
    }

    /// The same with what concerns `database` only.
    #[must_use]
    pub fn on(&self, database: &str) -> Self {
        Self { grants: self.grants.on(database), ..self.clone() }
    }
}

/// What a token or user is found by: everywhere the same, and unlike a token's name never twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GranteeKey {
    /// A user, else a token.
    pub user: bool,
    /// The user's name, or the token's SHA-256, lower-case hex.
    pub text: String,
}

/// What the Catalog tells a Database of tokens and users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantsPush {
    /// The Catalog's version that this was read at. A Database that has heard of a later one
    /// answers `Late`: what is in here may be gone.
    pub sequence: u64,
    /// As they are now, with what concerns this database only.
    pub put: Vec<Grantee>,
    /// Those that are gone, or have nothing to do with this database any more.
    pub removed: Vec<GranteeKey>,
    /// Somebody may do less than before: the number of the grants rises, and every shard hears of
    /// it before the answer.
    pub narrows: bool,
    /// The version of the Catalog's at which that became so: a repeat raises the number no more.
    pub change: u64,
}
