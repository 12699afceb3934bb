//! What a function of all values of a window is given, and what it may answer.

use std::cmp::Ordering;

use crate::batch::column::Values;
use crate::model::value::FieldValue;

/// The rows of one group and window that have a value, in order of time.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// Times, nanoseconds, ascending.
    pub times_ns: &'a [i64],
    /// As many values.
    pub values: &'a Values,
    /// A hash of each row, the same on every shard; only `sample` looks. May be empty.
    pub series: &'a [u64],
    /// The number of each row's combination of tag arguments; only `top` and `bottom` look. Empty
    /// when there are no such arguments.
    pub combinations: &'a [u32],
}

/// What a function makes of a window.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A new value; `None` leaves the window without one.
    Value(Option<FieldValue>),
    /// These rows, in this order.
    Rows(Vec<u32>),
}

/// A function of all values of a window, of which there is at least one.
pub(super) trait Gathered {
    /// What it makes of `points`.
    fn answer(&self, points: &Points<'_>) -> Outcome;
}

/// Order of two rows by value.
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

/// Rows sorted by value, equal ones in order of time.
pub(super) fn by_value(points: &Points<'_>) -> Vec<u32> {
    if let Some(mut keys) = keys(points.values) {
        keys.sort_unstable();
        return keys.into_iter().map(|(_, row)| row).collect();
    }
    let mut rows: Vec<u32> = (0..points.values.len() as u32).collect();
    rows.sort_by(|&a, &b| compare(points.values, a, b));
    rows
}

/// The row at this place of [`by_value`].
pub(super) fn nth_by_value(points: &Points<'_>, place: usize) -> Option<u32> {
    match keys(points.values) {
        Some(mut keys) => (place < keys.len()).then(|| keys.select_nth_unstable(place).1.1),
        None => by_value(points).get(place).copied(),
    }
}

/// Of each row a number in whose order the values are, and the row; `None` of strings.
fn keys(values: &Values) -> Option<Vec<(u64, u32)>> {
    const SIGN: u64 = 1 << 63;
    let of_float = |value: f64| {
        // The two zeros are equal.
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

    /// The order that numbers for the values come to is that of the values.
    #[test]
    fn keys_are_in_the_order_of_values() {
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
