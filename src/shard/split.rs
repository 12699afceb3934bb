//! A shard as the source of a split: where to cut, the fence while rows are copied away, the cut.

use super::Shard;
use super::load::{ASIDE_KEY, Loaded};
use super::request::{Deletion, Refusal};
use super::retention::is_covered;
use super::tombstone::Tombstone;
use crate::model::limits::SPLIT_AHEAD_NS;
use crate::model::sorted_set::SortedSet;
use crate::model::time::{H_NS, TimeRange};
use crate::protocol::shard::ShardSettings;
use crate::segment::directory::Summary;
use crate::store::row;
use crate::store::{Store, StoreError, Table};

impl<S: Store> Shard<S> {
    /// Raises or lifts the fence of a split.
    ///
    /// # Errors
    /// [`Refusal::Stale`], [`Refusal::Store`].
    pub(super) fn fence(&mut self, split: u64, from_ns: Option<i64>) -> Result<(), Refusal> {
        match self.load()?.state.fence.after(split, from_ns) {
            Some(fence) => self.change(|state| state.fence = fence),
            None => Ok(()),
        }
    }

    /// Bytes of storage without what is about to be reclaimed.
    pub(super) fn weight(&self, bytes: u64) -> u64 {
        let hidden = self.loaded.as_ref().map_or(0, |loaded| {
            loaded.plan.get_or_init(|| super::retention::plan(loaded)).hidden_bytes
        });
        bytes.saturating_sub(hidden)
    }

    /// Bytes in use and where to cut. Flushes, so that everything lies in segments, whose times are
    /// known; rows of flushed frames go too.
    ///
    /// # Errors
    /// [`Refusal::Stale`], [`Refusal::Full`], [`Refusal::Store`].
    pub(super) fn weigh(&mut self, now_ns: i64) -> Result<(u64, Option<i64>), Refusal> {
        self.flush()?;
        if self.load()?.wal.has_dead() {
            self.delete_dead_slots()?;
        }
        let loaded = self.load()?;
        let at_ns = choose(loaded, now_ns);
        let segments = loaded.directories.values().flat_map(|directory| &directory.segments);
        let held: u64 = segments.map(|segment| segment.bytes).sum();
        let hidden = self.weight(u64::MAX).abs_diff(u64::MAX);
        // Of a nearly empty object's bytes most are SQLite's own: a split would move none of them.
        let bytes = self.store.bytes()?.saturating_sub(hidden);
        Ok((bytes.min(held.saturating_sub(hidden).saturating_mul(4)), at_ns))
    }

    /// Takes settings whose range ends earlier: whatever lies behind the end was copied away and is
    /// hidden from now on, then reclaimed.
    pub(super) fn cut(&mut self, settings: &ShardSettings) -> Result<(), Refusal> {
        let time = TimeRange::new(settings.range.end_ns, i64::MAX);
        if self.load()?.touched().is_none() {
            // Segments say which measurements they are of.
            self.flush()?;
        }
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let mut state = loaded.state.clone();
        state.settings = settings.clone();
        let counts = self.store.row_counts();
        state.counters = loaded.counters(&self.store);
        let key =
            loaded.tombstones.keys().next_back().map_or(0, |last| last + 1).min(ASIDE_KEY - 1);
        let sequence = loaded.wal.next_sequence();
        let deletions = moved(loaded, time);
        let hides = !deletions.is_empty();
        let tombstone = hides.then_some(Tombstone { sequence, before: sequence, deletions });
        let written = self.store.atomically(|| -> Result<(), StoreError> {
            if let Some(tombstone) = &tombstone {
                self.store.put(Table::Tombstone, key, &row::encode(tombstone)?, b"")?;
            }
            state.write(&self.store)
        });
        if let Err(error) = written {
            return Err(self.lost(error.into()));
        }
        if let Some(tombstone) = tombstone {
            loaded.wal.skip();
            loaded.tombstones.insert(key, tombstone);
            // Replayed without the hidden rows when it is needed again.
            self.cache.take_memtable();
        }
        loaded.commit_state(state, counts);
        Ok(())
    }
}

/// A deletion of each measurement that may have rows inside `time`.
fn moved(loaded: &Loaded, time: TimeRange) -> Vec<Deletion> {
    let segments = loaded.directories.values().flat_map(|directory| &directory.segments);
    let segments = segments.filter(|segment| segment.time().overlaps(&time));
    let touched = loaded.touched().unwrap_or_default();
    let in_wal = touched.into_iter().filter(|(_, touched)| touched.overlaps(&time));
    let in_wal = in_wal.map(|(measurement, _)| measurement);
    let here: SortedSet<_> = segments.map(|segment| segment.measurement).chain(in_wal).collect();
    let deletion = |&measurement: &_| Deletion { measurement, predicate: None, time };
    here.iter().map(deletion).collect()
}

/// The earliest time with at most half of the segments' bytes at or after it; just after now when
/// no more than that moves and what was written last is of now.
fn choose(loaded: &Loaded, now_ns: i64) -> Option<i64> {
    let range = loaded.state.settings.range;
    let all = loaded.directories.values().flat_map(|directory| &directory.segments);
    let segments: Vec<&Summary> = all.filter(|segment| !is_covered(loaded, segment)).collect();
    let at_or_after =
        |time_ns: i64| -> u64 { segments.iter().map(|segment| part_after(segment, time_ns)).sum() };
    let first_ns = segments.iter().map(|segment| segment.min_time_ns).min()?;
    let total = at_or_after(range.start_ns);
    let inside = |time_ns: &i64| range.contains(*time_ns) && *time_ns > first_ns;
    let soon_ns = now_ns.saturating_add(SPLIT_AHEAD_NS);
    if is_live(&segments, now_ns) && inside(&soon_ns) && at_or_after(soon_ns) * 2 <= total {
        return Some(soon_ns);
    }
    // The later, the less: look for the first time at which it is at most half.
    let (mut low, mut high) = (first_ns, range.end_ns);
    while low < high {
        let middle = low.saturating_add_unsigned(high.abs_diff(low) / 2);
        if at_or_after(middle) * 2 <= total { high = middle } else { low = middle + 1 }
    }
    // A window's start cuts no segment in two: taken if that still moves a good part.
    let window_ns = loaded.state.settings.window_ns.max(1);
    let window = low.saturating_sub(1).div_euclid(window_ns).checked_add(1);
    let window = window.and_then(|window| window.checked_mul(window_ns));
    let even = window.filter(|at_ns| inside(at_ns) && at_or_after(*at_ns) * 4 >= total);
    even.or(Some(low)).filter(inside)
}

/// Bytes of a segment at or after a time, taken to be spread evenly over its times.
fn part_after(segment: &Summary, time_ns: i64) -> u64 {
    let span = segment.max_time_ns.abs_diff(segment.min_time_ns);
    if time_ns <= segment.min_time_ns {
        return segment.bytes;
    }
    if time_ns > segment.max_time_ns {
        return 0;
    }
    // 31 bits of the times are enough, and leave 33 for the bytes.
    let shift = 33_u32.saturating_sub(span.leading_zeros());
    let after = segment.max_time_ns.abs_diff(time_ns) >> shift;
    segment.bytes.saturating_mul(after) / (span >> shift).max(1)
}

/// Whether at least half of what the last flush wrote reaches the last hour.
fn is_live(segments: &[&Summary], now_ns: i64) -> bool {
    let last = segments.iter().map(|segment| segment.last_sequence).max();
    let run = segments.iter().filter(|segment| Some(segment.last_sequence) == last);
    let recent = now_ns.saturating_sub(H_NS);
    let (live, all) = run.fold((0, 0), |(live, all), segment| {
        let is_live = segment.max_time_ns >= recent && segment.min_time_ns <= now_ns;
        (live + u64::from(is_live) * segment.bytes, all + segment.bytes)
    });
    all > 0 && live * 2 >= all
}
