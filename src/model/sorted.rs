//! Sorts short lists that are not on a hot path, all by one copy of the sort. The standard one is
//! compiled anew for each type and comparison, into some 5 KB.

use std::cmp::Ordering;

/// Sorts `list`, keeping the order of equal elements.
pub fn sort_by<T>(list: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    if list.is_sorted_by(|a, b| compare(a, b).is_le()) {
        return;
    }
    let mut order = positions(list.len(), &|a, b| match (list.get(a), list.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
    // Follows each cycle of moves once; a place that is done holds its own position.
    for start in 0..list.len() {
        let mut at = start;
        while let Some(from) = order.get_mut(at).map(|slot| std::mem::replace(slot, at as u32))
            && from as usize != start
        {
            list.swap(at, from as usize);
            at = from as usize;
        }
    }
}

/// Sorts `list` ascending.
pub fn sort<T: Ord>(list: &mut [T]) {
    sort_by(list, T::cmp);
}

/// Sorts `list` by a key, keeping the order of elements with equal keys.
pub fn sort_by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(list, |a, b| key(a).cmp(&key(b)));
}

/// Sorts positions, such as row numbers, by what they stand for; keeps the order of equal ones.
#[inline(never)]
pub fn sort_positions(positions: &mut [u32], compare: &dyn Fn(u32, u32) -> Ordering) {
    positions.sort_by(|&a, &b| compare(a, b));
}

#[inline(never)]
fn positions(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    sort_positions(&mut order, &|a, b| compare(a as usize, b as usize));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_the_standard_library_does() {
        let mut random = fastrand::Rng::with_seed(1);
        for length in 0..200 {
            let keys = std::iter::repeat_with(|| random.u8(0..50)).take(length);
            let mut list: Vec<(u8, usize)> = keys.zip(0..).collect();
            let mut expected = list.clone();
            expected.sort_by_key(|&(key, _)| key);
            sort_by_key(&mut list, |&(key, _)| key);
            assert_eq!(list, expected);
        }
    }
}
