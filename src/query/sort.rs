//! Sorts long lists, and selects values from them, with pauses.

use std::cmp::Ordering;

use super::work::Work;

/// The number of values that are processed before the statement may pause.
pub(crate) const VALUES_AT_ONCE: usize = 8_192;
/// The work of sorting one value of a run, in the units of [`Work`].
const SORT_WORK: usize = 2;

/// Sorts a list. Different values must not be equal.
pub(crate) async fn sort<T: Copy>(
    list: &mut Vec<T>,
    order: impl Fn(&T, &T) -> Ordering,
    work: &Work,
) {
    for run in list.chunks_mut(VALUES_AT_ONCE) {
        run.sort_unstable_by(&order);
        work.spend(SORT_WORK * run.len()).await;
    }
    let mut run = VALUES_AT_ONCE;
    while run < list.len() {
        let mut merged = Vec::with_capacity(list.len());
        for pair in list.chunks(2 * run) {
            let (mut left, mut right) = pair.split_at(run.min(pair.len()));
            while !left.is_empty() && !right.is_empty() {
                let before = merged.len();
                merge(&mut left, &mut right, &order, &mut merged);
                work.spend(merged.len() - before).await;
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        *list = merged;
        run *= 2;
    }
}

/// Moves the first values of two sorted lists to `merged`, until a list is empty or the statement
/// may pause.
fn merge<T: Copy>(
    left: &mut &[T],
    right: &mut &[T],
    order: impl Fn(&T, &T) -> Ordering,
    merged: &mut Vec<T>,
) {
    for _ in 0..VALUES_AT_ONCE {
        let (Some((a, after_a)), Some((b, after_b))) = (left.split_first(), right.split_first())
        else {
            return;
        };
        if order(b, a).is_lt() {
            merged.push(*b);
            *right = after_b;
        } else {
            merged.push(*a);
            *left = after_a;
        }
    }
}

/// Divides a list into a part and a short part whose values are greater. The value that has position
/// `place` in the sorted list is in the short part, unless `place` is after the end. A list of at
/// most [`VALUES_AT_ONCE`] values is returned as the short part. The time is linear. Different
/// values must not be equal.
pub(crate) async fn narrow<T: Copy>(
    mut list: Vec<T>,
    place: usize,
    order: impl Fn(&T, &T) -> Ordering,
    work: &Work,
) -> (Vec<T>, Vec<T>) {
    let mut before = Vec::new();
    while list.len() > VALUES_AT_ONCE {
        // At least a quarter of the values are below the median of the runs' medians, and about as
        // many are above.
        let mut medians = Vec::new();
        for run in list.chunks_mut(VALUES_AT_ONCE) {
            medians.push(*run.select_nth_unstable_by(run.len() / 2, &order).1);
            work.spend(run.len()).await;
        }
        let middle = medians.len() / 2;
        let pivot = *medians.select_nth_unstable_by(middle, &order).1;
        let (mut below, mut above) = (Vec::new(), Vec::new());
        for run in list.chunks(VALUES_AT_ONCE) {
            for value in run {
                let side = if order(value, &pivot).is_lt() { &mut below } else { &mut above };
                side.push(*value);
            }
            work.spend(run.len()).await;
        }
        if below.is_empty() {
            // The values have no order.
            break;
        }
        if place < before.len() + below.len() {
            list = below;
        } else {
            before.append(&mut below);
            list = above;
        }
    }
    work.spend(SORT_WORK * list.len()).await;
    (before, list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::WORK_PER_TURN;
    use crate::query::work::tests::run;

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
            let ((), pauses) = run(&work, SORT_WORK * VALUES_AT_ONCE, sorting);
            let pauses_min = SORT_WORK * count / (WORK_PER_TURN as usize + VALUES_AT_ONCE);
            assert!(pauses >= pauses_min, "{pauses} pauses");
            assert!(sorted == expected, "{count} values");
            for place in [0, 1, count / 3, count / 2, count.saturating_sub(1), count, 2 * count] {
                let narrowing = narrow(list.clone(), place, Ord::cmp, &work);
                let ((mut before, mut short), pauses) =
                    run(&work, SORT_WORK * VALUES_AT_ONCE, narrowing);
                assert!(pauses >= pauses_min, "{pauses} pauses");
                assert!(before.len() <= place && short.len() <= VALUES_AT_ONCE, "{place}");
                let end = before.len() + short.len();
                assert!(place < end || end == count, "{place} of {count}");
                before.sort();
                short.sort();
                before.append(&mut short);
                assert!(before == expected[..end], "{place} of {count}");
            }
        }
    }

    #[test]
    fn values_without_order_end_the_search() {
        let list = vec![f64::NAN; 2 * VALUES_AT_ONCE];
        let order = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or(Ordering::Equal);
        let work = Work::default();
        let narrowing = narrow(list, 5, order, &work);
        let ((before, short), _) = run(&work, 2 * SORT_WORK * VALUES_AT_ONCE, narrowing);
        assert_eq!((before.len(), short.len()), (0, 2 * VALUES_AT_ONCE));
    }
}
