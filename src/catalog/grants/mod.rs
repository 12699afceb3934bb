//! Keeps tokens and users, one row for each, and counts their changes so that every edge's copy can
//! follow.

use serde::{Deserialize, Serialize};

use crate::model::limits::{GRANTEES_BYTES_MAX, GRANTEES_MAX};
use crate::protocol::catalog::{CatalogRefusal, FromCatalog};
use crate::protocol::grants::{GrantChanges, Grantee};
use crate::protocol::host::Unavailable;
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// Where the counters lie in the `state` table; row 0 is the databases'.
const STATE_ROW: u64 = 1;

/// The row of counters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct GrantsState {
    /// Of the newest change, removals included.
    version: u64,
    /// Numbers are never reused.
    last_id: u64,
}

/// Every token and user: a copy of the `schema` table. Each change is stored first.
#[derive(Clone, Debug, Default)]
pub struct Grantees {
    state: GrantsState,
    /// Ascending by number.
    rows: Vec<Grantee>,
}

impl Grantees {
    /// Reads the table.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn load<S: Store>(store: &S) -> Result<Self, StoreError> {
        if !store.is_open()? {
            return Ok(Self::default());
        }
        let state = match store.head(Table::State, STATE_ROW)? {
            Some(head) => row::read(Table::State, STATE_ROW, &head)?,
            None => GrantsState::default(),
        };
        let limit = u32::try_from(GRANTEES_MAX).unwrap_or(u32::MAX);
        let heads = store.heads(Table::Schema, 0..=u64::MAX >> 11, limit)?;
        let read = |(id, head): &(u64, Vec<u8>)| row::read(Table::Schema, *id, head);
        let rows = heads.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { state, rows })
    }

    /// What changed after version `since`.
    pub fn changes(&self, since: u64) -> GrantChanges {
        let changed = self.rows.iter().filter(|row| row.version > since).cloned();
        GrantChanges {
            version: self.state.version,
            live: self.rows.iter().map(|row| row.id).collect(),
            changed: changed.collect(),
        }
    }

    fn named(&self, user: bool, name: &str) -> Option<usize> {
        self.rows.iter().position(|row| row.user == user && row.name == name)
    }

    /// Stores `grantee`, see [`crate::protocol::catalog::ToCatalog::PutGrantee`].
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was stored.
    pub fn put<S: Store>(
        &mut self,
        store: &S,
        mut grantee: Grantee,
    ) -> Result<FromCatalog, StoreError> {
        let place = self.named(grantee.user, &grantee.name);
        let found = place.and_then(|place| self.rows.get(place));
        if let Some(found) = found {
            let (id, version) = (found.id, found.version);
            let wanted = Grantee { id, version, ..grantee.clone() };
            // A repeat.
            if wanted == *found {
                return Ok(FromCatalog::Granted { id });
            }
        }
        if found.map_or(0, |found| found.version) != grantee.version {
            return Ok(FromCatalog::Unavailable(Unavailable::Changing));
        }
        let mut state = GrantsState { version: self.state.version + 1, ..self.state };
        grantee.id = found.map_or(state.last_id + 1, |found| found.id);
        grantee.version = state.version;
        state.last_id = state.last_id.max(grantee.id);
        if let Some(refusal) = self.refusal(place, &grantee)? {
            return Ok(FromCatalog::Refused(refusal));
        }
        let id = grantee.id;
        store.open()?;
        store.atomically(|| {
            store.put(Table::State, STATE_ROW, &row::encode(&state)?, &[])?;
            store.put(Table::Schema, id, &row::encode(&grantee)?, &[])
        })?;
        self.state = state;
        match place.and_then(|place| self.rows.get_mut(place)) {
            Some(row) => *row = grantee,
            None => self.rows.push(grantee),
        }
        Ok(FromCatalog::Granted { id })
    }

    /// Why one more, or a larger one, does not fit.
    fn refusal(
        &self,
        place: Option<usize>,
        grantee: &Grantee,
    ) -> Result<Option<CatalogRefusal>, StoreError> {
        let count = self.rows.len() + usize::from(place.is_none());
        let mut bytes = row::encode(grantee)?.len();
        for (position, row) in self.rows.iter().enumerate() {
            if Some(position) != place {
                bytes += row::encode(row)?.len();
            }
        }
        let over = [(count, GRANTEES_MAX, "entries"), (bytes, GRANTEES_BYTES_MAX, "bytes")];
        let over = over.into_iter().find(|(requested, limit, _)| requested > limit);
        Ok(over.map(|(requested, limit, unit)| CatalogRefusal::TooManyGrantees {
            limit: limit as u64,
            requested: requested as u64,
            unit: unit.to_owned(),
        }))
    }

    /// Removes a token or user; whether there was one.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was removed.
    pub fn remove<S: Store>(
        &mut self,
        store: &S,
        user: bool,
        name: &str,
    ) -> Result<bool, StoreError> {
        let Some(place) = self.named(user, name) else { return Ok(false) };
        let Some(id) = self.rows.get(place).map(|row| row.id) else { return Ok(false) };
        let state = GrantsState { version: self.state.version + 1, ..self.state };
        store.atomically(|| {
            store.put(Table::State, STATE_ROW, &row::encode(&state)?, &[])?;
            store.delete(Table::Schema, id..=id)
        })?;
        self.state = state;
        self.rows.remove(place);
        Ok(true)
    }

    /// Takes every right of users on `database` away.
    ///
    /// # Errors
    /// [`StoreError`]; then a repeat takes away what is left.
    pub fn revoke_users<S: Store>(&mut self, store: &S, database: &str) -> Result<(), StoreError> {
        for place in 0..self.rows.len() {
            let Some(row) = self.rows.get(place).filter(|row| row.user) else { continue };
            let mut row = row.clone();
            let held = row.grants.permissions.len();
            row.grants.permissions.retain(|held| held.database.as_deref() != Some(database));
            if row.grants.permissions.len() < held {
                self.put(store, row)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
