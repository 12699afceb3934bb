//! Caches the team's keys in an isolate.

use serde::Deserialize;

use crate::model::time::{MINUTE_NS, S_NS};

/// After this time, the server refuses a key that the team has withdrawn.
const KEYS_AGE_MAX_NS: i64 = 60 * MINUTE_NS;
const KEYS_RETRY_NS: i64 = MINUTE_NS;
/// The maximum time that a request waits for another request's fetch of the keys.
const KEYS_FETCH_MAX_NS: i64 = 10 * S_NS;
/// The maximum number of a team's keys; a team has two.
const KEYS_MAX: usize = 32;
const KEYS_BYTES_MAX: usize = 64 << 10;
/// The permitted number of base64url characters in a modulus, for 2,048 to 8,192 bits.
const MODULUS_CHARS: std::ops::RangeInclusive<usize> = 342..=1_366;

/// The modulus and the exponent are base64url.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Key {
    kid: String,
    kty: String,
    pub n: String,
    pub e: String,
}

/// The parser skips entries that are not RSA keys.
#[derive(Deserialize)]
struct List {
    keys: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Known(Key),
    /// The caller must fetch the keys and report the result.
    Fetch,
    Wait,
    Unknown,
    Unavailable(String),
}

/// The keys of the team.
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
    pub(super) fn check(&mut self, id: &str, now_ns: i64) -> Lookup {
        let is_within = |since_ns: i64, limit_ns| now_ns.saturating_sub(since_ns) < limit_ns;
        let are_fresh = self.fetched_ns.is_some_and(|at_ns| is_within(at_ns, KEYS_AGE_MAX_NS));
        let key = self.keys.iter().find(|key| key.kid == id).filter(|_| are_fresh);
        if let Some(key) = key {
            return Lookup::Known(key.clone());
        }
        if self.fetching_since_ns.is_some_and(|since_ns| is_within(since_ns, KEYS_FETCH_MAX_NS)) {
            return Lookup::Wait;
        }
        match &self.tried {
            Some((at_ns, failure)) if is_within(*at_ns, KEYS_RETRY_NS) => match failure {
                Some(reason) if !are_fresh => Lookup::Unavailable(reason.clone()),
                _ => Lookup::Unknown,
            },
            _ => {
                self.fetching_since_ns = Some(now_ns);
                Lookup::Fetch
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
