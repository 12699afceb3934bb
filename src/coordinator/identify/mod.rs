//! Finds out whom credentials belong to: by what this isolate remembers of the databases that it
//! uses, by the Databases that the request is about, and by the Catalog, which knows everybody,
//! before a refusal.
//!
//! A token is tried first, then user and password. Whoever is let in by what is remembered may have
//! lost the right since: the shards, or the Database, say so before anything is done (PROTOCOL.md
//! rule 11).

use std::collections::VecDeque;
use std::rc::Rc;

use subtle::ConstantTimeEq;

use super::grants::{Hash, Held, Principal, TOKEN_PREFIX, hash_of, hex, token_hash};
use super::logins::{By, Closed, Gate, customer};
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

/// How long is waited before a login looks again whether it is its turn, milliseconds.
const TURN_MS: u32 = 10;
/// How long a login waits for its turn, nanoseconds.
const TURN_WAIT_NS: i64 = 10 * S_NS;
/// Salt of the password of a user who does not exist: to be refused takes as long as for others.
const NOBODY_SALT: &str = "nobody";

/// Of a name and a password that were right together, whatever salt the user had.
const ANY_SALT: &str = "";

/// What came with a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name of Basic, `u` or `Token user:password`; any name goes with a token.
    pub user: Option<String>,
    /// What stands after the scheme, as a token tried first.
    pub token: String,
    /// The password that goes with `user`; a token goes with any user, so tried as one too.
    pub password: String,
}

impl Credentials {
    /// A secret that may be a token, whatever `user` is, or that user's password.
    pub fn pair(user: Option<String>, secret: String) -> Self {
        Self { user, token: secret.clone(), password: secret }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// What credentials came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Whose they are.
    Known(Principal),
    /// Nobody's.
    Unknown,
    /// They may be a user's, which is not looked into now.
    Closed(Closed),
}

/// Whose word suffices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouching {
    /// That of these databases, as far as this isolate knows them; of any that it has asked before
    /// where none is named.
    Databases(Vec<String>),
    /// The Catalog's alone: what is asked is done by no shard, or a refusal rests on it.
    Catalog,
}

/// Credentials being checked.
pub struct Identify {
    credentials: Credentials,
    tokens: [GranteeKey; 2],
    user: Option<GranteeKey>,
    /// Of all of the credentials, to remember them by.
    hash: Hash,
    /// What its tries are counted under.
    address: String,
    /// Databases that have not been asked.
    databases: VecDeque<String>,
    /// What was found of tokens and users, by whom it was asked.
    found: Vec<Rc<Held>>,
    /// The Catalog's word: what there is, and whether there are users at all.
    catalog: Option<bool>,
    /// That is what it said of the name before.
    is_remembered: bool,
    from_catalog: bool,
    /// Since when it waits for its turn.
    waiting_since_ns: Option<i64>,
    /// Salt and key that were derived.
    derived: Option<(String, String)>,
    waiting: Waiting,
    round: Round,
}

impl std::fmt::Debug for Identify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identify(..)")
    }
}

enum Waiting {
    Nothing,
    Database(ObjectId),
    Catalog,
    Key { salt: String },
    Turn,
}

/// What one look at what is known comes to.
enum Look {
    Known(Principal),
    Unknown,
    /// This password's key is needed.
    Derive {
        salt: String,
        iterations: u32,
    },
}

impl Identify {
    /// Prepares the check. `address`: of the client, as far as it is known.
    pub fn new(credentials: Credentials, vouching: Vouching, address: &str) -> Self {
        let user = credentials.user.as_deref().unwrap_or_default();
        let key = |user, text| GranteeKey { user, text };
        let (databases, from_catalog) = match vouching {
            Vouching::Databases(names) => (names.into(), false),
            Vouching::Catalog => (VecDeque::new(), true),
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
            waiting: Waiting::Nothing,
            round: Round::default(),
        }
    }

    fn keys(&self) -> Vec<GranteeKey> {
        let [token, password] = &self.tokens;
        let second = (password != token).then_some(password);
        [token].into_iter().chain(second).chain(&self.user).cloned().collect()
    }

    /// Asks nobody about a password that would not be derived: guessing costs the guesser's turn
    /// and no call.
    fn begin(&mut self, context: &mut Context<'_>) -> Turn<Verdict> {
        if let Some(closed) = self.closed(context) {
            return Ok(Next::Reply(Verdict::Closed(closed)));
        }
        if let Some(users) = self.nobody(context) {
            (self.catalog, self.from_catalog, self.is_remembered) = (Some(users), true, true);
        }
        self.judge(context)
    }

    /// Whether there are users at all, if it is known that none has this name. What may be a token,
    /// or is known to a database, is looked for in any case.
    fn nobody(&self, context: &Context<'_>) -> Option<bool> {
        let name = self.credentials.user.as_deref().filter(|_| !self.may_be_token())?;
        let (callers, now_ns) = (&context.cache.callers, context.platform.now_ns());
        let users = callers.is_nobody(name, now_ns)?;
        let is_asked = !callers.is_refused(&self.hash, now_ns);
        (is_asked && self.everywhere(context).is_empty()).then_some(users)
    }

    /// Whether a secret has a token's form: it never waits, and is a password only if the Catalog
    /// knows no such token.
    fn may_be_token(&self) -> bool {
        let secrets = [&self.credentials.token, &self.credentials.password];
        secrets.iter().any(|secret| secret.starts_with(TOKEN_PREFIX))
    }

    /// Why the password of a user who is not let in by what is remembered is not looked into.
    fn closed(&self, context: &mut Context<'_>) -> Option<Closed> {
        let name = self.credentials.user.as_deref().filter(|_| !self.may_be_token())?;
        let now_ns = context.platform.now_ns();
        let closed = context.cache.logins.closed(&self.address, name, now_ns)?;
        let is_token = self.everywhere(context).iter().any(|held| !held.row.user);
        let pair = self.password_hash(context, name, ANY_SALT);
        (!is_token && !context.cache.callers.is_right(&pair, now_ns)).then_some(closed)
    }

    /// What is remembered of the password, with this name and salt.
    fn password_hash(&self, context: &mut Context<'_>, name: &str, salt: &str) -> Hash {
        let password = [name, salt, &self.credentials.password];
        context.cache.callers.password_hash(context.platform, password)
    }

    /// Whether the password was found to be this user's a short while ago.
    fn is_verified(&self, context: &mut Context<'_>, user: &Held) -> bool {
        let now_ns = context.platform.now_ns();
        let password = self.password_hash(context, &user.row.name, &user.row.salt);
        context.cache.callers.is_verified(user.row.id, &password, now_ns)
    }

    /// Judges by what is known by now, or asks whoever may know more.
    fn judge(&mut self, context: &mut Context<'_>) -> Turn<Verdict> {
        let now_ns = context.platform.now_ns();
        if self.catalog.is_none() && context.cache.callers.is_refused(&self.hash, now_ns) {
            return Ok(Next::Reply(Verdict::Unknown));
        }
        if !self.from_catalog
            && let Some(next) = self.ask_databases(context)?
        {
            return Ok(next);
        }
        match self.look(context, now_ns) {
            Look::Known(principal) => {
                if principal.user {
                    self.logged_in(context);
                }
                Ok(Next::Reply(Verdict::Known(principal)))
            }
            Look::Derive { salt, iterations } if self.catalog.is_some() || !self.may_be_token() => {
                self.derive(context, salt, iterations)
            }
            Look::Unknown if self.catalog.is_some() => {
                let callers = &mut context.cache.callers;
                callers.refuse(self.hash, now_ns);
                if !self.is_remembered {
                    callers.count_stranger(now_ns);
                }
                Ok(Next::Reply(Verdict::Unknown))
            }
            Look::Unknown | Look::Derive { .. } => {
                // A refusal of somebody who is known, or a user's wrong password, is no stranger's.
                let known = !self.everywhere(context).is_empty();
                if !known && !context.cache.callers.may_ask(now_ns) {
                    return Err(Unavailable::Overloaded.into());
                }
                self.found.clear();
                self.waiting = Waiting::Catalog;
                Ok(Next::call(Address::Catalog, &ToCatalog::Identify { keys: self.keys() }))
            }
        }
    }

    /// Takes in what the databases have said before, and asks the next one that has said nothing.
    fn ask_databases(&mut self, context: &mut Context<'_>) -> Question {
        let now_ns = context.platform.now_ns();
        while let Some(name) = self.databases.front() {
            let Some(known) = context.cache.database(name) else {
                // Only the Catalog knows what it is.
                self.databases.clear();
                self.from_catalog = true;
                return Ok(None);
            };
            self.databases.pop_front();
            if self.is_met(context, &known.object) {
                continue;
            }
            let is_met = !self.everywhere(context).is_empty();
            if !is_met && !context.cache.callers.may_ask(now_ns) {
                return Err(Unavailable::Overloaded.into());
            }
            self.waiting = Waiting::Database(known.object.clone());
            let to = Address::Database(known.object);
            return Ok(Some(Next::call(to, &ToDatabase::Identify { keys: self.keys() })));
        }
        if self.found.is_empty() {
            self.found = self.everywhere(context);
        }
        Ok(None)
    }

    /// Whether the database has said before whose credentials these are. Of a password that was not
    /// verified lately it is asked again: it may be another one now, or a token.
    fn is_met(&self, context: &mut Context<'_>, object: &ObjectId) -> bool {
        let now_ns = context.platform.now_ns();
        let callers = &mut context.cache.callers;
        let mut tokens = self.tokens.iter().filter_map(|key| callers.on(key, object));
        if tokens.any(|held| now_ns < held.row.expires_ns) {
            return true;
        }
        let held = self.user.as_ref().and_then(|key| callers.on(key, object));
        held.is_some_and(|held| self.is_verified(context, &held))
    }

    /// What all databases have said of these credentials.
    fn everywhere(&self, context: &Context<'_>) -> Vec<Rc<Held>> {
        let keys = self.keys();
        keys.iter().flat_map(|key| context.cache.callers.everywhere(key)).collect()
    }

    /// Has the password derived when it is this login's turn.
    fn derive(&mut self, context: &mut Context<'_>, salt: String, rounds: u32) -> Turn<Verdict> {
        let now_ns = context.platform.now_ns();
        let name = self.credentials.user.as_deref().unwrap_or_default();
        let since_ns = *self.waiting_since_ns.get_or_insert(now_ns);
        let (waiting, request) = match context.cache.logins.begin(&self.address, name, now_ns) {
            Gate::Open => {
                let password = &self.credentials.password;
                let derivation = Derivation { iterations: rounds, salt: &salt, password };
                (Waiting::Key { salt: salt.clone() }, derivation.request())
            }
            Gate::Busy if now_ns.saturating_sub(since_ns) < TURN_WAIT_NS => {
                (Waiting::Turn, Request::pause(TURN_MS))
            }
            Gate::Busy => {
                let closed = Closed { by: By::Address, retry_after_s: 1 };
                return Ok(Next::Reply(Verdict::Closed(closed)));
            }
            Gate::Closed(closed) => return Ok(Next::Reply(Verdict::Closed(closed))),
        };
        self.waiting = waiting;
        Ok(Next::Calls(vec![request]))
    }

    /// The password is the user's.
    fn logged_in(&mut self, context: &mut Context<'_>) {
        let name = self.credentials.user.as_deref().unwrap_or_default();
        let logins = &mut context.cache.logins;
        if self.derived.take().is_some() {
            logins.take_back(&self.address, name);
        }
        logins.verified(&self.address, name, context.platform.now_ns());
    }

    fn look(&self, context: &mut Context<'_>, now_ns: i64) -> Look {
        let fresh = self.catalog.is_some();
        let valid = || self.found.iter().filter(|held| now_ns < held.row.expires_ns);
        for key in &self.tokens {
            let is_same = |held: &&Rc<Held>| {
                let same: bool = held.row.hash.as_bytes().ct_eq(key.text.as_bytes()).into();
                same && !held.row.user
            };
            let rows: Vec<_> = valid().filter(is_same).cloned().collect();
            if !rows.is_empty() {
                return Look::Known(Principal::of(&rows, fresh));
            }
        }
        let Some(name) = &self.credentials.user else { return Look::Unknown };
        // Where databases differ the last change is what counts.
        let users = || valid().filter(|held| held.row.user && held.row.name == *name);
        let user = users().max_by_key(|held| held.row.version);
        let (salt, iterations) = match (user, self.catalog) {
            (Some(held), _) => (held.row.salt.clone(), held.row.iterations),
            (None, Some(true)) => (NOBODY_SALT.to_owned(), PASSWORD_ITERATIONS),
            (None, _) => return Look::Unknown,
        };
        let password = self.password_hash(context, name, &salt);
        let callers = &context.cache.callers;
        let is_right = match (&self.derived, user) {
            (_, Some(held)) if callers.is_verified(held.row.id, &password, now_ns) => true,
            (Some((derived_salt, key)), user) if *derived_salt == salt => {
                user.is_some_and(|held| held.row.hash.as_bytes().ct_eq(key.as_bytes()).into())
            }
            _ => return Look::Derive { salt, iterations },
        };
        let Some(user) = user.filter(|_| is_right) else { return Look::Unknown };
        let pair = self.password_hash(context, name, ANY_SALT);
        context.cache.callers.verify(user.row.id, (password, pair), now_ns);
        let rows: Vec<_> = users().filter(|held| held.row.hash == user.row.hash).cloned().collect();
        Look::Known(Principal::of(&rows, fresh))
    }

    fn learn_database(
        &mut self,
        context: &mut Context<'_>,
        object: &ObjectId,
        reply: CallResult,
    ) -> Result<(), Unavailable> {
        match envelope::decode_reply::<FromDatabase>(reply)? {
            FromDatabase::Identified { access, found } => {
                let callers = &mut context.cache.callers;
                for row in found {
                    if callers.confirmed.believes(&row) {
                        callers.learn(object, Held::new(row, access));
                    }
                }
                Ok(())
            }
            // Dropped: whoever may be asked of it is known to the Catalog.
            FromDatabase::NotOpen => {
                self.from_catalog = true;
                Ok(())
            }
            FromDatabase::Unavailable(why) => Err(why),
            _ => Err(Unavailable::Unreachable("unexpected reply".to_owned())),
        }
    }

    fn learn_catalog(
        &mut self,
        context: &mut Context<'_>,
        reply: CallResult,
    ) -> Result<(), Unavailable> {
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Identified { found, users } => {
                let is = |name: &str| found.iter().any(|row| row.user && row.name == name);
                if let Some(name) = self.credentials.user.as_deref().filter(|name| !is(name)) {
                    context.cache.callers.nobody(name, users, context.platform.now_ns());
                }
                self.found = found.into_iter().map(|row| Rc::new(Held::new(row, 0))).collect();
                self.catalog = Some(users);
                Ok(())
            }
            FromCatalog::Unavailable(why) => Err(why),
            _ => Err(Unavailable::Unreachable("unexpected reply".to_owned())),
        }
    }
}

/// The next question, if one has to be asked.
type Question = Result<Option<Next<Verdict>>, super::error::Error>;

impl RoundMachine for Identify {
    type Reply = Verdict;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<Verdict> {
        let Some(reply) = replies.pop() else { return self.begin(context) };
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Nothing | Waiting::Turn => {}
            Waiting::Database(object) => self.learn_database(context, &object, reply)?,
            Waiting::Catalog => self.learn_catalog(context, reply)?,
            Waiting::Key { salt } => {
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
        self.judge(context)
    }
}

#[cfg(test)]
mod tests;
