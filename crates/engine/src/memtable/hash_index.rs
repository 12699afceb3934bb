//! Maps hashes to the numbers 0, 1, 2, … in an open-addressed table. A dictionary or series table
//! stores the keys. An entry therefore takes 8 to 16 bytes, even if its key is long.

use tidemark_model::bug::OrBug;

/// The caller compares the keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct HashIndex {
    /// The entry number plus 1, or 0 for a free slot. The length is a power of two, and at most
    /// half of the slots are used.
    slots: Vec<u32>,
    hashes: Vec<u32>,
}

impl HashIndex {
    pub(crate) fn find(&self, hash: u32, mut is_same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.slots.get(slot)?.checked_sub(1)?;
            if self.hashes.get(entry as usize) == Some(&hash) && is_same(entry) {
                return Some(entry);
            }
            slot = (slot + 1) & mask;
        }
    }

    pub(crate) fn insert(&mut self, hash: u32) -> u32 {
        // A memtable has far fewer than 2^32 series or distinct tag values.
        let entry = self.hashes.len() as u32;
        self.hashes.push(hash);
        if self.hashes.len() * 2 > self.slots.len() {
            self.slots = vec![0; (self.slots.len() * 2).max(16)];
            for number in 0..=entry {
                self.place(number);
            }
        } else {
            self.place(entry);
        }
        entry
    }

    fn place(&mut self, entry: u32) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = self.hashes.get(entry as usize).copied().or_bug() as usize & mask;
        while let Some(held) = self.slots.get_mut(slot) {
            if *held == 0 {
                *held = entry + 1;
                return;
            }
            slot = (slot + 1) & mask;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.slots.capacity() + self.hashes.capacity()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_index_separates_colliding_keys() {
        let keys: Vec<u32> = (0..1_000).map(|i| i * 7).collect();
        let hash = |key: u32| key % 13;
        let mut index = HashIndex::default();
        assert_eq!(index.find(0, |_| true), None);
        for (entry, &key) in (0..).zip(&keys) {
            assert_eq!(index.find(hash(key), |e| keys[e as usize] == key), None);
            assert_eq!(index.insert(hash(key)), entry);
        }
        for (entry, &key) in (0..).zip(&keys) {
            assert_eq!(index.find(hash(key), |e| keys[e as usize] == key), Some(entry));
        }
        assert_eq!(index.find(hash(3), |e| keys[e as usize] == 3), None);
    }
}
