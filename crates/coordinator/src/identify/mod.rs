//! Identifies the caller of a request by its credentials. The sources are, in this order: the cache
//! of the isolate, the Databases that the request uses, and, before a refusal, the Catalog, which
//! knows all callers.
//!
//! The credentials are tried as a token first, and then as user and password. A caller that the
//! cache admits may have lost a permission in the meantime. The shards or the Database then refuse
//! the request before they execute it (PROTOCOL.md rule 11).

use std::rc::Rc;

use subtle::ConstantTimeEq;

use super::cache::CachedDatabase;
use super::error::{Error, Result};
use super::grants::{ConfirmedGrantee, Hash, Principal, TOKEN_PREFIX, hash_of, hex, token_hash};
use super::logins::{FullCounter, LoginDecision, LoginRefused, network_of};
use super::{Context, Io};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{FromDatabase, ToDatabase};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::grants::GranteeKey;
use tidemark_engine::protocol::web_crypto::Derivation;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::PASSWORD_ITERATIONS;
use tidemark_model::time::S_NS;

/// The pause, in milliseconds, before a waiting login checks again whether its key may be derived.
const LOGIN_POLL_MS: u32 = 10;
/// The maximum time that a login waits to derive its key.
const LOGIN_WAIT_NS_MAX: i64 = 10 * S_NS;
/// The salt for a user who does not exist, so that the refusal takes as long as for an existing
/// user.
const UNKNOWN_USER_SALT: &str = "nobody";

/// The salt for hashes of a name and its verified password. The check before the first call does
/// not know the user's salt.
const VERIFIED_PAIR_SALT: &str = "";

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
pub enum Identification {
    /// The credentials belong to this caller.
    Known(Principal),
    /// The credentials belong to no caller.
    Unknown,
    /// The credentials may belong to a user, but the isolate must not derive a key from the
    /// password now.
    LoginRefused(LoginRefused),
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

/// Checks credentials. `address` is the client's address, if known.
pub async fn identify(
    io: &Io,
    credentials: Credentials,
    source: AuthSource,
    address: &str,
) -> Result<Identification> {
    let user = credentials.user.as_deref().unwrap_or_default();
    let key = |user, text| GranteeKey { user, text };
    let tokens = [&credentials.token, &credentials.password].map(|t| key(false, token_hash(t)));
    let hash = hash_of(&[user, &credentials.token, &credentials.password]);
    let address = network_of(address);
    let user = credentials.user.clone().map(|name| key(true, name));
    let identify = Identify {
        io,
        credentials,
        tokens,
        user,
        hash,
        address,
        found: Vec::new(),
        users: None,
        derived: None,
        waiting_since_ns: None,
    };
    identify.run(source).await
}

struct Identify<'a> {
    io: &'a Io,
    credentials: Credentials,
    tokens: [GranteeKey; 2],
    user: Option<GranteeKey>,
    /// The hash of all credentials, which is the cache key.
    hash: Hash,
    /// The client's address, under which tries are counted.
    address: String,
    /// The matching tokens and users, with one row per source.
    found: Vec<Rc<ConfirmedGrantee>>,
    /// Whether any users exist; `None` before the Catalog's reply.
    users: Option<bool>,
    /// The salt and the key that was derived from the password.
    derived: Option<(String, String)>,
    /// The time at which the check began to wait for other derivations.
    waiting_since_ns: Option<i64>,
}

enum CredentialCheck {
    Known(Principal),
    Unknown,
    /// The check needs the key of this password.
    Derive {
        salt: String,
        iterations: u32,
    },
}

impl Identify<'_> {
    async fn run(mut self, source: AuthSource) -> Result<Identification> {
        // If no key may be derived from the password now, the check ends without a call, so that
        // guesses cause no calls.
        if let Some(refusal) = self.io.with(|context| self.refusal(context))? {
            return Ok(Identification::LoginRefused(refusal));
        }
        // A change of the password or of the token may have made refused credentials valid. Only
        // the Catalog's reply can therefore refuse them again.
        let was_refused = self.io.with(|context| self.was_refused(context))?;
        if !was_refused
            && let AuthSource::Databases(names) = source
            && self.query_databases(names).await?
        {
            let identification = self.compare().await?;
            if identification != Identification::Unknown {
                return Ok(identification);
            }
        }
        self.query_catalog().await?;
        let identification = self.compare().await?;
        if identification == Identification::Unknown {
            self.io.with(|context| {
                let (callers, now_ns) = (&mut context.cache.callers, context.platform.now_ns());
                callers.refuse(self.hash, self.user_hash());
                callers.count_unknown_caller(now_ns);
            })?;
        }
        Ok(identification)
    }

    fn was_refused(&self, context: &Context<'_>) -> bool {
        context.cache.callers.was_refused(&self.hash)
    }

    /// Returns the hash of the salt and the key of the credentials' user, or of empty texts if no
    /// such user exists.
    fn user_hash(&self) -> Hash {
        let users = self.found.iter().filter(|grantee| grantee.row.user);
        let newest = users.max_by_key(|grantee| grantee.row.version);
        newest.map_or_else(|| hash_of(&["", ""]), |user| hash_of(&[&user.row.salt, &user.row.hash]))
    }

    /// Queries the databases whose earlier replies do not suffice, and uses the replies of all
    /// databases. Returns `false` if only the Catalog can identify the caller.
    async fn query_databases(&mut self, names: Vec<String>) -> Result<bool> {
        for name in names {
            // Only the Catalog knows the object of a database that is missing in the cache.
            let known = self.io.with(|context| context.cache.database(&name))?;
            let Some(CachedDatabase { object, .. }) = known else { return Ok(false) };
            if self.io.with(|context| self.is_identified(context, &object))? {
                continue;
            }
            self.io.with(|context| self.check_rate(context))??;
            let message = ToDatabase::Identify { keys: self.keys() };
            match self.io.call_database(&object, &message).await? {
                FromDatabase::Identified { access, found } => self.io.with(|context| {
                    let callers = &mut context.cache.callers;
                    for row in found {
                        if callers.confirmed.is_trusted(&row) {
                            callers.on_reply(&object, ConfirmedGrantee::new(row, access));
                        }
                    }
                })?,
                // The database was dropped. The Catalog knows every caller that this database could
                // have known.
                FromDatabase::NotOpen => return Ok(false),
                reply => return Err(reply.into()),
            }
        }
        self.found = self.io.with(|context| self.replies_of_all_databases(context))?;
        Ok(true)
    }

    async fn query_catalog(&mut self) -> Result<()> {
        self.io.with(|context| self.check_rate(context))??;
        let message = ToCatalog::Identify { keys: self.keys() };
        let FromCatalog::Identified { found, users } = self.io.call_catalog(&message).await? else {
            return Err(Error::unexpected_reply());
        };
        self.found = found.into_iter().map(|row| Rc::new(ConfirmedGrantee::new(row, 0))).collect();
        self.users = Some(users);
        Ok(())
    }

    /// Returns [`Unavailable::Overloaded`] if this isolate has looked up too many unknown callers
    /// in the current second. A token or user that occurs in a cached reply of a database is
    /// exempt, unless these credentials were refused.
    fn check_rate(&self, context: &Context<'_>) -> Result<()> {
        let is_known =
            !self.was_refused(context) && !self.replies_of_all_databases(context).is_empty();
        let may = is_known || context.cache.callers.may_look_up(context.platform.now_ns());
        if may { Ok(()) } else { Err(Unavailable::Overloaded.into()) }
    }

    fn keys(&self) -> Vec<GranteeKey> {
        let [token, password] = &self.tokens;
        let second = (password != token).then_some(password);
        [token].into_iter().chain(second).chain(&self.user).cloned().collect()
    }

    /// Whether a secret has the format of a token. Such a secret is tried as a password only if the
    /// Catalog knows no such token, so the limit of logins does not delay the check of a token.
    fn may_be_token(&self) -> bool {
        let secrets = [&self.credentials.token, &self.credentials.password];
        secrets.iter().any(|secret| secret.starts_with(TOKEN_PREFIX))
    }

    /// Returns the reason why no key may be derived from the user's password now. Returns `None` if
    /// a key may be derived, or if the cache admits the caller.
    fn refusal(&self, context: &mut Context<'_>) -> Option<LoginRefused> {
        let name = self.credentials.user.as_deref().filter(|_| !self.may_be_token())?;
        let now_ns = context.platform.now_ns();
        let refusal = context.cache.logins.refusal(&self.address, name, now_ns)?;
        let is_token =
            self.replies_of_all_databases(context).iter().any(|grantee| !grantee.row.user);
        let pair = self.password_hash(context, name, VERIFIED_PAIR_SALT);
        (!is_token && !context.cache.callers.is_verified_password(&pair, now_ns)).then_some(refusal)
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

    /// Whether an earlier reply of the database identifies the credentials. Returns `false` for a
    /// password that was not recently verified, because the password may have changed or may be a
    /// token.
    fn is_identified(&self, context: &mut Context<'_>, object: &ObjectId) -> bool {
        let now_ns = context.platform.now_ns();
        let callers = &mut context.cache.callers;
        let mut tokens = self.tokens.iter().filter_map(|key| callers.reply_of(key, object));
        if tokens.any(|grantee| now_ns < grantee.row.expires_ns) {
            return true;
        }
        let grantee = self.user.as_ref().and_then(|key| callers.reply_of(key, object));
        grantee.is_some_and(|grantee| self.is_verified(context, &grantee))
    }

    fn replies_of_all_databases(&self, context: &Context<'_>) -> Vec<Rc<ConfirmedGrantee>> {
        let keys = self.keys();
        keys.iter().flat_map(|key| context.cache.callers.replies_of_all_databases(key)).collect()
    }

    /// Compares the credentials with the rows in `found`. Derives a key from the password if
    /// needed, or waits for other derivations for the same address.
    async fn compare(&mut self) -> Result<Identification> {
        let name = self.credentials.user.clone().unwrap_or_default();
        loop {
            let (salt, iterations) = match self.io.with(|context| self.look_up(context))? {
                CredentialCheck::Known(principal) => {
                    if principal.user {
                        self.io.with(|context| self.logged_in(context, &name))?;
                    }
                    return Ok(Identification::Known(principal));
                }
                CredentialCheck::Derive { salt, iterations }
                    if self.users.is_some() || !self.may_be_token() =>
                {
                    (salt, iterations)
                }
                CredentialCheck::Unknown | CredentialCheck::Derive { .. } => {
                    return Ok(Identification::Unknown);
                }
            };
            let (now_ns, decision) = self.io.with(|context| {
                let now_ns = context.platform.now_ns();
                (now_ns, context.cache.logins.begin(&self.address, &name, now_ns))
            })?;
            let since_ns = *self.waiting_since_ns.get_or_insert(now_ns);
            match decision {
                LoginDecision::Open => self.derive(&name, salt, iterations).await?,
                LoginDecision::Busy if now_ns.saturating_sub(since_ns) < LOGIN_WAIT_NS_MAX => {
                    self.io.pause(LOGIN_POLL_MS).await;
                }
                LoginDecision::Busy => {
                    let refusal = LoginRefused { by: FullCounter::Address, retry_after_s: 1 };
                    return Ok(Identification::LoginRefused(refusal));
                }
                LoginDecision::Refused(refusal) => {
                    return Ok(Identification::LoginRefused(refusal));
                }
            }
        }
    }

    async fn derive(&mut self, name: &str, salt: String, iterations: u32) -> Result<()> {
        let password = &self.credentials.password;
        let request = Derivation { iterations, salt: &salt, password }.request();
        let reply = self.io.request(request).await;
        self.io.with(|context| {
            context.cache.logins.derived(&self.address);
            if reply.is_err() {
                context.cache.logins.undo_try(&self.address, name);
            }
        })?;
        self.derived = Some((salt, hex(&reply?)));
        Ok(())
    }

    fn logged_in(&self, context: &mut Context<'_>, name: &str) {
        let logins = &mut context.cache.logins;
        if self.derived.is_some() {
            logins.undo_try(&self.address, name);
        }
        logins.verified(&self.address, name, context.platform.now_ns());
    }

    fn look_up(&self, context: &mut Context<'_>) -> CredentialCheck {
        let (fresh, now_ns) = (self.users.is_some(), context.platform.now_ns());
        let valid = || self.found.iter().filter(|grantee| now_ns < grantee.row.expires_ns);
        for key in &self.tokens {
            let is_same = |grantee: &&Rc<ConfirmedGrantee>| {
                let same: bool = grantee.row.hash.as_bytes().ct_eq(key.text.as_bytes()).into();
                same && !grantee.row.user
            };
            let rows: Vec<_> = valid().filter(is_same).cloned().collect();
            if !rows.is_empty() {
                return CredentialCheck::Known(Principal::of(&rows, fresh));
            }
        }
        let Some(name) = &self.credentials.user else { return CredentialCheck::Unknown };
        // If databases report different rows, the row with the latest change is used.
        let users = || valid().filter(|grantee| grantee.row.user && grantee.row.name == *name);
        let user = users().max_by_key(|grantee| grantee.row.version);
        let (salt, iterations) = match (user, self.users) {
            (Some(grantee), _) => (grantee.row.salt.clone(), grantee.row.iterations),
            (None, Some(true)) => (UNKNOWN_USER_SALT.to_owned(), PASSWORD_ITERATIONS),
            (None, _) => return CredentialCheck::Unknown,
        };
        let password = self.password_hash(context, name, &salt);
        let callers = &context.cache.callers;
        let is_right = match (&self.derived, user) {
            (_, Some(grantee)) if callers.is_verified(grantee.row.id, &password, now_ns) => true,
            (Some((derived_salt, key)), user) if *derived_salt == salt => {
                user.is_some_and(|grantee| grantee.row.hash.as_bytes().ct_eq(key.as_bytes()).into())
            }
            // Another request may have checked the credentials while this request waited.
            _ if callers.is_refused(&self.hash, &self.user_hash()) => false,
            _ => return CredentialCheck::Derive { salt, iterations },
        };
        let Some(user) = user.filter(|_| is_right) else { return CredentialCheck::Unknown };
        let pair = self.password_hash(context, name, VERIFIED_PAIR_SALT);
        context.cache.callers.verify(user.row.id, password, pair, now_ns);
        let rows: Vec<_> =
            users().filter(|grantee| grantee.row.hash == user.row.hash).cloned().collect();
        CredentialCheck::Known(Principal::of(&rows, fresh))
    }
}

#[cfg(test)]
mod tests;
