//! Implements the shard as the source of a backup, and as the new shard of a restore.
//!
//! The source creates snapshots, keeps the values of the snapshots unchanged (a *hold*), and
//! returns these values. In a new shard, the values are written first, one at a time. Then one
//! transaction writes the rows that refer to the values. Before this transaction, the shard is
//! empty.

use std::collections::BTreeSet;

use super::attempts::AlarmTask;
use super::loaded::Loaded;
use super::manifest::runs::Runs;
use super::manifest::{Hold, Manifest, Number};
use super::refusal::Refusal;
use super::state::{Fence, RETIRED_KEY, STATE_KEY, State};
use super::{Shard, damage};
use crate::protocol::backup::{
    self, FromShardBackup, ShardBackup, open_snapshot, open_value, seal_snapshot, seal_value,
};
use crate::store::{Store, StoreError, StoreResult, Table, row};
use tidemark_model::limits::{BACKUP_HOLD_NS, BACKUP_POINT_BYTES_MAX};

/// The size of a row in a snapshot, without its head and body: table, key, length of the head,
/// length of the body.
const ROW_BYTES: usize = 1 + 8 + 4 + 4;

impl<S: Store> Shard<S> {
    pub(super) fn back_up(
        &mut self,
        step: &ShardBackup,
        now_ns: i64,
    ) -> Result<FromShardBackup, Refusal> {
        match step {
            ShardBackup::Hold { backup } => self.hold_values(*backup, now_ns),
            ShardBackup::Read { number } => self.read_value(Number(*number)),
            ShardBackup::Release { backup } => self.release(Some(*backup), now_ns),
            ShardBackup::Progress => self.filled(),
            ShardBackup::Put { position, value } => self.put_value(*position, value),
            ShardBackup::Install { snapshot } => self.install(snapshot),
        }
    }

    /// Flushes the log, because a snapshot consists of values, and adds a hold for these values.
    fn hold_values(&mut self, backup: u64, now_ns: i64) -> Result<FromShardBackup, Refusal> {
        self.flush(now_ns)?;
        let loaded = self.load()?;
        let numbers: BTreeSet<u64> =
            loaded.manifest().parts().values().flat_map(|part| part.values.iter()).collect();
        let runs = numbers.iter().copied().collect::<Runs>();
        let range = loaded.state().settings.range;
        // A backup that is still running may be copying values of an earlier snapshot.
        let earlier =
            loaded.manifest().find_hold(backup).into_iter().flat_map(|hold| hold.numbers.iter());
        let all: BTreeSet<u64> = earlier.chain(numbers.iter().copied()).collect();
        let until_ns = now_ns.saturating_add(BACKUP_HOLD_NS);
        let hold = Hold { id: backup, numbers: all.iter().copied().collect(), until_ns };
        let rows = self.snapshot_rows()?;
        self.change(None, |draft| draft.manifest.add_hold(hold))?;
        let snapshot = seal_snapshot(runs.runs(), &rows).map_err(|reason| {
            Refusal::Invalid(format!("the snapshot cannot be encoded: {reason}"))
        })?;
        Ok(FromShardBackup::Held { range, snapshot })
    }

    fn snapshot_rows(&mut self) -> Result<Vec<u8>, Refusal> {
        let loaded = self.load()?;
        let (store, mut rows) = (&*loaded.store, Vec::new());
        let (head, manifest) = (row::encode(loaded.state())?, loaded.manifest().compact());
        add_row(&mut rows, Table::State, STATE_KEY, &head, &manifest.encode());
        if let Some(head) = store.head(Table::State, RETIRED_KEY)? {
            add_row(&mut rows, Table::State, RETIRED_KEY, &head, &[]);
        }
        for table in [Table::Schema, Table::Tombstone] {
            row::each(store, table, &mut |key, head| {
                // Damaged rows cannot be decoded, so the snapshot contains only their descriptions.
                let is_raw = table == Table::Tombstone && damage::is_copy(key);
                if !is_raw && rows.len() <= BACKUP_POINT_BYTES_MAX {
                    add_row(&mut rows, table, key, head, &[]);
                }
                Ok(())
            })?;
        }
        if rows.len() > BACKUP_POINT_BYTES_MAX {
            let limit = BACKUP_POINT_BYTES_MAX;
            return Err(Refusal::Invalid(format!(
                "the shard's columns and deletes have more than {limit} bytes \
                 (BACKUP_POINT_BYTES_MAX), which is too large for a backup: drop measurements \
                 that are no longer needed"
            )));
        }
        Ok(rows)
    }

    /// Reads a value without verifying it. The copy of a damaged value is also damaged, and a query
    /// that reads the value reports the damage.
    fn read_value(&mut self, number: Number) -> Result<FromShardBackup, Refusal> {
        let Some(key) = self.load()?.manifest().key_of(number) else {
            return Ok(FromShardBackup::Gone);
        };
        let row = self.store.head_and_body(Table::Value, key)?;
        let missing = || Refusal::Damaged { block: format!("value row {key}: missing") };
        let (head, body) = row.ok_or_else(missing)?;
        Ok(FromShardBackup::Value { value: seal_value(&head, &body) })
    }

    /// Ends the holds of `backup`, and every expired hold.
    fn release(&mut self, backup: Option<u64>, now_ns: i64) -> Result<FromShardBackup, Refusal> {
        let mut holds = self.load()?.manifest().holds().iter();
        if holds.any(|hold| hold.ends(backup, now_ns)) {
            self.change(None, |draft| draft.manifest.release(backup, now_ns))?;
        }
        Ok(FromShardBackup::Done)
    }

    /// Ends the expired holds, so that an abandoned backup does not occupy space permanently.
    pub(super) fn end_holds(&mut self, now_ns: i64) -> Result<(), Refusal> {
        self.release(None, now_ns)?;
        self.done(AlarmTask::Release)
    }
}

pub(super) fn due(manifest: &Manifest) -> Option<i64> {
    manifest.holds().iter().map(|hold| hold.until_ns).min()
}

fn add_row(out: &mut Vec<u8>, table: Table, key: u64, head: &[u8], body: &[u8]) {
    // New tables are added only at the end of `Table::ALL`.
    let table = Table::ALL.iter().position(|known| *known == table).unwrap_or_default();
    out.push(table as u8);
    out.extend(key.to_le_bytes());
    // The lengths fit into a u32, because the store rejects rows of 2 MB.
    out.extend((head.len() as u32).to_le_bytes());
    out.extend((body.len() as u32).to_le_bytes());
    out.extend_from_slice(head);
    out.extend_from_slice(body);
}

struct PointRow<'a> {
    table: Table,
    key: u64,
    head: &'a [u8],
    body: &'a [u8],
}

/// Decodes the rows of a snapshot. Returns `None` if `bytes` are invalid.
fn read_rows(mut bytes: &[u8]) -> Option<Vec<PointRow<'_>>> {
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        let (fixed, rest) = bytes.split_first_chunk::<ROW_BYTES>()?;
        let [table, key @ .., a, b, c, d, e, f, g, h] = *fixed;
        let [head, body] = [[a, b, c, d], [e, f, g, h]].map(|n| u32::from_le_bytes(n) as usize);
        bytes = rest;
        let (head, body) = (bytes.split_off(..head)?, bytes.split_off(..body)?);
        let table = *Table::ALL.get(usize::from(table))?;
        rows.push(PointRow { table, key: u64::from_le_bytes(key), head, body });
    }
    Some(rows)
}

impl<S: Store> Shard<S> {
    fn filled(&mut self) -> Result<FromShardBackup, Refusal> {
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

    /// Stores a value at its position in the snapshot. A late message after the end of the restore
    /// has no effect.
    fn put_value(&mut self, position: u64, value: &[u8]) -> Result<FromShardBackup, Refusal> {
        let loaded = self.load()?;
        if loaded.state().restored != 0 {
            return Ok(FromShardBackup::Done);
        }
        check_fresh(loaded)?;
        if position > self.values_there()? {
            return Err(malformed("a value arrived before its predecessor"));
        }
        let (head, body) = open_value(value).map_err(malformed)?;
        self.store.put(Table::Value, position, head, body)?;
        Ok(FromShardBackup::Done)
    }

    /// Stores the rows of a snapshot, and opens the shard for queries. The shard does not adopt the
    /// source's settings or other state, such as the fence of a split.
    fn install(&mut self, snapshot: &[u8]) -> Result<FromShardBackup, Refusal> {
        let loaded = self.load()?;
        let mark = u64::from(backup::checksum(snapshot)) + 1;
        match loaded.state().restored {
            0 => check_fresh(loaded)?,
            restored if restored == mark => return Ok(FromShardBackup::Done),
            _ => return Err(malformed("the shard was restored from another checkpoint")),
        }
        let (settings, usage) = (loaded.state().settings.clone(), loaded.usage());
        let (numbers, rows) = open_snapshot(snapshot).map_err(malformed)?;
        let rows =
            read_rows(rows).ok_or_else(|| malformed("the rows of the snapshot cannot be read"))?;
        let is_state = |row: &&PointRow<'_>| (row.table, row.key) == (Table::State, STATE_KEY);
        let own = rows
            .iter()
            .find(is_state)
            .ok_or_else(|| malformed("the checkpoint has no state row"))?;
        let theirs: State = row::decode(own.head).map_err(malformed)?;
        let manifest = Manifest::decode(own.body).map_err(malformed)?;
        if self.values_there()? < numbers.len() as u64 {
            return Err(malformed("the checkpoint arrived before its values"));
        }
        let (fence, closed) = (Fence::default(), false);
        let state = State { settings, fence, closed, usage, restored: mark, ..theirs };
        let store = &*self.store;
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
    let is_fresh = loaded.manifest().parts().is_empty() && loaded.log.wal.next_sequence() == 1;
    if is_fresh { Ok(()) } else { Err(malformed("the shard is not empty")) }
}

fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::Malformed(format!("invalid message of a restore: {what}"))
}
