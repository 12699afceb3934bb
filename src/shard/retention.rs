//! Whole segments that nobody may see any more: past their retention, or of dropped measurements.
//! And tombstones that hide nothing any more.

use super::Shard;
use super::attempts::{self, Job};
use super::load::{Loaded, Plan};
use super::request::{Counters, Refusal};
use crate::model::ids::MeasurementId;
use crate::model::sorted;
use crate::model::sorted_set::SortedSet;
use crate::segment::directory::{Directory, Summary};
use crate::store::{Store, StoreError, Table};

/// Directory rows changed by one event.
const ROWS_PER_EVENT: usize = 100;

/// What has to be done, from all segments and tombstones.
pub(super) fn plan(loaded: &Loaded) -> Plan {
    let segments = || loaded.directories.values().flat_map(|directory| &directory.segments);
    let is_retired = |segment: &Summary| loaded.retired.contains(&segment.measurement);
    let hidden = segments().filter(|segment| is_covered(loaded, segment));
    let hidden_bytes = hidden.map(|segment| segment.bytes).sum();
    Plan {
        merge: super::compact::choose(loaded),
        first_max_time_ns: components(loaded).iter().map(|of| of.max_time_ns).min(),
        has_garbage: segments().any(is_retired)
            || loaded.directories.values().any(|directory| is_row_covered(loaded, directory))
            || spent(loaded).next().is_some(),
        hidden_bytes,
    }
}

/// Whether tombstones hide every segment of a row. Where some are left compaction rewrites the run:
/// its segments share values, so that dropping a few would give nothing back.
fn is_row_covered(loaded: &Loaded, directory: &Directory) -> bool {
    directory.segments.iter().all(|segment| is_covered(loaded, segment))
}

/// Whether a deletion hides the whole segment.
pub(super) fn is_covered(loaded: &Loaded, segment: &Summary) -> bool {
    loaded.tombstones.values().any(|tombstone| tombstone.covers(segment))
}

/// Segments of one measurement that overlap in time, directly or through others. Their rows may
/// overwrite each other, so they are dropped together: without the later writes older values would
/// return. Windows say nothing here: their width may have changed between two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Component {
    measurement: MeasurementId,
    min_time_ns: i64,
    max_time_ns: i64,
}

impl Component {
    fn has(&self, segment: &Summary) -> bool {
        let times = self.min_time_ns..=self.max_time_ns;
        self.measurement == segment.measurement && times.contains(&segment.min_time_ns)
    }
}

/// The components of all segments, ascending by measurement and time.
fn components(loaded: &Loaded) -> Vec<Component> {
    let segments = loaded.directories.values().flat_map(|directory| &directory.segments);
    let alone = |segment: &Summary| Component {
        measurement: segment.measurement,
        min_time_ns: segment.min_time_ns,
        max_time_ns: segment.max_time_ns,
    };
    let mut all: Vec<_> = segments.map(alone).collect();
    sorted::sort_by(&mut all, Ord::cmp);
    let mut components: Vec<Component> = Vec::new();
    for next in all {
        match components.last_mut() {
            Some(last)
                if last.measurement == next.measurement && next.min_time_ns <= last.max_time_ns =>
            {
                last.max_time_ns = last.max_time_ns.max(next.max_time_ns);
            }
            _ => components.push(next),
        }
    }
    components
}

/// When there is something to drop.
pub(super) fn due(loaded: &Loaded, now_ns: i64) -> Option<i64> {
    let plan = loaded.plan.get_or_init(|| plan(loaded));
    match (plan.has_garbage, loaded.state.settings.duration_ns) {
        (true, _) => Some(now_ns),
        (false, 0) => None,
        // The first moment at which the latest row of the segment is too old.
        (false, duration_ns) => {
            let last_ns = plan.first_max_time_ns?;
            Some(last_ns.saturating_add(duration_ns).saturating_add(1))
        }
    }
}

/// Keys of tombstones that have been applied to everything older than they are.
fn spent(loaded: &Loaded) -> impl Iterator<Item = u64> + '_ {
    let oldest_frame = loaded.wal.frames().keys().next().copied().unwrap_or(u64::MAX);
    let is_spent = move |tombstone: &super::tombstone::Tombstone| {
        let mut segments = loaded.directories.values().flat_map(|directory| &directory.segments);
        oldest_frame > tombstone.sequence
            && loaded.wal.damaged().is_empty()
            && !segments.any(|segment| {
                tombstone.touches(segment.measurement, segment.time(), segment.last_sequence)
            })
    };
    loaded.tombstones.iter().filter(move |(_, t)| is_spent(t)).map(|(&key, _)| key)
}

impl<S: Store> Shard<S> {
    /// Drops what is due, a bounded number of rows.
    pub(super) fn reclaim(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let result = self.drop_segments(now_ns);
        result.map_err(|refusal| self.lost(refusal))
    }

    fn drop_segments(&mut self, now_ns: i64) -> Result<(), Refusal> {
        self.load()?;
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let settings = &loaded.state.settings;
        let mut expired = components(loaded);
        let oldest_kept_ns = now_ns.saturating_sub(settings.duration_ns);
        expired.retain(|of| settings.duration_ns > 0 && of.max_time_ns < oldest_kept_ns);
        let is_gone = |segment: &Summary| {
            let start = (segment.measurement, segment.min_time_ns);
            let behind = expired.partition_point(|of| (of.measurement, of.min_time_ns) <= start);
            let before = behind.checked_sub(1).and_then(|at| expired.get(at));
            before.is_some_and(|of| of.has(segment))
                || loaded.retired.contains(&segment.measurement)
        };
        let mut changed: Vec<(u64, Directory)> = loaded
            .directories
            .iter()
            .map(|(key, directory)| (key, directory, is_row_covered(loaded, directory)))
            .filter(|(_, directory, covered)| *covered || directory.segments.iter().any(is_gone))
            .map(|(&key, directory, covered)| {
                let kept = directory.segments.iter().filter(|s| !covered && !is_gone(s));
                let kept = kept.cloned().collect();
                (key, Directory { segments: kept, ..directory.clone() })
            })
            .collect();
        // The oldest writes first: what an event leaves for the next one hides them.
        let sequence = |key: &u64| {
            let segments = loaded.directories.get(key).map(|directory| &directory.segments);
            segments.and_then(|segments| segments.first()).map(|segment| segment.first_sequence)
        };
        sorted::sort_by_key(&mut changed, |(key, _)| sequence(key));
        changed.truncate(ROWS_PER_EVENT);
        let spent: Vec<u64> = spent(loaded).take(ROWS_PER_EVENT).collect();
        let mut after = loaded.directories.clone();
        after.extend(changed.iter().cloned());
        let before = changed.iter().filter_map(|(key, _)| loaded.directories.get(key));
        let (mut unused, used) = (values(before), values(after.values()));
        unused.retain(|key| !used.contains(key));

        let store = &self.store;
        let counts = store.row_counts();
        let mut state = loaded.state.clone();
        // A tombstone's sequence is not given to a frame although nothing records it any more.
        let spent_sequences = spent.iter().filter_map(|key| loaded.tombstones.get(key));
        state.head = spent_sequences.map(|tombstone| tombstone.sequence).fold(state.head, u64::max);
        state.counters = Counters { ..loaded.counters(store) };
        store.atomically(|| -> Result<(), StoreError> {
            for (key, directory) in &changed {
                rewrite(store, *key, directory)?;
            }
            unused.iter().try_for_each(|&key| store.delete(Table::Segment, key..=key))?;
            spent.iter().try_for_each(|&key| store.delete(Table::Tombstone, key..=key))?;
            attempts::clear(store, Job::Reclaim, &loaded.jobs)?;
            state.write(store)
        })?;
        after.retain(|_, directory| !directory.segments.is_empty());
        loaded.directories = after;
        spent.iter().for_each(|key| drop(loaded.tombstones.remove(key)));
        loaded.jobs.succeeded(Job::Reclaim);
        loaded.commit_state(state, counts);
        self.cache.clear_rows();
        Ok(())
    }
}

/// Rewrites a directory row with fewer segments, or deletes it when none is left.
fn rewrite<S: Store>(store: &S, key: u64, after: &Directory) -> Result<(), StoreError> {
    if after.segments.is_empty() {
        return store.delete(Table::Directory, key..=key);
    }
    let body = store.body(Table::Directory, key)?.unwrap_or_default();
    store.put(Table::Directory, key, &after.encode(), &body)
}

/// Keys of the values that the segments of these rows use.
pub(super) fn values<'a>(directories: impl Iterator<Item = &'a Directory>) -> SortedSet<u64> {
    let of_segment = |first_value: u64, segment: &Summary| {
        let first = first_value + u64::from(segment.value);
        first..first + u64::from(segment.value_count)
    };
    directories
        .flat_map(|directory| {
            directory.segments.iter().flat_map(move |s| of_segment(directory.first_value, s))
        })
        .collect()
}
