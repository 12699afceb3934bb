//! Keeps ordered sets as sorted lists; [`SortedMap`](super::sorted_map::SortedMap) says why.

use std::borrow::Borrow;

use super::sorted;

/// A set in the order of its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedSet<T> {
    /// Ascending, each once.
    items: Vec<T>,
}

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SortedSet<T> {
    /// An empty set.
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items, ascending.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }

    /// The highest item.
    pub fn last(&self) -> Option<&T> {
        self.items.last()
    }

    /// Removes every item.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Keeps the items that `wanted` answers true for.
    pub fn retain(&mut self, wanted: impl FnMut(&T) -> bool) {
        self.items.retain(wanted);
    }
}

impl<T: Ord> SortedSet<T> {
    /// Whether `item` is in it.
    pub fn contains<Q: Ord + ?Sized>(&self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.items.binary_search_by(|probe| probe.borrow().cmp(item)).is_ok()
    }

    /// Adds `item`; whether it was not there.
    pub fn insert(&mut self, item: T) -> bool {
        let place = self.items.binary_search(&item);
        if let Err(place) = place {
            self.items.insert(place, item);
        }
        place.is_err()
    }

    /// Takes `item` out; whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        let place = self.items.binary_search_by(|probe| probe.borrow().cmp(item));
        place.map(|place| self.items.remove(place)).is_ok()
    }
}

impl<T: Ord> Extend<T> for SortedSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.items.extend(items);
        sorted::sort_by(&mut self.items, T::cmp);
        self.items.dedup();
    }
}

impl<T: Ord> FromIterator<T> for SortedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut set = Self::new();
        set.extend(items);
        set
    }
}

impl<T> IntoIterator for SortedSet<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a SortedSet<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_sorted_set_answers_as_the_standard_librarys_does() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..200 {
            let given: Vec<u8> = (0..random.u32(0..30)).map(|_| random.u8(..20)).collect();
            let mut set: SortedSet<u8> = given.iter().copied().collect();
            let mut expected: BTreeSet<u8> = given.into_iter().collect();
            for _ in 0..50 {
                let item = random.u8(..20);
                match random.u8(..4) {
                    0 => assert_eq!(set.insert(item), expected.insert(item)),
                    1 => assert_eq!(set.remove(&item), expected.remove(&item)),
                    2 => assert_eq!(set.contains(&item), expected.contains(&item)),
                    _ => assert_eq!(set.last(), expected.last()),
                }
                assert!(set.iter().eq(&expected));
            }
        }
    }
}
