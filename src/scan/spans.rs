//! Sorted times to windows, and windows to slots of accumulators.

use crate::model::sorted;
use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;

use super::request::Window;

/// Consecutive rows of one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The window's slot.
    pub(super) slot: usize,
    /// Which rows.
    pub(super) rows: Range<usize>,
}

/// The windows of one group that have been seen, each with a slot. Slots are given in order of
/// appearance; nothing that leaves a scan depends on the order of the map.
pub(super) struct Slots {
    window: Option<Window>,
    /// Start of the one window when there is no GROUP BY time().
    start_ns: i64,
    starts_ns: Vec<i64>,
    /// First and last time seen in each window. A start says less: near a change of the clocks a
    /// window may hold times before its start (1.x's rule).
    seen_ns: Vec<(i64, i64)>,
    slots: HashMap<i64, usize, FixedState>,
    last: usize,
}

impl Slots {
    /// No windows yet. `start_ns` stands for the whole range when `window` is none.
    pub(super) fn new(window: Option<Window>, start_ns: i64) -> Self {
        let slots = HashMap::with_hasher(FixedState::default());
        Self { window, start_ns, starts_ns: Vec::new(), seen_ns: Vec::new(), slots, last: 0 }
    }

    /// Number of windows.
    pub(super) fn len(&self) -> usize {
        self.starts_ns.len()
    }

    /// Whether rows are cut into windows at all.
    pub(super) fn windowed(&self) -> bool {
        self.window.is_some()
    }

    /// Width of a window, nanoseconds; `None` when there are none.
    pub(super) fn every_ns(&self) -> Option<i64> {
        self.window.as_ref().map(|window| window.every_ns)
    }

    /// Start of the window of each slot, nanoseconds.
    pub(super) fn starts_ns(&self) -> &[i64] {
        &self.starts_ns
    }

    /// Appends the windows of `times`, which ascend, to `spans`.
    pub(super) fn cut(&mut self, times: &[i64], spans: &mut Vec<Span>) {
        let Some(window) = self.window.take() else {
            if !times.is_empty() {
                let slot = self.slot(self.start_ns);
                spans.push(Span { slot, rows: 0..times.len() });
            }
            return;
        };
        let (mut row, mut end_ns) = (0, i64::MIN);
        while let Some(&time_ns) = times.get(row) {
            // The next window usually follows the last: no division then.
            let next_ns = end_ns.saturating_add(window.every_ns);
            let start_ns = if window.zone.is_empty() && row > 0 && time_ns < next_ns {
                std::mem::replace(&mut end_ns, next_ns)
            } else {
                end_ns = window.same_until(time_ns);
                window.start(time_ns)
            };
            let end = gallop(times, row, end_ns);
            let slot = self.slot(start_ns);
            if let (Some(seen), Some(&last_ns)) = (self.seen_ns.get_mut(slot), times.get(end - 1)) {
                *seen = (seen.0.min(time_ns), seen.1.max(last_ns));
            }
            match spans.last_mut() {
                Some(span) if span.slot == slot => span.rows.end = end,
                _ => spans.push(Span { slot, rows: row..end }),
            }
            row = end;
        }
        self.window = Some(window);
    }

    /// The slot of the window that starts at `start_ns`.
    pub(super) fn slot(&mut self, start_ns: i64) -> usize {
        // Series after series walks through the same windows.
        for guess in [self.last, self.last + 1] {
            if self.starts_ns.get(guess) == Some(&start_ns) {
                self.last = guess;
                return guess;
            }
        }
        let next = self.starts_ns.len();
        self.last = *self.slots.entry(start_ns).or_insert(next);
        if self.last == next {
            self.starts_ns.push(start_ns);
            self.seen_ns.push((i64::MAX, i64::MIN));
        }
        self.last
    }

    /// First and last time seen in any of these slots, nanoseconds.
    pub(super) fn seen_ns(&self, slots: &[usize]) -> (i64, i64) {
        let seen = slots.iter().filter_map(|&slot| self.seen_ns.get(slot));
        seen.fold((i64::MAX, i64::MIN), |a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Slots in order of their windows.
    pub(super) fn order(&self, descending: bool) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.starts_ns.len()).collect();
        sorted::sort_by_key(&mut order, |&slot| self.starts_ns.get(slot).copied());
        if descending {
            order.reverse();
        }
        order
    }

    /// Keeps these slots, in this order.
    pub(super) fn keep(&mut self, order: &[usize]) {
        self.starts_ns = keep(&self.starts_ns, order);
        self.seen_ns = keep(&self.seen_ns, order);
        self.slots = self.starts_ns.iter().copied().zip(0..).collect();
        self.last = 0;
    }
}

/// The items at these positions.
pub(super) fn keep<T: Clone>(items: &[T], order: &[usize]) -> Vec<T> {
    order.iter().filter_map(|&slot| items.get(slot).cloned()).collect()
}

/// First position from `from` on whose time is not below `end_ns`; at least `from + 1`.
fn gallop(times: &[i64], from: usize, end_ns: i64) -> usize {
    let below = |position: usize| times.get(position).is_some_and(|&time_ns| time_ns < end_ns);
    let (mut low, mut step) = (from + 1, 1);
    while below(low + step - 1) {
        low += step;
        step *= 2;
    }
    let high = (low + step - 1).min(times.len());
    let rest = times.get(low..high).unwrap_or_default();
    low + rest.partition_point(|&time_ns| time_ns < end_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn galloping_finds_what_a_linear_search_finds() {
        for n in 0..40 {
            let times: Vec<i64> = (0..n).map(|i| i * 3).collect();
            for from in 0..times.len() {
                for end_ns in times[from] + 1..130 {
                    let linear = (from..times.len()).find(|&i| times[i] >= end_ns);
                    let expected = linear.unwrap_or(times.len());
                    assert_eq!(gallop(&times, from, end_ns), expected, "{n} {from} {end_ns}");
                }
            }
        }
    }

    #[test]
    fn windows_get_slots_in_order_of_appearance() {
        let window = Window { every_ns: 10, offset_ns: 0, zone: Vec::new() };
        let mut slots = Slots::new(Some(window), 0);
        let mut spans = Vec::new();
        slots.cut(&[11, 12, 25, 47], &mut spans);
        slots.cut(&[-3, 29, 30], &mut spans);
        let found: Vec<_> = spans.iter().map(|s| (s.slot, s.rows.clone())).collect();
        assert_eq!(found, [(0, 0..2), (1, 2..3), (2, 3..4), (3, 0..1), (1, 1..2), (4, 2..3)]);
        assert_eq!(slots.starts_ns(), [10, 20, 40, -10, 30]);
        assert_eq!(slots.order(true), [2, 4, 1, 0, 3]);
        slots.keep(&[3, 0]);
        assert_eq!((slots.slot(10), slots.slot(-10), slots.slot(20)), (1, 0, 2));
    }
}
