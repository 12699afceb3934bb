//! Finds out whom credentials belong to: by the isolate's copy of all tokens and users first, and
//! by the Catalog, which owns them, before a refusal.
//!
//! A token is tried first, then user and password. A copy older than `GRANTS_FRESH_NS` follows
//! the Catalog; one older than `GRANTS_USABLE_NS` is not believed, so that a revoked token is
//! refused everywhere within that time and a Catalog out of reach lets nobody in.

use subtle::ConstantTimeEq;

use super::grants::{GrantCopy, Hash, Principal, hash_of, hex, token_hash};
use super::logins::{By, Closed, Gate, customer};
use super::{Context, RoundMachine, Turn};
use crate::model::limits::PASSWORD_ITERATIONS;
use crate::model::time::S_NS;
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::password_derivation::Derivation;
use crate::protocol::round::{CallResult, Next, Replies, Request, Round};

/// How long is waited before a login looks again whether it is its turn, milliseconds.
const TURN_MS: u32 = 10;
/// How long a login waits for its turn, nanoseconds.
const TURN_WAIT_NS: i64 = 10 * S_NS;
/// Salt of the password of a user who does not exist: to be refused takes as long as for others.
const NOBODY_SALT: &str = "nobody";

/// The question for changes of tokens and users, and when and with which version it was asked.
#[derive(Clone, Copy, Debug)]
pub struct GrantsQuestion {
    since: u64,
    asked_ns: i64,
}

impl GrantsQuestion {
    /// The question as it is asked now, and the call that asks it.
    pub fn ask(context: &mut Context<'_>) -> (Self, Request) {
        let asked_ns = context.platform.now_ns();
        let since = context.cache.grants.refreshing(asked_ns);
        let message = envelope::encode(&ToCatalog::Grants { since });
        (Self { since, asked_ns }, Request::new(Address::Catalog, message))
    }

    /// Takes the answer into the copy.
    ///
    /// # Errors
    /// [`Unavailable`] when there is none.
    pub fn learn(self, copy: &mut GrantCopy, reply: CallResult) -> Result<(), Unavailable> {
        match envelope::decode_reply::<FromCatalog>(reply) {
            Ok(FromCatalog::Grants(changes)) => {
                copy.learn(*changes, self.since, self.asked_ns);
                Ok(())
            }
            Ok(FromCatalog::Unavailable(why)) => Err(why),
            Ok(_) => Err(Unavailable::Unreachable("unexpected reply".to_owned())),
            Err(failure) => Err(failure.into()),
        }
    }
}

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

/// Credentials being checked.
pub struct Identify {
    credentials: Credentials,
    token_hashes: [String; 2],
    /// Of all of the credentials, to remember them by.
    key: Hash,
    /// The copy must have been asked for by this request.
    from_owner: bool,
    /// What its tries are counted under.
    address: String,
    /// Since when it waits for its turn.
    waiting_since_ns: Option<i64>,
    /// The copy was refreshed by this request.
    fresh: bool,
    /// The refresh that failed.
    failure: Option<Unavailable>,
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
    Copy(GrantsQuestion),
    Key { salt: String },
    Turn,
}

/// What one look at the copy comes to.
enum Look {
    Known(Principal),
    Unknown,
    /// The copy may be too old to refuse.
    Stale,
    /// This password's key is needed.
    Derive {
        salt: String,
        iterations: u32,
    },
}

impl Identify {
    /// Prepares the check. `from_owner`: a refusal is about to rest on its answer. `address`: of
    /// the client, as far as it is known.
    pub fn new(credentials: Credentials, from_owner: bool, address: &str) -> Self {
        let user = credentials.user.as_deref().unwrap_or_default();
        Self {
            token_hashes: [&credentials.token, &credentials.password].map(|t| token_hash(t)),
            key: hash_of(&[user, &credentials.token, &credentials.password]),
            credentials,
            from_owner,
            address: customer(address).to_owned(),
            waiting_since_ns: None,
            fresh: false,
            failure: None,
            derived: None,
            waiting: Waiting::Nothing,
            round: Round::default(),
        }
    }

    /// The credentials again, for another check of the same request.
    pub fn into_credentials(self) -> Credentials {
        self.credentials
    }

    fn ask(&mut self, context: &mut Context<'_>) -> Next<Verdict> {
        let (asked, request) = GrantsQuestion::ask(context);
        self.waiting = Waiting::Copy(asked);
        Next::Calls(vec![request])
    }

    /// Judges by the copy as it is now, or asks for what the judgement needs.
    fn judge(&mut self, context: &mut Context<'_>) -> Turn<Verdict> {
        let now_ns = context.platform.now_ns();
        let copy = &mut context.cache.grants;
        let tried = self.fresh || self.failure.is_some();
        if !tried && (self.from_owner || copy.wants_refresh(now_ns)) {
            return Ok(self.ask(context));
        }
        if !copy.is_usable(now_ns) {
            let late = || Unavailable::Unreachable("the Catalog answered too late".to_owned());
            let why = self.failure.take().unwrap_or_else(late);
            return Err(why.into());
        }
        match self.look(copy, now_ns) {
            Look::Known(principal) => {
                if principal.user {
                    self.logged_in(context);
                }
                if let (true, Some(why)) = (self.from_owner, self.failure.take()) {
                    return Err(why.into());
                }
                Ok(Next::Reply(Verdict::Known(Principal { fresh: self.fresh, ..principal })))
            }
            Look::Unknown => {
                copy.refuse(self.key, now_ns);
                Ok(Next::Reply(Verdict::Unknown))
            }
            Look::Stale => match self.failure.take() {
                Some(why) => Err(why.into()),
                None => {
                    copy.asking_for_stranger(now_ns);
                    Ok(self.ask(context))
                }
            },
            Look::Derive { salt, iterations } => self.derive(context, salt, iterations),
        }
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
                let pause = TURN_MS.to_le_bytes().to_vec();
                (Waiting::Turn, Request::new(Address::Pause, pause))
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

    fn look(&self, copy: &mut GrantCopy, now_ns: i64) -> Look {
        let mut tokens = self.token_hashes.iter();
        if let Some(principal) = tokens.find_map(|hash| copy.token(hash, now_ns)) {
            return Look::Known(principal);
        }
        let refused = copy.is_refused(&self.key, now_ns);
        if let Some(name) = &self.credentials.user
            && copy.all(true).next().is_some()
            && !refused
        {
            let (salt, iterations) = match copy.user(name) {
                Some((row, _)) => (row.salt.clone(), row.iterations),
                None => (NOBODY_SALT.to_owned(), PASSWORD_ITERATIONS),
            };
            let password = hash_of(&[name, &salt, &self.credentials.password]);
            let known = match (&self.derived, copy.user(name)) {
                (_, Some((row, _))) if copy.is_verified(row.id, &password, now_ns) => true,
                (Some((derived_salt, key)), user) if *derived_salt == salt => {
                    user.is_some_and(|(row, _)| row.hash.as_bytes().ct_eq(key.as_bytes()).into())
                }
                _ => return Look::Derive { salt, iterations },
            };
            if known && let Some((row, principal)) = copy.user(name) {
                let (id, principal) = (row.id, principal.clone());
                copy.verify(id, password, now_ns);
                return Look::Known(principal);
            }
        }
        match self.fresh || refused || copy.may_refuse(now_ns) {
            true => Look::Unknown,
            false => Look::Stale,
        }
    }
}

impl RoundMachine for Identify {
    type Reply = Verdict;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<Verdict> {
        let Some(reply) = replies.pop() else { return self.judge(context) };
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Nothing | Waiting::Turn => {}
            Waiting::Copy(asked) => match asked.learn(&mut context.cache.grants, reply) {
                Ok(()) => self.fresh = true,
                Err(why) => self.failure = Some(why),
            },
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
