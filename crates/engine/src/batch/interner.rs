//! Assigns numbers to distinct strings.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::column::StringColumn;

/// The number of strings after which the lookup table is cleared.
const ENTRIES_MAX: usize = 3 << 17;

/// A map from strings to numbers, which start with 0, in order of first appearance.
///
/// A full lookup table is cleared, so that a million distinct tag values take little more memory
/// than their bytes. A forgotten string receives a second number. The strings are in one text. A
/// random seed prevents clients from choosing colliding keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Interner {
    pub(super) strings: StringColumn,
    forgotten: u32,
    /// The index of the strings that were not forgotten.
    index: HashIndex<3>,
    seed: FixedState,
}

impl Interner {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed: FixedState::with_seed(seed), ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.strings.bytes() + self.index.bytes()
    }

    pub(super) fn find(&self, string: &str) -> Option<u32> {
        self.find_hashed(string, self.hash(string))
    }

    pub(super) fn find_hashed(&self, string: &str, hash: u32) -> Option<u32> {
        let number = |entry: u32| self.forgotten + entry;
        let is_same = |entry: u32| self.strings.get(number(entry) as usize) == string;
        self.index.find(hash, is_same).map(number)
    }

    pub(super) fn intern(&mut self, string: &str) -> (u32, bool) {
        let hash = self.hash(string);
        match self.find_hashed(string, hash) {
            Some(number) => (number, false),
            None => (self.add(string, hash), true),
        }
    }

    /// Adds `string`, which must not be in the table, and returns its number.
    pub(super) fn add(&mut self, string: &str, hash: u32) -> u32 {
        if self.index.hashes.len() >= ENTRIES_MAX {
            self.forgotten += self.index.hashes.len() as u32;
            self.index.clear();
        }
        self.strings.push(string);
        self.forgotten + self.index.insert(hash)
    }

    pub(super) fn pop(&mut self) {
        let Some(number) = self.strings.len().checked_sub(1) else { return };
        self.strings.truncate(number);
        self.index.pop();
        self.forgotten = self.forgotten.min(number as u32);
    }

    pub(super) fn hash(&self, string: &str) -> u32 {
        let mut hasher = self.seed.build_hasher();
        hasher.write(string.as_bytes());
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) as u32
    }
}

/// The maximum number of entries that a search compares one after another. The keys of most
/// measurements, and the values in a small write, thus need no memory for slots.
const UNINDEXED_MAX: usize = 12;

/// An open-addressed hash table that maps hashes to the entries 0, 1, 2, … The caller stores and
/// compares the keys. The table uses at most `QUARTERS` quarters of its slots. With fewer used
/// slots, a search is shorter.
#[derive(Clone, Debug, Default)]
pub(crate) struct HashIndex<const QUARTERS: usize> {
    /// The entry plus 1, or 0 for a free slot. The length is a power of two, or 0 for up to
    /// [`UNINDEXED_MAX`] entries.
    slots: Vec<u32>,
    /// The hashes are stored so that the table can grow without reading the keys.
    hashes: SmallVec<[u32; UNINDEXED_MAX]>,
}

impl<const QUARTERS: usize> HashIndex<QUARTERS> {
    pub(crate) fn find(&self, hash: u32, mut is_same: impl FnMut(u32) -> bool) -> Option<u32> {
        let hashes = self.hashes.as_slice();
        if self.slots.is_empty() {
            let mut entries = (0..).zip(hashes);
            let found = entries.find(|&(entry, known)| *known == hash && is_same(entry));
            return found.map(|(entry, _)| entry);
        }
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.slots.get(slot)?.checked_sub(1)?;
            if hashes.get(entry as usize) == Some(&hash) && is_same(entry) {
                return Some(entry);
            }
            slot = (slot + 1) & mask;
        }
    }

    pub(crate) fn insert(&mut self, hash: u32) -> u32 {
        // A table has far fewer than 2^32 keys.
        let entry = self.hashes.len() as u32;
        self.hashes.push(hash);
        let is_full = self.hashes.len() * 4 > self.slots.len() * QUARTERS;
        if is_full && entry as usize >= UNINDEXED_MAX {
            self.slots = vec![0; (self.slots.len() * 2).max(32)];
            let hashes = std::mem::take(&mut self.hashes);
            (1..).zip(&hashes).for_each(|(value, &hash)| self.replace(hash, 0, value));
            self.hashes = hashes;
        } else {
            self.replace(hash, 0, entry + 1);
        }
        entry
    }

    /// Removes the last entry. The searches for earlier entries end before the slot of the last
    /// entry, so the slot can be freed.
    fn pop(&mut self) {
        if let Some(hash) = self.hashes.pop() {
            self.replace(hash, self.hashes.len() as u32 + 1, 0);
        }
    }

    /// Searches the slots for `hash`, and replaces the first value `from` with `to`.
    fn replace(&mut self, hash: u32, from: u32, to: u32) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        while let Some(value) = self.slots.get_mut(slot) {
            if *value == from {
                *value = to;
                return;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn clear(&mut self) {
        self.slots.fill(0);
        self.hashes.clear();
    }

    /// Returns the memory in use outside of the value itself, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let hashes = if self.hashes.spilled() { self.hashes.capacity() } else { 0 };
        (self.slots.capacity() + hashes) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interner_numbers_equal_strings_equally() {
        let mut interner = Interner::new(1);
        assert_eq!(interner.find("a"), None);
        for round in 0..2 {
            for number in 0..1_000 {
                assert_eq!(interner.intern(&number.to_string()), (number, round == 0));
            }
        }
        assert_eq!(interner.find("7"), Some(7));
        assert_eq!(interner.strings.get(999), "999");
    }

    #[test]
    fn full_interner_assigns_new_numbers() {
        let mut interner = Interner::new(1);
        let kept = ENTRIES_MAX as u32;
        for number in 0..kept + 2 {
            assert_eq!(interner.intern(&number.to_string()), (number, true));
        }
        assert_eq!(interner.find("1"), None);
        assert_eq!(interner.intern(&kept.to_string()), (kept, false));
        assert_eq!(interner.intern("1"), (kept + 2, true));
        interner.pop();
        assert_eq!((interner.find("1"), interner.strings.get(1)), (None, "1"));
    }

    /// Tests threat 21 of threats.md.
    #[test]
    fn interner_seed_changes_string_collisions() {
        const SLOTS: u32 = 1 << 10;
        let homes = |interner: &Interner, strings: &[String]| {
            let homes = strings.iter().map(|string| interner.hash(string) % SLOTS);
            homes.collect::<std::collections::BTreeSet<u32>>().len()
        };
        let known = Interner::new(1);
        let strings = (0..).map(|number: u32| number.to_string());
        let strings = strings.filter(|string| known.hash(string).is_multiple_of(SLOTS));
        let strings: Vec<String> = strings.take(200).collect();
        assert_eq!(homes(&known, &strings), 1);
        // 200 random strings use 182 of 1,024 home slots on average, with a deviation of about 4.
        for seed in [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0] {
            let homes = homes(&Interner::new(seed), &strings);
            assert!(homes > 150, "{homes} homes with seed {seed}");
        }
    }

    #[test]
    fn interner_pop_removes_last_string() {
        let mut interner = Interner::new(1);
        for number in 0..100 {
            interner.intern(&number.to_string());
            interner.intern("x");
            interner.pop();
            assert_eq!(interner.find("x"), None);
        }
        for number in 0..100 {
            assert_eq!(interner.find(&number.to_string()), Some(number));
        }
    }

    #[test]
    fn hash_index_separates_colliding_keys() {
        let keys: Vec<u32> = (0..1_000).map(|i| i * 7).collect();
        let hash = |key: u32| key % 13;
        let mut index = HashIndex::<3>::default();
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
