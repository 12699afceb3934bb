//! Memtable to segments, then the WAL's head.

use super::Shard;
use super::load::{ASIDE_KEYS, Damage, wal_damage};
use super::request::{Counters, Refusal};
use super::state::State;
use crate::batch::FrameTable;
use crate::batch::frame;
use crate::memtable::Memtable;
use crate::model::time::TimeRange;
use crate::segment::writer::{Rows, Run, RunWriter};
use crate::store::row;
use crate::store::{Store, StoreError, Table};
use crate::wal::Wal;

/// How much of the WAL is enough.
pub(super) struct Threshold {
    /// Encoded bytes of the frames.
    pub bytes: u64,
    /// Memory of the frames once decoded, bytes.
    pub decoded: u64,
}

/// At this the alarm flushes.
pub(super) const ENOUGH: Threshold = Threshold { bytes: 7_000_000, decoded: 8_000_000 };
/// Past this an append flushes first.
pub(super) const FORCED: Threshold = Threshold { bytes: 8_000_000, decoded: 16_000_000 };

impl<S: Store> Shard<S> {
    /// Writes every frame of the WAL into segments and moves the head past them, in one
    /// transaction. Frames that cannot be read are set aside. Does nothing with an empty WAL.
    ///
    /// # Errors
    /// [`Refusal::Full`], [`Refusal::Store`], and [`Refusal::Stale`] when not open.
    pub(super) fn flush(&mut self) -> Result<(), Refusal> {
        let loaded = self.load()?;
        if loaded.wal.frames().is_empty() && loaded.wal.damaged().is_empty() {
            return Ok(());
        }
        let memtable = self.memtable()?;
        let result = self.flush_memtable(&memtable);
        if let Err(refusal) = result {
            return Err(self.lost(refusal));
        }
        let memtable = self.new_memtable();
        self.cache.put_memtable(memtable);
        Ok(())
    }

    fn flush_memtable(&mut self, memtable: &Memtable) -> Result<(), Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let (store, settings) = (&self.store, &loaded.state.settings);
        let head = loaded.wal.next_sequence() - 1;
        let mut writer = RunWriter::new(settings.window_ns, loaded.state.head + 1, head);
        for (measurement, table) in memtable.tables() {
            if !loaded.retired.contains(&measurement) {
                writer.add(&Rows {
                    measurement,
                    tag_ids: table.tag_ids(),
                    series: table.series(),
                    row_series: table.row_series(),
                    times_ns: table.times_ns(),
                    fields: table.fields(),
                });
            }
        }
        let run = writer.finish(loaded.state.next_value, S::VALUE_BYTES_MAX);
        let aside: Vec<Damage> = loaded.wal.damaged().iter().map(wal_damage).collect();
        let counts = store.row_counts();
        let mut state = after_run(&loaded.state, &run);
        state.head = head;
        state.schema_version = loaded.schema_version;
        state.counters = Counters { flushes: state.counters.flushes + 1, ..loaded.counters(store) };
        store.atomically(|| -> Result<(), StoreError> {
            write_run(store, &loaded.state, &run)?;
            set_aside(store, &loaded.wal, &aside, loaded.next_aside)?;
            super::attempts::clear(store, super::attempts::Job::Flush, &loaded.jobs)?;
            state.write(store)
        })?;
        let first = loaded.state.next_directory;
        for (key, (directory, _)) in (first..).zip(run.directories) {
            loaded.directories.insert(key, directory);
        }
        loaded.next_aside += aside.len() as u64 * ASIDE_KEYS;
        loaded.damaged.extend(aside);
        loaded.wal.release(head);
        loaded.jobs.succeeded(super::attempts::Job::Flush);
        loaded.commit_state(state, counts);
        Ok(())
    }

    /// The rows of the WAL, replayed if they are not in memory. Taken out of the cache.
    pub(super) fn memtable(&mut self) -> Result<Memtable, Refusal> {
        if let Some(memtable) = self.cache.take_memtable() {
            return Ok(memtable);
        }
        let mut memtable = self.new_memtable();
        let evictable = self.evictable();
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        self.budget.make_room(&evictable, loaded.wal.decoded_bytes() as usize);
        let sequences: Vec<u64> = loaded.wal.frames().keys().copied().collect();
        for sequence in sequences {
            let Some(bytes) = loaded.wal.read(&self.store, sequence)? else { continue };
            let mut refusal = None;
            let mut add = |table: FrameTable| {
                let of = (table.measurement, TimeRange::ALL, sequence);
                let (ids, series) = (&table.tag_ids, &table.block.series);
                match super::tombstone::hidden(&loaded.tombstones, of, ids, series) {
                    Ok(hidden) => memtable.append(&super::tombstone::without(table, &hidden)),
                    Err(error) => refusal = Some(error),
                }
            };
            let frames = loaded.wal.frames();
            let decoded_bytes = frames.get(&sequence).map_or(0, |frame| frame.decoded_bytes);
            // No table of a frame that is damaged further on is kept: a large one is read twice.
            let added = match decoded_bytes > ENOUGH.decoded {
                true => frame::decode_each(&bytes, drop)
                    .and_then(|()| frame::decode_each(&bytes, &mut add)),
                false => frame::decode(&bytes).map(|tables| tables.into_iter().for_each(&mut add)),
            };
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
            if let Err(error) = added {
                loaded.wal.condemn(sequence, &error.to_string());
            }
        }
        Ok(memtable)
    }

    pub(super) fn new_memtable(&self) -> Memtable {
        Memtable::new(self.budget.hash_seed())
    }
}

/// The state once `run` is stored.
pub(super) fn after_run(state: &State, run: &Run) -> State {
    State {
        next_value: state.next_value + run.values.len() as u64,
        next_directory: state.next_directory + run.directories.len() as u64,
        ..state.clone()
    }
}

/// Writes a run's rows. Inside a transaction.
pub(super) fn write_run<S: Store>(store: &S, state: &State, run: &Run) -> Result<(), StoreError> {
    for (key, body) in (state.next_value..).zip(&run.values) {
        store.put(Table::Segment, key, b"", body)?;
    }
    for (key, (head, body)) in (state.next_directory..).zip(&run.directories) {
        store.put(Table::Directory, key, &head.encode(), body)?;
    }
    Ok(())
}

/// Copies damaged rows of the WAL, raw, to where nothing overwrites them. Inside a transaction.
fn set_aside<S: Store>(
    store: &S,
    wal: &Wal,
    aside: &[Damage],
    first_key: u64,
) -> Result<(), StoreError> {
    let mut key = first_key;
    for (damage, raw) in aside.iter().zip(wal.damaged()) {
        store.put(Table::Tombstone, key, &row::encode(damage)?, b"")?;
        for (part, &slot) in (1..ASIDE_KEYS).zip(&raw.slots) {
            let head = store.head(Table::Wal, slot)?.unwrap_or_default();
            let body = store.body(Table::Wal, slot)?.unwrap_or_default();
            store.put(Table::Tombstone, key + part, &head, &body)?;
        }
        key += ASIDE_KEYS;
    }
    Ok(())
}
