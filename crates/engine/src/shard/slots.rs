//! Defines time slots, which divide rows into parts. A slot is as wide as the policy's shard group
//! duration. This width is doubled until few slots are occupied. Existing parts keep their times if
//! the width changes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::manifest::Part;
use tidemark_model::time::{H_NS, TimeRange};

/// The maximum number of occupied slots before the slots become wider.
const SLOTS_MAX: usize = 64;

/// A division of time into slots of equal width, which is above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) width_ns: i64,
}

impl Slots {
    pub(super) fn of(width_ns: i64) -> Self {
        Self { width_ns: width_ns.max(1) }
    }

    /// Doubles `window_ns` until `parts` and `times_ns` touch at most `SLOTS_MAX` slots.
    pub(super) fn few<'a>(
        window_ns: i64,
        parts: impl Iterator<Item = &'a Part> + Clone,
        times_ns: impl Iterator<Item = &'a i64>,
    ) -> Self {
        let mut slots = Self::of(window_ns);
        let mut occupied = loop {
            match slots.of_parts(parts.clone()) {
                Some(occupied) => break occupied,
                None => slots = slots.wider(),
            }
        };
        // Consecutive times usually have the same slot, so most times need no division.
        let mut last: Option<TimeRange> = None;
        for &time_ns in times_ns {
            if last.is_some_and(|last| last.contains(time_ns)) {
                continue;
            }
            occupied.insert(slots.at(time_ns));
            while occupied.len() > SLOTS_MAX && slots.width_ns < i64::MAX {
                let wider = slots.wider();
                let widened = |&slot: &i64| wider.at(slots.time(slot).start_ns);
                occupied = occupied.iter().map(widened).collect();
                slots = wider;
            }
            last = Some(slots.time(slots.at(time_ns)));
        }
        slots
    }

    fn wider(self) -> Self {
        Self { width_ns: self.width_ns.saturating_mul(2) }
    }

    /// Returns the slots that the parts touch, or `None` if there are more than `SLOTS_MAX`.
    fn of_parts<'a>(self, parts: impl Iterator<Item = &'a Part>) -> Option<BTreeSet<i64>> {
        let mut occupied = BTreeSet::new();
        if self.width_ns == i64::MAX {
            return Some(occupied);
        }
        for part in parts {
            let (first, last) = (self.at(part.min_ns), self.at(part.max_ns));
            if last.abs_diff(first) >= SLOTS_MAX as u64 {
                return None;
            }
            occupied.extend(first..=last);
            if occupied.len() > SLOTS_MAX {
                return None;
            }
        }
        Some(occupied)
    }

    /// Returns the first and the last slot, or `None` without parts.
    pub(super) fn span<'a>(
        self,
        parts: impl Iterator<Item = &'a Part> + Clone,
    ) -> Option<(i64, i64)> {
        let first = parts.clone().map(|part| self.at(part.min_ns)).min();
        first.zip(parts.map(|part| self.at(part.max_ns)).max())
    }

    pub(super) fn at(self, time_ns: i64) -> i64 {
        time_ns.div_euclid(self.width_ns)
    }

    pub(super) fn time(self, slot: i64) -> TimeRange {
        let start = |slot: i64| slot.saturating_mul(self.width_ns);
        TimeRange::new(start(slot), start(slot.saturating_add(1)))
    }

    pub(super) fn of_times<'a>(self, times_ns: impl Iterator<Item = &'a i64>) -> BTreeSet<i64> {
        let mut touched = BTreeSet::new();
        let mut last: Option<TimeRange> = None;
        for &time_ns in times_ns {
            if last.is_none_or(|last| !last.contains(time_ns)) {
                let slot = self.at(time_ns);
                touched.insert(slot);
                last = Some(self.time(slot));
            }
        }
        touched
    }
}

/// The time without writes after which a slot is quiet.
const QUIET_NS: i64 = H_NS;

/// The times of the last writes to time slots. In quiet slots, merges also combine few parts of
/// unequal size. Every flush stores these times. Otherwise, all slots would seem quiet after a
/// restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SlotWrites {
    width_ns: i64,
    /// The number of each slot that is not quiet, and the time of its last write.
    last_ns: Vec<(i64, i64)>,
}

impl SlotWrites {
    /// Records that a flush wrote rows of `slots`. `now_ns` is the time of the last write.
    pub(super) fn on_flush(&mut self, width_ns: i64, slots: &BTreeSet<i64>, now_ns: i64) {
        let (old, new) = (Slots::of(self.width_ns), Slots::of(width_ns));
        if old != new {
            self.last_ns.iter_mut().for_each(|(slot, _)| *slot = new.at(old.time(*slot).start_ns));
            self.width_ns = width_ns;
        }
        let quiet_ns = now_ns.saturating_sub(QUIET_NS);
        self.last_ns.retain(|(slot, last_ns)| *last_ns > quiet_ns && !slots.contains(slot));
        self.last_ns.extend(slots.iter().map(|&slot| (slot, now_ns)));
    }

    /// Returns the time at which a slot becomes quiet. A slot without a recorded write is already
    /// quiet.
    pub(super) fn quiet_ns(&self, slot: i64) -> i64 {
        let of_slot = self.last_ns.iter().filter(|(of, _)| *of == slot);
        let last_ns = of_slot.map(|(_, last_ns)| *last_ns).max();
        last_ns.map_or(i64::MIN, |last_ns| last_ns.saturating_add(QUIET_NS))
    }

    pub(super) fn next_quiet_ns(&self, now_ns: i64) -> Option<i64> {
        let quiet = self.last_ns.iter().map(|(_, last_ns)| last_ns.saturating_add(QUIET_NS));
        quiet.filter(|&quiet_ns| quiet_ns > now_ns).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_width_doubles_until_few_remain() {
        let width_ns = |times: &[i64]| Slots::few(10, [].iter(), times.iter()).width_ns;
        let in_order: Vec<i64> = (0..640).collect();
        assert_eq!((width_ns(&[]), width_ns(&in_order)), (10, 10));
        let longer: Vec<i64> = (0..641).collect();
        assert_eq!(width_ns(&longer), 20);
        // Empty slots do not count.
        assert_eq!(width_ns(&[i64::MIN + 2, 5, i64::MAX - 1]), 10);
        let ends: Vec<i64> = (0..100).map(|n| i64::MIN / 100 * n).collect();
        assert!(width_ns(&ends) < i64::MAX && width_ns(&ends) > i64::MAX / 100);
        let wide = Part { min_ns: 0, max_ns: 6_400, ..Part::default() };
        assert_eq!(Slots::few(10, [wide].iter(), [].iter()).width_ns, 160);
    }

    #[test]
    fn slot_width_needs_one_pass() {
        let alternating = (0..1_000).map(|n| n % 2 * 1_000);
        let distant = (0..100).map(|n| i64::MIN / 100 * n);
        let times: Vec<i64> = alternating.chain(distant).collect();
        let read = std::cell::Cell::new(0);
        let counted = times.iter().inspect(|_| read.set(read.get() + 1));
        let slots = Slots::few(10, [].iter(), counted);
        assert_eq!(read.get(), times.len());
        assert!((1..=SLOTS_MAX).contains(&slots.of_times(times.iter()).len()));
        let narrower = Slots::of(slots.width_ns / 2);
        assert!(narrower.of_times(times.iter()).len() > SLOTS_MAX);
    }

    #[test]
    fn slots_cover_extreme_times() {
        for width_ns in [1, 7, 1 << 40, i64::MAX - 1, i64::MAX] {
            for time_ns in [i64::MIN + 2, -1, 0, 1, i64::MAX - 1] {
                let slots = Slots::of(width_ns);
                let time = slots.time(slots.at(time_ns));
                assert!(time.contains(time_ns), "{time_ns} in {width_ns}: {time:?}");
            }
        }
    }
}
