//! Changes tokens and users, and sends each change to the databases that it affects. Also sends all
//! tokens and users to a new database.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::grants::{GranteeChange, Put};
use super::lifecycle::Entries;
use super::{Catalog, CatalogTask, CatalogWork, Event, NextResult, Result};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::catalog::FromCatalog;
use tidemark_engine::protocol::database::{FromDatabase, ToDatabase};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::grants::{Grantee, GranteeKey, GrantsPush};
use tidemark_engine::protocol::round::{Next, Replies, Request};
use tidemark_engine::store::row::RowRange;
use tidemark_engine::store::{Store, StoreResult, Table};
use tidemark_model::grant::Permission;
use tidemark_model::limits::{
    DATABASES_NOTIFIED_AT_ONCE, JOB_FAILURES_MAX, JOB_RETRY_NS, NOTIFICATION_ROUNDS_MAX,
    REVOKE_RETRY_NS_MAX,
};
use tidemark_model::time::S_NS;

/// The maximum number of consecutive rounds with a `Late` reply in one event. Such a reply means
/// that the database has already received a later change; the event then sends the current state
/// again.
const LATE_MAX: u32 = 3;

#[derive(Clone, Copy, Debug)]
pub(super) enum Notified {
    /// The token or user with this id was stored.
    Granted(u64),
    Removed,
    /// The event is the alarm, which ignores the reply.
    Alarm,
}

#[derive(Debug, Default)]
pub(super) struct NotificationProgress {
    /// The databases of the last requests, in the order of their replies.
    requested: Vec<u64>,
    /// The databases that could not be notified. The event does not notify these databases again.
    tried: BTreeSet<u64>,
    rounds: u32,
    /// The number of consecutive rounds with a `Late` reply.
    late: u32,
}

#[derive(Debug, Default)]
pub(super) struct CreationProgress {
    /// Whether the Database is initialised. After the initialisation, the event sends the tokens
    /// and users.
    pub(super) initialised: bool,
    /// The pages that the Database has received: the version of all tokens and users, and the last
    /// id at this version.
    notified: Option<(u64, u64)>,
    sent: Option<(u64, u64)>,
}

impl<S: Store> Catalog<S> {
    pub(super) fn put_grantee(&mut self, event: &mut Event<'_>, grantee: Grantee) -> NextResult {
        let (user, name) = (grantee.user, grantee.name.clone());
        let (grantees, store) = self.grantees()?;
        match grantees.put(store, grantee)? {
            Put::Same(id) => self.notify_again(event, user, &name, Notified::Granted(id)),
            Put::Outdated => Err(Unavailable::Changing.into()),
            Put::Refused(refusal) => Err(refusal.into()),
            Put::Change(change) => {
                let id = change.new.as_ref().map_or(0, |new| new.id);
                self.change(event, *change, Notified::Granted(id))
            }
        }
    }

    pub(super) fn remove_grantee(
        &mut self,
        event: &mut Event<'_>,
        user: bool,
        name: &str,
    ) -> NextResult {
        let (grantees, store) = self.grantees()?;
        match grantees.remove(store, user, name)? {
            Some(change) => self.change(event, change, Notified::Removed),
            None => self.notify_again(event, user, name, Notified::Removed),
        }
    }

    /// Handles a repeated request, which changes no state. Continues the newest unfinished job
    /// about this token or user.
    fn notify_again(
        &mut self,
        event: &mut Event<'_>,
        user: bool,
        name: &str,
        notified: Notified,
    ) -> NextResult {
        self.entries()?;
        let newest = self.notifications.about(user, name).last();
        if let Some((number, _)) = newest {
            return self.start(event, CatalogTask::Notify { number, notified });
        }
        Ok(match notified {
            Notified::Granted(id) => Next::Reply(FromCatalog::Granted { id, remaining: 0 }),
            _ => Next::Reply(FromCatalog::Dropped { existed: false, remaining: 0 }),
        })
    }

    fn change(
        &mut self,
        event: &mut Event<'_>,
        change: GranteeChange,
        notified: Notified,
    ) -> NextResult {
        let mut notification = notification(self.entries()?, &change, event.platform.now_ns());
        if let Some(notification) = &mut notification {
            let name = notification.name.clone();
            let earlier = self.notifications.about(notification.key.user, &name);
            earlier.for_each(|(_, earlier)| notification.takes_over(earlier));
        }
        let number = self.notifications.next;
        let (grantees, store) = self.grantees()?;
        grantees.apply(store, change, || match &notification {
            Some(notification) => NOTIFICATIONS.put(store, number, notification),
            None => Ok(()),
        })?;
        let Some(notification) = notification else { return Ok(Next::Reply(notified.reply(0))) };
        self.notifications.stored(number, notification);
        self.start(event, CatalogTask::Notify { number, notified })
    }

    pub(super) fn notify(
        &mut self,
        event: &mut Event<'_>,
        job: u64,
        notified: Notified,
    ) -> NextResult {
        self.entries()?;
        self.grantees()?;
        let (Some(entries), Some(grantees)) = (&self.entries, &self.grantees) else {
            return Err(Unavailable::Changing.into());
        };
        let Some(notification) = self.notifications.get_mut(job) else {
            return Ok(Next::Reply(notified.reply(0)));
        };
        let [request_max, alarm_max] = NOTIFICATION_ROUNDS_MAX;
        let rounds_max = if matches!(notified, Notified::Alarm) { alarm_max } else { request_max };
        let progress = &mut event.work.notification;
        let stopped = progress.rounds >= rounds_max;
        if !stopped {
            progress.requested =
                notification.next(entries, &progress.tried, DATABASES_NOTIFIED_AT_ONCE);
        }
        if stopped || progress.requested.is_empty() {
            let remaining = notification.remaining(entries);
            if remaining > 0 {
                notification.count_attempt(event.platform.now_ns(), stopped);
            }
            self.notifications.save(&self.store, job)?;
            return Ok(Next::Reply(notified.reply(remaining)));
        }
        progress.rounds += 1;
        let mut rows = Vec::new();
        for key in notification.keys() {
            rows.push((key, grantees.by_key(&self.store, key)?));
        }
        let mut requests = Vec::new();
        for entry in progress.requested.iter().filter_map(|number| entries.get(*number)) {
            let name = &entry.create.name;
            let (sequence, revokes) = (grantees.version(), notification.revokes);
            let change = notification.version;
            let mut push = GrantsPush { sequence, revokes, change, ..GrantsPush::default() };
            for (key, row) in &rows {
                match row.as_ref().filter(|row| row.grants.concerns(name)) {
                    Some(row) => push.put.push(row.on(name)),
                    None => push.removed.push((*key).clone()),
                }
            }
            let message = envelope::encode(&ToDatabase::Grants(Box::new(push)));
            requests.push(Request::new(Address::Database(entry.object.clone()), message));
        }
        Ok(Next::Calls(requests))
    }

    pub(super) fn on_notified(
        &mut self,
        work: &mut CatalogWork,
        number: u64,
        replies: Replies,
    ) -> Result<()> {
        self.entries()?;
        let Some(notification) = self.notifications.get_mut(number) else { return Ok(()) };
        let progress = &mut work.notification;
        let mut is_late = false;
        for (database, reply) in std::mem::take(&mut progress.requested).into_iter().zip(replies) {
            match envelope::decode_reply::<FromDatabase>(reply) {
                // A dropped database accepts no requests.
                Ok(FromDatabase::Done | FromDatabase::NotOpen) => {
                    notification.left.retain(|left| *left != database);
                }
                Ok(FromDatabase::Late) if progress.late < LATE_MAX => is_late = true,
                _ => {
                    progress.tried.insert(database);
                }
            }
        }
        progress.late = if is_late { progress.late + 1 } else { 0 };
        Ok(self.notifications.save(&self.store, number)?)
    }

    /// Returns the next page of tokens and users for a database in creation, or `None` after the
    /// last page.
    ///
    /// A database in creation receives no notifications of changes until it is ready. After a
    /// change it therefore receives all pages again.
    pub(super) fn creation_page(
        &mut self,
        work: &mut CatalogWork,
        name: &str,
    ) -> Result<Option<ToDatabase>> {
        let (grantees, store) = self.grantees()?;
        let sequence = grantees.version();
        let notified = work.creation.notified.filter(|(version, _)| *version == sequence);
        let after = notified.map_or(0, |(_, after)| after);
        let put = grantees.concerning(store, name, after)?;
        // At version 0 the Catalog has never had a token or user. In any other case, the first page
        // is sent even if it is empty, because it makes the Database delete old entries.
        if sequence == 0 || notified.is_some() && put.is_empty() {
            return Ok(None);
        }
        work.creation.sent = Some((sequence, put.last().map_or(after, |last| last.id)));
        let push =
            GrantsPush { sequence, put, is_full_list: notified.is_none(), ..GrantsPush::default() };
        Ok(Some(ToDatabase::Grants(Box::new(push))))
    }
}

impl CreationProgress {
    pub(super) fn on_reply(&mut self) {
        self.initialised = true;
        self.notified = self.sent.take().or(self.notified);
    }
}

impl Notified {
    fn reply(self, remaining: u64) -> FromCatalog {
        match self {
            Self::Granted(id) => FromCatalog::Granted { id, remaining },
            Self::Removed | Self::Alarm => FromCatalog::Dropped { existed: true, remaining },
        }
    }
}

fn notification(entries: &Entries, change: &GranteeChange, now_ns: i64) -> Option<Notification> {
    let sides = [change.old.as_ref(), change.new.as_ref()];
    let one = sides.into_iter().flatten().last()?;
    let is_known_as = |row: &Grantee| (row.hash.clone(), row.salt.clone(), row.expires_ns);
    let same = sides.map(|side| side.map(is_known_as));
    let is_same_person = matches!(&same, [Some(old), Some(new)] if old == new);
    let all = sides.iter().flatten().any(|row| row.grants.concerns_all());
    let rest = if all { entries.last().map(|last| (0, last)) } else { None };
    let [old, new] = sides.map(permissions_by_database);
    let mut left = Vec::new();
    for name in old.keys().chain(new.keys()).filter(|_| !all) {
        let number = entries.by_name(name).map(|(number, _)| number);
        left.extend(number.filter(|_| !is_same_person || old.get(name) != new.get(name)));
    }
    left.sort();
    left.dedup();
    (rest.is_some() || !left.is_empty()).then(|| Notification {
        key: one.key(),
        name: one.name.clone(),
        version: change.state.version,
        revokes: change.old.is_some(),
        left,
        rest,
        due_ns: now_ns.saturating_add(S_NS),
        failures: 0,
        others: Vec::new(),
    })
}

fn permissions_by_database(row: Option<&Grantee>) -> BTreeMap<&str, Vec<&Permission>> {
    let mut permissions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for permission in row.into_iter().flat_map(|row| &row.grants.permissions) {
        if let Some(database) = permission.database.as_deref() {
            permissions.entry(database).or_default().push(permission);
        }
    }
    permissions
}

const NOTIFICATIONS: RowRange<Notification> = RowRange::all(Table::Job);

/// A job that notifies databases of a changed token or user. A job is stored together with the
/// change, notifies a few databases at a time, and retries without limit.
///
/// A message contains the state at the time of sending, not the change. A message may therefore be
/// repeated, and a database uses the message's version to reject a late message (PROTOCOL.md rule
/// 11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notification {
    /// The lookup key of the token or user.
    pub key: GranteeKey,
    /// The name of the token or user, by which a repeated request finds this job.
    pub name: String,
    /// The version of all tokens and users after the change.
    pub version: u64,
    /// Whether the change may remove a permission of a token or user.
    pub revokes: bool,
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
    fn keys(&self) -> impl Iterator<Item = &GranteeKey> {
        std::iter::once(&self.key).chain(&self.others)
    }

    /// Adds the keys of an earlier unfinished job about the same token or user, because a database
    /// that has received this change does not need the earlier change.
    fn takes_over(&mut self, earlier: &Self) {
        for key in earlier.keys() {
            if !self.keys().any(|known| known == key) {
                self.others.push(key.clone());
            }
        }
    }

    fn next(&mut self, entries: &Entries, tried: &BTreeSet<u64>, most: usize) -> Vec<u64> {
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

    fn remaining(&self, entries: &Entries) -> u64 {
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
        let most_ns = if self.revokes { REVOKE_RETRY_NS_MAX } else { 64 * JOB_RETRY_NS };
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

    /// Returns a job for changes in memory. The caller then stores the changes with
    /// [`Notifications::save`].
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Notification> {
        self.rows.get_mut(&number)
    }

    fn about(&self, user: bool, name: &str) -> impl Iterator<Item = (u64, &Notification)> {
        let named = move |notification: &Notification| {
            notification.key.user == user && notification.name == name
        };
        let rows = self.rows.iter().map(|(number, notification)| (*number, notification));
        rows.filter(move |(_, notification)| named(notification))
    }

    fn stored(&mut self, number: u64, notification: Notification) {
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

    pub(super) fn problems(&self, entries: &Entries) -> Vec<String> {
        let failing =
            self.rows.values().filter(|notification| notification.failures >= JOB_FAILURES_MAX);
        let word = |notification: &Notification| {
            let (kind, name) =
                (if notification.key.user { "user" } else { "token" }, &notification.name);
            let what = if notification.revokes { "revoked" } else { "changed" };
            let remaining = notification.remaining(entries);
            format!(
                "{remaining} databases have not yet been notified that {kind} \"{name}\" was {what}"
            )
        };
        failing.map(word).collect()
    }
}
