//! Numbers distinct strings.

use std::hash::{BuildHasher, Hasher};

use super::column::StringColumn;

const SLOTS_MAX: usize = 1 << 19;

/// A map from strings to numbers, which start with 0, in order of first appearance.
///
/// A full lookup table is cleared, so that a million distinct tag values take little more memory
/// than their bytes. A forgotten string receives a second number. The table uses open addressing
/// over positions in one text. A random seed prevents clients from choosing colliding keys.
#[derive(Clone, Debug)]
pub(super) struct Interner {
    strings: StringColumn,
    forgotten: u32,
    /// The hashes are stored so that the table can grow without reading the text.
    hashes: Vec<u32>,
    /// The positions in `hashes` plus 1, or 0 for a free slot, of which a quarter is always free.
    slots: Vec<u32>,
    seed: foldhash::fast::FixedState,
}

impl Interner {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            strings: StringColumn::default(),
            forgotten: 0,
            hashes: Vec::new(),
            slots: Vec::new(),
            seed: foldhash::fast::FixedState::with_seed(seed),
        }
    }

    pub(super) fn strings(&self) -> &StringColumn {
        &self.strings
    }

    pub(super) fn strings_mut(&mut self) -> &mut StringColumn {
        &mut self.strings
    }

    pub(super) fn into_strings(self) -> StringColumn {
        self.strings
    }

    pub(super) fn bytes(&self) -> usize {
        self.strings.bytes() + (self.hashes.capacity() + self.slots.capacity()) * 4
    }

    pub(super) fn find(&self, string: &str) -> Option<u32> {
        self.find_hashed(string, self.hash(string))
    }

    pub(super) fn find_hashed(&self, string: &str, hash: u32) -> Option<u32> {
        self.probe(string, hash).ok()
    }

    pub(super) fn intern(&mut self, string: &str) -> (u32, bool) {
        let hash = self.hash(string);
        match self.probe(string, hash) {
            Ok(number) => (number, false),
            Err(_) => (self.add(string, hash), true),
        }
    }

    /// `string` must not be in the table.
    pub(super) fn add(&mut self, string: &str, hash: u32) -> u32 {
        if (self.hashes.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let index = self.hashes.len() as u32;
        self.strings.push(string);
        self.hashes.push(hash);
        self.place(hash, index);
        self.forgotten + index
    }

    pub(super) fn pop(&mut self) {
        let Some(number) = self.strings.len().checked_sub(1) else { return };
        let last = self.strings.get(number).to_owned();
        if let Err(slot) | Ok(slot) = self.slot_of(&last, self.hash(&last))
            && let Some(place) = self.slots.get_mut(slot)
        {
            // The last string was inserted last, so no other string was moved past its slot.
            *place = 0;
        }
        self.strings.truncate(number);
        self.hashes.truncate(number.saturating_sub(self.forgotten as usize));
        self.forgotten = self.forgotten.min(number as u32);
    }

    pub(super) fn hash(&self, string: &str) -> u32 {
        let mut hasher = self.seed.build_hasher();
        hasher.write(string.as_bytes());
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) as u32
    }

    fn probe(&self, string: &str, hash: u32) -> Result<u32, usize> {
        let slot = self.slot_of(string, hash)?;
        let number = self.slots.get(slot).map(|&place| place.wrapping_sub(1));
        number.map(|index| self.forgotten + index).ok_or(slot)
    }

    fn slot_of(&self, string: &str, hash: u32) -> Result<usize, usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        while let Some(&place) = self.slots.get(slot)
            && place > 0
        {
            let index = place as usize - 1;
            let number = self.forgotten as usize + index;
            if self.hashes.get(index) == Some(&hash) && self.strings.get(number) == string {
                return Ok(slot);
            }
            slot = (slot + 1) & mask;
        }
        Err(slot)
    }

    fn place(&mut self, hash: u32, index: u32) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        while self.slots.get(slot).is_some_and(|&taken| taken > 0) {
            slot = (slot + 1) & mask;
        }
        if let Some(free) = self.slots.get_mut(slot) {
            *free = index + 1;
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).clamp(16, SLOTS_MAX);
        if size == self.slots.len() {
            self.forgotten += self.hashes.len() as u32;
            self.hashes.clear();
        }
        self.slots.clear();
        self.slots.resize(size, 0);
        let hashes = std::mem::take(&mut self.hashes);
        (0..).zip(&hashes).for_each(|(index, &hash)| self.place(hash, index));
        self.hashes = hashes;
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
        assert_eq!(interner.strings().get(999), "999");
    }

    #[test]
    fn full_interner_assigns_new_numbers() {
        let mut interner = Interner::new(1);
        let kept = SLOTS_MAX as u32 / 4 * 3;
        for number in 0..kept + 2 {
            assert_eq!(interner.intern(&number.to_string()), (number, true));
        }
        assert_eq!(interner.find("1"), None);
        assert_eq!(interner.intern(&kept.to_string()), (kept, false));
        assert_eq!(interner.intern("1"), (kept + 2, true));
        interner.pop();
        assert_eq!((interner.find("1"), interner.strings().get(1)), (None, "1"));
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
}
