//! The least combinations of tag values that fit a page, each once.

use std::collections::BTreeSet;

use crate::merge::key::SeriesKey;

/// Combinations that came out of order before they are put among the others.
const FRESH_MAX: usize = 1_000;
/// What a value, and an item, takes on a page beside its text, bytes.
const VALUE_BYTES: usize = 4;

/// Combinations as keys of the values that are sorted by. Where they come in order it only grows at
/// its end; elsewhere those that do not fit go again, the greatest first.
pub(super) struct Least {
    /// Ascending.
    items: Vec<SeriesKey>,
    fresh: BTreeSet<SeriesKey>,
    /// How many there are, kept or not.
    count: u64,
    /// They come in order, each once, and only their number is wanted.
    is_number: bool,
    bytes: usize,
    room: usize,
    items_max: usize,
    /// The page answers for items up to this one.
    bound: Option<SeriesKey>,
}

impl Least {
    /// No item yet, and room for one at least: for `room` bytes and `items_max` items.
    pub(super) fn new(room: usize, items_max: usize, is_number: bool) -> Self {
        Self {
            items: Vec::new(),
            fresh: BTreeSet::new(),
            count: 0,
            is_number,
            bytes: 0,
            room,
            items_max: items_max.max(1),
            bound: None,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// What they take on a page.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the next page starts behind; `None` if all are here that are wanted.
    pub(super) fn resume(&self) -> Option<&SeriesKey> {
        self.bound.as_ref().filter(|_| self.count < self.items_max as u64)
    }

    /// Whether an item is not of this page.
    pub(super) fn is_past(&self, item: &SeriesKey) -> bool {
        self.bound.as_ref().is_some_and(|bound| item > bound)
    }

    /// Whether an item is kept.
    pub(super) fn has(&self, item: &SeriesKey) -> bool {
        self.items.binary_search(item).is_ok() || self.fresh.contains(item)
    }

    /// Adds an item that is neither there nor past.
    pub(super) fn insert(&mut self, item: &SeriesKey) {
        self.count += 1;
        if self.is_number {
            return;
        }
        self.bytes += bytes(item);
        self.fresh.insert(item.clone());
        if self.fresh.len() > FRESH_MAX {
            self.settle();
        }
        while self.bytes > self.room && self.count > 1 {
            self.drop_last();
            self.bound = self.last().cloned();
        }
        if self.count >= self.items_max as u64 {
            while self.count > self.items_max as u64 {
                self.drop_last();
            }
            self.bound = self.last().cloned();
        }
    }

    /// The page answers for nothing behind `bound`, which is not past.
    pub(super) fn end_at(&mut self, bound: SeriesKey) {
        while self.last().is_some_and(|last| *last > bound) {
            self.drop_last();
        }
        self.bound = Some(bound);
    }

    /// The items, ascending.
    pub(super) fn into_items(mut self) -> Vec<SeriesKey> {
        self.settle();
        self.items
    }

    fn last(&self) -> Option<&SeriesKey> {
        self.items.last().max(self.fresh.last())
    }

    fn drop_last(&mut self) {
        if self.items.last() < self.fresh.last() {
            self.settle();
        }
        if let Some(last) = self.items.pop() {
            self.bytes = self.bytes.saturating_sub(bytes(&last));
            self.count -= 1;
        }
    }

    /// Puts the fresh ones among the others.
    fn settle(&mut self) {
        let in_order = self.items.last() < self.fresh.iter().next();
        self.items.extend(std::mem::take(&mut self.fresh));
        if !in_order {
            // Stable: it finds the two runs.
            self.items.sort();
        }
    }
}

/// About what an item takes on a page.
fn bytes(item: &SeriesKey) -> usize {
    item.as_bytes().len() + item.value_count() * VALUE_BYTES + VALUE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::MeasurementId;

    #[test]
    fn in_whatever_order_they_come_the_least_that_fit_are_kept() {
        let mut rng = fastrand::Rng::with_seed(1);
        let key = |value: u32| SeriesKey::new(MeasurementId(1), [format!("{value:06}").as_str()]);
        for (room, items_max) in [(1, 9), (4_000, 10_000), (usize::MAX, 2_500), (50_000, 3_000)] {
            let mut values: Vec<u32> = (0..5_000).collect();
            rng.shuffle(&mut values);
            let mut least = Least::new(room, items_max, false);
            for value in values {
                let item = key(value);
                if !least.is_past(&item) && !least.has(&item) {
                    least.insert(&item);
                }
            }
            let fit = (room / bytes(&key(0))).clamp(1, items_max);
            let resume = (fit < items_max).then(|| key(fit as u32 - 1));
            assert_eq!(least.resume(), resume.as_ref(), "{room} {items_max}");
            let expected: Vec<SeriesKey> = (0..fit as u32).map(key).collect();
            assert!(least.into_items() == expected, "{room} {items_max}");
        }
    }
}
