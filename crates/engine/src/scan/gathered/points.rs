//! Defines the input and the result of functions that need all values of a window.

use std::cmp::Ordering;

use super::sorting::Sorting;
use crate::batch::column::Values;
use tidemark_model::value::FieldValue;

/// The rows with a value in one group and window, in time order.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// The times in nanoseconds, ascending.
    pub times_ns: &'a [i64],
    /// The values, one per time.
    pub values: &'a Values,
    /// A hash of each row's series, equal on every shard. Only `sample` reads the hashes. The list
    /// may be empty.
    pub series: &'a [u64],
    /// The number of each row's combination of tag arguments. Only `top` and `bottom` read these
    /// numbers. The list is empty if there are no tag arguments.
    pub combinations: &'a [u32],
}

/// The result of a function for one window.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A new value. `None` means that the window has no value.
    Value(Option<FieldValue>),
    /// These rows, in this order.
    Rows(Vec<u32>),
}

/// A function that needs all values of a window. The window has at least one value.
pub(super) trait Gathered {
    /// Starts the sort whose rows [`Self::evaluate`] needs, if the function needs sorted rows.
    fn sorting(&self, points: &Points<'_>) -> Option<Sorting>;

    /// Returns the result for `points`. `rows` contains the sorted rows, or no rows if the function
    /// needs no sort.
    fn evaluate(&self, points: &Points<'_>, rows: Vec<u32>) -> Outcome;
}

/// The number of values above which a sort in steps replaces the selection of single values.
const SELECTED_MAX: usize = 50_000;

/// If the values at the positions that a function needs cannot be selected in one step, starts a
/// sort by value.
pub(super) fn sorting_of_many(points: &Points<'_>) -> Option<Sorting> {
    let is_selectable = !matches!(points.values, Values::String(_));
    let is_selected = is_selectable && points.values.len() <= SELECTED_MAX;
    (!is_selected).then(|| Sorting::new(points, false))
}

/// Returns these rows in order of time. Rows with the same time keep their order.
pub(super) fn in_time_order(points: &Points<'_>, rows: &[u32]) -> Vec<u32> {
    let mut places = vec![None; points.times_ns.len()];
    for (&row, place) in rows.iter().zip(0_u32..) {
        if let Some(known) = places.get_mut(row as usize) {
            *known = Some(place);
        }
    }
    let mut ordered: Vec<(u32, u32)> =
        places.iter().zip(0..).filter_map(|(&place, row)| Some((row, place?))).collect();
    // A descending statement reads the points backwards.
    if points.times_ns.first() > points.times_ns.last() {
        ordered.reverse();
    }
    let time = |row: u32| points.times_ns.get(row as usize);
    for tied in ordered.chunk_by_mut(|(a, _), (b, _)| time(*a) == time(*b)) {
        tied.sort_unstable_by_key(|(_, place)| *place);
    }
    ordered.into_iter().map(|(row, _)| row).collect()
}

pub(super) fn compare(values: &Values, a: u32, b: u32) -> Ordering {
    let (a, b) = (a as usize, b as usize);
    match values {
        Values::Float(v) => v.get(a).partial_cmp(&v.get(b)).unwrap_or(Ordering::Equal),
        Values::Integer(v) => v.get(a).cmp(&v.get(b)),
        Values::Unsigned(v) => v.get(a).cmp(&v.get(b)),
        Values::String(v) => v.get(a).cmp(v.get(b)),
        Values::Boolean(v) => v.get(a).cmp(&v.get(b)),
    }
}

/// Sorts the rows by value, and by time among equal values. Returns the rows at the positions
/// `place - 1` and `place`. If `rows` is not empty, it contains the sorted rows.
pub(super) fn nth_and_before(
    points: &Points<'_>,
    rows: &[u32],
    place: usize,
) -> Option<(Option<u32>, u32)> {
    if !rows.is_empty() {
        let before = place.checked_sub(1).and_then(|before| rows.get(before));
        return Some((before.copied(), rows.get(place).copied()?));
    }
    let mut keys = keys(points.values)?;
    if place >= keys.len() {
        return None;
    }
    let (below, &mut (_, row), _) = keys.select_nth_unstable(place);
    Some((below.iter().max().map(|&(_, before)| before), row))
}

/// Returns a sort key and the row number for each row. The keys have the order of the values.
/// Returns `None` for strings.
pub(super) fn keys(values: &Values) -> Option<Vec<(u64, u32)>> {
    const SIGN: u64 = 1 << 63;
    let of_float = |value: f64| {
        // Positive and negative zero are equal.
        let bits = if value == 0.0 { 0 } else { value.to_bits() };
        if bits & SIGN == 0 { bits | SIGN } else { !bits }
    };
    Some(match values {
        Values::Float(values) => values.iter().map(|&v| of_float(v)).zip(0..).collect(),
        Values::Integer(values) => values.iter().map(|&v| v as u64 ^ SIGN).zip(0..).collect(),
        Values::Unsigned(values) => values.iter().copied().zip(0..).collect(),
        Values::Boolean(values) => values.iter().map(|&v| u64::from(v)).zip(0..).collect(),
        Values::String(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_follow_value_order() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let count = random.usize(1..60);
            let mut floats = Vec::new();
            for _ in 0..count {
                let drawn = [0.0, -0.0, 1.5, -1.5, f64::MAX, f64::MIN, f64::INFINITY, 5e-324];
                let other = f64::from(random.i32(..)) / 3.0;
                floats.push(if random.bool() { drawn[random.usize(..8)] } else { other });
            }
            let mut integers =
                |of: [i64; 5]| -> Vec<i64> { (0..count).map(|_| of[random.usize(..5)]).collect() };
            let integers = integers([i64::MIN, -1, 0, 1, i64::MAX]);
            let unsigned = integers.iter().map(|&value| value as u64).collect();
            let booleans = integers.iter().map(|&value| value > 0).collect();
            let all = [
                Values::Float(floats),
                Values::Integer(integers),
                Values::Unsigned(unsigned),
                Values::Boolean(booleans),
            ];
            for values in &all {
                let mut expected: Vec<u32> = (0..count as u32).collect();
                expected.sort_by(|&a, &b| compare(values, a, b));
                let points =
                    Points { times_ns: &vec![0; count], values, series: &[], combinations: &[] };
                let sorted = Sorting::new(&points, false).step(&points);
                assert_eq!(sorted.as_ref(), Some(&expected), "{values:?}");
                for (place, &row) in expected.iter().enumerate() {
                    let before = place.checked_sub(1).map(|before| expected[before]);
                    let both = Some((before, row));
                    assert_eq!(nth_and_before(&points, &[], place), both, "{values:?} {place}");
                    assert_eq!(nth_and_before(&points, &expected, place), both);
                }
                assert_eq!(nth_and_before(&points, &[], count), None);
            }
        }
    }
}
