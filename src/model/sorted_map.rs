//! Keeps ordered maps as sorted lists, with the method names of the standard library's.
//!
//! A `BTreeMap` is compiled anew, into some 10 KB, for each pair of types, and its `collect` brings
//! a copy of the sort. A sorted list takes a tenth of that. It is for up to some ten thousand
//! entries, or for keys that mostly arrive in order: an insertion in the middle moves what follows.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds};

use super::sorted;

/// A map in the order of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedMap<K, V> {
    /// Ascending, each key once.
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> SortedMap<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes every entry.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The entries, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The keys, ascending.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The values, in the order of their keys, changeable.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    /// The values, in the order of their keys.
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> {
        self.entries.into_iter().map(|(_, value)| value)
    }

    /// Keeps the entries that `wanted` answers true for.
    pub fn retain(&mut self, mut wanted: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain_mut(|(key, value)| wanted(key, value));
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// The place of `key`, or the place where it belongs.
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        // Keys that arrive in order go behind the last.
        match self.entries.last() {
            Some((last, _)) if last.borrow() < key => Err(self.entries.len()),
            _ => self.entries.binary_search_by(|(probe, _)| probe.borrow().cmp(key)),
        }
    }

    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(self.place(key).ok()?).map(|(_, value)| value)
    }

    /// The value of `key`, changeable.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    /// The key as the map holds it, and its value.
    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.entries.get(self.place(key).ok()?).map(|(key, value)| (key, value))
    }

    /// Whether there is an entry of `key`.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Sets the value of `key`; answers with the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(place) => {
                let (_, slot) = self.entries.get_mut(place)?;
                Some(std::mem::replace(slot, value))
            }
            Err(place) => {
                self.entries.insert(place, (key, value));
                None
            }
        }
    }

    /// Takes the entry of `key` out; answers with its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        Some(self.entries.remove(place).1)
    }

    /// The place of `key`'s value, there or not yet.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        Entry { place: self.place(&key), entries: &mut self.entries, key }
    }

    /// The entries whose keys are in `range`, ascending.
    pub fn range<R: RangeBounds<K>>(
        &self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator + Clone {
        let entries_below = |key: &K, inclusive: bool| {
            let is_below = |(probe, _): &(K, V)| match probe.cmp(key) {
                Ordering::Equal => inclusive,
                order => order.is_lt(),
            };
            self.entries.partition_point(is_below)
        };
        let start = match range.start_bound() {
            Bound::Unbounded => 0,
            Bound::Included(key) => entries_below(key, false),
            Bound::Excluded(key) => entries_below(key, true),
        };
        let end = match range.end_bound() {
            Bound::Unbounded => self.entries.len(),
            Bound::Included(key) => entries_below(key, true),
            Bound::Excluded(key) => entries_below(key, false),
        };
        let entries = self.entries.get(start..end).unwrap_or_default();
        entries.iter().map(|(key, value)| (key, value))
    }

    /// Takes out the entries from `key` on.
    pub fn split_off(&mut self, key: &K) -> Self {
        let place = self.place(key).unwrap_or_else(|place| place);
        Self { entries: self.entries.split_off(place) }
    }
}

impl<K: Ord, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    /// Of entries with one key, the last stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        sorted::sort_by(&mut entries, |a, b| a.0.cmp(&b.0));
        entries.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        Self { entries }
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, K, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (K, V)>, fn(&(K, V)) -> (&K, &V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter().map(|(key, value)| (key, value))
    }
}

/// The place of a key's value.
pub struct Entry<'a, K, V> {
    place: Result<usize, usize>,
    entries: &'a mut Vec<(K, V)>,
    key: K,
}

impl<'a, K, V> Entry<'a, K, V> {
    /// The key's value, first set to what `make` makes if there is none.
    ///
    /// # Errors
    /// Those of `make`; then nothing is set.
    pub fn or_try_insert_with<E>(
        self,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<&'a mut V, E> {
        let place = match self.place {
            Ok(place) => place,
            Err(place) => {
                self.entries.insert(place, (self.key, make()?));
                place
            }
        };
        Ok(&mut self.entries[place].1)
    }

    /// The key's value, first set to what `make` makes if there is none.
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> &'a mut V {
        let Ok(value) = self.or_try_insert_with(|| Ok::<V, std::convert::Infallible>(make()));
        value
    }

    /// The key's value, first set to `value` if there is none.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// The key's value, first set to its default if there is none.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pairs(map: &SortedMap<u8, u32>) -> Vec<(u8, u32)> {
        map.iter().map(|(&key, &value)| (key, value)).collect()
    }

    /// Random operations on both kinds of map leave the same entries and answers.
    #[test]
    fn a_sorted_map_answers_as_the_standard_librarys_does() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let given: Vec<(u8, u32)> =
                (0..random.u32(0..30)).map(|n| (random.u8(..20), n)).collect();
            let mut map: SortedMap<u8, u32> = given.iter().copied().collect();
            let mut expected: BTreeMap<u8, u32> = given.into_iter().collect();
            for value in 100..150 {
                let key = random.u8(..20);
                match random.u8(..5) {
                    0 => assert_eq!(map.insert(key, value), expected.insert(key, value)),
                    1 => assert_eq!(map.remove(&key), expected.remove(&key)),
                    2 => *map.entry(key).or_default() += *expected.entry(key).or_default() + 1,
                    3 => assert_eq!(map.get(&key), expected.get(&key)),
                    _ => {
                        let (low, high) = (key, key.saturating_add(random.u8(..9)));
                        assert!(map.range(low..high).eq(expected.range(low..high)));
                        assert!(map.range(low..=high).eq(expected.range(low..=high)));
                        let above = (Bound::Excluded(low), Bound::Unbounded);
                        assert!(map.range(above).eq(expected.range(above)));
                    }
                }
                if let Some(&value) = map.get(&key) {
                    expected.insert(key, value);
                }
                assert_eq!(pairs(&map), Vec::from_iter(expected.clone()));
            }
            let at = random.u8(..20);
            assert_eq!(pairs(&map.split_off(&at)), Vec::from_iter(expected.split_off(&at)));
            assert_eq!(pairs(&map), Vec::from_iter(expected));
        }
    }
}
