//! Limits the logins by password from each client address, and for each name from that address.
//! Guessing passwords is therefore slow, and delays only the client that guesses.
//!
//! A password is checked by deriving a key from it, which is slow by design. A *try* is one such
//! derivation. A caller with a token or with a recently verified password needs no derivation, and
//! makes no try. A try counts as a failure until it succeeds, so a client that disconnects early
//! also uses up a try. Tries with unknown names also count. Each isolate counts separately, so an
//! attacker who reaches several isolates gets more tries.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::grants::{Hash, hash_of};
use tidemark_model::limits::{
    ADDRESS_FAILURES_MAX, FAILURE_WINDOW_NS, FAILURES_MAX, LOGIN_REMEMBERED_NS, LOGINS_MAX,
};
use tidemark_model::time::{MS_NS, S_NS};

/// The maximum of [`LoginRefused::retry_after_s`], in seconds.
const RETRY_AFTER_S_MAX: i64 = 30;
/// The maximum time for which a derivation blocks other derivations for the same address. Without
/// this limit, a request that is cancelled during its derivation would block the address
/// permanently.
const DERIVATION_NS_MAX: i64 = 500 * MS_NS;
/// The minimum time between two removals of expired entries from a full table.
const SWEEP_EVERY_NS: i64 = S_NS;

/// Whether a key may be derived from a password now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginDecision {
    /// Derive the key, and then call [`Logins::derived`].
    Open,
    /// Another derivation for the address is running.
    Busy,
    /// The key must not be derived now.
    Refused(LoginRefused),
}

/// The reason why no key may be derived, and when the client may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginRefused {
    /// The counter that is full.
    pub by: FullCounter,
    /// The number of seconds until the next try may be allowed.
    pub retry_after_s: u32,
}

/// The counter that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullCounter {
    /// The failures of this name from this address.
    Name,
    /// The failures of all names from this address. This limit applies only to names that were not
    /// recently verified from the address.
    Address,
    /// The table is full, and all its entries are still needed.
    Table,
}

/// The failed and verified logins that an isolate counts.
#[derive(Debug, Default)]
pub struct Logins {
    addresses: BTreeMap<String, AddressEntry>,
    /// The total number of names of all addresses.
    names: usize,
    swept_ns: i64,
}

#[derive(Debug, Default)]
struct AddressEntry {
    failures: Window,
    /// The start of the derivation in progress for this address.
    deriving_ns: Option<i64>,
    /// The names by their hashes. Hashes have a fixed length, whereas clients choose the lengths of
    /// names.
    names: BTreeMap<Hash, NameEntry>,
}

#[derive(Debug, Default)]
struct NameEntry {
    failures: Window,
    verified_ns: Option<i64>,
}

/// The failures in a window that starts with the first failure and lasts [`FAILURE_WINDOW_NS`].
#[derive(Debug, Default)]
struct Window {
    since_ns: i64,
    count: u32,
}

impl Window {
    fn is_open(&self, now_ns: i64) -> bool {
        self.count > 0 && now_ns.saturating_sub(self.since_ns) < FAILURE_WINDOW_NS
    }

    fn add(&mut self, now_ns: i64) {
        match self.is_open(now_ns) {
            true => self.count = self.count.saturating_add(1),
            false => *self = Self { since_ns: now_ns, count: 1 },
        }
    }

    fn undo_try(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    fn wait_s(&self, most: u32, now_ns: i64) -> Option<u32> {
        let left_ns = self.since_ns.saturating_add(FAILURE_WINDOW_NS).saturating_sub(now_ns);
        let left_s = (left_ns / S_NS).clamp(1, RETRY_AFTER_S_MAX);
        (self.is_open(now_ns) && self.count >= most).then(|| u32::try_from(left_s).unwrap_or(1))
    }
}

impl NameEntry {
    fn is_verified(&self, now_ns: i64) -> bool {
        let recent = |at_ns: i64| now_ns.saturating_sub(at_ns) < LOGIN_REMEMBERED_NS;
        self.verified_ns.is_some_and(recent)
    }

    fn is_needed(&self, now_ns: i64) -> bool {
        self.failures.is_open(now_ns) || self.is_verified(now_ns)
    }
}

impl Logins {
    /// Returns the reason why no key may be derived now from a password of `name` from `address`;
    /// `None` if a key may be derived. Does not count a try.
    pub fn refusal(&self, address: &str, name: &str, now_ns: i64) -> Option<LoginRefused> {
        self.refusal_by(self.addresses.get(address)?, &hash_of(&[name]), now_ns)
    }

    fn refusal_by(&self, here: &AddressEntry, name: &Hash, now_ns: i64) -> Option<LoginRefused> {
        let known = here.names.get(name);
        if let Some(retry_after_s) =
            known.and_then(|name| name.failures.wait_s(FAILURES_MAX, now_ns))
        {
            return Some(LoginRefused { by: FullCounter::Name, retry_after_s });
        }
        if known.is_some_and(|name| name.is_verified(now_ns)) {
            return None;
        }
        let retry_after_s = here.failures.wait_s(ADDRESS_FAILURES_MAX, now_ns)?;
        Some(LoginRefused { by: FullCounter::Address, retry_after_s })
    }

    /// Requests a derivation of a key from a password of `name` from `address`. Counts a try if the
    /// derivation may start.
    pub fn begin(&mut self, address: &str, name: &str, now_ns: i64) -> LoginDecision {
        let hash = hash_of(&[name]);
        let here = self.addresses.get(address);
        if let Some(here) = here {
            if let Some(refusal) = self.refusal_by(here, &hash, now_ns) {
                return LoginDecision::Refused(refusal);
            }
            let recent = |since_ns: i64| now_ns.saturating_sub(since_ns) < DERIVATION_NS_MAX;
            if here.deriving_ns.is_some_and(recent) {
                return LoginDecision::Busy;
            }
        }
        let known = here.and_then(|here| here.names.get(&hash));
        if known.is_none() && !self.has_room(now_ns) {
            return LoginDecision::Refused(LoginRefused {
                by: FullCounter::Table,
                retry_after_s: 1,
            });
        }
        let here = self.addresses.entry(address.to_owned()).or_default();
        here.deriving_ns = Some(now_ns);
        here.failures.add(now_ns);
        self.names += usize::from(!here.names.contains_key(&hash));
        here.names.entry(hash).or_default().failures.add(now_ns);
        LoginDecision::Open
    }

    /// Ends the derivation for `address`, whether it succeeded or failed.
    pub fn derived(&mut self, address: &str) {
        if let Some(here) = self.addresses.get_mut(address) {
            here.deriving_ns = None;
        }
    }

    /// Subtracts a try from the failures, because the password was correct or the derivation
    /// failed.
    pub fn undo_try(&mut self, address: &str, name: &str) {
        let Some(here) = self.addresses.get_mut(address) else { return };
        here.failures.undo_try();
        if let Some(name) = here.names.get_mut(&hash_of(&[name])) {
            name.failures.undo_try();
        }
    }

    /// Records that the password is correct, unless the table is full.
    pub fn verified(&mut self, address: &str, name: &str, now_ns: i64) {
        let hash = hash_of(&[name]);
        let known = self.addresses.get_mut(address).and_then(|here| here.names.get_mut(&hash));
        if let Some(name) = known {
            name.verified_ns = Some(now_ns);
        } else if self.has_room(now_ns) {
            let name = NameEntry { verified_ns: Some(now_ns), ..NameEntry::default() };
            self.addresses.entry(address.to_owned()).or_default().names.insert(hash, name);
            self.names += 1;
        }
    }

    fn has_room(&mut self, now_ns: i64) -> bool {
        if self.names >= LOGINS_MAX && now_ns.saturating_sub(self.swept_ns) >= SWEEP_EVERY_NS {
            self.swept_ns = now_ns;
            self.addresses.retain(|_, here| {
                here.names.retain(|_, name| name.is_needed(now_ns));
                !here.names.is_empty()
            });
            self.names = self.addresses.values().map(|here| here.names.len()).sum();
        }
        self.names < LOGINS_MAX
    }
}

/// Returns the part of `address` that counts as one address: an IPv4 address, or the /64 network of
/// an IPv6 address.
pub fn network_of(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests;
