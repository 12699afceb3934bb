//! Small adjacent runs into a larger one; last write wins per series, time and field.
//!
//! Runs, not segments, are merged: what one flush wrote of many measurements and windows costs a
//! handful of rows, and so does merging it. Merging also removes what tombstones hide.

pub mod choose;

use super::attempts::{self, Job};
use super::blocks::StoredBlocks;
use super::flush::{after_run, write_run};
use super::load::Loaded;
use super::request::{Counters, Refusal};
use super::retention::values;
use super::{Shard, tombstone};
use crate::memtable::Memtable;
use crate::model::ids::MeasurementId;
use crate::model::sorted_map::SortedMap;
use crate::segment::directory::Summary;
use crate::segment::reader;
use crate::segment::writer::{Rows, Run, RunWriter};
use crate::store::{Store, StoreError, Table};

/// Encoded bytes merged by one event.
const MERGE_BYTES_MAX: u64 = 8_000_000;
/// Memory of the merged rows, bytes.
const MERGE_DECODED_BYTES_MAX: u64 = 32_000_000;
/// Fewer runs are not worth the rows written,
const MERGE_RUNS_MIN: usize = 4;
/// and more are left for the next event.
const MERGE_RUNS_MAX: usize = 32;

/// A flush's or compaction's segments.
struct RunSize {
    /// Directory rows.
    keys: Vec<u64>,
    bytes: u64,
    decoded_bytes: u64,
    is_sound: bool,
    /// A tombstone hides rows of it.
    is_hidden: bool,
}

/// Directory rows of the runs to merge next, in order of sequence; empty for none.
pub(super) fn choose(loaded: &Loaded) -> Vec<u64> {
    let runs = runs(loaded);
    let hidden = runs.iter().find(|run| run.is_hidden && run.is_sound);
    if let Some(run) = hidden {
        return run.keys.clone();
    }
    for start in 0..runs.len() {
        let (mut bytes, mut decoded) = (0, 0);
        let fitting = runs.iter().skip(start).take(MERGE_RUNS_MAX).take_while(|run| {
            bytes += run.bytes;
            decoded += run.decoded_bytes;
            run.is_sound && bytes <= MERGE_BYTES_MAX && decoded <= MERGE_DECODED_BYTES_MAX
        });
        let fitting: Vec<&RunSize> = fitting.collect();
        let sum: u64 = fitting.iter().map(|run| run.bytes).sum();
        let largest = fitting.iter().map(|run| run.bytes).max().unwrap_or_default();
        // One large run would be rewritten for the sake of a few small ones.
        if fitting.len() >= MERGE_RUNS_MIN && largest.saturating_mul(3) <= sum.saturating_mul(2) {
            return fitting.into_iter().flat_map(|run| run.keys.clone()).collect();
        }
    }
    Vec::new()
}

fn runs(loaded: &Loaded) -> Vec<RunSize> {
    let mut runs: SortedMap<u64, RunSize> = SortedMap::new();
    for (&key, directory) in &loaded.directories {
        let Some(first) = directory.segments.first() else { continue };
        let run = runs.entry(first.first_sequence).or_insert_with(|| RunSize {
            keys: Vec::new(),
            bytes: 0,
            decoded_bytes: 0,
            is_sound: true,
            is_hidden: false,
        });
        run.keys.push(key);
        run.is_sound &= !loaded.unmergeable.contains(&key);
        for segment in &directory.segments {
            run.bytes += segment.bytes + u64::from(segment.index_bytes);
            run.decoded_bytes += segment.decoded_bytes;
            run.is_hidden |= is_hidden(loaded, segment);
        }
    }
    runs.into_values().collect()
}

fn is_hidden(loaded: &Loaded, segment: &Summary) -> bool {
    let touches = |tombstone: &tombstone::Tombstone| {
        tombstone.touches(segment.measurement, segment.time(), segment.last_sequence)
    };
    loaded.tombstones.values().any(touches)
}

impl<S: Store> Shard<S> {
    /// Merges the next runs. A run with a damaged block is left alone from then on.
    pub(super) fn compact(&mut self) -> Result<(), Refusal> {
        let loaded = self.load()?;
        let keys = loaded.plan.get_or_init(|| super::retention::plan(loaded)).merge.clone();
        if keys.is_empty() {
            return Ok(());
        }
        self.budget.make_room(&self.evictable(), MERGE_DECODED_BYTES_MAX as usize);
        match self.merge(&keys) {
            Ok(run) => self.replace(&keys, &run).map_err(|refusal| self.lost(refusal)),
            Err(Refusal::Damaged { .. }) => {
                if let Some(loaded) = self.loaded.as_mut() {
                    loaded.unmergeable.extend(keys);
                    loaded.plan.take();
                    loaded.jobs.succeeded(Job::Compact);
                    let cleared = attempts::delete(&self.store, Job::Compact);
                    return cleared.map_err(|error| self.lost(error.into()));
                }
                Ok(())
            }
            Err(refusal) => Err(self.lost(refusal)),
        }
    }

    /// Reads the runs and writes their rows, measurement by measurement.
    fn merge(&self, keys: &[u64]) -> Result<Run, Refusal> {
        let loaded = self.loaded.as_ref().ok_or(Refusal::Stale)?;
        // Runs come in order of sequence, and nothing else orders their rows: the width of windows
        // may have changed between two of them.
        let mut groups: SortedMap<MeasurementId, Vec<(u64, &Summary)>> = SortedMap::new();
        for &key in keys {
            let segments = loaded.directories.get(&key).map_or(&[][..], |d| &d.segments);
            for segment in segments {
                groups.entry(segment.measurement).or_default().push((key, segment));
            }
        }
        let segments = || groups.values().flatten().map(|(_, segment)| segment);
        let first = segments().map(|s| s.first_sequence).min().unwrap_or_default();
        // Every tombstone is applied here, so none applies again.
        let tombstones = loaded.tombstones.values().map(|tombstone| tombstone.sequence);
        let last = segments().map(|s| s.last_sequence).chain(tombstones).max().unwrap_or_default();
        let mut writer = RunWriter::new(loaded.state.settings.window_ns, first, last);
        for (measurement, segments) in &groups {
            if loaded.retired.contains(measurement) {
                continue;
            }
            let mut rows = self.new_memtable();
            for &(key, segment) in segments {
                self.add_segment(loaded, key, segment, &mut rows)?;
            }
            if let Some(table) = rows.table_mut(*measurement) {
                writer.add(&Rows {
                    measurement: *measurement,
                    tag_ids: table.tag_ids(),
                    series: table.series(),
                    row_series: table.row_series(),
                    times_ns: table.times_ns(),
                    fields: table.fields(),
                });
            }
        }
        Ok(writer.finish(loaded.state.next_value, S::VALUE_BYTES_MAX))
    }

    fn add_segment(
        &self,
        loaded: &Loaded,
        key: u64,
        segment: &Summary,
        rows: &mut Memtable,
    ) -> Result<(), Refusal> {
        let mut blocks = StoredBlocks::new(&self.store, &self.cache, loaded, key)?;
        let index = blocks.index(segment)?;
        let of = (segment.measurement, segment.time(), segment.last_sequence);
        reader::each_table(segment.measurement, &index, &mut blocks, |table| {
            let (ids, series) = (&table.tag_ids, &table.block.series);
            let hidden = tombstone::hidden(&loaded.tombstones, of, ids, series)?;
            for table in tombstone::without(table, &hidden).without_padding() {
                rows.append(&table);
            }
            Ok(())
        })
    }

    /// Puts `run` in the place of the directory rows `keys`, in one transaction.
    fn replace(&mut self, keys: &[u64], run: &Run) -> Result<(), Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let store = &self.store;
        let mut after = loaded.directories.clone();
        keys.iter().for_each(|key| drop(after.remove(key)));
        let before = keys.iter().filter_map(|key| loaded.directories.get(key));
        let (mut unused, used) = (values(before), values(after.values()));
        unused.retain(|key| !used.contains(key));
        let counts = store.row_counts();
        let counters = loaded.counters(store);
        let mut state = after_run(&loaded.state, run);
        state.counters = Counters { compactions: counters.compactions + 1, ..counters };
        store.atomically(|| -> Result<(), StoreError> {
            write_run(store, &loaded.state, run)?;
            keys.iter().try_for_each(|&key| store.delete(Table::Directory, key..=key))?;
            unused.iter().try_for_each(|&key| store.delete(Table::Segment, key..=key))?;
            attempts::clear(store, Job::Compact, &loaded.jobs)?;
            state.write(store)
        })?;
        for (key, (directory, _)) in (loaded.state.next_directory..).zip(&run.directories) {
            after.insert(key, directory.clone());
        }
        loaded.directories = after;
        loaded.jobs.succeeded(Job::Compact);
        loaded.commit_state(state, counts);
        self.cache.clear_rows();
        Ok(())
    }
}
