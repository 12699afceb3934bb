//! What an isolate remembers of callers: which right each has on the databases that it uses, under
//! which number of their grants (PROTOCOL.md rule 11).
//!
//! Everything here is plain memory; [`super::identify`] asks the owners and decides.

use std::collections::BTreeMap;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::confirmations::Confirmations;
use super::error::Error;
use crate::model::grant::{Grants, Right, Scope};
use crate::model::ids::ObjectId;
use crate::model::limits::{
    CALLERS_REMEMBERED_MAX, REFUSED_CREDENTIALS_MAX, REFUSED_CREDENTIALS_NS,
    STRANGERS_ASKED_FOR_MAX, UNKNOWN_NAMES_MAX, VERIFIED_PASSWORD_NS,
};
use crate::model::time::S_NS;
use crate::protocol::call::Platform;
use crate::protocol::grants::{Grantee, GranteeKey};

/// A caller who is known; the default is one who may do nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// As refusals call it: `token "name"` or the user's name.
    pub name: Rc<str>,
    /// Whether it is a user.
    pub user: bool,
    /// What it may do, as far as that is known: each database has the last word on itself.
    pub grants: Rc<Grants>,
    /// The Catalog was asked for this request, so a refusal may rest on it (PROTOCOL.md rule 6).
    pub fresh: bool,
    /// Whose rights each database looks up; `None` for the administrator, and for nobody.
    pub caller: Option<Rc<Caller>>,
}

/// Whom a database looks up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it is found by.
    pub key: GranteeKey,
    /// Its number: somebody else may get a user's name.
    pub id: u64,
    /// What it was let in by: a changed password ends what the old one began.
    pub hash: String,
    /// Which change of the Catalog's made it what it was then.
    pub version: u64,
}

impl Caller {
    /// Whether this is what the caller was let in as.
    pub fn is(&self, row: &Grantee, now_ns: i64) -> bool {
        row.id == self.id && row.hash == self.hash && now_ns < row.expires_ns
    }
}

impl Principal {
    /// Who holds the admin token.
    pub fn admin() -> Self {
        let grants = Rc::new(Grants::admin());
        Self { name: "admin".into(), user: false, grants, fresh: true, caller: None }
    }

    /// Whom `rows` of one token or user are about: what they say of several databases together.
    pub fn of(rows: &[Rc<Held>], fresh: bool) -> Self {
        let Some(newest) = rows.iter().max_by_key(|held| held.row.version) else {
            return Self::default();
        };
        let row = &newest.row;
        let name = if row.user { row.name.clone() } else { format!("token \"{}\"", row.name) };
        let mut grants = Grants { admin: row.grants.admin, permissions: Vec::new() };
        for held in rows.iter().filter(|held| held.row.id == row.id) {
            for permission in &held.row.grants.permissions {
                if !grants.permissions.contains(permission) {
                    grants.permissions.push(permission.clone());
                }
            }
        }
        let (key, id, hash, version) = (row.key(), row.id, row.hash.clone(), row.version);
        let caller = Some(Rc::new(Caller { key, id, hash, version }));
        Self { name: name.into(), user: row.user, grants: Rc::new(grants), fresh, caller }
    }

    /// Whether what it may do has to be looked up for this request. The administrator's has not.
    pub fn wants_owner(&self) -> bool {
        self.caller.is_some() && !self.fresh
    }
}

/// What a caller may do on one database, as its owner says.
#[derive(Clone, Debug)]
pub struct Standing {
    /// As refusals call the caller.
    name: Rc<str>,
    /// What it may do.
    grants: Rc<Grants>,
    /// What its frames and questions carry: [`crate::protocol::shard::Stamp::access`].
    pub access: u64,
}

impl Standing {
    /// Of somebody who may do what `grants` say.
    pub fn new(name: &Rc<str>, grants: Rc<Grants>, access: u64) -> Self {
        Self { name: Rc::clone(name), grants, access }
    }

    /// How much of `database` the right covers.
    pub fn scope(&self, right: Right, database: &str) -> Scope {
        self.grants.scope(right, database)
    }

    /// Whether it has the right on a policy of `database`, now that it is known which.
    ///
    /// # Errors
    /// [`Error::Forbidden`]
    pub fn check(&self, right: Right, database: &str, policy: &str) -> Result<(), Error> {
        if self.scope(right, database).covers(policy) {
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

/// What every token begins with, as the vendor's do: scanners for leaked secrets know it.
pub const TOKEN_PREFIX: &str = "apiv3_";

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

/// What a database's owner said of a caller.
#[derive(Clone, Debug)]
pub struct Held {
    /// The token or user, with what concerns that database.
    pub row: Grantee,
    /// What it may do.
    pub grants: Rc<Grants>,
    /// The number of the database's grants when this was so.
    pub access: u64,
}

impl Held {
    /// As `row` was under the number `access`.
    pub fn new(row: Grantee, access: u64) -> Self {
        let grants = Rc::new(row.grants.clone());
        Self { row, grants, access }
    }
}

/// Callers that an isolate has met.
#[derive(Debug, Default)]
pub struct Callers {
    /// By what they are found by, then by database; and when each was used last.
    held: BTreeMap<(GranteeKey, ObjectId), (Rc<Held>, u64)>,
    /// Raised by every use.
    clock: u64,
    /// Credentials that the Catalog does not know, and when it said so. Newest last.
    refused: Vec<(Hash, i64)>,
    /// Hashes of names that no user has, when the Catalog said so, and whether it has users at all.
    nobodies: BTreeMap<Hash, (i64, bool)>,
    /// By the user's id the password that was derived and found right, and until when that is
    /// believed: one for each user, so none is ever forgotten for want of room.
    verified: BTreeMap<u64, (Hash, i64)>,
    /// Names with passwords that were right together, and until when that is of use.
    right: BTreeMap<Hash, i64>,
    /// What hashes of passwords begin with: of no use outside of this isolate.
    secret: Option<String>,
    /// Since when strangers are counted, and how many there were.
    strangers: (i64, u32),
    /// What the Catalog has said since of those that were let in.
    pub confirmed: Confirmations,
}

impl Callers {
    /// What `database` last said of the caller.
    pub fn on(&mut self, key: &GranteeKey, database: &ObjectId) -> Option<Rc<Held>> {
        self.clock += 1;
        let (held, used) = self.held.get_mut(&(key.clone(), database.clone()))?;
        *used = self.clock;
        Some(Rc::clone(held)).filter(|held| self.confirmed.believes(&held.row))
    }

    /// What all databases said of the caller.
    pub fn everywhere(&self, key: &GranteeKey) -> Vec<Rc<Held>> {
        let first = (key.clone(), ObjectId(String::new()));
        let rows = self.held.range(first..).take_while(|((of, _), _)| of == key);
        let held = rows.map(|(_, (held, _))| held);
        held.filter(|held| self.confirmed.believes(&held.row)).cloned().collect()
    }

    /// The Catalog says of somebody who was let in that it knows `row`, or nobody.
    pub fn confirm(&mut self, caller: &Caller, row: Option<&Grantee>, now_ns: i64) {
        let held = self.everywhere(&caller.key);
        self.confirmed.heard(caller, (&held, row), now_ns);
    }

    /// Remembers what `database` says. An older answer that comes late changes nothing.
    pub fn learn(&mut self, database: &ObjectId, held: Held) -> Rc<Held> {
        self.clock += 1;
        let key = (held.row.key(), database.clone());
        let held = Rc::new(held);
        if self.held.get(&key).is_some_and(|(known, _)| known.access > held.access) {
            return held;
        }
        self.held.insert(key, (Rc::clone(&held), self.clock));
        if self.held.len() > CALLERS_REMEMBERED_MAX {
            let before = self.clock - CALLERS_REMEMBERED_MAX as u64 / 2;
            self.held.retain(|_, (_, used)| *used >= before);
        }
        held
    }

    /// The caller has no right there any more.
    pub fn forget(&mut self, key: &GranteeKey, database: &ObjectId) {
        self.held.remove(&(key.clone(), database.clone()));
    }

    /// Nobody asks that database any more.
    pub fn forget_database(&mut self, database: &ObjectId) {
        self.held.retain(|(_, of), _| of != database);
    }

    /// A change of our own was acknowledged, or may have been: who was unknown may be known.
    pub fn forget_refused(&mut self) {
        self.refused.clear();
        self.nobodies.clear();
    }

    /// Whether somebody may be asked for a caller whom nobody may know: not where many have turned
    /// out to be strangers in this second.
    pub fn may_ask(&self, now_ns: i64) -> bool {
        let (since_ns, count) = self.strangers;
        count < STRANGERS_ASKED_FOR_MAX || now_ns.saturating_sub(since_ns) >= S_NS
    }

    /// Somebody was asked for and is unknown.
    pub fn count_stranger(&mut self, now_ns: i64) {
        let (since_ns, count) = self.strangers;
        self.strangers = match now_ns.saturating_sub(since_ns) < S_NS {
            true => (since_ns, count.saturating_add(1)),
            false => (now_ns, 1),
        };
    }

    /// Whether the Catalog lately said that it does not know `credentials`.
    pub fn is_refused(&self, credentials: &Hash, now_ns: i64) -> bool {
        self.refused.iter().any(|(hash, at_ns)| hash == credentials && is_recent(*at_ns, now_ns))
    }

    /// Whether there are users at all, if the Catalog lately said that none has this name.
    pub fn is_nobody(&self, name: &str, now_ns: i64) -> Option<bool> {
        let (since_ns, users) = self.nobodies.get(&hash_of(&[name]))?;
        is_recent(*since_ns, now_ns).then_some(*users)
    }

    /// Remembers that the Catalog knows no user of this name, while there is room.
    pub fn nobody(&mut self, name: &str, users: bool, now_ns: i64) {
        if self.nobodies.len() >= UNKNOWN_NAMES_MAX {
            self.nobodies.retain(|_, (since_ns, _)| is_recent(*since_ns, now_ns));
        }
        if self.nobodies.len() < UNKNOWN_NAMES_MAX {
            self.nobodies.insert(hash_of(&[name]), (now_ns, users));
        }
    }

    /// Remembers that the Catalog does not know `credentials`.
    pub fn refuse(&mut self, credentials: Hash, now_ns: i64) {
        remember(&mut self.refused, credentials, now_ns, REFUSED_CREDENTIALS_MAX);
    }

    /// What is remembered of a password, keyed by a secret of this isolate.
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

    /// Whether this password of the user of this id was found right a short while ago.
    pub fn is_verified(&self, id: u64, password: &Hash, now_ns: i64) -> bool {
        let known = self.verified.get(&id);
        known.is_some_and(|(hash, until_ns)| hash == password && now_ns < *until_ns)
    }

    /// Whether this name and password were right together a short while ago: it lets nobody in.
    pub fn is_right(&self, pair: &Hash, now_ns: i64) -> bool {
        self.right.get(pair).is_some_and(|until_ns| now_ns < *until_ns)
    }

    /// Remembers that this password is right, and that it is with this name.
    pub fn verify(&mut self, id: u64, (password, pair): (Hash, Hash), now_ns: i64) {
        if self.verified.len().max(self.right.len()) >= CALLERS_REMEMBERED_MAX {
            self.verified.retain(|_, (_, until_ns)| now_ns < *until_ns);
            self.right.retain(|_, until_ns| now_ns < *until_ns);
        }
        let until_ns = now_ns.saturating_add(VERIFIED_PASSWORD_NS);
        self.verified.insert(id, (password, until_ns));
        self.right.insert(pair, until_ns);
    }
}

fn is_recent(since_ns: i64, now_ns: i64) -> bool {
    now_ns.saturating_sub(since_ns) <= REFUSED_CREDENTIALS_NS
}

/// Adds to a short list whose oldest entry makes room.
fn remember(list: &mut Vec<(Hash, i64)>, hash: Hash, at_ns: i64, most: usize) {
    list.retain(|(known, _)| *known != hash);
    if list.len() >= most {
        list.remove(0);
    }
    list.push((hash, at_ns));
}
