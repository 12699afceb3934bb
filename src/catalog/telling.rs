//! Keeps which databases have still to be told of a change of a token or user: a job that is stored
//! with the change, told a few databases at a time, and never given up.
//!
//! A database is told how things are when the message is made, not what has changed: so a message
//! may be repeated, and one that comes late is refused by its version (PROTOCOL.md rule 11).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::lifecycle::Entries;
use crate::model::limits::{JOB_RETRY_NS, REVOKE_RETRY_NS_MAX};
use crate::model::time::S_NS;
use crate::protocol::grants::GranteeKey;
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// A change that not every database has heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Telling {
    /// What the token or user is found by.
    pub key: GranteeKey,
    /// Its name, by which a repeat of the request finds this.
    pub name: String,
    /// The version of all tokens and users that the change made.
    pub version: u64,
    /// Somebody may do less than before.
    pub narrows: bool,
    /// Numbers of databases that have to be told, ascending.
    pub left: Vec<u64>,
    /// So do all with numbers from the first to the second one.
    pub rest: Option<(u64, u64)>,
    /// When the alarm takes it up, nanoseconds.
    pub due_ns: i64,
    /// Times that the alarm has tried.
    pub failures: u32,
    /// What else it is, or was, found by: other secrets of the token, those of earlier changes that
    /// not every database has heard of included.
    #[serde(default)]
    pub others: Vec<GranteeKey>,
}

impl Telling {
    /// All that the token or user is, or was, found by.
    pub(super) fn keys(&self) -> impl Iterator<Item = &GranteeKey> {
        std::iter::once(&self.key).chain(&self.others)
    }

    /// It is also about what `earlier` is about, which is not told to everybody yet: who has heard
    /// of this one is to have heard of that.
    pub(super) fn takes_over(&mut self, earlier: &Self) {
        for key in earlier.keys() {
            if !self.keys().any(|known| known == key) {
                self.others.push(key.clone());
            }
        }
    }

    /// The databases that are to be told next, but for those that were tried by this event.
    pub(super) fn next(
        &mut self,
        entries: &Entries,
        tried: &BTreeSet<u64>,
        most: usize,
    ) -> Vec<u64> {
        self.left.retain(|number| entries.is_made(*number));
        while let Some((next, last)) = self.rest
            && self.left.iter().filter(|number| !tried.contains(*number)).count() < most
        {
            let found = entries.from(next).next().filter(|number| *number <= last);
            self.left.extend(found.filter(|number| entries.is_made(*number)));
            self.rest = found.map(|number| (number + 1, last));
        }
        let left = self.left.iter().copied().filter(|number| !tried.contains(number));
        left.take(most).collect()
    }

    /// How many have still to be told.
    pub(super) fn remaining(&self, entries: &Entries) -> u64 {
        let rest = self.rest.map_or(0, |(next, last)| {
            let rest = entries.from(next).take_while(|number| *number <= last);
            rest.filter(|number| entries.is_made(*number)).count()
        });
        let left = self.left.iter().filter(|number| entries.is_made(**number)).count();
        (left + rest) as u64
    }

    /// The alarm has tried, and is to come back: at once where it was only stopped.
    pub(super) fn tried(&mut self, now_ns: i64, stopped: bool) {
        self.failures = if stopped { 0 } else { self.failures.saturating_add(1) };
        let most_ns = if self.narrows { REVOKE_RETRY_NS_MAX } else { 64 * JOB_RETRY_NS };
        let wait_ns = if stopped { 0 } else { (S_NS << self.failures.min(20)).min(most_ns) };
        self.due_ns = now_ns.saturating_add(wait_ns);
    }
}

/// All of them by number: a copy of the `job` table. Each change is stored first.
#[derive(Clone, Debug, Default)]
pub(super) struct Tellings {
    rows: BTreeMap<u64, Telling>,
    next: u64,
}

impl Tellings {
    /// Reads the table.
    pub(super) fn load<S: Store>(store: &S) -> Result<Self, StoreError> {
        let mut tellings = Self::default();
        if store.is_open()? {
            row::each(store, Table::Job, &mut |number, head| {
                tellings.rows.insert(number, row::read(Table::Job, number, head)?);
                tellings.next = number + 1;
                Ok(())
            })?;
        }
        Ok(tellings)
    }

    /// The number that the next one gets.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// For memory alone, until it is stored.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Telling> {
        self.rows.get_mut(&number)
    }

    /// All about the token or user of this name, oldest first.
    pub(super) fn about(
        &self,
        user: bool,
        name: &str,
    ) -> impl DoubleEndedIterator<Item = (u64, &Telling)> {
        let named = move |telling: &Telling| telling.key.user == user && telling.name == name;
        let rows = self.rows.iter().map(|(number, telling)| (*number, telling));
        rows.filter(move |(_, telling)| named(telling))
    }

    /// Takes over what was stored under `number`.
    pub(super) fn stored(&mut self, number: u64, telling: Telling) {
        self.next = self.next.max(number + 1);
        self.rows.insert(number, telling);
    }

    /// Stores one as it is in memory, or removes it once everybody was told.
    pub(super) fn save<S: Store>(&mut self, store: &S, number: u64) -> Result<(), StoreError> {
        let Some(telling) = self.rows.get(&number) else { return Ok(()) };
        if telling.left.is_empty() && telling.rest.is_none() {
            store.delete(Table::Job, number..=number)?;
            self.rows.remove(&number);
            return Ok(());
        }
        store.put(Table::Job, number, &row::encode(telling)?, &[])
    }

    /// That which is due longest.
    pub(super) fn due(&self, now_ns: i64) -> Option<(i64, u64)> {
        let due = self.rows.iter().filter(|(_, telling)| telling.due_ns <= now_ns);
        due.map(|(number, telling)| (telling.due_ns, *number)).min()
    }

    /// When the next one is due.
    pub(super) fn next_due_ns(&self) -> Option<i64> {
        self.rows.values().map(|telling| telling.due_ns).min()
    }

    /// Those that keep failing, in words.
    pub(super) fn troubles(&self, entries: &Entries, failures_max: u32) -> Vec<String> {
        let failing = self.rows.values().filter(|telling| telling.failures >= failures_max);
        let word = |telling: &Telling| {
            let (kind, name) = (if telling.key.user { "user" } else { "token" }, &telling.name);
            let what = if telling.narrows { "revoked" } else { "changed" };
            let remaining = telling.remaining(entries);
            format!("{remaining} databases have not heard that {kind} \"{name}\" was {what}")
        };
        failing.map(word).collect()
    }
}
