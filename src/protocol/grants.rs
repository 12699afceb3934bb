//! Describes tokens and users as the Catalog keeps them and the edges remember them.

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

/// The Catalog's tokens and users as far as they have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantChanges {
    /// Of the newest change of all.
    pub version: u64,
    /// The numbers of all that there are, ascending; what is not among them is gone.
    pub live: Vec<u64>,
    /// Those that changed, ascending by number.
    pub changed: Vec<Grantee>,
}
