//! Knows which slots hold live frames, by sequence, and which slots may be rewritten.

use std::collections::{BTreeMap, BTreeSet};

/// Slots of the WAL. A slot is live, dead (its row may be rewritten) or not there yet.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    /// Slots of the parts of each live frame, by part.
    live: BTreeMap<u64, Vec<u64>>,
    dead: BTreeSet<u64>,
    /// The lowest slot that never held a row.
    next: u64,
}

impl Slots {
    /// Records that a row exists whose frame is flushed, or that is no longer needed.
    pub fn add_dead(&mut self, slot: u64) {
        self.next = self.next.max(slot + 1);
        self.dead.insert(slot);
    }

    /// Records that a row exists that must not be rewritten yet.
    pub fn reserve(&mut self, slot: u64) {
        self.next = self.next.max(slot + 1);
    }

    /// Whether there is a dead slot.
    pub fn has_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Slots for the parts of a new frame, lowest first: dead ones, then new ones. Nothing changes
    /// until [`Slots::occupy`].
    pub fn choose(&self, parts: u32) -> Vec<u64> {
        self.dead.iter().copied().chain(self.next..).take(parts as usize).collect()
    }

    /// Records that the parts of frame `sequence` are in `slots`.
    pub fn occupy(&mut self, sequence: u64, slots: Vec<u64>) {
        for slot in &slots {
            self.dead.remove(slot);
            self.next = self.next.max(slot + 1);
        }
        self.live.insert(sequence, slots);
    }

    /// Slots of frame `sequence`, by part.
    pub fn of_frame(&self, sequence: u64) -> Option<&[u64]> {
        self.live.get(&sequence).map(Vec::as_slice)
    }

    /// Makes the slots of every frame up to `head` dead.
    pub fn release(&mut self, head: u64) {
        let kept = self.live.split_off(&(head + 1));
        let released = std::mem::replace(&mut self.live, kept);
        self.dead.extend(released.into_values().flatten());
    }

    /// Runs of dead slots, ascending.
    pub fn dead_runs(&self) -> Vec<std::ops::RangeInclusive<u64>> {
        let mut runs: Vec<std::ops::RangeInclusive<u64>> = Vec::new();
        for &slot in &self.dead {
            match runs.last_mut() {
                Some(run) if *run.end() + 1 == slot => *run = *run.start()..=slot,
                _ => runs.push(slot..=slot),
            }
        }
        runs
    }

    /// Forgets the dead slots, whose rows have been deleted.
    pub fn forget_dead(&mut self) {
        self.dead.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_slots_are_rewritten_before_new_ones_are_made() {
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
