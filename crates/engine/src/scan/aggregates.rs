//! Implements aggregates: count(), sum(), mean(), spread() and stddev(), and also min() and max()
//! of numbers without extra columns.

use std::marker::PhantomData;
use std::ops::Range;

use super::accumulator::{Accumulator, FinalValues};
use super::error::ScanError;
use super::number::{Number, largest, smallest, sum};
use super::page::PartialColumn;
use super::request::AggregateFunction;
use super::series_rows::Dense;
use super::spans::{keep, state_mut};
use crate::batch::column::Column;
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldType;

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

    fn finish(&self, order: &[usize], starts_ns: &[i64]) -> FinalValues {
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
        FinalValues { windows_ns, values: A::Output::column(values), times_ns, aux: Vec::new() }
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
