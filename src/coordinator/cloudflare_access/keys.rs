//! The keys of a team, as an isolate remembers them.

use serde::Deserialize;

use crate::model::time::{MINUTE_NS, S_NS};

/// How long keys are believed, nanoseconds: one that the team takes back is refused from then on.
const KEYS_AGE_MAX_NS: i64 = 60 * MINUTE_NS;
/// How long after one try the keys are not fetched again, nanoseconds.
const KEYS_RETRY_NS: i64 = MINUTE_NS;
/// How long another request is waited for that fetches them, nanoseconds.
const KEYS_FETCH_MAX_NS: i64 = 10 * S_NS;
/// Keys of a team, of which there are two, and bytes of their list.
const KEYS_MAX: usize = 32;
const KEYS_BYTES_MAX: usize = 64 << 10;
/// Characters of a modulus: of 2,048 to 8,192 bits.
const MODULUS_CHARS: std::ops::RangeInclusive<usize> = 342..=1_366;

/// A public RSA key: modulus and exponent as base64url.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Key {
    kid: String,
    kty: String,
    pub n: String,
    pub e: String,
}

/// What the list of keys has of one that is no RSA key is of no concern.
#[derive(Deserialize)]
struct List {
    keys: Vec<serde_json::Value>,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Known(Key),
    /// Whoever asked has to fetch the keys, and to say what came of it.
    Fetch,
    /// Somebody else is fetching them.
    Wait,
    /// The team has no such key.
    Unknown,
    /// They could not be fetched a moment ago.
    NotHad(String),
}

/// The keys of the team.
#[derive(Debug, Default)]
pub struct AccessKeys {
    keys: Vec<Key>,
    /// When they came, nanoseconds since 1970.
    fetched_ns: Option<i64>,
    /// When they were tried for last, and what was wrong.
    tried: Option<(i64, Option<String>)>,
    /// Since when somebody is fetching them.
    fetching_since_ns: Option<i64>,
}

impl AccessKeys {
    /// What there is to do for the key of this id.
    pub(super) fn look(&mut self, id: &str, now_ns: i64) -> Lookup {
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
                Some(why) if !are_fresh => Lookup::NotHad(why.clone()),
                _ => Lookup::Unknown,
            },
            _ => {
                self.fetching_since_ns = Some(now_ns);
                Lookup::Fetch
            }
        }
    }

    /// Takes what came of fetching them: the list, or why there is none.
    pub(super) fn learn(&mut self, body: Result<Vec<u8>, String>, now_ns: i64) {
        self.fetching_since_ns = None;
        let keys = body.and_then(|body| read(&body).ok_or_else(|| "no list of keys".to_owned()));
        let failure = match keys {
            Ok(keys) => {
                (self.keys, self.fetched_ns) = (keys, Some(now_ns));
                None
            }
            Err(why) => Some(why),
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
