//! Implements the operations of aggregates for the numeric types.

use super::series_rows::ValueSlice;
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Values};
use tidemark_model::value::FieldType;

/// The number of values that are added before their sum is added to the total. The chunks limit the
/// rounding error of a long sum.
const SUM_CHUNK: usize = 1024;
/// The number of 32-bit halves of integers in one chunk. Their sum stays below 2^48.
const TOTAL_CHUNK: usize = 1 << 16;

pub(super) trait Number: Copy + PartialOrd + Default + 'static {
    const TYPE: FieldType;

    /// A sum that cannot overflow: 128 bits for integers.
    type Total: Copy;

    /// The column types of a total and a count: the low bits of the total, the count and, for
    /// integers, the high bits of the total.
    const MEAN: &'static [FieldType];

    fn total(values: &[Self]) -> Self::Total;

    fn join(left: Self::Total, right: Self::Total) -> Self::Total;

    fn total_real(total: Self::Total) -> f64;

    fn write_total(total: Self::Total, low: &mut Column, above: &mut [Column]);

    /// Reads a total. The high bits in `above` may be absent: a shard of an older version sends
    /// only sums that fit into the low bits.
    fn read_total(low: &Column, above: &[Column], row: usize) -> Option<Self::Total>;

    fn of<'a>(slice: &'a ValueSlice<'_>) -> Option<&'a [Self]>;

    /// Returns the sum. Integers wrap around, as in Go.
    fn plus(self, other: Self) -> Self;

    fn minus(self, other: Self) -> Self;

    fn real(self) -> f64;

    fn push(self, column: &mut Column);

    fn column(values: Vec<Self>) -> Column;

    /// Returns the values of a column if it has this type and no nulls.
    fn all(column: &Column) -> Option<&[Self]>;

    fn get(column: &Column, row: usize) -> Option<Self>;
}

macro_rules! number {
    ($type:ty, $variant:ident, $plus:expr, $minus:expr, $total:tt) => {
        impl Number for $type {
            const TYPE: FieldType = FieldType::$variant;

            $total!($type);

            fn of<'a>(slice: &'a ValueSlice<'_>) -> Option<&'a [Self]> {
                match slice {
                    ValueSlice::$variant(values) => Some(values),
                    _ => None,
                }
            }

            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }

            fn minus(self, other: Self) -> Self {
                $minus(self, other)
            }

            fn real(self) -> f64 {
                self as f64
            }

            fn push(self, column: &mut Column) {
                if let Values::$variant(values) = &mut column.values {
                    column.validity.push(values.len(), true);
                    values.push(self);
                }
            }

            fn column(values: Vec<Self>) -> Column {
                Column::full(Values::$variant(values))
            }

            fn all(column: &Column) -> Option<&[Self]> {
                match (&column.values, &column.validity) {
                    (Values::$variant(values), Validity::All) => Some(values),
                    _ => None,
                }
            }

            fn get(column: &Column, row: usize) -> Option<Self> {
                Self::all(column)?.get(row).copied()
            }
        }
    };
}

macro_rules! float_total {
    ($type:ty) => {
        type Total = $type;

        const MEAN: &'static [FieldType] = &[FieldType::Float, FieldType::Integer];

        fn total(values: &[Self]) -> Self {
            sum(values)
        }

        fn join(left: Self, right: Self) -> Self {
            left + right
        }

        fn total_real(total: Self) -> f64 {
            total
        }

        fn write_total(total: Self, low: &mut Column, _: &mut [Column]) {
            total.push(low);
        }

        fn read_total(low: &Column, _: &[Column], row: usize) -> Option<Self> {
            Self::get(low, row)
        }
    };
}

macro_rules! integer_total {
    ($type:ty) => {
        type Total = i128;

        const MEAN: &'static [FieldType] = &[Self::TYPE, FieldType::Integer, FieldType::Integer];

        fn total(values: &[Self]) -> i128 {
            let mut total = 0;
            for chunk in values.chunks(TOTAL_CHUNK) {
                // The two halves are summed separately, so that neither sum of a chunk exceeds 64
                // bits.
                let (mut high, mut low) = (0_i64, 0_i64);
                for &value in chunk {
                    high += (value >> 32) as i64;
                    low += (value & 0xffff_ffff) as i64;
                }
                total += (i128::from(high) << 32) + i128::from(low);
            }
            total
        }

        fn join(left: i128, right: i128) -> i128 {
            left.wrapping_add(right)
        }

        fn total_real(total: i128) -> f64 {
            total as f64
        }

        fn write_total(total: i128, low: &mut Column, above: &mut [Column]) {
            (total as $type).push(low);
            above.iter_mut().for_each(|above| ((total >> 64) as i64).push(above));
        }

        fn read_total(low: &Column, above: &[Column], row: usize) -> Option<i128> {
            let low = Self::get(low, row)?;
            let Some(above) = above.first() else { return Some(i128::from(low)) };
            Some((i128::from(i64::get(above, row)?) << 64) | i128::from(low as u64))
        }
    };
}

number!(f64, Float, |a, b| a + b, |a, b| a - b, float_total);
number!(i64, Integer, i64::wrapping_add, i64::wrapping_sub, integer_total);
number!(u64, Unsigned, u64::wrapping_add, u64::wrapping_sub, integer_total);

pub(super) fn sum<T: Number>(values: &[T]) -> T {
    let mut total = T::default();
    for chunk in values.chunks(SUM_CHUNK) {
        // Four independent sums, so that the processor can run additions in parallel.
        let (blocks, rest) = chunk.as_chunks::<4>();
        let [mut a, mut b, mut c, mut d] = [T::default(); 4];
        for &[e, f, g, h] in blocks {
            (a, b, c, d) = (a.plus(e), b.plus(f), c.plus(g), d.plus(h));
        }
        let part = rest.iter().copied().fold(a.plus(b).plus(c.plus(d)), T::plus);
        total = total.plus(part);
    }
    total
}

pub(super) fn smallest<T: Copy + PartialOrd + Default>(values: &[T]) -> T {
    extreme(values, |a, b| if b < a { b } else { a })
}

pub(super) fn largest<T: Copy + PartialOrd + Default>(values: &[T]) -> T {
    extreme(values, |a, b| if b > a { b } else { a })
}

/// Returns the value that `better` prefers. Uses four independent chains, so that the processor can
/// run comparisons in parallel.
fn extreme<T: Copy + Default>(values: &[T], better: impl Fn(T, T) -> T) -> T {
    let Some(&first) = values.first() else { return T::default() };
    let (blocks, rest) = values.as_chunks::<4>();
    let [mut a, mut b, mut c, mut d] = [first; 4];
    for &[e, f, g, h] in blocks {
        (a, b, c, d) = (better(a, e), better(b, f), better(c, g), better(d, h));
    }
    rest.iter().copied().fold(better(better(a, b), better(c, d)), better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_totals_never_wrap() {
        let many = vec![i64::MIN; TOTAL_CHUNK + 3];
        let all: i128 = i128::from(i64::MIN) * (TOTAL_CHUNK as i128 + 3);
        assert_eq!(i64::total(&many), all);
        assert_eq!(u64::total(&[u64::MAX, u64::MAX, 1]), 2 * i128::from(u64::MAX) + 1);
        assert_eq!(i64::total(&[i64::MAX, -1, i64::MIN, 5]), 3);
        let columns = |low| (Column::new(low), [Column::new(FieldType::Integer)]);
        for total in [0, -1, 1 << 64, all, i128::from(i64::MAX) + 1, -(1_i128 << 90) + 7] {
            let (mut low, mut above) = columns(FieldType::Integer);
            i64::write_total(total, &mut low, &mut above);
            assert_eq!(i64::read_total(&low, &above, 0), Some(total));
            let (mut low, mut above) = columns(FieldType::Unsigned);
            u64::write_total(total, &mut low, &mut above);
            assert_eq!(u64::read_total(&low, &above, 0), Some(total));
        }
        assert_eq!(i64::read_total(&i64::column(vec![-7]), &[], 0), Some(-7));
    }

    #[test]
    fn sums_wrap_and_include_every_value() {
        assert_eq!(sum(&[i64::MAX, 1]), i64::MIN);
        assert_eq!(sum(&[u64::MAX, 3]), 2);
        for n in [0, 1, 7, 8, 9, 1023, 1024, 1025, 5000_i64] {
            let values: Vec<i64> = (1..=n).collect();
            assert_eq!(sum(&values), n * (n + 1) / 2);
            let values: Vec<f64> = values.iter().map(|&v| v as f64).collect();
            assert_eq!(sum(&values), (n * (n + 1) / 2) as f64);
        }
    }

    #[test]
    fn min_max_find_every_position() {
        for n in 1..40_usize {
            for at in 0..n {
                let mut values = vec![0_i64; n];
                values[at] = 5;
                assert_eq!((largest(&values), smallest(&values)), (5, if n == 1 { 5 } else { 0 }));
                values[at] = -5;
                assert_eq!(smallest(&values), -5);
            }
        }
        assert_eq!(largest(&[f64::MIN, -0.5]), -0.5);
        assert_eq!(largest::<f64>(&[]), 0.0);
    }
}
