//! Which parts are merged next: a pure function of what the manifest lists.
//!
//! Size-tiered as RocksDB's universal compaction, by slots of time: a merge takes neighbours in
//! write sequence among the parts that touch one slot, so that a wide old part that links many
//! slots is no reason to merge all of them. Slots, sizes and the width decide how much is rewritten
//! and how many parts are left, never what an answer is: for that a merge is *convex*.

use std::ops::RangeInclusive;

use crate::merge::sequences::Extent;
use crate::shard::manifest::{Part, PartId};
use crate::shard::slots::Slots;

/// Parts of one merge.
const PARTS_MIN: usize = 8;
/// The same where another component has a merge of so many: a job of both writes fewer rows than
/// two jobs one after the other.
const JOINED_PARTS_MIN: usize = 4;
/// The same of a slot that nothing was written to for an hour.
const QUIET_PARTS_MIN: usize = 2;
/// A merge holds a cursor and a page of each.
const PARTS_MAX: usize = 16;
/// Encoded bytes of one merge at most, and half of what is free: inputs and outputs are there at
/// once.
const BYTES_MAX: u64 = 512_000_000;
/// The largest of a merge is at most two thirds of it: else what is large is written again for what
/// is small.
const LARGEST: (u64, u64) = (2, 3);
/// A part of so many bytes is left alone if its series are long enough to be read for themselves.
const SEALED_BYTES: u64 = 32_000_000;
/// Rows of a series of such a part, on average.
const SEALED_ROWS_PER_SERIES: u64 = 256;
/// A part of so many bytes and such series is left as it is under load, while its component has
/// few: a merge would write the same values again, and the newest rows lie in few bytes. Flushes of
/// values that no codec makes smaller have as many (`FORCED` in `shard/flush_size.rs`).
const FULL_BYTES: RangeInclusive<u64> = 2_500_000..=4_000_000;
/// Parts of a component that has few. Of one that has more the oldest are merged.
const FULL_PARTS_MAX: usize = 24;
/// That many parts are the newest of such a component.
const FULL_PARTS_KEPT: usize = FULL_PARTS_MAX - PARTS_MAX;
/// A part of so many bytes is left alone.
const SEALED_BYTES_ALWAYS: u64 = 256_000_000;
/// So much of its span may overlap a neighbour's: flushes in order of time do by a little.
const SEALED_OVERLAP: i128 = 10;

/// What a choice depends on beside the parts.
pub struct Circumstances<'a> {
    /// Slots that parts are cut by now, nanoseconds, above 0.
    pub width_ns: i64,
    /// Bytes that the object's storage has left.
    pub free_bytes: u64,
    /// Whether nothing was written to a slot, by its number, for an hour.
    pub is_quiet: &'a dyn Fn(i64) -> bool,
    /// Whether a part is left as it is, since it cannot be read.
    pub is_left: &'a dyn Fn(PartId) -> bool,
}

/// The next merges, at most one of each of these [`components`]: together they keep write sequences
/// of parts that overlap in time apart. Empty when there is nothing to do.
pub fn choose(components: &[Vec<&Part>], now: &Circumstances<'_>) -> Vec<Vec<PartId>> {
    let all_of = |least: usize| {
        let merge = |component: &Vec<&Part>| of_component(component, now, least);
        components.iter().map(merge).collect::<Vec<_>>()
    };
    let due = all_of(PARTS_MIN);
    if due.iter().all(Option::is_none) {
        return Vec::new();
    }
    let joined = all_of(JOINED_PARTS_MIN);
    due.into_iter().zip(joined).filter_map(|(due, joined)| due.or(joined)).collect()
}

/// Parts that are linked by a slot, and so by overlapping times; each in order of sequence.
pub fn components<'a>(parts: &[&'a Part], width_ns: i64) -> Vec<Vec<&'a Part>> {
    let mut by_time = parts.to_vec();
    by_time.sort_by_key(|part| (part.min_ns, part.id));
    let mut components: Vec<Vec<&Part>> = Vec::new();
    let mut last = None;
    for part in by_time {
        let slots = slots(part, width_ns);
        match components.last_mut() {
            Some(component) if last >= Some(slots.0) => component.push(part),
            _ => components.push(vec![part]),
        }
        last = last.max(Some(slots.1));
    }
    for component in &mut components {
        component.sort_by_key(|part| (part.lo, part.min_ns, part.id));
    }
    components
}

/// The first and the last slot that a part touches.
fn slots(part: &Part, width_ns: i64) -> (i64, i64) {
    let slots = Slots::of(width_ns);
    (slots.at(part.min_ns), slots.at(part.max_ns))
}

/// Whether these parts may be replaced by one, or by one for each slot: no other part that overlaps
/// the whole of their times has a write sequence within theirs.
pub fn is_convex(merge: &[&Part], others: &[&Part]) -> bool {
    let Some(hull) = Extent::hull(merge.iter().map(|part| part.extent())) else { return false };
    let is_input = |part: &Part| merge.iter().any(|input| input.id == part.id);
    let others: Vec<Extent> =
        others.iter().filter(|part| !is_input(part)).map(|part| part.extent()).collect();
    hull.is_convex(&others)
}

impl Circumstances<'_> {
    /// Whether nothing was written for an hour where a part begins and ends.
    pub fn is_quiet_part(&self, part: &Part) -> bool {
        let (first, last) = slots(part, self.width_ns);
        (self.is_quiet)(first) && (self.is_quiet)(last)
    }
}

/// Whether a part of a component is left alone; `is_quiet`: nothing is written there.
fn is_sealed(part: &Part, component: &[&Part], is_quiet: bool) -> bool {
    let has = |bytes: u64, rows_per_series: u64| {
        part.bytes >= bytes && part.rows >= part.series.saturating_mul(rows_per_series)
    };
    let is_kept = || {
        let newer = component.iter().filter(|other| other.lo > part.hi).count();
        component.len() <= FULL_PARTS_MAX || newer < FULL_PARTS_KEPT
    };
    let is_full = !is_quiet
        && FULL_BYTES.contains(&part.bytes)
        && has(0, SEALED_ROWS_PER_SERIES)
        && is_kept();
    if !is_full && !has(SEALED_BYTES, SEALED_ROWS_PER_SERIES) && !has(SEALED_BYTES_ALWAYS, 0) {
        return false;
    }
    let span = i128::from(part.max_ns) - i128::from(part.min_ns) + 1;
    !component.iter().any(|other| {
        let end = i128::from(part.max_ns.min(other.max_ns));
        let shared = end - i128::from(part.min_ns.max(other.min_ns)) + 1;
        other.id != part.id && shared > 0 && shared * SEALED_OVERLAP > span
    })
}

/// The parts of a component that are not left alone.
pub fn unsealed<'a>(component: &[&'a Part], is_quiet: impl Fn(&Part) -> bool) -> Vec<&'a Part> {
    let is_open = |part: &&Part| !is_sealed(part, component, is_quiet(part));
    component.iter().copied().filter(is_open).collect()
}

/// The best merge of a component: that of the first slot that has one. The others follow when it is
/// done: two that are convex alone can break the order together. `least`: parts of one.
fn of_component(component: &[&Part], now: &Circumstances<'_>, least: usize) -> Option<Vec<PartId>> {
    let mut open = unsealed(component, |part| now.is_quiet_part(part));
    open.retain(|part| !(now.is_left)(part.id));
    if open.len() < QUIET_PARTS_MIN {
        return None;
    }
    // Of parts that touch no common slot none are merged: only slots where one begins can be first.
    let mut starts: Vec<i64> = open.iter().map(|part| slots(part, now.width_ns).0).collect();
    starts.sort();
    starts.dedup();
    starts.into_iter().find_map(|slot| {
        let touches = |part: &&Part| {
            let (first, last) = slots(part, now.width_ns);
            first <= slot && slot <= last
        };
        let touching: Vec<&Part> = open.iter().copied().filter(touches).collect();
        let is_quiet = (now.is_quiet)(slot);
        let least = if is_quiet { QUIET_PARTS_MIN } else { least };
        let best = best_run(&touching, component, (is_quiet, least), now)?;
        Some(best.iter().map(|part| part.id).collect())
    })
}

/// Of all runs of at least so many neighbours the one whose largest is the least of it.
fn best_run<'p, 'a>(
    touching: &'p [&'a Part],
    component: &[&Part],
    (is_quiet, least): (bool, usize),
    now: &Circumstances<'_>,
) -> Option<&'p [&'a Part]> {
    let bytes_max = BYTES_MAX.min(now.free_bytes / 2);
    let mut best: Option<(u64, u64, &[&Part])> = None;
    for first in 0..touching.len() {
        let (mut sum, mut largest) = (0_u64, 0_u64);
        for count in 1..=PARTS_MAX {
            let Some(run) = touching.get(first..first + count) else { break };
            let bytes = run.last().map_or(0, |part| part.bytes);
            (sum, largest) = (sum.saturating_add(bytes), largest.max(bytes));
            if sum > bytes_max {
                break;
            }
            let balanced = largest * LARGEST.1 <= sum * LARGEST.0;
            // More of the sum for its largest: compared as fractions.
            let better = best.is_none_or(|(best_sum, best_largest, _)| {
                u128::from(sum) * u128::from(best_largest.max(1))
                    > u128::from(best_sum) * u128::from(largest.max(1))
            });
            if count >= least && (balanced || is_quiet) && better && is_convex(run, component) {
                best = Some((sum, largest, run));
            }
        }
    }
    best.map(|(_, _, run)| run)
}

#[cfg(test)]
mod tests;
