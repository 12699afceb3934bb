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
    /// When a token got its present secret, nanoseconds; 0: with itself.
    #[serde(default)]
    pub rotated_ns: i64,
    /// The secret that a token had before, which lets in for a while. The Catalog alone has it: to
    /// others the token is as [`Grantee::found_by`] says.
    #[serde(default)]
    pub earlier: Option<EarlierSecret>,
}

/// A secret of a token that has another one by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierSecret {
    /// Its SHA-256, lower-case hex.
    pub hash: String,
    /// When the token got it, nanoseconds.
    pub since_ns: i64,
    /// From when on it is unknown, nanoseconds.
    pub until_ns: i64,
}

impl Grantee {
    /// A token that is to be created, whose secret has this hash; `[created, expires]` nanoseconds.
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

    /// When a token got its present secret, nanoseconds.
    pub fn secret_since_ns(&self) -> i64 {
        if self.rotated_ns == 0 { self.created_ns } else { self.rotated_ns }
    }

    /// What it is found by; a token by its present secret.
    pub fn key(&self) -> GranteeKey {
        let text = if self.user { &self.name } else { &self.hash };
        GranteeKey { user: self.user, text: text.clone() }
    }

    /// All that it is found by: a token also by the secret that it had before.
    pub fn keys(&self) -> impl Iterator<Item = GranteeKey> {
        let earlier = self.earlier.iter().filter(|_| !self.user);
        let earlier = earlier.map(|old| GranteeKey { user: false, text: old.hash.clone() });
        std::iter::once(self.key()).chain(earlier)
    }

    /// As whoever meets it by `key` knows it: with that secret alone, and for as long as that lets
    /// in. `None` where it is not found by it.
    pub fn found_by(&self, key: &GranteeKey) -> Option<Self> {
        let row = Self { earlier: None, ..self.clone() };
        if row.key() == *key {
            return Some(row);
        }
        let old = self.earlier.as_ref().filter(|old| !key.user && old.hash == key.text)?;
        let expires_ns = row.expires_ns.min(old.until_ns);
        (!self.user).then(|| Self { hash: old.hash.clone(), expires_ns, ..row })
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
    /// `put` is the beginning of all that concern this database, which is being made: what it has
    /// been told at earlier versions is forgotten.
    #[serde(default)]
    pub anew: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_two_secrets_is_two_to_others_each_for_as_long_as_it_lets_in() {
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
