//! Stores tokens and users, one row each. Finds them by name, by the databases in their
//! permissions, and by *lookup key*: the hash of a token, or the name of a user. [`USES`] contains
//! the last uses of tokens.
//!
//! A deployment may have 100,000 tokens and users. Memory therefore contains only a few numbers for
//! each entry.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use tidemark_engine::protocol::catalog::{CatalogRefusal, FromCatalog};
use tidemark_engine::protocol::grants::{Grantee, GranteeKey};
use tidemark_engine::store::row::{self, RowRange};
use tidemark_engine::store::{KEY_MAX, Store, StoreResult, Table};
use tidemark_model::limits::{
    GRANTEE_BYTES_MAX, GRANTEES_MAX, PAGE_BYTES_MAX, USERS_REVOKED_PER_STEP,
};

/// The first key of `USES` in the `schema` table. Tokens and users have lower keys.
const FIRST_USE_KEY: u64 = 1 << 52;
/// The maximum number of rows that a list reads at once.
const ROWS_AT_ONCE: u32 = 256;
/// The day of the last use, in days since the epoch (UTC). The number of a row is the token's id.
/// The day has a separate row, so that a use does not change the token's row.
const USES: RowRange<u32> = RowRange::within(Table::Schema, FIRST_USE_KEY, KEY_MAX);
const STATE: RowRange<GrantsState> = RowRange::one(Table::State, 1);
const GRANTEES: RowRange<Grantee> = RowRange::within(Table::Schema, 0, FIRST_USE_KEY - 1);

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct GrantsState {
    /// The version of the newest change, including removals.
    pub(super) version: u64,
    /// The highest assigned id. Ids are never reused.
    last_id: u64,
}

/// The index of all tokens and users in the `schema` table. A change is stored before it is applied
/// to this index.
#[derive(Clone, Debug, Default)]
pub(super) struct Grantees {
    state: GrantsState,
    found_by: BTreeMap<u64, u64>,
    /// Pairs of a database name's hash and the id of a token or user with permissions on that
    /// database.
    naming: BTreeSet<(u64, u64)>,
    everywhere: BTreeSet<u64>,
    users: BTreeSet<u64>,
    count: usize,
}

/// A change of a token or user, before the change is stored.
#[derive(Clone, Debug)]
pub(super) struct GranteeChange {
    pub old: Option<Grantee>,
    pub new: Option<Grantee>,
    /// The version of all tokens and users after the change, and the highest id.
    pub(super) state: GrantsState,
}

/// The result of a request to store a token or user.
#[derive(Clone, Debug)]
pub(super) enum Put {
    /// The state is already stored under this id.
    Same(u64),
    /// The version that the caller expected is outdated.
    Outdated,
    Refused(CatalogRefusal),
    Change(Box<GranteeChange>),
}

impl Grantees {
    pub(super) fn load<S: Store>(store: &S) -> StoreResult<Self> {
        let mut grantees = Self::default();
        if !store.is_open()? {
            return Ok(grantees);
        }
        grantees.state = STATE.get(store, 0)?.unwrap_or_default();
        // `collect` sorts the entries once, whereas single inserts would move entries repeatedly.
        let (mut found_by, mut naming) = (Vec::new(), Vec::new());
        GRANTEES.each(store, |id, row| {
            found_by.extend(names_of(&row).into_iter().map(|name| (name, id)));
            naming.extend(hashes_of(&row).map(|database| (database, id)));
            grantees.count_in(&row);
        })?;
        grantees.found_by = found_by.into_iter().collect();
        grantees.naming = naming.into_iter().collect();
        Ok(grantees)
    }

    fn count_in(&mut self, row: &Grantee) {
        self.count += 1;
        if row.user {
            self.users.insert(row.id);
        }
        if row.grants.concerns_all() {
            self.everywhere.insert(row.id);
        }
    }

    fn forget(&mut self, row: &Grantee) {
        self.count = self.count.saturating_sub(1);
        self.users.remove(&row.id);
        self.everywhere.remove(&row.id);
        for database in hashes_of(row) {
            self.naming.remove(&(database, row.id));
        }
        for name in names_of(row) {
            self.found_by.remove(&name);
        }
    }

    /// Returns the version of all tokens and users together.
    pub(super) fn version(&self) -> u64 {
        self.state.version
    }

    pub(super) fn named<S: Store>(
        &self,
        store: &S,
        user: bool,
        name: &str,
    ) -> StoreResult<Option<Grantee>> {
        let found = self.found_by.get(&name_hash(user, name));
        let row = found.map_or(Ok(None), |id| GRANTEES.get(store, *id))?;
        Ok(row.filter(|row| row.user == user && row.name == name))
    }

    pub(super) fn by_key<S: Store>(
        &self,
        store: &S,
        key: &GranteeKey,
    ) -> StoreResult<Option<Grantee>> {
        let found = self.found_by.get(&key_hash(key.user, &key.text));
        let row = found.map_or(Ok(None), |id| GRANTEES.get(store, *id))?;
        Ok(row.filter(|row| row.key() == *key))
    }

    /// Returns a page of tokens or users with ids above `after`, and whether further pages follow.
    pub(super) fn page<S: Store>(
        &self,
        store: &S,
        user: bool,
        after: u64,
        limit: u64,
    ) -> StoreResult<(Vec<Grantee>, bool)> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let mut from = after.saturating_add(1);
        // A store that never had a token or user has no table.
        while self.count > 0 && from < FIRST_USE_KEY {
            let mut rows_max = ROWS_AT_ONCE;
            // A deployment may have few users and many tokens.
            if user {
                let Some(&first) = self.users.range(from..).next() else { break };
                from = first;
                let users = self.users.range(first..).zip(first..);
                let adjacent = users.take_while(|&(&id, next)| id == next);
                rows_max = adjacent.zip(1..=ROWS_AT_ONCE).last().map_or(1, |(_, rows)| rows);
            }
            let heads = GRANTEES.heads(store, from, rows_max)?;
            let Some((last, _)) = heads.last() else { break };
            from = last + 1;
            for (id, head) in &heads {
                if self.users.contains(id) != user {
                    continue;
                }
                bytes += head.len();
                if rows.len() as u64 >= limit || (bytes > PAGE_BYTES_MAX / 2 && !rows.is_empty()) {
                    return Ok((rows, true));
                }
                rows.push(GRANTEES.decode(*id, head)?);
            }
        }
        Ok((rows, false))
    }

    /// Returns a page of those tokens and users with ids above `after` that have permissions on
    /// `database`. The result omits all other permissions.
    pub(super) fn concerning<S: Store>(
        &self,
        store: &S,
        database: &str,
        after: u64,
    ) -> StoreResult<Vec<Grantee>> {
        let ids = self.everywhere.iter().copied().chain(self.naming(database));
        let mut ids: Vec<u64> = ids.filter(|id| *id > after).collect();
        ids.sort();
        ids.dedup();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for id in ids {
            let Some(row) = GRANTEES.get(store, id)?.filter(|row| row.grants.concerns(database))
            else {
                continue;
            };
            let row = row.on(database);
            bytes += row::encode(&row)?.len();
            rows.push(row);
            if bytes > PAGE_BYTES_MAX / 2 {
                break;
            }
        }
        Ok(rows)
    }

    /// Returns the ids of tokens and users whose permissions name `database`, in ascending order.
    fn naming(&self, database: &str) -> impl Iterator<Item = u64> {
        let hash = hash(&["d", database]);
        self.naming.range((hash, 0)..=(hash, u64::MAX)).map(|(_, id)| *id)
    }

    /// Prepares the change that stores `grantee`. See
    /// [`tidemark_engine::protocol::catalog::ToCatalog::PutGrantee`].
    pub(super) fn put<S: Store>(&self, store: &S, mut grantee: Grantee) -> StoreResult<Put> {
        let found = self.named(store, grantee.user, &grantee.name)?;
        if let Some(found) = &found {
            let (id, version) = (found.id, found.version);
            if (Grantee { id, version, ..grantee.clone() }) == *found {
                return Ok(Put::Same(id));
            }
        }
        if found.as_ref().map_or(0, |found| found.version) != grantee.version {
            return Ok(Put::Outdated);
        }
        let mut state = GrantsState { version: self.state.version + 1, ..self.state };
        grantee.id = found.as_ref().map_or(state.last_id + 1, |found| found.id);
        grantee.version = state.version;
        state.last_id = state.last_id.max(grantee.id);
        let count = self.count + usize::from(found.is_none());
        let bytes = row::encode(&grantee)?.len();
        let over = [(count, GRANTEES_MAX, "entries"), (bytes, GRANTEE_BYTES_MAX, "bytes")];
        let over = over.into_iter().find(|(requested, limit, _)| requested > limit);
        if let Some((requested, limit, unit)) = over {
            return Ok(Put::Refused(CatalogRefusal::TooManyGrantees {
                limit: limit as u64,
                requested: requested as u64,
                unit: unit.to_owned(),
            }));
        }
        Ok(Put::Change(Box::new(GranteeChange { old: found, new: Some(grantee), state })))
    }

    /// Prepares the removal of a token or user. Returns `None` if the name does not exist.
    pub(super) fn remove<S: Store>(
        &self,
        store: &S,
        user: bool,
        name: &str,
    ) -> StoreResult<Option<GranteeChange>> {
        let state = GrantsState { version: self.state.version + 1, ..self.state };
        let old = self.named(store, user, name)?;
        Ok(old.map(|old| GranteeChange { old: Some(old), new: None, state }))
    }

    /// Stores a change, and runs `beside` in the same transaction.
    ///
    /// # Errors
    /// [`StoreError`](tidemark_engine::store::StoreError): the store is unchanged.
    pub(super) fn apply<S: Store>(
        &mut self,
        store: &S,
        change: GranteeChange,
        beside: impl FnOnce() -> StoreResult<()>,
    ) -> StoreResult<()> {
        let GranteeChange { old, new, state } = change;
        store.open()?;
        store.atomically(|| {
            STATE.put(store, 0, &state)?;
            match (&new, &old) {
                (Some(new), _) => GRANTEES.put(store, new.id, new)?,
                (None, Some(old)) => {
                    GRANTEES.remove(store, old.id, old.id)?;
                    USES.remove(store, old.id, old.id)?;
                }
                (None, None) => {}
            }
            beside()
        })?;
        self.state = state;
        if let Some(old) = &old {
            self.forget(old);
        }
        if let Some(new) = &new {
            self.found_by.extend(names_of(new).into_iter().map(|name| (name, new.id)));
            for database in hashes_of(new) {
                self.naming.insert((database, new.id));
            }
            self.count_in(new);
        }
        Ok(())
    }

    /// Removes the permissions of some users on the dropped `database`. Returns whether further
    /// users have permissions on it.
    ///
    /// # Errors
    /// [`StoreError`](tidemark_engine::store::StoreError): a repeat removes the remaining permissions.
    pub(super) fn revoke_users<S: Store>(
        &mut self,
        store: &S,
        database: &str,
    ) -> StoreResult<bool> {
        let named = self.naming(database).filter(|id| self.users.contains(id));
        let mut users: Vec<u64> = named.take(USERS_REVOKED_PER_STEP + 1).collect();
        let more = users.len() > USERS_REVOKED_PER_STEP;
        users.truncate(USERS_REVOKED_PER_STEP);
        let mut has_changed = false;
        for id in users {
            let Some(mut row) = GRANTEES.get(store, id)? else { continue };
            row.grants.permissions.retain(|held| held.database.as_deref() != Some(database));
            if let Put::Change(change) = self.put(store, row)? {
                self.apply(store, *change, || Ok(()))?;
                has_changed = true;
            }
        }
        Ok(more && has_changed)
    }

    /// Returns the day of the last use of each token in `rows`.
    pub(super) fn uses<S: Store>(
        &self,
        store: &S,
        rows: &[Grantee],
    ) -> StoreResult<Vec<Option<u32>>> {
        rows.iter().map(|row| USES.get(store, row.id)).collect()
    }

    /// Looks up `keys`, and records `day` as the last use of each token.
    pub(super) fn look_up<S: Store>(
        &self,
        store: &S,
        keys: &[GranteeKey],
        day: u32,
    ) -> StoreResult<FromCatalog> {
        for key in keys.iter().filter(|key| !key.user) {
            // Each token has at most one write per day.
            if let Some(row) = self.by_key(store, key)?
                && USES.get(store, row.id)? < Some(day)
            {
                USES.put(store, row.id, &day)?;
            }
        }
        self.identify(store, keys)
    }

    pub(super) fn identify<S: Store>(
        &self,
        store: &S,
        keys: &[GranteeKey],
    ) -> StoreResult<FromCatalog> {
        let mut found = Vec::new();
        for key in keys {
            found.extend(self.by_key(store, key)?);
        }
        Ok(FromCatalog::Identified { found, users: !self.users.is_empty() })
    }
}

/// Returns the hashes of the database names in the permissions. The result may contain duplicates.
fn hashes_of(row: &Grantee) -> impl Iterator<Item = u64> {
    let databases = row.grants.permissions.iter().filter_map(|held| held.database.as_deref());
    databases.map(|database| hash(&["d", database]))
}

fn names_of(row: &Grantee) -> Vec<u64> {
    let key = (!row.user).then(|| key_hash(false, &row.hash));
    key.into_iter().chain([name_hash(row.user, &row.name)]).collect()
}

fn name_hash(user: bool, name: &str) -> u64 {
    hash(&[if user { "u" } else { "t" }, name])
}

/// Returns the hash of a lookup key. A user's lookup key is the name.
fn key_hash(user: bool, text: &str) -> u64 {
    if user { name_hash(true, text) } else { hash(&["k", text]) }
}

fn hash(parts: &[&str]) -> u64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let digest: [u8; 32] = digest.finalize().into();
    digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests;
