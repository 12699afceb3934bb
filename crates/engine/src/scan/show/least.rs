//! Collects the least combinations of tag values that fit on a page, without duplicates.

use std::collections::BTreeSet;

use crate::merge::key::SeriesKey;

/// The maximum number of unsorted combinations before they are merged into the sorted list.
const FRESH_MAX: usize = 1_000;
/// The number of additional bytes for each value and for each item on a page.
const VALUE_BYTES: usize = 4;

/// The least combinations of tag values, as keys of the sort tags. If combinations arrive in order,
/// the list only grows at its end. Otherwise, the greatest combinations are removed when the page
/// is full.
pub(super) struct SmallestKeys {
    items: Vec<SeriesKey>,
    fresh: BTreeSet<SeriesKey>,
    /// The number of items, including items that were only counted.
    count: u64,
    /// Whether only the number of items is needed. In this case, items must arrive in order and
    /// without duplicates.
    is_number: bool,
    bytes: usize,
    room: usize,
    items_max: usize,
    /// The last item that the page covers.
    bound: Option<SeriesKey>,
}

impl SmallestKeys {
    /// The list always accepts at least one item.
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

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the item after which the next page starts, or `None` if the list is complete.
    pub(super) fn resume(&self) -> Option<&SeriesKey> {
        self.bound.as_ref().filter(|_| self.count < self.items_max as u64)
    }

    pub(super) fn is_past(&self, item: &SeriesKey) -> bool {
        self.bound.as_ref().is_some_and(|bound| item > bound)
    }

    pub(super) fn has(&self, item: &SeriesKey) -> bool {
        self.items.binary_search(item).is_ok() || self.fresh.contains(item)
    }

    /// `item` must be new, and must belong to this page.
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

    /// `bound` must belong to this page.
    pub(super) fn end_at(&mut self, bound: SeriesKey) {
        while self.last().is_some_and(|last| *last > bound) {
            self.drop_last();
        }
        self.bound = Some(bound);
    }

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

    fn settle(&mut self) {
        let in_order = self.items.last() < self.fresh.iter().next();
        self.items.extend(std::mem::take(&mut self.fresh));
        if !in_order {
            // The stable sort detects the two sorted runs.
            self.items.sort();
        }
    }
}

fn bytes(item: &SeriesKey) -> usize {
    item.as_bytes().len() + item.value_count() * VALUE_BYTES + VALUE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::ids::MeasurementId;

    #[test]
    fn least_keeps_smallest_items_that_fit() {
        let mut rng = fastrand::Rng::with_seed(1);
        let key = |value: u32| SeriesKey::new(MeasurementId(1), [format!("{value:06}").as_str()]);
        for (room, items_max) in [(1, 9), (4_000, 10_000), (usize::MAX, 2_500), (50_000, 3_000)] {
            let mut values: Vec<u32> = (0..5_000).collect();
            rng.shuffle(&mut values);
            let mut least = SmallestKeys::new(room, items_max, false);
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
