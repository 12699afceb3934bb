//! Implements aggregates: count(), sum(), mean(), spread() and stddev(), and also min() and max()
//! of numbers without extra columns. [`Number`] implements their operations for the numeric types.

use std::marker::PhantomData;
use std::ops::Range;

use super::accumulator::{Accumulator, Finished};
use super::error::ScanError;
use super::page::PartialColumn;
use super::request::AggregateFunction;
use super::series_rows::{Dense, ValueSlice};
use super::spans::{keep, state_mut};
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Values};
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldType;

/// The number of values that are added before their sum is added to the total. The chunks limit the
/// rounding error of a long sum.
const SUM_CHUNK: usize = 1024;
/// The number of 32-bit halves of integers in one chunk. Their sum stays below 2^48.
const TOTAL_CHUNK: usize = 1 << 16;

/// An aggregate of numbers of type `T`.
pub(super) trait Aggregate<T: Number> {
    type State: State;
    type Output: Number;
    const FUNCTION: AggregateFunction;
    /// Selectors only: returns the time of the selected point.
    const TIME_NS: Option<fn(&Self::State) -> i64> = None;

    /// Computes the state of `values`, which must not be empty. `times_ns` has the same length.
    fn fold(values: &[T], times_ns: &[i64]) -> Self::State;

    fn fold_rows(dense: &Dense<'_>, rows: Range<usize>) -> Option<Self::State> {
        let values = T::of(&dense.values)?.get(rows.clone())?;
        let times_ns = dense.chosen.times.get(rows)?;
        (!values.is_empty()).then(|| Self::fold(values, times_ns))
    }

    fn merge(state: &mut Self::State, other: &Self::State);

    fn finish(state: &Self::State) -> Self::Output;
}

/// A partial state, which a page stores in columns of these types.
pub(super) trait State: Clone {
    const COLUMNS: &'static [FieldType];

    fn write(&self, columns: &mut [Column]);

    /// Reads a state from a row of the columns that `write` appends. Returns `None` if the columns
    /// have other types.
    fn read(columns: &[Column], row: usize) -> Option<Self>;
}

impl<T: Number> State for T {
    const COLUMNS: &'static [FieldType] = &[T::TYPE];

    fn write(&self, columns: &mut [Column]) {
        columns.iter_mut().for_each(|column| self.push(column));
    }

    fn read(columns: &[Column], row: usize) -> Option<T> {
        let [column] = columns else { return None };
        T::get(column, row)
    }
}

impl<A: Number, B: Number> State for (A, B) {
    const COLUMNS: &'static [FieldType] = &[A::TYPE, B::TYPE];

    fn write(&self, columns: &mut [Column]) {
        if let [first, second] = columns {
            self.0.push(first);
            self.1.push(second);
        }
    }

    fn read(columns: &[Column], row: usize) -> Option<Self> {
        let [first, second] = columns else { return None };
        Some((A::get(first, row)?, B::get(second, row)?))
    }
}

/// The state of each window.
pub(super) struct Fold<A: Aggregate<T>, T: Number> {
    states: Vec<Option<A::State>>,
    input: PhantomData<T>,
}

impl<A: Aggregate<T>, T: Number> Default for Fold<A, T> {
    fn default() -> Self {
        Self { states: Vec::new(), input: PhantomData }
    }
}

impl<A: Aggregate<T>, T: Number> Fold<A, T> {
    fn add(&mut self, window: usize, state: A::State) {
        match state_mut(&mut self.states, window) {
            Some(present) => A::merge(present, &state),
            empty => *empty = Some(state),
        }
    }

    fn present(&self, order: &[usize]) -> impl Iterator<Item = (usize, &A::State)> {
        order.iter().filter_map(|&window| Some((window, self.states.get(window)?.as_ref()?)))
    }
}

impl<A: Aggregate<T>, T: Number> Accumulator for Fold<A, T> {
    fn accumulate(&mut self, dense: &Dense<'_>) {
        for span in &dense.chosen.spans {
            if let Some(state) = A::fold_rows(dense, span.rows.clone()) {
                self.add(span.window, state);
            }
        }
    }

    fn absorb(&mut self, windows: &[usize], partial: &PartialColumn) -> Result<(), ScanError> {
        for (row, &window) in windows.iter().enumerate() {
            let state =
                A::State::read(&partial.states, row).ok_or(ScanError::States(A::FUNCTION))?;
            self.add(window, state);
        }
        Ok(())
    }

    fn keep(&mut self, order: &[usize]) {
        keep(&mut self.states, order);
    }

    fn bytes(&self) -> usize {
        self.states.len() * (8 + 8 * A::State::COLUMNS.len())
    }

    fn partial(&self, order: &[usize], starts_ns: &[i64]) -> PartialColumn {
        let column = |&of: &FieldType| Column::with_capacity(of, order.len());
        let mut states: Vec<Column> = A::State::COLUMNS.iter().map(column).collect();
        let mut windows_ns = Vec::with_capacity(order.len());
        for (window, state) in self.present(order) {
            windows_ns.push(starts_ns.get(window).copied().or_bug());
            state.write(&mut states);
        }
        PartialColumn { windows_ns, states, aux: Vec::new() }
    }

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> Finished {
        let mut windows_ns = Vec::with_capacity(order.len());
        let mut values = Vec::with_capacity(order.len());
        let mut times_ns = A::TIME_NS.map(|_| Vec::with_capacity(order.len()));
        for (window, state) in self.present(order) {
            windows_ns.push(starts_ns.get(window).copied().or_bug());
            values.push(A::finish(state));
            if let (Some(times_ns), Some(time_of)) = (&mut times_ns, A::TIME_NS) {
                times_ns.push(time_of(state));
            }
        }
        Finished { windows_ns, values: A::Output::column(values), times_ns, aux: Vec::new() }
    }
}

/// The count() aggregate, for values of any type.
pub(super) struct Count;

impl<T: Number> Aggregate<T> for Count {
    type State = i64;
    type Output = i64;
    const FUNCTION: AggregateFunction = AggregateFunction::Count;

    fn fold(values: &[T], _: &[i64]) -> i64 {
        values.len() as i64
    }

    fn fold_rows(_: &Dense<'_>, rows: Range<usize>) -> Option<i64> {
        (!rows.is_empty()).then_some(rows.len() as i64)
    }

    fn merge(state: &mut i64, other: &i64) {
        *state = state.wrapping_add(*other);
    }

    fn finish(state: &i64) -> i64 {
        *state
    }
}

/// The sum() aggregate. The result has the type of the values. Integers wrap around.
pub(super) struct Sum;

impl<T: Number> Aggregate<T> for Sum {
    type State = T;
    type Output = T;
    const FUNCTION: AggregateFunction = AggregateFunction::Sum;

    fn fold(values: &[T], _: &[i64]) -> T {
        sum(values)
    }

    fn merge(state: &mut T, other: &T) {
        *state = state.plus(*other);
    }

    fn finish(state: &T) -> T {
        *state
    }
}

fn sum<T: Number>(values: &[T]) -> T {
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

/// The mean() aggregate. The sum of integers cannot overflow, so the mean is independent of the
/// number of shards. In 1.x, the sum of a series' integers in a shard can overflow.
pub(super) struct Mean;

#[derive(Clone)]
pub(super) struct MeanState<T: Number> {
    total: T::Total,
    count: i64,
}

impl<T: Number> State for MeanState<T> {
    const COLUMNS: &'static [FieldType] = T::MEAN;

    fn write(&self, columns: &mut [Column]) {
        if let [sums, counts, above @ ..] = columns {
            T::write_total(self.total, sums, above);
            self.count.push(counts);
        }
    }

    fn read(columns: &[Column], row: usize) -> Option<Self> {
        let [sums, counts, above @ ..] = columns else { return None };
        Some(Self { total: T::read_total(sums, above, row)?, count: i64::get(counts, row)? })
    }
}

impl<T: Number> Aggregate<T> for Mean {
    type State = MeanState<T>;
    type Output = f64;
    const FUNCTION: AggregateFunction = AggregateFunction::Mean;

    fn fold(values: &[T], _: &[i64]) -> Self::State {
        MeanState { total: T::total(values), count: values.len() as i64 }
    }

    fn merge(state: &mut Self::State, other: &Self::State) {
        state.total = T::join(state.total, other.total);
        state.count = state.count.wrapping_add(other.count);
    }

    fn finish(state: &Self::State) -> f64 {
        T::total_real(state.total) / state.count as f64
    }
}

/// The spread() aggregate: the largest value minus the smallest value.
pub(super) struct Spread;

impl<T: Number> Aggregate<T> for Spread {
    /// The smallest and the largest value.
    type State = (T, T);
    type Output = T;
    const FUNCTION: AggregateFunction = AggregateFunction::Spread;

    fn fold(values: &[T], _: &[i64]) -> Self::State {
        (smallest(values), largest(values))
    }

    fn merge(state: &mut Self::State, other: &Self::State) {
        let low = if other.0 < state.0 { other.0 } else { state.0 };
        let high = if other.1 > state.1 { other.1 } else { state.1 };
        *state = (low, high);
    }

    fn finish(state: &Self::State) -> T {
        state.1.minus(state.0)
    }
}

/// The stddev() aggregate: the sample standard deviation (n - 1), as a float. For a single value,
/// the result is NaN. NaN is displayed as null, but functions of the result treat NaN as a value.
pub(super) struct Stddev;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moments {
    count: i64,
    mean: f64,
    squares: f64,
}

impl State for Moments {
    const COLUMNS: &'static [FieldType] = &[FieldType::Integer, FieldType::Float, FieldType::Float];

    fn write(&self, columns: &mut [Column]) {
        if let [counts, means, squares] = columns {
            self.count.push(counts);
            self.mean.push(means);
            self.squares.push(squares);
        }
    }

    fn read(columns: &[Column], row: usize) -> Option<Self> {
        let [counts, means, squares] = columns else { return None };
        let count = i64::get(counts, row).filter(|count| *count > 0)?;
        Some(Self { count, mean: f64::get(means, row)?, squares: f64::get(squares, row)? })
    }
}

impl<T: Number> Aggregate<T> for Stddev {
    type State = Moments;
    type Output = f64;
    const FUNCTION: AggregateFunction = AggregateFunction::Stddev;

    fn fold(values: &[T], _: &[i64]) -> Moments {
        let count = values.len() as i64;
        let mean = values.iter().map(|v| v.real()).sum::<f64>() / count as f64;
        let squares = values.iter().map(|v| (v.real() - mean).powi(2)).sum();
        Moments { count, mean, squares }
    }

    /// Merges the moments of two sets (Chan, Golub and LeVeque).
    fn merge(state: &mut Moments, other: &Moments) {
        let (a, b) = (state.count as f64, other.count as f64);
        let distance = other.mean - state.mean;
        state.count += other.count;
        state.mean += distance * b / (a + b);
        state.squares += other.squares + distance * distance * a * b / (a + b);
    }

    fn finish(state: &Moments) -> f64 {
        let of_sample = (state.squares / (state.count - 1) as f64).sqrt();
        if state.count < 2 { f64::NAN } else { of_sample }
    }
}

/// The min() and max() selectors. Among equal values, the earliest point is chosen.
pub(super) struct Extreme<const IS_MAX: bool>;
pub(super) type Min = Extreme<false>;
pub(super) type Max = Extreme<true>;

impl<const IS_MAX: bool, T: Number> Aggregate<T> for Extreme<IS_MAX> {
    /// The time in nanoseconds, and the value.
    type State = (i64, T);
    type Output = T;
    const FUNCTION: AggregateFunction =
        if IS_MAX { AggregateFunction::Max } else { AggregateFunction::Min };
    const TIME_NS: Option<fn(&Self::State) -> i64> = Some(|state| state.0);

    fn fold(values: &[T], times_ns: &[i64]) -> Self::State {
        let value = if IS_MAX { largest(values) } else { smallest(values) };
        let at = values.iter().position(|other| *other == value).unwrap_or(0);
        (times_ns.get(at).copied().or_bug(), value)
    }

    fn merge(state: &mut Self::State, other: &Self::State) {
        let is_better = if IS_MAX { other.1 > state.1 } else { other.1 < state.1 };
        if is_better || other.1 == state.1 && other.0 < state.0 {
            *state = *other;
        }
    }

    fn finish(state: &Self::State) -> T {
        state.1
    }
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
