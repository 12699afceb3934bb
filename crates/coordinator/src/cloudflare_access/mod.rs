//! Admits a request as administrator if its headers contain a valid assertion of Cloudflare Access:
//! a JSON web token that is signed with a key of the operator's team.
//!
//! Claims are checked first, because this check is cheap. Then the isolate looks up the key, and
//! the runtime checks the signature. An unknown key causes a fetch of the keys. To bound the cost
//! of forged assertions, an isolate fetches the keys at most once a minute, and only one request
//! fetches at a time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::Io;
use super::error::Result;
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::round::Request;
use tidemark_engine::protocol::web_crypto::SignatureCheck;
use tidemark_model::time::{MINUTE_NS, S_NS};

/// The interval, in milliseconds, at which a waiting request checks whether another request has
/// fetched the keys.
const KEYS_POLL_MS: u32 = 20;

/// The result of checking an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssertionResult {
    /// The client is an administrator.
    Admitted,
    /// The assertion is missing, invalid, or for another application.
    Refused,
    /// The team's keys cannot be fetched, for this reason.
    Unverified(String),
}

/// Checks the assertion `token`.
pub async fn check_assertion(
    io: &Io,
    application: &Application,
    token: &str,
) -> Result<AssertionResult> {
    loop {
        let now_ns = io.now_ns()?;
        let assertion = Assertion::read(token, application, now_ns.div_euclid(S_NS));
        let Some(assertion) = assertion else { return Ok(AssertionResult::Refused) };
        match io.with(|context| context.cache.access_keys.check(&assertion.key, now_ns))? {
            KeyLookup::Known(key) => {
                let check = SignatureCheck {
                    modulus: &key.n,
                    exponent: &key.e,
                    signature: &assertion.signature,
                    signed: assertion.signed,
                };
                let reply = io.request(check.request()).await;
                return Ok(match reply.is_ok_and(|answer| answer == [1]) {
                    true => AssertionResult::Admitted,
                    false => AssertionResult::Refused,
                });
            }
            KeyLookup::Fetch => {
                let reply = io.request(Request::new(Address::AccessKeys, Vec::new())).await;
                let body = reply.map_err(|failure| failure.to_string());
                io.with(|context| {
                    context.cache.access_keys.on_reply(body, context.platform.now_ns());
                })?;
            }
            KeyLookup::Wait => io.pause(KEYS_POLL_MS).await,
            KeyLookup::Unknown => return Ok(AssertionResult::Refused),
            KeyLookup::Unavailable(reason) => return Ok(AssertionResult::Unverified(reason)),
        }
    }
}

/// The maximum length of an assertion. The headers of a request cannot be longer.
const ASSERTION_CHARS_MAX: usize = 16 << 10;
/// The tolerated difference between the team's clock and this server's clock, in seconds, for the
/// time at which an assertion becomes valid.
const CLOCKS_APART_S: i64 = 60;

/// The required issuer and audience of assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The team's address, such as `https://team.cloudflareaccess.com`, without a trailing slash.
    issuer: String,
    audience: String,
}

/// The reason why the settings do not define an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationError {
    /// The team is not the address of a host.
    Team,
    /// The audience is empty or contains spaces.
    Audience,
}

impl Application {
    /// Creates an application from the team's address and the audience. The address is `https://`
    /// and a host. In tests the address may also be `http://127.0.0.1` and a port.
    pub fn new(team: &str, audience: &str) -> Result<Self, ApplicationError> {
        let (issuer, audience) = (team.trim().trim_end_matches('/'), audience.trim());
        let is_in_host = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        let is_host = |host: &str| !host.is_empty() && host.chars().all(is_in_host);
        let port = issuer.strip_prefix("http://127.0.0.1:");
        let is_local = port.is_some_and(|port| port.parse::<u16>().is_ok());
        if !is_local && !issuer.strip_prefix("https://").is_some_and(is_host) {
            return Err(ApplicationError::Team);
        }
        if audience.is_empty() || audience.contains(char::is_whitespace) {
            return Err(ApplicationError::Audience);
        }
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// Returns the address of the team's keys. The address does not depend on the request.
    pub fn keys_url(&self) -> String {
        format!("{}/cdn-cgi/access/certs", self.issuer)
    }
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: String,
}

/// The claims of an assertion. Times are seconds since 1970.
#[derive(Deserialize)]
struct Claims {
    aud: Audiences,
    iss: String,
    exp: i64,
    nbf: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Audiences {
    fn has(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

/// An assertion with valid claims and an unchecked signature.
pub(super) struct Assertion<'a> {
    /// The id of the signing key, as the assertion states it.
    pub key: String,
    pub signed: &'a str,
    pub signature: Vec<u8>,
}

impl<'a> Assertion<'a> {
    /// Returns `None` unless `token` is an assertion for `application` that is valid at `now_s`.
    pub(super) fn read(token: &'a str, application: &Application, now_s: i64) -> Option<Self> {
        if token.len() > ASSERTION_CHARS_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head: Head = decoded(head)?;
        let claims: Claims = decoded(claims)?;
        // Only RS256 is accepted, so that the sender cannot choose the algorithm `none`, which
        // needs no signature.
        let is_signed = head.alg == "RS256";
        let is_meant = claims.iss == application.issuer && claims.aud.has(&application.audience);
        let has_begun = claims.nbf.is_none_or(|nbf| nbf <= now_s.saturating_add(CLOCKS_APART_S));
        let holds = is_signed && is_meant && has_begun && now_s < claims.exp;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        holds.then_some(Self { key: head.kid, signed, signature })
    }
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The maximum age of the cached keys. After this time at the latest, the server refuses a key that
/// the team has withdrawn.
const KEYS_AGE_MAX_NS: i64 = 60 * MINUTE_NS;
const KEYS_RETRY_NS: i64 = MINUTE_NS;
/// The maximum time that a request waits for another request's fetch of the keys.
const KEYS_FETCH_MAX_NS: i64 = 10 * S_NS;
/// The maximum number of a team's keys; a team has two.
const KEYS_MAX: usize = 32;
const KEYS_BYTES_MAX: usize = 64 << 10;
/// The permitted number of base64url characters in a modulus, for 2,048 to 8,192 bits.
const MODULUS_CHARS: std::ops::RangeInclusive<usize> = 342..=1_366;

/// An RSA key of the team. The modulus and the exponent are base64url.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Key {
    kid: String,
    kty: String,
    pub n: String,
    pub e: String,
}

/// The list of the team's keys. The parser skips entries that are not RSA keys.
#[derive(Deserialize)]
struct List {
    keys: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyLookup {
    Known(Key),
    /// The caller must fetch the keys and report the result.
    Fetch,
    Wait,
    Unknown,
    Unavailable(String),
}

/// The keys of the team, which an isolate caches.
#[derive(Debug, Default)]
pub struct AccessKeys {
    keys: Vec<Key>,
    /// The time at which the keys arrived, in nanoseconds since 1970.
    fetched_ns: Option<i64>,
    /// The time of the last fetch, in nanoseconds, and the error of that fetch.
    tried: Option<(i64, Option<String>)>,
    fetching_since_ns: Option<i64>,
}

impl AccessKeys {
    pub(super) fn check(&mut self, id: &str, now_ns: i64) -> KeyLookup {
        let is_within = |since_ns: i64, limit_ns| now_ns.saturating_sub(since_ns) < limit_ns;
        let are_fresh = self.fetched_ns.is_some_and(|at_ns| is_within(at_ns, KEYS_AGE_MAX_NS));
        let key = self.keys.iter().find(|key| key.kid == id).filter(|_| are_fresh);
        if let Some(key) = key {
            return KeyLookup::Known(key.clone());
        }
        if self.fetching_since_ns.is_some_and(|since_ns| is_within(since_ns, KEYS_FETCH_MAX_NS)) {
            return KeyLookup::Wait;
        }
        match &self.tried {
            Some((at_ns, failure)) if is_within(*at_ns, KEYS_RETRY_NS) => match failure {
                Some(reason) if !are_fresh => KeyLookup::Unavailable(reason.clone()),
                _ => KeyLookup::Unknown,
            },
            _ => {
                self.fetching_since_ns = Some(now_ns);
                KeyLookup::Fetch
            }
        }
    }

    pub(super) fn on_reply(&mut self, body: Result<Vec<u8>, String>, now_ns: i64) {
        self.fetching_since_ns = None;
        let keys = body.and_then(|body| {
            read(&body).ok_or_else(|| "the response is not a list of keys".to_owned())
        });
        let failure = match keys {
            Ok(keys) => {
                (self.keys, self.fetched_ns) = (keys, Some(now_ns));
                None
            }
            Err(reason) => Some(reason),
        };
        self.tried = Some((now_ns, failure));
    }
}

fn read(body: &[u8]) -> Option<Vec<Key>> {
    if body.len() > KEYS_BYTES_MAX {
        return None;
    }
    let List { keys } = serde_json::from_slice(body).ok()?;
    let is_usable = |key: &Key| key.kty == "RSA" && MODULUS_CHARS.contains(&key.n.len());
    let keys = keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key).ok());
    Some(keys.filter(is_usable).collect())
}

#[cfg(test)]
mod tests;
