//! Collects the smallest combinations of tag values that fit on a page, without duplicates, and
//! detects when the first few series of a list are complete.

use std::collections::BTreeSet;

use crate::merge::key::SeriesKey;

/// The number of additional bytes for each value and for each item on a page.
const VALUE_BYTES: usize = 4;
/// The characters that 1.x escapes in a tag value of a series key.
const ESCAPED: [u8; 3] = [b',', b'=', b' '];

/// The smallest combinations of tag values, as keys of the tags that define the order of the list.
/// When the page is full, the greatest combinations are removed.
pub(super) struct SmallestKeys {
    items: BTreeSet<SeriesKey>,
    /// The number of items, including items that were only counted.
    count: u64,
    /// Whether only the number of items is needed. In this case, items must arrive in order and
    /// without duplicates.
    only_counts: bool,
    bytes: usize,
    room: usize,
    items_max: usize,
    /// The last item that the page covers.
    bound: Option<SeriesKey>,
}

impl SmallestKeys {
    /// Creates an empty list for `room` bytes and `items_max` items. The list always accepts at
    /// least one item.
    pub(super) fn new(room: usize, items_max: usize, only_counts: bool) -> Self {
        Self {
            items: BTreeSet::new(),
            count: 0,
            only_counts,
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
        self.items.contains(item)
    }

    /// Adds `item`, which must be new and must belong to this page.
    pub(super) fn insert(&mut self, item: &SeriesKey) {
        self.count += 1;
        if self.only_counts {
            return;
        }
        self.bytes += bytes(item);
        self.items.insert(item.clone());
        while self.bytes > self.room && self.count > 1 {
            self.drop_last();
            self.bound = self.items.last().cloned();
        }
        if self.count >= self.items_max as u64 {
            while self.count > self.items_max as u64 {
                self.drop_last();
            }
            self.bound = self.items.last().cloned();
        }
    }

    /// Removes the limit of bytes. The caller then ends the page.
    pub(super) fn accept_all_bytes(&mut self) {
        self.room = usize::MAX;
    }

    pub(super) fn clear(&mut self) {
        (self.count, self.bytes, self.bound) = (0, 0, None);
        self.items.clear();
    }

    /// Ends the page at `bound`, which must belong to this page.
    pub(super) fn end_at(&mut self, bound: SeriesKey) {
        while self.items.last().is_some_and(|last| *last > bound) {
            self.drop_last();
        }
        self.bound = Some(bound);
    }

    pub(super) fn into_items(self) -> BTreeSet<SeriesKey> {
        self.items
    }

    fn drop_last(&mut self) {
        if let Some(last) = self.items.pop_last() {
            self.bytes = self.bytes.saturating_sub(bytes(&last));
            self.count -= 1;
        }
    }
}

fn bytes(item: &SeriesKey) -> usize {
    item.as_bytes().len() + item.value_count() * VALUE_BYTES + VALUE_BYTES
}

/// A counter of the listed series that certainly precede all series that the scan has not read yet.
///
/// A list is sorted by text: the first tag's name and value with escaped characters, then the next
/// tags. The scan reads series in the order of unescaped values. The orders can differ only if one
/// value is a prefix of another, or if a character is escaped. Otherwise, the first differing
/// character determines both orders.
pub(super) struct FirstSeries {
    wanted: u64,
    /// The number of series that certainly precede all unread series.
    sure: u64,
    /// Values whose position is still uncertain, with the number of series for each value. The scan
    /// reads values in ascending order, so each of these values is a prefix of all later values.
    open: Vec<(String, u64)>,
}

impl FirstSeries {
    pub(super) fn new(wanted: u64) -> Self {
        Self { wanted, sure: 0, open: Vec::new() }
    }

    /// Whether the first `wanted` series precede all series with this or a later value of the first
    /// tag. The calls must be in ascending order of the values.
    pub(super) fn are_before(&mut self, value: &str) -> bool {
        let is_sure = |(held, _): &mut (String, u64)| !value.starts_with(held.as_str());
        while let Some((_, series)) = self.open.pop_if(is_sure) {
            self.sure += series;
        }
        self.sure >= self.wanted
    }

    pub(super) fn add(&mut self, value: &str) {
        // Series with escaped values never count as certain. Series without the tag do not count
        // either, because their text begins with another tag.
        if value.bytes().any(|byte| ESCAPED.contains(&byte)) {
            return;
        }
        match self.open.last_mut().filter(|(held, _)| held == value) {
            Some((_, series)) => *series += 1,
            None => self.open.push((value.to_owned(), 1)),
        }
    }
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
            let mut smallest = SmallestKeys::new(room, items_max, false);
            for value in values {
                let item = key(value);
                if !smallest.is_past(&item) && !smallest.has(&item) {
                    smallest.insert(&item);
                }
            }
            let fit = (room / bytes(&key(0))).clamp(1, items_max);
            let resume = (fit < items_max).then(|| key(fit as u32 - 1));
            assert_eq!(smallest.resume(), resume.as_ref(), "{room} {items_max}");
            let expected: Vec<SeriesKey> = (0..fit as u32).map(key).collect();
            assert!(Vec::from_iter(smallest.into_items()) == expected, "{room} {items_max}");
        }
    }

    #[test]
    fn prefix_values_delay_first_series() {
        let mut first = FirstSeries::new(3);
        for value in ["", "a", "a b", "a,b", "a1", "a1"] {
            assert!(!first.are_before(value), "{value}");
            first.add(value);
        }
        assert!(!first.are_before("a2"), "two of a1 are, and `a` is not");
        assert!(first.are_before("b"));
        assert!(first.are_before("ba"));
    }

    /// Comparing each value with all earlier values would take minutes.
    #[test]
    fn values_that_extend_each_other_take_linear_time() {
        let mut first = FirstSeries::new(10_000);
        let text = "x".repeat(10_000);
        for length in 1..=text.len() {
            assert!(!first.are_before(&text[..length]));
            first.add(&text[..length]);
        }
        assert!(first.are_before("y"));
    }

    /// Returns the text that `SHOW SERIES` prints.
    fn text(values: &[String; 2]) -> String {
        let mut text = String::new();
        for (name, value) in ["t", "u"].iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            text += &format!(",{name}=");
            for character in value.chars() {
                let is_escaped = ESCAPED.iter().any(|&byte| char::from(byte) == character);
                text.extend(is_escaped.then_some('\\'));
                text.push(character);
            }
        }
        text
    }

    #[test]
    fn first_series_include_textual_minimum() {
        let mut stopped = 0;
        for seed in 0..3_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut value = |most: usize| -> String {
                (0..rng.usize(..=most))
                    .map(|_| ['a', 'b', '!', ' ', ',', '=', '~'][rng.usize(..7)])
                    .collect()
            };
            let mut series: Vec<[String; 2]> = (0..30).map(|_| [value(3), value(1)]).collect();
            series.sort();
            series.dedup();
            let wanted = rng.usize(1..9);
            let mut first = FirstSeries::new(wanted as u64);
            let listed: Vec<&[String; 2]> = series
                .iter()
                .take_while(|values| {
                    let can_continue = !first.are_before(&values[0]);
                    first.add(&values[0]);
                    can_continue
                })
                .collect();
            stopped += usize::from(listed.len() < series.len());
            let mut by_text: Vec<&[String; 2]> = series.iter().collect();
            by_text.sort_by_key(|values| text(values));
            let missing = by_text.iter().take(wanted).find(|values| !listed.contains(values));
            assert_eq!(missing, None, "seed {seed}: {wanted} of {series:?}");
        }
        assert!(stopped > 1_000, "{stopped}");
    }
}
