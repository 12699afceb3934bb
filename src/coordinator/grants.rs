//! An isolate's copy of the Catalog's tokens and users (PROTOCOL.md rule 11).
//!
//! Everything here is plain memory; [`super::identify`] asks the Catalog and decides.

use std::collections::BTreeMap;
use std::rc::Rc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::Error;
use crate::model::grant::{Grants, Right};
use crate::model::limits::{
    GRANTS_FRESH_NS, GRANTS_USABLE_NS, REFUSED_CREDENTIALS_MAX, STRANGERS_ASKED_FOR_MAX,
    VERIFIED_PASSWORD_NS,
};
use crate::model::time::S_NS;
use crate::protocol::grants::{GrantChanges, Grantee};

/// After this long a refresh of which nothing was heard is somebody else's to make.
const REFRESH_WAIT_NS: i64 = S_NS;

/// A caller who is known; the default is one who may do nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// As refusals call it: `token "name"` or the user's name.
    pub name: Rc<str>,
    /// Whether it is a user.
    pub user: bool,
    /// What it may do.
    pub grants: Rc<Grants>,
    /// Its owner was asked for this request, so a refusal may rest on it (PROTOCOL.md rule 6).
    pub fresh: bool,
}

impl Principal {
    /// Who holds the admin token.
    pub fn admin() -> Self {
        let grants = Rc::new(Grants::admin());
        Self { name: "admin".into(), user: false, grants, fresh: true }
    }

    /// Whether it has the right on a policy of `database`, now that it is known which.
    ///
    /// # Errors
    /// [`Error::Forbidden`]
    pub fn check(&self, right: Right, database: &str, policy: &str) -> Result<(), Error> {
        if self.grants.scope(right, database).covers(policy) {
            return Ok(());
        }
        let (who, database) = ((*self.name).to_owned(), database.to_owned());
        Err(Error::Forbidden { who, right: right.as_str(), database })
    }
}

/// A SHA-256, told apart from others in constant time.
pub type Hash = [u8; 32];

/// Hashes `parts`, each with its length, so that no two lists hash alike.
pub fn hash_of(parts: &[&str]) -> Hash {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

/// The SHA-256 under which a token is kept, lower-case hex.
pub fn token_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).map(char::from).collect()
}

#[derive(Debug)]
struct Known {
    row: Grantee,
    principal: Principal,
}

/// The copy.
#[derive(Debug, Default)]
pub struct GrantCopy {
    version: u64,
    known: Vec<Known>,
    /// When the newest answer was asked for; `None` before the first and after a change of our own.
    asked_ns: Option<i64>,
    /// When somebody last set out to refresh it.
    refreshing_ns: Option<i64>,
    /// Credentials that the Catalog does not know, and when it said so. Newest last.
    refused: Vec<(Hash, i64)>,
    /// By the user's id the password that was derived and found right, and until when that is
    /// believed: one for each user, so none is ever forgotten for want of room.
    verified: BTreeMap<u64, (Hash, i64)>,
    /// Since when questions for strangers are counted, and how many there were.
    strangers: (i64, u32),
}

impl GrantCopy {
    /// Nanoseconds since the copy was true; `None` when there is none.
    fn age_ns(&self, now_ns: i64) -> Option<i64> {
        self.asked_ns.map(|asked_ns| now_ns.saturating_sub(asked_ns))
    }

    /// Whether it may still be believed.
    pub fn is_usable(&self, now_ns: i64) -> bool {
        self.age_ns(now_ns).is_some_and(|age_ns| age_ns <= GRANTS_USABLE_NS)
    }

    /// Whether whoever asks should refresh it first: while somebody does, the others go on with it.
    pub fn wants_refresh(&self, now_ns: i64) -> bool {
        let old = self.age_ns(now_ns).is_none_or(|age_ns| age_ns > GRANTS_FRESH_NS);
        let under_way = self
            .refreshing_ns
            .is_some_and(|since_ns| now_ns.saturating_sub(since_ns) < REFRESH_WAIT_NS);
        old && !(under_way && self.is_usable(now_ns))
    }

    /// Whether somebody may be refused on it though its owner was not asked for them: so many were
    /// asked for lately that it is hardly older than an answer would be.
    pub fn may_refuse(&self, now_ns: i64) -> bool {
        let (since_ns, count) = self.strangers;
        let many = count >= STRANGERS_ASKED_FOR_MAX && now_ns.saturating_sub(since_ns) < S_NS;
        many && self.age_ns(now_ns).is_some_and(|age_ns| age_ns <= S_NS)
    }

    /// The Catalog is asked for somebody whom the copy does not know.
    pub fn asking_for_stranger(&mut self, now_ns: i64) {
        let (since_ns, count) = self.strangers;
        self.strangers = match now_ns.saturating_sub(since_ns) < S_NS {
            true => (since_ns, count.saturating_add(1)),
            false => (now_ns, 1),
        };
    }

    /// Somebody sets out to refresh it; answers the version that it has.
    pub fn refreshing(&mut self, now_ns: i64) -> u64 {
        self.refreshing_ns = Some(now_ns);
        self.version
    }

    /// Takes the answer to a question that was asked at `asked_ns` by whoever had version `since`.
    pub fn learn(&mut self, changes: GrantChanges, since: u64, asked_ns: i64) {
        self.refreshing_ns = None;
        // Of a copy that is gone, or older than what is known by now.
        if since > self.version || changes.version < self.version {
            return;
        }
        if changes.version > self.version {
            self.refused.clear();
            self.verified.retain(|id, _| changes.live.contains(id));
        }
        self.known.retain(|known| changes.live.contains(&known.row.id));
        for mut row in changes.changed {
            let grants = Rc::new(std::mem::take(&mut row.grants));
            let name = if row.user { row.name.clone() } else { format!("token \"{}\"", row.name) };
            let principal = Principal { name: name.into(), user: row.user, grants, fresh: false };
            let known = Known { row, principal };
            match self.known.iter_mut().find(|older| older.row.id == known.row.id) {
                Some(older) => *older = known,
                None => self.known.push(known),
            }
        }
        self.version = changes.version;
        self.asked_ns = self.asked_ns.max(Some(asked_ns));
    }

    /// A change of our own was acknowledged, or may have been: nothing is known until asked again.
    pub fn forget(&mut self) {
        self.asked_ns = None;
        self.refused.clear();
    }

    /// The token whose hash (hex) this is. Every token is compared, each in constant time.
    pub fn token(&self, hash: &str, now_ns: i64) -> Option<Principal> {
        let mut found = None;
        for known in &self.known {
            let same: bool = known.row.hash.as_bytes().ct_eq(hash.as_bytes()).into();
            if same && !known.row.user && now_ns < known.row.expires_ns {
                found = Some(&known.principal);
            }
        }
        found.cloned()
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<(&Grantee, &Principal)> {
        let known = self.known.iter().find(|known| known.row.user && known.row.name == name)?;
        Some((&known.row, &known.principal))
    }

    /// Every token, or every user, in order of creation.
    pub fn all(&self, users: bool) -> impl Iterator<Item = (&Grantee, &Grants)> {
        let of_kind = self.known.iter().filter(move |known| known.row.user == users);
        of_kind.map(|known| (&known.row, known.principal.grants.as_ref()))
    }

    /// Whether the Catalog lately said that it does not know `credentials`.
    pub fn is_refused(&self, credentials: &Hash, now_ns: i64) -> bool {
        let recent = |since_ns: i64| now_ns.saturating_sub(since_ns) <= GRANTS_FRESH_NS;
        self.refused.iter().any(|(hash, since_ns)| hash == credentials && recent(*since_ns))
    }

    /// Remembers that the Catalog does not know `credentials`.
    pub fn refuse(&mut self, credentials: Hash, now_ns: i64) {
        remember(&mut self.refused, credentials, now_ns, REFUSED_CREDENTIALS_MAX);
    }

    /// Whether this password of the user of this id was found right a short while ago.
    pub fn is_verified(&self, id: u64, password: &Hash, now_ns: i64) -> bool {
        let known = self.verified.get(&id);
        known.is_some_and(|(hash, until_ns)| hash == password && now_ns < *until_ns)
    }

    /// Remembers that this password is right.
    pub fn verify(&mut self, id: u64, password: Hash, now_ns: i64) {
        self.verified.insert(id, (password, now_ns.saturating_add(VERIFIED_PASSWORD_NS)));
    }
}

/// Adds to a short list whose oldest entry makes room.
fn remember(list: &mut Vec<(Hash, i64)>, hash: Hash, at_ns: i64, most: usize) {
    list.retain(|(known, _)| *known != hash);
    if list.len() >= most {
        list.remove(0);
    }
    list.push((hash, at_ns));
}
