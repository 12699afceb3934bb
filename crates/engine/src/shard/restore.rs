//! Restores a snapshot of a backup into a new shard. The values are written first, one at a time.
//! Then one transaction writes the rows that refer to the values. Before this transaction, the
//! shard is empty.

use super::Shard;
use super::backup::{PointRow, read_rows};
use super::fence::Fence;
use super::load::Loaded;
use super::manifest::Manifest;
use super::request::Refusal;
use super::state::{self, State};
use crate::protocol::backup::{self, FromShardBackup, open_point, open_value};
use crate::store::row;
use crate::store::{Store, StoreError, StoreResult, Table};

impl<S: Store> Shard<S> {
    pub(super) fn filled(&mut self) -> Result<FromShardBackup, Refusal> {
        let is_installed = self.load()?.state().restored != 0;
        let values = if is_installed { 0 } else { self.values_there()? };
        Ok(FromShardBackup::Filled { values, is_installed })
    }

    /// Returns the number of stored value rows. The rows were stored in key order, so a binary
    /// search finds the first missing row with few reads.
    fn values_there(&self) -> StoreResult<u64> {
        let is_there =
            |key: u64| Ok::<bool, StoreError>(self.store.head(Table::Value, key)?.is_some());
        let (mut there, mut missing) = (0, 1);
        while is_there(missing - 1)? {
            (there, missing) = (missing, missing * 2);
        }
        // Invariant: the shard has at least `there` rows, but fewer than `missing` rows.
        while missing - there > 1 {
            let middle = there + (missing - there) / 2;
            if is_there(middle - 1)? { there = middle } else { missing = middle }
        }
        Ok(there)
    }

    /// A late message after the end of the restore has no effect.
    pub(super) fn put_value(
        &mut self,
        position: u64,
        value: &[u8],
    ) -> Result<FromShardBackup, Refusal> {
        let loaded = self.load()?;
        if loaded.state().restored != 0 {
            return Ok(FromShardBackup::Done);
        }
        check_fresh(loaded)?;
        if position > self.values_there()? {
            return Err(malformed("a value arrived before its predecessor"));
        }
        let (head, body) = open_value(value).map_err(|reason| malformed(&reason.to_string()))?;
        self.store.put(Table::Value, position, head, body)?;
        Ok(FromShardBackup::Done)
    }

    /// The shard does not adopt the source's settings or other state, such as the fence of a split.
    pub(super) fn install(&mut self, point: &[u8]) -> Result<FromShardBackup, Refusal> {
        let loaded = self.load()?;
        let mark = u64::from(backup::checksum(point)) + 1;
        match loaded.state().restored {
            0 => check_fresh(loaded)?,
            restored if restored == mark => return Ok(FromShardBackup::Done),
            _ => return Err(malformed("the shard was restored from another checkpoint")),
        }
        let (settings, usage) = (loaded.state().settings.clone(), loaded.usage());
        let (numbers, rows) = open_point(point).map_err(|reason| malformed(&reason.to_string()))?;
        let rows = read_rows(rows)
            .ok_or_else(|| malformed("the rows of the checkpoint cannot be read"))?;
        let is_state =
            |row: &&PointRow<'_>| (row.table, row.key) == (Table::State, state::STATE_KEY);
        let own = rows
            .iter()
            .find(is_state)
            .ok_or_else(|| malformed("the checkpoint has no state row"))?;
        let theirs: State = row::decode(own.head).map_err(malformed)?;
        let manifest =
            Manifest::decode(own.body).map_err(|reason| malformed(&reason.to_string()))?;
        if self.values_there()? < numbers.len() as u64 {
            return Err(malformed("the checkpoint arrived before its values"));
        }
        let (fence, closed) = (Fence::default(), false);
        let state = State { settings, fence, closed, usage, restored: mark, ..theirs };
        let store = &self.store;
        let written = store.atomically(|| -> StoreResult<()> {
            for row in rows.iter().filter(|row| !is_state(row)) {
                store.put(row.table, row.key, row.head, row.body)?;
            }
            state.write(store, &manifest)
        });
        // The memory describes the empty shard and must be dropped, even if the write failed.
        self.loaded = None;
        written?;
        Ok(FromShardBackup::Done)
    }
}

fn check_fresh<S: Store>(loaded: &Loaded<S>) -> Result<(), Refusal> {
    let is_fresh = loaded.manifest().parts().is_empty() && loaded.log.wal().next_sequence() == 1;
    if is_fresh { Ok(()) } else { Err(malformed("the shard is not empty")) }
}

fn malformed(what: &str) -> Refusal {
    Refusal::Malformed(format!("invalid message of a restore: {what}"))
}
