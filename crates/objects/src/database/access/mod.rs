//! Stores the tokens and users with permissions on this database. If one of them loses a
//! permission, notifies all shards (PROTOCOL.md rule 11).
//!
//! A row's key is a hash of the *lookup key*: the hash of a token, or the name of a user. The
//! Database reads rows one at a time and keeps no rows in memory, because a database may have
//! 100,000 rows.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::job::{Job, JobKind};
use super::object::{Database, DatabaseWork, Driven, Failure, Result};
use super::rows::{DatabaseStage, GRANTEES, RowsChange};
use tidemark_engine::protocol::call::Platform;
use tidemark_engine::protocol::database::FromDatabase;
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::grants::{Grantee, GranteeKey, GrantsPush};
use tidemark_engine::protocol::round::Replies;
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::store::{Store, StoreResult};
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::CALLS_PER_ROUND_MAX;

/// The number of recent Catalog changes that a Database remembers, so that a repeated change does
/// not raise the access number again. Repeats arrive within minutes.
const RECENT_CHANGES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct AccessProgress {
    number: u64,
    /// The shards, in the order of their replies.
    requested: Vec<ObjectId>,
}

impl<S: Store> Database<S> {
    pub(super) fn identify(&mut self, keys: &[GranteeKey]) -> Result<FromDatabase> {
        let access = self.open_rows()?.state.access;
        let mut found = Vec::new();
        for key in keys {
            let rows = read(&self.store, row_number(key))?;
            found.extend(rows.into_iter().filter(|row| row.key() == *key));
        }
        Ok(FromDatabase::Identified { access, found })
    }

    /// Stores tokens and users from the Catalog, and returns the reply. If a token or user loses a
    /// permission, also stores a job that notifies the shards, and returns `None`: the event
    /// executes the job before it replies.
    pub(super) fn store_grants(
        &mut self,
        platform: &dyn Platform,
        push: &GrantsPush,
    ) -> Result<Option<FromDatabase>> {
        self.load()?;
        let known = self.rows.as_ref();
        let is_frozen = known.is_some_and(|rows| rows.state.stage == DatabaseStage::Frozen);
        if !is_frozen || push.revokes {
            self.open_rows()?;
        }
        // A database that is frozen by a recovery also stores tokens and users, because it needs
        // them before any client may use it.
        let Some(rows) = &self.rows else { return Err(Failure::NotOpen) };
        if push.sequence < rows.state.granted {
            return Ok(Some(FromDatabase::Late));
        }
        // A late message must not remove entries that arrived after the message was sent.
        let replaces_grantees = push.is_full_list && push.sequence > rows.state.granted;
        let mut state = rows.state.clone();
        state.granted = push.sequence;
        let mut change = RowsChange { replaces_grantees, ..RowsChange::default() };
        if push.revokes && !state.recent_changes.contains(&push.change) {
            state.access += 1;
            state.recent_changes.push(push.change);
            let excess = state.recent_changes.len().saturating_sub(RECENT_CHANGES_MAX);
            state.recent_changes.drain(..excess);
            if self.access_job().is_none() {
                let job = Job::started(JobKind::Access, platform.now_ns());
                change.add_job(&mut state, job);
            }
        }
        let mut grantees = BTreeMap::new();
        let gone = push.removed.iter().map(|key| (key.clone(), None));
        for (key, row) in gone.chain(push.put.iter().map(|row| (row.key(), Some(row)))) {
            let number = row_number(&key);
            if !replaces_grantees && !grantees.contains_key(&number) {
                grantees.insert(number, read(&self.store, number)?);
            }
            let rows: &mut Vec<Grantee> = grantees.entry(number).or_default();
            rows.retain(|known| known.key() != key);
            rows.extend(row.cloned());
        }
        change.grantees = grantees.into_iter().collect();
        change.state = Some(state);
        self.apply(change)?;
        Ok((!push.revokes).then_some(FromDatabase::Done))
    }

    pub(super) fn access_job(&self) -> Option<u64> {
        let jobs = self.rows.iter().flat_map(|rows| &rows.jobs);
        jobs.filter(|(_, job)| job.kind == JobKind::Access).map(|(&key, _)| key).next()
    }

    /// Returns the messages to the next shards of the current map, or `None` after the last shard.
    pub(super) fn drive_access(&mut self, work: &mut DatabaseWork, key: u64) -> Driven {
        let Some(rows) = &self.rows else { return Ok(None) };
        let number = rows.state.access;
        if self.notified_shards.0 != number {
            self.notified_shards = (number, BTreeSet::new());
        }
        let left = rows.shards().filter(|shard| !self.notified_shards.1.contains(*shard));
        let requested: Vec<ObjectId> = left.take(CALLS_PER_ROUND_MAX).cloned().collect();
        if requested.is_empty() {
            return self.end_job(key);
        }
        let message = ToShard::Access { number };
        let requests =
            requested.iter().map(|shard| rows.request(shard.clone(), &message)).collect();
        work.access = AccessProgress { number, requested };
        Ok(Some(requests))
    }

    /// Processes the shards' replies. The reply `Stale` also counts as success, because a shard
    /// that is not open accepts no requests.
    pub(super) fn on_access_reply(
        &mut self,
        work: &mut DatabaseWork,
        replies: Replies,
    ) -> Result<()> {
        let AccessProgress { number, requested } = std::mem::take(&mut work.access);
        let mut failure = None;
        for (shard, reply) in requested.into_iter().zip(replies) {
            match envelope::decode_reply::<FromShard>(reply).map_err(Unavailable::from) {
                Ok(FromShard::Done | FromShard::Stale) if self.notified_shards.0 == number => {
                    self.notified_shards.1.insert(shard);
                }
                // The access number increased after the message was sent. The shard then does not
                // count as notified, so that it also receives the new number.
                Ok(FromShard::Done | FromShard::Stale) => {}
                Ok(FromShard::Unavailable(reason)) | Err(reason) => failure = Some(reason),
                Ok(_) => failure = Some(Unavailable::Unreachable("unexpected reply".to_owned())),
            }
        }
        failure.map_or(Ok(()), |reason| Err(reason.into()))
    }
}

/// Returns the number of a lookup key's row. Different lookup keys may share a row.
fn row_number(key: &GranteeKey) -> u64 {
    let mut digest = Sha256::new();
    digest.update([u8::from(key.user)]);
    digest.update(key.text.as_bytes());
    let hash: [u8; 32] = digest.finalize().into();
    let first = hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // The result is below 2^52, so that JavaScript's numbers can represent it.
    first >> 12
}

fn read<S: Store>(store: &S, number: u64) -> StoreResult<Vec<Grantee>> {
    Ok(GRANTEES.get(store, number)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
