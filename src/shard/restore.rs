//! A fresh shard that becomes what a point of a backup says. Its values come first, one by one,
//! then the rows that name them, in one transaction: before it the shard is empty.

use super::Shard;
use super::backup::{PointRow, read_rows};
use super::fence::Fence;
use super::load::Loaded;
use super::manifest::Manifest;
use super::request::Refusal;
use super::state::{self, State};
use crate::protocol::backup::{self, FromShardBackup, open_point, open_value};
use crate::store::row;
use crate::store::{Store, StoreError, Table};

impl<S: Store> Shard<S> {
    /// How far the shard is filled.
    pub(super) fn filled(&mut self) -> Result<FromShardBackup, Refusal> {
        let is_installed = self.load()?.state.restored != 0;
        let values = if is_installed { 0 } else { self.values_there()? };
        Ok(FromShardBackup::Filled { values, is_installed })
    }

    /// Rows of values that follow each other from the first key on: a few reads, however many.
    fn values_there(&self) -> Result<u64, StoreError> {
        let is_there =
            |key: u64| Ok::<bool, StoreError>(self.store.head(Table::Value, key)?.is_some());
        let (mut there, mut missing) = (0, 1);
        while is_there(missing - 1)? {
            (there, missing) = (missing, missing * 2);
        }
        // `there` of them are, and not as many as `missing`.
        while missing - there > 1 {
            let middle = there + (missing - there) / 2;
            if is_there(middle - 1)? { there = middle } else { missing = middle }
        }
        Ok(there)
    }

    /// Puts the value of a position into its row. What comes late, once the point is there, changes
    /// nothing.
    pub(super) fn put_value(
        &mut self,
        position: u64,
        value: &[u8],
    ) -> Result<FromShardBackup, Refusal> {
        let loaded = self.load()?;
        if loaded.state.restored != 0 {
            return Ok(FromShardBackup::Done);
        }
        check_fresh(loaded)?;
        if position > self.values_there()? {
            return Err(malformed("a value before the one that comes first"));
        }
        let (head, body) = open_value(value).map_err(|why| malformed(&why.to_string()))?;
        self.store.put(Table::Value, position, head, body)?;
        Ok(FromShardBackup::Done)
    }

    /// Makes a fresh shard what the point says: with its own settings, and without what only the
    /// source had, such as the fence of a split.
    pub(super) fn install(&mut self, point: &[u8]) -> Result<FromShardBackup, Refusal> {
        let loaded = self.load()?;
        let mark = u64::from(backup::checksum(point)) + 1;
        match loaded.state.restored {
            0 => check_fresh(loaded)?,
            restored if restored == mark => return Ok(FromShardBackup::Done),
            _ => return Err(malformed("the shard has another point")),
        }
        let settings = loaded.state.settings.clone();
        let (numbers, rows) = open_point(point).map_err(|why| malformed(&why.to_string()))?;
        let rows = read_rows(rows).ok_or_else(|| malformed("rows of a point"))?;
        let is_state =
            |row: &&PointRow<'_>| (row.table, row.key) == (Table::State, state::STATE_KEY);
        let own = rows.iter().find(is_state).ok_or_else(|| malformed("a point without state"))?;
        let theirs: State = row::decode(own.head).map_err(malformed)?;
        let manifest = Manifest::decode(own.body).map_err(|why| malformed(&why.to_string()))?;
        if self.values_there()? < numbers.len() as u64 {
            return Err(malformed("a point before its values"));
        }
        let (fence, closed) = (Fence::default(), false);
        let state = State { settings, fence, closed, restored: mark, ..theirs };
        let store = &self.store;
        let written = store.atomically(|| -> Result<(), StoreError> {
            for row in rows.iter().filter(|row| !is_state(row)) {
                store.put(row.table, row.key, row.head, row.body)?;
            }
            state.write(store, &manifest)
        });
        // Whether it was written or not: what is in memory is of the empty shard.
        self.loaded = None;
        self.running = None;
        self.cache.clear();
        written?;
        Ok(FromShardBackup::Done)
    }
}

/// Only a shard that never had a row is filled.
fn check_fresh(loaded: &Loaded) -> Result<(), Refusal> {
    let is_fresh = loaded.manifest.parts().is_empty() && loaded.wal.next_sequence() == 1;
    if is_fresh { Ok(()) } else { Err(malformed("the shard is not empty")) }
}

fn malformed(what: &str) -> Refusal {
    Refusal::Malformed(format!("no part of a restore: {what}"))
}
