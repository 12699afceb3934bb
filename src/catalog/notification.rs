//! Implements jobs that notify databases of changed tokens and users. A job is stored together with
//! the change, notifies a few databases at a time, and retries without limit.
//!
//! A message contains the state at the time of sending, not the change. A message may therefore be
//! repeated, and a database uses the message's version to reject a late message (PROTOCOL.md rule
//! 11).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::lifecycle::Entries;
use crate::model::limits::{JOB_RETRY_NS, REVOKE_RETRY_NS_MAX};
use crate::model::time::S_NS;
use crate::protocol::grants::GranteeKey;
use crate::store::row::Rows;
use crate::store::{Store, StoreResult, Table};

pub(super) const NOTIFICATIONS: Rows<Notification> = Rows::all(Table::Job);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notification {
    /// The lookup key of the token or user.
    pub key: GranteeKey,
    /// The name of the token or user, by which a repeated request finds this job.
    pub name: String,
    /// The version of all tokens and users after the change.
    pub version: u64,
    /// Whether the change may remove a permission of a token or user.
    pub narrows: bool,
    /// The ids of the databases to notify, in ascending order.
    pub left: Vec<u64>,
    /// The first and last id of a range of further databases to notify.
    pub rest: Option<(u64, u64)>,
    /// The time of the next attempt by the alarm, in nanoseconds.
    pub due_ns: i64,
    /// The number of failed attempts by the alarm.
    pub failures: u32,
    /// The lookup keys of earlier unfinished changes of the same name.
    #[serde(default)]
    pub others: Vec<GranteeKey>,
}

impl Notification {
    pub(super) fn keys(&self) -> impl Iterator<Item = &GranteeKey> {
        std::iter::once(&self.key).chain(&self.others)
    }

    /// Adds the keys of an earlier unfinished job about the same token or user, because a database
    /// that has received this change does not need the earlier change.
    pub(super) fn takes_over(&mut self, earlier: &Self) {
        for key in earlier.keys() {
            if !self.keys().any(|known| known == key) {
                self.others.push(key.clone());
            }
        }
    }

    pub(super) fn next(
        &mut self,
        entries: &Entries,
        tried: &BTreeSet<u64>,
        most: usize,
    ) -> Vec<u64> {
        self.left.retain(|number| entries.may_be_in_use(*number));
        while let Some((next, last)) = self.rest
            && self.left.iter().filter(|number| !tried.contains(*number)).count() < most
        {
            let found = entries.from(next).next().filter(|number| *number <= last);
            self.left.extend(found.filter(|number| entries.may_be_in_use(*number)));
            self.rest = found.map(|number| (number + 1, last));
        }
        let left = self.left.iter().copied().filter(|number| !tried.contains(number));
        left.take(most).collect()
    }

    pub(super) fn remaining(&self, entries: &Entries) -> u64 {
        let rest = self.rest.map_or(0, |(next, last)| {
            let rest = entries.from(next).take_while(|number| *number <= last);
            rest.filter(|number| entries.may_be_in_use(*number)).count()
        });
        let left = self.left.iter().filter(|number| entries.may_be_in_use(**number)).count();
        (left + rest) as u64
    }

    /// Schedules the next attempt of the alarm. The attempt follows immediately if the event only
    /// reached its limit of rounds (`stopped`). Otherwise the attempt follows after a growing
    /// delay.
    pub(super) fn count_attempt(&mut self, now_ns: i64, stopped: bool) {
        self.failures = if stopped { 0 } else { self.failures.saturating_add(1) };
        let most_ns = if self.narrows { REVOKE_RETRY_NS_MAX } else { 64 * JOB_RETRY_NS };
        let wait_ns = if stopped { 0 } else { (S_NS << self.failures.min(20)).min(most_ns) };
        self.due_ns = now_ns.saturating_add(wait_ns);
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Notifications {
    rows: BTreeMap<u64, Notification>,
    next: u64,
}

impl Notifications {
    pub(super) fn load<S: Store>(store: &S) -> StoreResult<Self> {
        let mut notifications = Self::default();
        if store.is_open()? {
            NOTIFICATIONS.each(store, |number, row| notifications.stored(number, row))?;
        }
        Ok(notifications)
    }

    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// Returns a job for changes in memory. The caller then stores the changes with
    /// [`Notifications::save`].
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Notification> {
        self.rows.get_mut(&number)
    }

    pub(super) fn about(
        &self,
        user: bool,
        name: &str,
    ) -> impl DoubleEndedIterator<Item = (u64, &Notification)> {
        let named = move |notification: &Notification| {
            notification.key.user == user && notification.name == name
        };
        let rows = self.rows.iter().map(|(number, notification)| (*number, notification));
        rows.filter(move |(_, notification)| named(notification))
    }

    pub(super) fn stored(&mut self, number: u64, notification: Notification) {
        self.next = self.next.max(number + 1);
        self.rows.insert(number, notification);
    }

    pub(super) fn save<S: Store>(&mut self, store: &S, number: u64) -> StoreResult<()> {
        let Some(notification) = self.rows.get(&number) else { return Ok(()) };
        if notification.left.is_empty() && notification.rest.is_none() {
            NOTIFICATIONS.remove(store, number, number)?;
            self.rows.remove(&number);
            return Ok(());
        }
        NOTIFICATIONS.put(store, number, notification)
    }

    pub(super) fn due(&self, now_ns: i64) -> Option<(i64, u64)> {
        let due = self.rows.iter().filter(|(_, notification)| notification.due_ns <= now_ns);
        due.map(|(number, notification)| (notification.due_ns, *number)).min()
    }

    pub(super) fn next_due_ns(&self) -> Option<i64> {
        self.rows.values().map(|notification| notification.due_ns).min()
    }

    pub(super) fn problems(&self, entries: &Entries, failures_max: u32) -> Vec<String> {
        let failing =
            self.rows.values().filter(|notification| notification.failures >= failures_max);
        let word = |notification: &Notification| {
            let (kind, name) =
                (if notification.key.user { "user" } else { "token" }, &notification.name);
            let what = if notification.narrows { "revoked" } else { "changed" };
            let remaining = notification.remaining(entries);
            format!(
                "{remaining} databases have not yet been notified that {kind} \"{name}\" was {what}"
            )
        };
        failing.map(word).collect()
    }
}
