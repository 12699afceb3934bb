//! Implements the shard as the source of a split. The shard chooses the split time, rejects writes
//! after this time while rows are copied, and then ends its range at this time.

use super::Shard;
use super::loaded::Loaded;
use super::manifest::{Part, PartId};
use super::refusal::Refusal;
use super::state::{Draft, Fence};
use crate::protocol::shard::ShardSettings;
use crate::store::Store;
use tidemark_model::limits::SPLIT_AHEAD_NS;
use tidemark_model::time::H_NS;

/// The approximate size of an object without data.
const EMPTY_BYTES: u64 = 200_000;

impl<S: Store> Shard<S> {
    pub(super) fn fence(&mut self, split: u64, from_ns: Option<i64>) -> Result<(), Refusal> {
        let (known, fence) = (self.load()?.state().fence, Fence { split, from_ns });
        // A late message of a split must not set a lifted fence again.
        let is_newer = split > known.split || (split == known.split && from_ns.is_none());
        if is_newer && fence != known {
            self.change(None, |draft| draft.state.fence = fence)?;
        }
        Ok(())
    }

    /// Returns `bytes`, the size of the storage, without unused rows, because unused rows are
    /// reused before the storage grows. The result is at most twice the size of parts and log, plus
    /// `EMPTY_BYTES`.
    pub(super) fn used_bytes(&self, bytes: u64) -> u64 {
        let Some(loaded) = self.loaded.as_ref() else { return bytes };
        bytes.min(loaded.data_bytes().saturating_mul(2).saturating_add(EMPTY_BYTES))
    }

    /// Returns the bytes in use, without unused values, and the best split time. Only the times of
    /// parts are known, so the log is flushed first.
    pub(super) fn measure_for_split(&mut self, now_ns: i64) -> Result<(u64, Option<i64>), Refusal> {
        self.flush(now_ns)?;
        if self.load()?.log.wal.has_unused() {
            self.delete_unused_rows()?;
        }
        let loaded = self.load()?;
        let at_ns = choose(loaded, now_ns);
        let data_bytes = loaded.data_bytes();
        // SQLite itself uses most bytes of a nearly empty object. A split would not move these
        // bytes.
        let mut most = data_bytes.saturating_mul(4);
        if !loaded.manifest().unused().is_empty() {
            // The size of the unused values is unknown. Directories and SQLite itself add less than
            // a quarter to the data.
            most = most.min(data_bytes.saturating_add(data_bytes / 4).saturating_add(EMPTY_BYTES));
        }
        Ok((self.store.bytes()?.min(most), at_ns))
    }

    /// Applies settings with an earlier end of the range. Rows after the end were copied to another
    /// shard. The shard later drops or rewrites parts with such rows.
    pub(super) fn cut(&mut self, settings: &ShardSettings) -> Result<(), Refusal> {
        let parts = self.load()?.manifest().parts().values();
        let beyond = parts.filter(|part| part.min_ns >= settings.range.end_ns);
        let beyond: Vec<PartId> = beyond.map(|part| part.id).collect();
        self.change(None, |Draft { state, manifest }| {
            state.settings = settings.clone();
            manifest.drop_parts(beyond);
        })?;
        // The next use replays the log without the hidden rows.
        self.load()?.log.memtable.take();
        Ok(())
    }
}

impl<S: Store> Loaded<S> {
    fn data_bytes(&self) -> u64 {
        let parts: u64 = self.manifest().parts().values().map(|part| part.bytes).sum();
        parts.saturating_add(self.log.wal.bytes())
    }
}

/// Returns the time at which the shard should be split, or `None` if no time in its range divides
/// its rows. The first of these times that fits is returned:
/// - if the shard receives current rows, a time shortly after `now_ns`, unless more than half of
///   the parts' bytes follow it;
/// - the next start of a window after the middle of the bytes, if a quarter of the bytes follow it;
/// - the middle: the earliest time such that at most half of the bytes are at or after it.
fn choose<S: Store>(loaded: &Loaded<S>, now_ns: i64) -> Option<i64> {
    let range = loaded.state().settings.range;
    let parts: Vec<&Part> = loaded.manifest().parts().values().collect();
    let at_or_after =
        |time_ns: i64| -> u64 { parts.iter().map(|part| bytes_after(part, time_ns)).sum() };
    let first_ns = parts.iter().map(|part| part.min_ns).min()?;
    let total = at_or_after(range.start_ns);
    let inside = |time_ns: &i64| range.contains(*time_ns) && *time_ns > first_ns;
    let soon_ns = now_ns.saturating_add(SPLIT_AHEAD_NS);
    if is_live(&parts, now_ns) && inside(&soon_ns) && at_or_after(soon_ns) * 2 <= total {
        return Some(soon_ns);
    }
    // The later the time, the fewer bytes are at or after it, so a binary search finds the earliest
    // time after which at most half of the bytes remain.
    let (mut low, mut high) = (first_ns, range.end_ns);
    while low < high {
        let middle = low.saturating_add_unsigned(high.abs_diff(low) / 2);
        if at_or_after(middle) * 2 <= total { high = middle } else { low = middle + 1 }
    }
    // The next start of a window is preferred if at least a quarter of the bytes follow it, because
    // few parts contain this time.
    let window_ns = loaded.state().settings.window_ns.max(1);
    let window = low.saturating_sub(1).div_euclid(window_ns).checked_add(1);
    let window = window.and_then(|window| window.checked_mul(window_ns));
    let even = window.filter(|at_ns| inside(at_ns) && at_or_after(*at_ns) * 4 >= total);
    even.or(Some(low)).filter(inside)
}

/// Estimates the part's bytes at or after `time_ns`, as if the bytes were spread evenly over the
/// part's times.
fn bytes_after(part: &Part, time_ns: i64) -> u64 {
    let span = part.max_ns.abs_diff(part.min_ns);
    if time_ns <= part.min_ns {
        return part.bytes;
    }
    if time_ns > part.max_ns {
        return 0;
    }
    // The upper 31 bits of the times are sufficient, and leave 33 bits for the bytes.
    let shift = 33_u32.saturating_sub(span.leading_zeros());
    let after = part.max_ns.abs_diff(time_ns) >> shift;
    part.bytes.saturating_mul(after) / (span >> shift).max(1)
}

/// Whether at least half of the last flush's bytes are in parts with rows of the last hour.
fn is_live(parts: &[&Part], now_ns: i64) -> bool {
    let last = parts.iter().map(|part| part.hi).max();
    let flushed = parts.iter().filter(|part| Some(part.hi) == last);
    let recent = now_ns.saturating_sub(H_NS);
    let (live, all) = flushed.fold((0, 0), |(live, all), part| {
        let is_live = part.max_ns >= recent && part.min_ns <= now_ns;
        (live + u64::from(is_live) * part.bytes, all + part.bytes)
    });
    all > 0 && live * 2 >= all
}
