//! Defines the input and the result of functions that need all values of a window.

use std::cmp::Ordering;

use crate::batch::column::Values;
use tidemark_model::value::FieldValue;

/// The rows with a value in one group and window, in time order.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// The times in nanoseconds, ascending.
    pub times_ns: &'a [i64],
    /// The values, one per time.
    pub values: &'a Values,
    /// A hash of each row's series, equal on every shard, for `sample`. The list may be empty.
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

pub(super) trait Gathered {
    fn evaluate(&self, points: &Points<'_>) -> Outcome;
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

/// Equal values are in time order.
pub(super) fn by_value(points: &Points<'_>) -> Vec<u32> {
    if let Some(mut keys) = keys(points.values) {
        keys.sort_unstable();
        return keys.into_iter().map(|(_, row)| row).collect();
    }
    let mut rows: Vec<u32> = (0..points.values.len() as u32).collect();
    rows.sort_by(|&a, &b| compare(points.values, a, b));
    rows
}

pub(super) fn nth_by_value(points: &Points<'_>, place: usize) -> Option<u32> {
    match keys(points.values) {
        Some(mut keys) => (place < keys.len()).then(|| keys.select_nth_unstable(place).1.1),
        None => {
            let mut rows: Vec<u32> = (0..points.values.len() as u32).collect();
            let order = |a: &u32, b: &u32| compare(points.values, *a, *b).then(a.cmp(b));
            (place < rows.len()).then(|| *rows.select_nth_unstable_by(place, order).1)
        }
    }
}

/// Keeps the first `count` rows by `order`, in any order. The time is linear. Different rows must
/// not be equal.
pub(super) fn select_first(
    rows: &mut Vec<u32>,
    count: usize,
    order: impl Fn(&u32, &u32) -> Ordering,
) {
    if count < rows.len() {
        rows.select_nth_unstable_by(count, order);
        rows.truncate(count);
    }
}

/// Returns `None` for strings.
pub(super) fn nth_and_before(points: &Points<'_>, place: usize) -> Option<(Option<u32>, u32)> {
    let mut keys = keys(points.values)?;
    if place >= keys.len() {
        return None;
    }
    let (below, &mut (_, row), _) = keys.select_nth_unstable(place);
    Some((below.iter().max().map(|&(_, before)| before), row))
}

/// Returns a sort key and the row number for each row, or `None` for strings.
fn keys(values: &Values) -> Option<Vec<(u64, u32)>> {
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
                assert_eq!(by_value(&points), expected, "{values:?}");
                for (place, &row) in expected.iter().enumerate() {
                    assert_eq!(nth_by_value(&points, place), Some(row), "{values:?} {place}");
                }
                assert_eq!(nth_by_value(&points, count), None);
            }
        }
    }
}
