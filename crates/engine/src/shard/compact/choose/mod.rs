//! Chooses the parts of the next merge, as a pure function of the manifest.
//!
//! The choice is size-tiered, like RocksDB's universal compaction, but per time slot. A merge
//! combines neighbours in write sequence among the parts that touch one slot. A wide old part
//! therefore does not force a merge of all its slots. Slots and sizes affect only the amount of
//! rewritten data and the number of parts. Query results do not depend on them, because every merge
//! is *convex* (`is_convex`): no other part overlaps both the time range and the write sequences of
//! the merged parts.

use std::ops::RangeInclusive;

use crate::merge::sequences::Extent;
use crate::shard::manifest::{Part, PartId};
use crate::shard::slots::Slots;

const PARTS_MIN: usize = 8;
/// The minimum number of parts in a merge if another component ([`components`]) has a merge of at
/// least `PARTS_MIN` parts. One job with both merges writes fewer rows than two jobs.
const JOINED_PARTS_MIN: usize = 4;
/// The minimum number of parts in a merge of a slot that had no writes for an hour.
const QUIET_PARTS_MIN: usize = 2;
/// The maximum number of parts in a merge. For each part, a cursor and a page are in memory.
const PARTS_MAX: usize = 16;
/// The maximum size of a merge's parts, in bytes. The parts also have at most half as many bytes as
/// are free, because inputs and outputs exist at the same time.
const BYTES_MAX: u64 = 512_000_000;
/// The maximum share of the largest part in the bytes of a merge, as a fraction. With a larger
/// share, a merge would rewrite a large part to combine it with small parts.
const LARGEST: (u64, u64) = (2, 3);
/// The minimum size, in bytes, at which a part with long series is *sealed*. A sealed part is not
/// merged, unless it overlaps a neighbour by more than `SEALED_OVERLAP` allows.
const SEALED_BYTES: u64 = 32_000_000;
/// The minimum average number of rows per series for which the series of a part count as long.
const SEALED_ROWS_PER_SERIES: u64 = 256;
/// The size of a full flush of incompressible values (`FLUSH_FORCED` in `shard/log.rs`). While
/// writes continue, a merge of such parts would only write the same values again.
const FULL_BYTES: RangeInclusive<u64> = 2_500_000..=4_000_000;
/// The maximum number of parts in a component whose full flushes are not merged. In a component
/// with more parts, the oldest parts are merged even if they are full flushes.
const FULL_PARTS_MAX: usize = 24;
/// The number of newest parts that are not merged if a component has more than `FULL_PARTS_MAX`
/// parts.
const FULL_PARTS_KEPT: usize = FULL_PARTS_MAX - PARTS_MAX;
/// The minimum size, in bytes, at which a part with short series is sealed.
const SEALED_BYTES_ALWAYS: u64 = 256_000_000;
/// A part that overlaps a neighbour by more than a tenth of its time range may be merged at any
/// size. Flushes in time order overlap only slightly.
const SEALED_OVERLAP: i128 = 10;

/// The inputs of a choice, except the parts.
pub struct ChoiceInputs<'a> {
    /// The current width of a time slot, in nanoseconds, above 0.
    pub width_ns: i64,
    /// The free space of the object's storage, in bytes.
    pub free_bytes: u64,
    /// Whether the slot with this number had no writes for an hour.
    pub(crate) is_quiet: &'a dyn Fn(i64) -> bool,
    /// Whether a part is excluded because it cannot be read.
    pub(crate) is_excluded: &'a dyn Fn(PartId) -> bool,
}

/// Returns the next merges, at most one for each of these [`components`]. After the merges, parts
/// with overlapping times still have disjoint write sequences.
pub fn choose(components: &[Vec<&Part>], now: &ChoiceInputs<'_>) -> Vec<Vec<PartId>> {
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

/// Groups parts that have a slot in common, so that all parts with overlapping times are in one
/// group. Each group is sorted by write sequence.
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

fn slots(part: &Part, width_ns: i64) -> (i64, i64) {
    let slots = Slots::of(width_ns);
    (slots.at(part.min_ns), slots.at(part.max_ns))
}

/// Whether one part, or one part per slot, may replace the merged parts, because no other part
/// overlaps both their time range and their write sequences.
pub(crate) fn is_convex(merge: &[&Part], others: &[&Part]) -> bool {
    let Some(hull) = Extent::hull(merge.iter().map(|part| part.extent())) else { return false };
    let is_input = |part: &Part| merge.iter().any(|input| input.id == part.id);
    let others: Vec<Extent> =
        others.iter().filter(|part| !is_input(part)).map(|part| part.extent()).collect();
    hull.is_convex(&others)
}

impl ChoiceInputs<'_> {
    pub(crate) fn is_quiet_part(&self, part: &Part) -> bool {
        let (first, last) = slots(part, self.width_ns);
        (self.is_quiet)(first) && (self.is_quiet)(last)
    }
}

/// Whether the part is sealed, and therefore not merged. `is_quiet` is true if the part's slots
/// receive no writes.
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

pub(crate) fn unsealed<'a>(
    component: &[&'a Part],
    is_quiet: impl Fn(&Part) -> bool,
) -> Vec<&'a Part> {
    let is_open = |part: &&Part| !is_sealed(part, component, is_quiet(part));
    component.iter().copied().filter(is_open).collect()
}

/// Returns the merge of the first slot whose parts should be merged. Merges of later slots must
/// wait, because two convex merges are not necessarily convex together.
fn of_component(component: &[&Part], now: &ChoiceInputs<'_>, least: usize) -> Option<Vec<PartId>> {
    let mut open = unsealed(component, |part| now.is_quiet_part(part));
    open.retain(|part| !(now.is_excluded)(part.id));
    if open.len() < QUIET_PARTS_MIN {
        return None;
    }
    // The first slot that all parts of a merge touch is always the first slot of some part.
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
        let best = best_run(&touching, component, is_quiet, least, now)?;
        Some(best.iter().map(|part| part.id).collect())
    })
}

/// Returns the consecutive parts to merge, if any. Among all permitted choices, the largest part
/// has the smallest share of the bytes, so that a merge rewrites few large parts.
fn best_run<'p, 'a>(
    touching: &'p [&'a Part],
    component: &[&Part],
    is_quiet: bool,
    least: usize,
    now: &ChoiceInputs<'_>,
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
            // Compares `sum / largest` of both runs as fractions.
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
