//! Sorts long lists, and selects values from them, with pauses.

use std::cmp::Ordering;

use super::work::Work;

/// The number of values that are processed before the statement may pause.
pub(crate) const VALUES_AT_ONCE: usize = 8_192;
/// The minimum number of values that are sorted together.
const RUN_VALUES_MIN: usize = 16;
/// The work of sorting one value of a run, in the units of [`Work`].
const SORT_WORK: usize = 2;

/// The size of the texts that are sorted before the statement may pause, in bytes.
const TEXT_BYTES_AT_ONCE: usize = 2 << 20;
/// The number of bytes of a text whose comparison takes as long as the comparison of a value.
const TEXT_BYTES_PER_VALUE: usize = 128;

/// The number of values that are processed before the statement may pause, and the work of one
/// value.
#[derive(Clone, Copy)]
struct Runs {
    values: usize,
    work: usize,
}

impl Runs {
    const DEFAULT: Self = Self { values: VALUES_AT_ONCE, work: 1 };
}

/// Sorts a list in place. If more than [`VALUES_AT_ONCE`] values compare as equal, some of the work
/// is done without a pause. Sorted lists take linear time.
pub(crate) async fn sort<T: Copy>(list: &mut [T], order: impl Fn(&T, &T) -> Ordering, work: &Work) {
    sort_runs(list, order, Runs::DEFAULT, work).await;
}

/// Sorts a list like [`sort`], for comparisons that read texts of at most `longest` bytes, with a
/// sum of `bytes`.
pub(crate) async fn sort_texts<T: Copy>(
    list: &mut [T],
    order: impl Fn(&T, &T) -> Ordering,
    bytes: usize,
    longest: usize,
    work: &Work,
) {
    let values = (TEXT_BYTES_AT_ONCE / longest.max(1)).clamp(RUN_VALUES_MIN, VALUES_AT_ONCE);
    let average = bytes / list.len().max(1);
    let runs = Runs { values, work: 1 + average / TEXT_BYTES_PER_VALUE };
    sort_runs(list, order, runs, work).await;
}

async fn sort_runs<T: Copy>(
    list: &mut [T],
    order: impl Fn(&T, &T) -> Ordering,
    runs: Runs,
    work: &Work,
) {
    if is_sorted(list, &order, runs, work).await {
        return;
    }
    let mut unsorted = vec![(0, list.len())];
    while let Some((start, end)) = unsorted.pop() {
        let part = list.get_mut(start..end).unwrap_or_default();
        match divide(part, &order, runs, work).await {
            Some(below) => unsorted.extend([(start + below, end), (start, start + below)]),
            None => {
                part.sort_unstable_by(&order);
                work.spend(SORT_WORK * runs.work * part.len()).await;
            }
        }
    }
}

async fn is_sorted<T>(
    list: &[T],
    order: impl Fn(&T, &T) -> Ordering,
    runs: Runs,
    work: &Work,
) -> bool {
    for from in (0..list.len()).step_by(runs.values) {
        // The run includes the first value of the next run.
        let to = list.len().min(from + runs.values + 1);
        let run = list.get(from..to).unwrap_or_default();
        if !run.is_sorted_by(|a, b| order(a, b).is_le()) {
            return false;
        }
        work.spend(runs.work * run.len()).await;
    }
    true
}

/// Reorders a list, so that position `place` has the same value as in the sorted list, and smaller
/// values precede this value. Does nothing if the list is shorter. The time is linear. The
/// comparison must not return `Equal` for two different values.
pub(crate) async fn select_nth<T: Copy>(
    list: &mut [T],
    place: usize,
    order: impl Fn(&T, &T) -> Ordering,
    work: &Work,
) {
    let (mut start, mut end) = (0, list.len());
    while place < end {
        let part = list.get_mut(start..end).unwrap_or_default();
        match divide(part, &order, Runs::DEFAULT, work).await {
            Some(below) if place < start + below => end = start + below,
            Some(below) => start += below,
            None => {
                part.select_nth_unstable_by(place - start, &order);
                return work.spend(SORT_WORK * part.len()).await;
            }
        }
    }
}

/// Moves the smaller values of a list to its start, and returns their number. At least a quarter of
/// the values are smaller, and at least a quarter are not. Returns `None` for at most one run of
/// values, and for values without an order.
async fn divide<T: Copy>(
    list: &mut [T],
    order: impl Fn(&T, &T) -> Ordering,
    runs: Runs,
    work: &Work,
) -> Option<usize> {
    if list.len() <= runs.values {
        return None;
    }
    let mut medians = Vec::new();
    for run in list.chunks_mut(runs.values) {
        medians.push(*run.select_nth_unstable_by(run.len() / 2, &order).1);
        work.spend(runs.work * run.len()).await;
    }
    let middle = medians.len() / 2;
    let pivot = *medians.select_nth_unstable_by(middle, &order).1;
    let mut below = 0;
    for from in (0..list.len()).step_by(runs.values) {
        let to = list.len().min(from + runs.values);
        for at in from..to {
            if list.get(at).is_some_and(|value| order(value, &pivot).is_lt()) {
                list.swap(at, below);
                below += 1;
            }
        }
        work.spend(runs.work * (to - from)).await;
    }
    (below > 0).then_some(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::run_measured;
    use tidemark_model::limits::WORK_PER_TURN;

    #[test]
    fn long_lists_are_sorted_with_pauses() {
        let mut random = fastrand::Rng::with_seed(7);
        let work = Work::default();
        for (count, values) in [
            (0, 1),
            (VALUES_AT_ONCE, 1_000),
            (VALUES_AT_ONCE + 1, 1),
            (2 * VALUES_AT_ONCE, 3),
            (5 * VALUES_AT_ONCE + 17, 1_000_000),
            (33 * VALUES_AT_ONCE, 500),
        ] {
            let list: Vec<(u32, u32)> =
                (0..count as u32).map(|row| (random.u32(..values), row)).collect();
            let mut expected = list.clone();
            expected.sort();
            let mut sorted = list.clone();
            let sorting = sort(&mut sorted, Ord::cmp, &work);
            let ((), pauses) = run_measured(&work, SORT_WORK * VALUES_AT_ONCE, sorting);
            let pauses_min = SORT_WORK * count / (WORK_PER_TURN as usize + VALUES_AT_ONCE);
            assert!(pauses >= pauses_min, "{pauses} pauses");
            assert!(sorted == expected, "{count} values");
            for place in [0, 1, count / 3, count / 2, count.saturating_sub(1), count, 2 * count] {
                let mut selected = list.clone();
                let selection = select_nth(&mut selected, place, Ord::cmp, &work);
                let ((), pauses) = run_measured(&work, SORT_WORK * VALUES_AT_ONCE, selection);
                assert!(place >= count || pauses >= pauses_min, "{pauses} pauses");
                assert_eq!(selected.get(place), expected.get(place), "{place} of {count}");
                let before = &mut selected[..place.min(count)];
                before.sort();
                assert!(before == &expected[..place.min(count)], "{place} of {count}");
            }
        }
    }

    #[test]
    fn long_texts_are_sorted_in_short_turns() {
        let work = Work::default();
        let same = "x".repeat(10_000);
        let texts: Vec<String> =
            (0..2_000).map(|n| format!("{same}{:04}", n * 7 % 2_000)).collect();
        let text = |at: &usize| texts.get(*at);
        let mut sorted: Vec<usize> = (0..texts.len()).collect();
        let order = |a: &usize, b: &usize| text(a).cmp(&text(b));
        let sorting = sort_texts(&mut sorted, order, texts.len() * 10_004, 10_004, &work);
        let ((), pauses) =
            run_measured(&work, 2 * SORT_WORK * TEXT_BYTES_AT_ONCE / TEXT_BYTES_PER_VALUE, sorting);
        assert!(pauses >= 3, "{pauses} pauses");
        assert!(sorted.is_sorted_by_key(text));
    }

    #[test]
    fn values_without_order_end_the_search() {
        let mut list = vec![f64::NAN; 2 * VALUES_AT_ONCE];
        let order = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or(Ordering::Equal);
        let work = Work::default();
        run_measured(&work, 2 * SORT_WORK * VALUES_AT_ONCE, select_nth(&mut list, 5, order, &work));
        run_measured(&work, 2 * SORT_WORK * VALUES_AT_ONCE, sort(&mut list, order, &work));
        assert_eq!(list.len(), 2 * VALUES_AT_ONCE);
    }
}
