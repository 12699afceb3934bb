//! Tracks the slots of live frames, and the slots whose rows may be overwritten.

use std::collections::{BTreeMap, BTreeSet};

/// A slot is live, dead or unused. The row of a dead slot may be overwritten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    /// The slots of a frame are ordered by part.
    live: BTreeMap<u64, Vec<u64>>,
    dead: BTreeSet<u64>,
    /// The lowest slot that has never contained a row.
    next: u64,
}

impl Slots {
    /// The row may be overwritten, because its frame is flushed or the row is no longer needed.
    pub(crate) fn add_dead(&mut self, slot: u64) {
        self.next = self.next.max(slot + 1);
        self.dead.insert(slot);
    }

    /// The row must not be overwritten yet.
    pub(crate) fn reserve(&mut self, slot: u64) {
        self.next = self.next.max(slot + 1);
    }

    pub(crate) fn has_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Chooses dead slots before unused slots, in ascending order. The slots remain free until
    /// [`Slots::occupy`] is called.
    pub(crate) fn choose(&self, parts: u32) -> Vec<u64> {
        self.dead.iter().copied().chain(self.next..).take(parts as usize).collect()
    }

    pub(crate) fn occupy(&mut self, sequence: u64, slots: Vec<u64>) {
        for slot in &slots {
            self.dead.remove(slot);
            self.next = self.next.max(slot + 1);
        }
        self.live.insert(sequence, slots);
    }

    pub(crate) fn of_frame(&self, sequence: u64) -> Option<&[u64]> {
        self.live.get(&sequence).map(Vec::as_slice)
    }

    pub(crate) fn release(&mut self, head: u64) {
        let kept = self.live.split_off(&(head + 1));
        let released = std::mem::replace(&mut self.live, kept);
        self.dead.extend(released.into_values().flatten());
    }

    pub(crate) fn dead_runs(&self) -> Vec<std::ops::RangeInclusive<u64>> {
        let mut runs: Vec<std::ops::RangeInclusive<u64>> = Vec::new();
        for &slot in &self.dead {
            match runs.last_mut() {
                Some(run) if *run.end() + 1 == slot => *run = *run.start()..=slot,
                _ => runs.push(slot..=slot),
            }
        }
        runs
    }

    /// The rows of the dead slots must have been deleted.
    pub(crate) fn forget_dead(&mut self) {
        self.dead.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wal_reuses_dead_slots_first() {
        let mut slots = Slots::default();
        for sequence in 1..=3 {
            let chosen = slots.choose(2);
            slots.occupy(sequence, chosen);
        }
        assert_eq!((slots.of_frame(1), slots.of_frame(3)), (Some(&[0, 1][..]), Some(&[4, 5][..])));
        slots.release(1);
        assert_eq!((slots.of_frame(1), slots.choose(3)), (None, vec![0, 1, 6]));
        slots.occupy(4, vec![0, 1, 6]);
        assert_eq!(slots.choose(1), [7]);
        slots.release(3);
        assert_eq!(slots.dead_runs(), [2..=5]);
        slots.forget_dead();
        assert_eq!(slots.choose(1), [7]);
        slots.reserve(9);
        assert_eq!(slots.choose(1), [10]);
    }
}
