//! Identifies the caller of a request by its credentials. The sources are, in this order: the cache
//! of the isolate, the Databases that the request uses, and, before a refusal, the Catalog, which
//! knows all callers.
//!
//! The credentials are tried as a token first, and then as user and password. A caller that the
//! cache admits may have lost a permission in the meantime. In that case the shards or the Database
//! refuse the request before they execute it (PROTOCOL.md rule 11).

use std::collections::VecDeque;
use std::rc::Rc;

use subtle::ConstantTimeEq;

use super::grants::{ConfirmedGrantee, Hash, Principal, TOKEN_PREFIX, hash_of, hex, token_hash};
use super::logins::{Closed, FullCounter, LoginDecision, customer};
use super::{Context, RoundMachine, Turn};
use crate::model::ids::ObjectId;
use crate::model::limits::PASSWORD_ITERATIONS;
use crate::model::time::S_NS;
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::grants::GranteeKey;
use crate::protocol::host::Unavailable;
use crate::protocol::password_derivation::Derivation;
use crate::protocol::round::{CallResult, Next, Replies, Request, Round};

/// The pause, in milliseconds, before a waiting login checks again whether its key may be derived.
const TURN_MS: u32 = 10;
/// The maximum time that a login waits to derive its key.
const TURN_WAIT_NS: i64 = 10 * S_NS;
/// The salt for a user who does not exist, so that the refusal takes as long as for an existing
/// user.
const NOBODY_SALT: &str = "nobody";

/// The salt in hashes of a name and its correct password. These hashes do not use the user's salt.
const ANY_SALT: &str = "";

/// The credentials of a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name of Basic, `u` or `Token user:password`. A token is valid with any user name.
    pub user: Option<String>,
    /// The text after the scheme. This text is tried as a token first.
    pub token: String,
    /// The password that belongs to `user`. The password is also tried as a token.
    pub password: String,
}

impl Credentials {
    /// Creates credentials from a secret, which is either a token with any user name or the
    /// password of `user`.
    pub fn pair(user: Option<String>, secret: String) -> Self {
        Self { user, token: secret.clone(), password: secret }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// The result of checking credentials.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The credentials belong to this caller.
    Known(Principal),
    /// The credentials belong to no caller.
    Unknown,
    /// The credentials may belong to a user, but the isolate must not derive a key from the
    /// password now.
    Closed(Closed),
}

/// The source whose reply can admit a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthSource {
    /// The replies of these databases, or the Catalog's reply if this isolate does not know one of
    /// the databases. If the list is empty, the reply of any previously queried database can admit
    /// the caller.
    Databases(Vec<String>),
    /// Only the Catalog's reply, because no shard executes the request, or because a refusal is
    /// based on the result.
    Catalog,
}

/// The check of credentials, in progress.
pub struct Identify {
    credentials: Credentials,
    tokens: [GranteeKey; 2],
    user: Option<GranteeKey>,
    /// The hash of all credentials, which is the cache key.
    hash: Hash,
    /// The client's address, under which tries are counted.
    address: String,
    databases: VecDeque<String>,
    /// The matching tokens and users, with one row per source.
    found: Vec<Rc<ConfirmedGrantee>>,
    /// Whether any users exist; `None` before the Catalog's reply.
    catalog: Option<bool>,
    /// Whether `catalog` comes from an earlier reply about the name.
    is_remembered: bool,
    from_catalog: bool,
    waiting_since_ns: Option<i64>,
    derived: Option<(String, String)>,
    waiting: AwaitedReply,
    round: Round,
}

impl std::fmt::Debug for Identify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identify(..)")
    }
}

enum AwaitedReply {
    Nothing,
    Database(ObjectId),
    Catalog,
    Key { salt: String },
    Turn,
}

enum Lookup {
    Known(Principal),
    Unknown,
    /// The check needs the key of this password.
    Derive {
        salt: String,
        iterations: u32,
    },
}

impl Identify {
    /// Prepares the check. `address` is the client's address, if known.
    pub fn new(credentials: Credentials, auth_source: AuthSource, address: &str) -> Self {
        let user = credentials.user.as_deref().unwrap_or_default();
        let key = |user, text| GranteeKey { user, text };
        let (databases, from_catalog) = match auth_source {
            AuthSource::Databases(names) => (names.into(), false),
            AuthSource::Catalog => (VecDeque::new(), true),
        };
        Self {
            tokens: [&credentials.token, &credentials.password].map(|t| key(false, token_hash(t))),
            user: credentials.user.clone().map(|name| key(true, name)),
            hash: hash_of(&[user, &credentials.token, &credentials.password]),
            credentials,
            address: customer(address).to_owned(),
            databases,
            found: Vec::new(),
            catalog: None,
            is_remembered: false,
            from_catalog,
            waiting_since_ns: None,
            derived: None,
            waiting: AwaitedReply::Nothing,
            round: Round::default(),
        }
    }

    fn keys(&self) -> Vec<GranteeKey> {
        let [token, password] = &self.tokens;
        let second = (password != token).then_some(password);
        [token].into_iter().chain(second).chain(&self.user).cloned().collect()
    }

    /// If no key may be derived from the password now, the check ends without a call, so that
    /// guesses cause no calls.
    fn begin(&mut self, context: &mut Context<'_>) -> Turn<Verdict> {
        if let Some(closed) = self.closed(context) {
            return Ok(Next::Reply(Verdict::Closed(closed)));
        }
        if let Some(users) = self.remember_missing_user(context) {
            (self.catalog, self.from_catalog, self.is_remembered) = (Some(users), true, true);
        }
        self.decide(context)
    }

    /// Returns whether any users exist, if the isolate knows that no user has this name. Returns
    /// `None` for credentials that may be a token or that a database knows.
    fn remember_missing_user(&self, context: &Context<'_>) -> Option<bool> {
        let name = self.credentials.user.as_deref().filter(|_| !self.may_be_token())?;
        let (callers, now_ns) = (&context.cache.callers, context.platform.now_ns());
        let users = callers.missing_user(name, now_ns)?;
        let is_requested = !callers.is_refused(&self.hash, now_ns);
        (is_requested && self.everywhere(context).is_empty()).then_some(users)
    }

    /// Whether a secret has the format of a token. The check of such a secret never waits. The
    /// secret is tried as a password only if the Catalog knows no such token.
    fn may_be_token(&self) -> bool {
        let secrets = [&self.credentials.token, &self.credentials.password];
        secrets.iter().any(|secret| secret.starts_with(TOKEN_PREFIX))
    }

    /// Returns the reason why no key may be derived from the user's password now. Returns `None` if
    /// a key may be derived, or if the cache admits the caller.
    fn closed(&self, context: &mut Context<'_>) -> Option<Closed> {
        let name = self.credentials.user.as_deref().filter(|_| !self.may_be_token())?;
        let now_ns = context.platform.now_ns();
        let closed = context.cache.logins.closed(&self.address, name, now_ns)?;
        let is_token = self.everywhere(context).iter().any(|held| !held.row.user);
        let pair = self.password_hash(context, name, ANY_SALT);
        (!is_token && !context.cache.callers.is_verified_password(&pair, now_ns)).then_some(closed)
    }

    fn password_hash(&self, context: &mut Context<'_>, name: &str, salt: &str) -> Hash {
        let password = [name, salt, &self.credentials.password];
        context.cache.callers.password_hash(context.platform, password)
    }

    fn is_verified(&self, context: &mut Context<'_>, user: &ConfirmedGrantee) -> bool {
        let now_ns = context.platform.now_ns();
        let password = self.password_hash(context, &user.row.name, &user.row.salt);
        context.cache.callers.is_verified(user.row.id, &password, now_ns)
    }

    /// Admits or refuses the caller, or queries the next source if the replies do not suffice.
    fn decide(&mut self, context: &mut Context<'_>) -> Turn<Verdict> {
        let now_ns = context.platform.now_ns();
        if self.catalog.is_none() && context.cache.callers.is_refused(&self.hash, now_ns) {
            return Ok(Next::Reply(Verdict::Unknown));
        }
        if !self.from_catalog
            && let Some(next) = self.query_databases(context)?
        {
            return Ok(next);
        }
        match self.look_up(context, now_ns) {
            Lookup::Known(principal) => {
                if principal.user {
                    self.logged_in(context);
                }
                Ok(Next::Reply(Verdict::Known(principal)))
            }
            Lookup::Derive { salt, iterations }
                if self.catalog.is_some() || !self.may_be_token() =>
            {
                self.derive(context, salt, iterations)
            }
            Lookup::Unknown if self.catalog.is_some() => {
                let callers = &mut context.cache.callers;
                callers.refuse(self.hash, now_ns);
                if !self.is_remembered {
                    callers.count_unknown_caller(now_ns);
                }
                Ok(Next::Reply(Verdict::Unknown))
            }
            Lookup::Unknown | Lookup::Derive { .. } => {
                // Only a caller whom no database knows counts as unknown. A known caller who is
                // refused does not count, nor does a wrong password.
                let known = !self.everywhere(context).is_empty();
                if !known && !context.cache.callers.may_look_up(now_ns) {
                    return Err(Unavailable::Overloaded.into());
                }
                self.found.clear();
                self.waiting = AwaitedReply::Catalog;
                Ok(Next::call(Address::Catalog, &ToCatalog::Identify { keys: self.keys() }))
            }
        }
    }

    /// Uses the databases' earlier replies, and queries the next database without a reply.
    fn query_databases(&mut self, context: &mut Context<'_>) -> OwnerRequest {
        let now_ns = context.platform.now_ns();
        while let Some(name) = self.databases.front() {
            let Some(known) = context.cache.database(name) else {
                // Only the Catalog knows the object of this database.
                self.databases.clear();
                self.from_catalog = true;
                return Ok(None);
            };
            self.databases.pop_front();
            if self.is_identified(context, &known.object) {
                continue;
            }
            let is_met = !self.everywhere(context).is_empty();
            if !is_met && !context.cache.callers.may_look_up(now_ns) {
                return Err(Unavailable::Overloaded.into());
            }
            self.waiting = AwaitedReply::Database(known.object.clone());
            let to = Address::Database(known.object);
            return Ok(Some(Next::call(to, &ToDatabase::Identify { keys: self.keys() })));
        }
        if self.found.is_empty() {
            self.found = self.everywhere(context);
        }
        Ok(None)
    }

    /// Whether an earlier reply of the database identifies the credentials. Returns `false` for a
    /// password that was not recently verified, because the password may have changed or may be a
    /// token.
    fn is_identified(&self, context: &mut Context<'_>, object: &ObjectId) -> bool {
        let now_ns = context.platform.now_ns();
        let callers = &mut context.cache.callers;
        let mut tokens = self.tokens.iter().filter_map(|key| callers.on(key, object));
        if tokens.any(|held| now_ns < held.row.expires_ns) {
            return true;
        }
        let held = self.user.as_ref().and_then(|key| callers.on(key, object));
        held.is_some_and(|held| self.is_verified(context, &held))
    }

    fn everywhere(&self, context: &Context<'_>) -> Vec<Rc<ConfirmedGrantee>> {
        let keys = self.keys();
        keys.iter().flat_map(|key| context.cache.callers.everywhere(key)).collect()
    }

    /// Requests the derivation of a key from the password, or waits for other derivations for the
    /// same address.
    fn derive(&mut self, context: &mut Context<'_>, salt: String, rounds: u32) -> Turn<Verdict> {
        let now_ns = context.platform.now_ns();
        let name = self.credentials.user.as_deref().unwrap_or_default();
        let since_ns = *self.waiting_since_ns.get_or_insert(now_ns);
        let (waiting, request) = match context.cache.logins.begin(&self.address, name, now_ns) {
            LoginDecision::Open => {
                let password = &self.credentials.password;
                let derivation = Derivation { iterations: rounds, salt: &salt, password };
                (AwaitedReply::Key { salt: salt.clone() }, derivation.request())
            }
            LoginDecision::Busy if now_ns.saturating_sub(since_ns) < TURN_WAIT_NS => {
                (AwaitedReply::Turn, Request::pause(TURN_MS))
            }
            LoginDecision::Busy => {
                let closed = Closed { by: FullCounter::Address, retry_after_s: 1 };
                return Ok(Next::Reply(Verdict::Closed(closed)));
            }
            LoginDecision::Closed(closed) => return Ok(Next::Reply(Verdict::Closed(closed))),
        };
        self.waiting = waiting;
        Ok(Next::Calls(vec![request]))
    }

    fn logged_in(&mut self, context: &mut Context<'_>) {
        let name = self.credentials.user.as_deref().unwrap_or_default();
        let logins = &mut context.cache.logins;
        if self.derived.take().is_some() {
            logins.take_back(&self.address, name);
        }
        logins.verified(&self.address, name, context.platform.now_ns());
    }

    fn look_up(&self, context: &mut Context<'_>, now_ns: i64) -> Lookup {
        let fresh = self.catalog.is_some();
        let valid = || self.found.iter().filter(|held| now_ns < held.row.expires_ns);
        for key in &self.tokens {
            let is_same = |held: &&Rc<ConfirmedGrantee>| {
                let same: bool = held.row.hash.as_bytes().ct_eq(key.text.as_bytes()).into();
                same && !held.row.user
            };
            let rows: Vec<_> = valid().filter(is_same).cloned().collect();
            if !rows.is_empty() {
                return Lookup::Known(Principal::of(&rows, fresh));
            }
        }
        let Some(name) = &self.credentials.user else { return Lookup::Unknown };
        // If databases report different rows, the row with the latest change is used.
        let users = || valid().filter(|held| held.row.user && held.row.name == *name);
        let user = users().max_by_key(|held| held.row.version);
        let (salt, iterations) = match (user, self.catalog) {
            (Some(held), _) => (held.row.salt.clone(), held.row.iterations),
            (None, Some(true)) => (NOBODY_SALT.to_owned(), PASSWORD_ITERATIONS),
            (None, _) => return Lookup::Unknown,
        };
        let password = self.password_hash(context, name, &salt);
        let callers = &context.cache.callers;
        let is_right = match (&self.derived, user) {
            (_, Some(held)) if callers.is_verified(held.row.id, &password, now_ns) => true,
            (Some((derived_salt, key)), user) if *derived_salt == salt => {
                user.is_some_and(|held| held.row.hash.as_bytes().ct_eq(key.as_bytes()).into())
            }
            _ => return Lookup::Derive { salt, iterations },
        };
        let Some(user) = user.filter(|_| is_right) else { return Lookup::Unknown };
        let pair = self.password_hash(context, name, ANY_SALT);
        context.cache.callers.verify(user.row.id, (password, pair), now_ns);
        let rows: Vec<_> = users().filter(|held| held.row.hash == user.row.hash).cloned().collect();
        Lookup::Known(Principal::of(&rows, fresh))
    }

    fn on_database_reply(
        &mut self,
        context: &mut Context<'_>,
        object: &ObjectId,
        reply: CallResult,
    ) -> Result<(), Unavailable> {
        match envelope::decode_reply::<FromDatabase>(reply)? {
            FromDatabase::Identified { access, found } => {
                let callers = &mut context.cache.callers;
                for row in found {
                    if callers.confirmed.is_trusted(&row) {
                        callers.on_reply(object, ConfirmedGrantee::new(row, access));
                    }
                }
                Ok(())
            }
            // The database was dropped. The Catalog knows every caller that this database could
            // have known.
            FromDatabase::NotOpen => {
                self.from_catalog = true;
                Ok(())
            }
            FromDatabase::Unavailable(reason) => Err(reason),
            _ => Err(Unavailable::Unreachable("unexpected reply".to_owned())),
        }
    }

    fn on_catalog_reply(
        &mut self,
        context: &mut Context<'_>,
        reply: CallResult,
    ) -> Result<(), Unavailable> {
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Identified { found, users } => {
                let is = |name: &str| found.iter().any(|row| row.user && row.name == name);
                if let Some(name) = self.credentials.user.as_deref().filter(|name| !is(name)) {
                    context.cache.callers.remember_missing_user(
                        name,
                        users,
                        context.platform.now_ns(),
                    );
                }
                self.found =
                    found.into_iter().map(|row| Rc::new(ConfirmedGrantee::new(row, 0))).collect();
                self.catalog = Some(users);
                Ok(())
            }
            FromCatalog::Unavailable(reason) => Err(reason),
            _ => Err(Unavailable::Unreachable("unexpected reply".to_owned())),
        }
    }
}

/// `None` if no further request is needed.
type OwnerRequest = Result<Option<Next<Verdict>>, super::error::Error>;

impl RoundMachine for Identify {
    type Reply = Verdict;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn take_turn(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<Verdict> {
        let Some(reply) = replies.pop() else { return self.begin(context) };
        match std::mem::replace(&mut self.waiting, AwaitedReply::Nothing) {
            AwaitedReply::Nothing | AwaitedReply::Turn => {}
            AwaitedReply::Database(object) => self.on_database_reply(context, &object, reply)?,
            AwaitedReply::Catalog => self.on_catalog_reply(context, reply)?,
            AwaitedReply::Key { salt } => {
                let logins = &mut context.cache.logins;
                logins.derived(&self.address);
                match reply {
                    Ok(key) => self.derived = Some((salt, hex(&key))),
                    Err(failure) => {
                        let name = self.credentials.user.as_deref().unwrap_or_default();
                        logins.take_back(&self.address, name);
                        return Err(failure.into());
                    }
                }
            }
        }
        self.decide(context)
    }
}

#[cfg(test)]
mod tests;
