//! Divides sorted times into windows, and numbers the windows of a group.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;

use super::request::Window;
use crate::merge::cursor::Direction;
use tidemark_model::bug::OrBug;

/// A list of consecutive rows in the same window. `window` is the number of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) window: usize,
    pub(super) rows: Range<usize>,
}

/// The number of each window, in the order of first use. No result of a scan depends on the map's
/// iteration order.
pub(super) struct WindowNumbers {
    window: Option<Window>,
    /// The start of the only window, if there is no GROUP BY time().
    start_ns: i64,
    starts_ns: Vec<i64>,
    /// The number of each start. `None` as long as the starts are sorted: a binary search then
    /// finds the number.
    numbers: Option<HashMap<i64, usize, FixedState>>,
    last: usize,
}

impl WindowNumbers {
    /// Creates a numbering without windows. Without GROUP BY time(), `window` is `None`, and the
    /// only window begins at `start_ns`, the start of the requested range.
    pub(super) fn new(window: Option<Window>, start_ns: i64) -> Self {
        Self { window, start_ns, starts_ns: Vec::new(), numbers: None, last: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.starts_ns.len()
    }

    pub(super) fn starts_ns(&self) -> &[i64] {
        &self.starts_ns
    }

    /// Appends the windows of the ascending `times` to `spans`.
    pub(super) fn cut(&mut self, times: &[i64], spans: &mut Vec<Span>) {
        let Some(window) = self.window.take() else {
            if !times.is_empty() {
                spans.push(Span { window: self.number(self.start_ns), rows: 0..times.len() });
            }
            return;
        };
        let (mut row, mut end_ns) = (0, i64::MIN);
        while let Some(&time_ns) = times.get(row) {
            // The next window is usually adjacent. Checking the adjacent window first saves a
            // division.
            let next_ns = end_ns.saturating_add(window.every_ns);
            let start_ns = if window.zone.is_empty() && row > 0 && time_ns < next_ns {
                std::mem::replace(&mut end_ns, next_ns)
            } else {
                end_ns = window.same_until(time_ns);
                window.start(time_ns)
            };
            let end = gallop(times, row, end_ns);
            let number = self.number(start_ns);
            match spans.last_mut() {
                Some(span) if span.window == number => span.rows.end = end,
                _ => spans.push(Span { window: number, rows: row..end }),
            }
            row = end;
        }
        self.window = Some(window);
    }

    /// Returns the number of a state's window. Without GROUP BY time(), all states share one
    /// window.
    pub(super) fn number_of_state(&mut self, start_ns: i64) -> usize {
        let start_ns = if self.window.is_some() { start_ns } else { self.start_ns };
        self.number(start_ns)
    }

    /// Returns the number of the window that starts at `start_ns`.
    pub(super) fn number(&mut self, start_ns: i64) -> usize {
        // Successive series usually visit the same windows.
        for guess in [self.last, self.last + 1] {
            if self.starts_ns.get(guess) == Some(&start_ns) {
                self.last = guess;
                return guess;
            }
        }
        let next = self.starts_ns.len();
        let searched = || searched(&self.starts_ns, start_ns);
        self.last = match self.numbers.is_none().then(searched).flatten() {
            Some(number) => number,
            None => {
                let numbers = self.numbers.get_or_insert_with(|| by_start(&self.starts_ns));
                *numbers.entry(start_ns).or_insert(next)
            }
        };
        if self.last == next {
            self.starts_ns.push(start_ns);
        }
        self.last
    }

    /// Returns the first time of a window in the given direction. Returns `None` if this
    /// time does not separate earlier windows from later windows.
    pub(super) fn border_ns(&self, number: usize, direction: Direction) -> Option<i64> {
        let start_ns = *self.starts_ns.get(number)?;
        let window = self.window.as_ref()?;
        if !window.is_regular_near(start_ns) {
            return None;
        }
        let end_ns = start_ns.saturating_add(window.every_ns);
        Some(if direction.is_descending() { end_ns.saturating_sub(1) } else { start_ns })
    }

    pub(super) fn order(&self, direction: Direction) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.starts_ns.len()).collect();
        let mut is_descending = false;
        if self.numbers.is_none() {
            is_descending = self.starts_ns.first() > self.starts_ns.last();
        } else {
            order.sort_by_key(|&number| self.starts_ns.get(number).copied());
        }
        if is_descending != direction.is_descending() {
            order.reverse();
        }
        order
    }

    pub(super) fn keep(&mut self, order: &[usize]) {
        keep(&mut self.starts_ns, order);
        let starts_ns = || self.starts_ns.iter();
        let is_ordered = starts_ns().is_sorted() || starts_ns().rev().is_sorted();
        self.numbers = (!is_ordered).then(|| by_start(&self.starts_ns));
        self.last = 0;
    }
}

fn by_start(starts_ns: &[i64]) -> HashMap<i64, usize, FixedState> {
    starts_ns.iter().copied().zip(0..).collect()
}

/// Returns the position of `start_ns` among sorted starts, or the next free position if `start_ns`
/// extends their order. Returns `None` if `start_ns` would break the order.
fn searched(starts_ns: &[i64], start_ns: i64) -> Option<usize> {
    let (Some(&first), Some(&last)) = (starts_ns.first(), starts_ns.last()) else { return Some(0) };
    let count = starts_ns.len();
    if count == 1 {
        return Some(usize::from(start_ns != first));
    }
    let at = if first < last {
        starts_ns.partition_point(|&other| other < start_ns)
    } else {
        starts_ns.partition_point(|&other| other > start_ns)
    };
    (at == count || starts_ns.get(at) == Some(&start_ns)).then_some(at)
}

/// Keeps only the items of these windows. The list may end before some windows without a value.
pub(super) fn keep<T: Clone + Default>(items: &mut Vec<T>, order: &[usize]) {
    *items = order.iter().map(|&window| items.get(window).cloned().unwrap_or_default()).collect();
}

/// Lengthens the list if necessary.
pub(super) fn state_mut<T: Clone + Default>(items: &mut Vec<T>, window: usize) -> &mut T {
    if window >= items.len() {
        items.resize(window + 1, T::default());
    }
    &mut items[window]
}

/// Returns the first position after `from` whose time is at least `end_ns`.
fn gallop(times: &[i64], from: usize, end_ns: i64) -> usize {
    let below = |position: usize| times.get(position).is_some_and(|&time_ns| time_ns < end_ns);
    let (mut low, mut step) = (from + 1, 1);
    while below(low + step - 1) {
        low += step;
        step *= 2;
    }
    let high = (low + step - 1).min(times.len());
    let rest = times.get(low..high).or_bug();
    low + rest.partition_point(|&time_ns| time_ns < end_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn galloping_search_equals_linear_search() {
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
    fn window_numbers_follow_appearance() {
        let window = Window { every_ns: 10, offset_ns: 0, zone: Vec::new() };
        let mut windows = WindowNumbers::new(Some(window), 0);
        let mut spans = Vec::new();
        windows.cut(&[11, 12, 25, 47], &mut spans);
        windows.cut(&[-3, 29, 30], &mut spans);
        let found: Vec<_> = spans.iter().map(|s| (s.window, s.rows.clone())).collect();
        assert_eq!(found, [(0, 0..2), (1, 2..3), (2, 3..4), (3, 0..1), (1, 1..2), (4, 2..3)]);
        assert_eq!(windows.starts_ns(), [10, 20, 40, -10, 30]);
        assert_eq!(windows.order(Direction::Descending), [2, 4, 1, 0, 3]);
        windows.keep(&[3, 0]);
        assert_eq!((windows.number(10), windows.number(-10), windows.number(20)), (1, 0, 2));
    }

    #[test]
    fn window_number_lookup_ignores_order() {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..300 {
            let mut windows = WindowNumbers::new(None, 0);
            let mut starts: Vec<i64> = Vec::new();
            for step in 0..20 {
                let start_ns = match round % 3 {
                    0 => step + random.i64(0..2),
                    1 => -step - random.i64(0..2),
                    _ => random.i64(0..10),
                };
                let expected = starts.iter().position(|&s| s == start_ns).unwrap_or_else(|| {
                    starts.push(start_ns);
                    starts.len() - 1
                });
                assert_eq!(windows.number(start_ns), expected, "{starts:?}");
                if random.u8(0..8) == 0 {
                    let order = windows.order(Direction::descending_if(random.bool()));
                    windows.keep(&order);
                    starts = order.iter().map(|&window| starts[window]).collect();
                }
            }
            let direction = Direction::descending_if(random.bool());
            let mut sorted: Vec<i64> =
                windows.order(direction).iter().map(|&s| windows.starts_ns()[s]).collect();
            if direction.is_descending() {
                sorted.reverse();
            }
            assert!(sorted.is_sorted() && sorted.len() == starts.len());
        }
    }
}
