//! Logins by password: guessing is slow, and nobody but the guesser notices.
//!
//! A try is a derivation: whoever is let in without one (by a token, by a password that was
//! verified a short while ago) never comes here. A try counts as a failure until it has succeeded,
//! so that whoever goes away in between has used one up. Names count whether they exist or not.
//! All of this is one isolate's: an attacker may meet several.

use std::collections::BTreeMap;

use super::grants::{Hash, hash_of};
use crate::model::limits::{
    ADDRESS_FAILURES_MAX, FAILURE_WINDOW_NS, FAILURES_MAX, LOGIN_REMEMBERED_NS, LOGINS_MAX,
};
use crate::model::time::{MS_NS, S_NS};

/// Most seconds that a client is told to wait at once.
const RETRY_AFTER_S_MAX: i64 = 30;
/// How long a derivation may keep the others of its address waiting: should its request be gone,
/// nobody says that it is over.
const DERIVATION_NS_MAX: i64 = 500 * MS_NS;
/// How often a full table is searched for what nobody needs any more.
const SWEEP_EVERY_NS: i64 = S_NS;

/// What is to become of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Derive, then say [`Logins::derived`].
    Open,
    /// Another derivation of the address is under way.
    Busy,
    /// Not now.
    Closed(Closed),
}

/// Why no password is derived now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Whose failures it is about.
    pub by: By,
    /// Seconds until it makes sense to come back.
    pub retry_after_s: u32,
}

/// Whose failures are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This name's from this address.
    Name,
    /// All names' of this address, where this one has not been verified lately.
    Address,
    /// Everybody's: the table is full, and forgets nobody whom it knows.
    Table,
}

/// One isolate's counts.
#[derive(Debug, Default)]
pub struct Logins {
    addresses: BTreeMap<String, Address>,
    /// Names of all addresses together.
    names: usize,
    swept_ns: i64,
}

#[derive(Debug, Default)]
struct Address {
    failures: Window,
    /// Since when a password is being derived for it.
    deriving_ns: Option<i64>,
    /// By their hashes: they are as long as their senders like.
    names: BTreeMap<Hash, Name>,
}

#[derive(Debug, Default)]
struct Name {
    failures: Window,
    verified_ns: Option<i64>,
}

/// Failures since the first of them, for [`FAILURE_WINDOW_NS`].
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

    fn take_back(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// Seconds to wait when there are `most` of them.
    fn wait_s(&self, most: u32, now_ns: i64) -> Option<u32> {
        let left_ns = self.since_ns.saturating_add(FAILURE_WINDOW_NS).saturating_sub(now_ns);
        let left_s = (left_ns / S_NS).clamp(1, RETRY_AFTER_S_MAX);
        (self.is_open(now_ns) && self.count >= most).then(|| u32::try_from(left_s).unwrap_or(1))
    }
}

impl Name {
    fn is_verified(&self, now_ns: i64) -> bool {
        let recent = |at_ns: i64| now_ns.saturating_sub(at_ns) < LOGIN_REMEMBERED_NS;
        self.verified_ns.is_some_and(recent)
    }

    fn is_needed(&self, now_ns: i64) -> bool {
        self.failures.is_open(now_ns) || self.is_verified(now_ns)
    }
}

impl Logins {
    /// Why a password of `name` from `address` would not be derived now, whatever it is. It counts
    /// nothing.
    pub fn closed(&self, address: &str, name: &str, now_ns: i64) -> Option<Closed> {
        self.closed_by(self.addresses.get(address)?, &hash_of(&[name]), now_ns)
    }

    fn closed_by(&self, here: &Address, name: &Hash, now_ns: i64) -> Option<Closed> {
        let known = here.names.get(name);
        if let Some(retry_after_s) =
            known.and_then(|name| name.failures.wait_s(FAILURES_MAX, now_ns))
        {
            return Some(Closed { by: By::Name, retry_after_s });
        }
        if known.is_some_and(|name| name.is_verified(now_ns)) {
            return None;
        }
        let retry_after_s = here.failures.wait_s(ADDRESS_FAILURES_MAX, now_ns)?;
        Some(Closed { by: By::Address, retry_after_s })
    }

    /// Asks for a derivation of a password of `name`, from `address`; counts it if it is granted.
    pub fn begin(&mut self, address: &str, name: &str, now_ns: i64) -> Gate {
        let hash = hash_of(&[name]);
        let here = self.addresses.get(address);
        if let Some(here) = here {
            if let Some(closed) = self.closed_by(here, &hash, now_ns) {
                return Gate::Closed(closed);
            }
            let recent = |since_ns: i64| now_ns.saturating_sub(since_ns) < DERIVATION_NS_MAX;
            if here.deriving_ns.is_some_and(recent) {
                return Gate::Busy;
            }
        }
        let known = here.and_then(|here| here.names.get(&hash));
        if known.is_none() && !self.has_room(now_ns) {
            return Gate::Closed(Closed { by: By::Table, retry_after_s: 1 });
        }
        let here = self.addresses.entry(address.to_owned()).or_default();
        here.deriving_ns = Some(now_ns);
        here.failures.add(now_ns);
        self.names += usize::from(!here.names.contains_key(&hash));
        here.names.entry(hash).or_default().failures.add(now_ns);
        Gate::Open
    }

    /// The derivation is over, whatever came of it.
    pub fn derived(&mut self, address: &str) {
        if let Some(here) = self.addresses.get_mut(address) {
            here.deriving_ns = None;
        }
    }

    /// The derived password was right, or nothing can be said of it: the try is no failure.
    pub fn take_back(&mut self, address: &str, name: &str) {
        let Some(here) = self.addresses.get_mut(address) else { return };
        here.failures.take_back();
        if let Some(name) = here.names.get_mut(&hash_of(&[name])) {
            name.failures.take_back();
        }
    }

    /// The password is right, derived or not. A name for which there is no room is not remembered.
    pub fn verified(&mut self, address: &str, name: &str, now_ns: i64) {
        let hash = hash_of(&[name]);
        let known = self.addresses.get_mut(address).and_then(|here| here.names.get_mut(&hash));
        if let Some(name) = known {
            name.verified_ns = Some(now_ns);
        } else if self.has_room(now_ns) {
            let name = Name { verified_ns: Some(now_ns), ..Name::default() };
            self.addresses.entry(address.to_owned()).or_default().names.insert(hash, name);
            self.names += 1;
        }
    }

    /// Whether another name fits, once those that nobody needs are gone.
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

/// What counts as one address: an IPv4 address, or the /64 that one IPv6 customer has.
pub fn customer(address: &str) -> &str {
    let third_or_gap = match address.find("::") {
        Some(gap) => gap,
        None => address.match_indices(':').nth(3).map_or(address.len(), |(at, _)| at),
    };
    address.get(..third_or_gap).unwrap_or(address)
}

#[cfg(test)]
mod tests;
