//! Determines the rows of the result, and fills their columns.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch,
    StructArray, TimestampNanosecondArray, UInt32Array,
};
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::compute::{partition, take};
use datafusion::arrow::datatypes::{DataType, FieldRef, Float64Type, Int64Type, UInt64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::scalar::ScalarValue;

use crate::error::QueryError;
use crate::functions::bins::Bins;
use crate::limits::GAPFILL_ROWS_MAX;

/// The field that `interpolate` fills in the struct of a selector.
pub(super) const VALUE: &str = "value";

/// The value of a column in an added row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fill {
    /// The value in the other rows of the group. The column is a group key or the time.
    Key,
    Null,
    /// The value 0, because the column is a count.
    Zero,
    /// The previous value in the group.
    Previous,
    /// A linear interpolation between the previous value and the next value.
    Linear,
}

impl Fill {
    /// Returns the field of the filled column. An aggregate without NULLs may have NULLs in the
    /// added rows.
    pub(super) fn field(self, field: &FieldRef) -> FieldRef {
        match self {
            Self::Key | Self::Zero => Arc::clone(field),
            Self::Null | Self::Previous | Self::Linear => {
                Arc::new(field.as_ref().clone().with_nullable(true))
            }
        }
    }
}

/// The rows of a result, including the added rows.
#[derive(Debug)]
pub(super) struct FilledRows {
    /// The input rows, sorted by group and time.
    input: RecordBatch,
    /// The start of each row's bin, in nanoseconds.
    times_ns: Vec<Option<i64>>,
    /// The index of each row in the input, or `None` for added rows.
    picks: Vec<Option<u32>>,
    /// For each row, the index of its group's first input row.
    groups: Vec<u32>,
}

impl FilledRows {
    /// Creates the rows of `input` and a row for each missing bin.
    ///
    /// # Errors
    /// Returns an error if the result has too many bins.
    pub(super) fn new(
        input: RecordBatch,
        time: usize,
        fills: &[Fill],
        bins: &Bins,
        range: (i64, i64),
    ) -> Result<Self> {
        let is_key = |at: usize| fills.get(at) == Some(&Fill::Key) && at != time;
        let keys = (0..input.num_columns()).filter(|&at| is_key(at));
        let keys: Vec<ArrayRef> = keys.map(|at| Arc::clone(input.column(at))).collect();
        let groups = match (input.num_rows(), keys.is_empty()) {
            (0, _) => Vec::new(),
            (rows, true) => std::iter::once(0..rows).collect(),
            (_, false) => partition(&keys)?.ranges(),
        };
        let times = Arc::clone(input.column(time));
        let mut made = Self { input, times_ns: Vec::new(), picks: Vec::new(), groups: Vec::new() };
        for group in groups {
            made.add_group(group, times.as_primitive(), bins, range)?;
        }
        Ok(made)
    }

    fn add_group(
        &mut self,
        group: Range<usize>,
        times: &TimestampNanosecondArray,
        bins: &Bins,
        (first_ns, last_ns): (i64, i64),
    ) -> Result<()> {
        let first = group.start as u32;
        let mut rows =
            group.map(|row| (row, times.is_valid(row).then(|| times.value(row)))).peekable();
        let mut bin = bins.start_ns(first_ns).filter(|_| first_ns <= last_ns);
        while let Some(start_ns) = bin.filter(|start| *start <= last_ns) {
            // Rows outside the range of bins remain unchanged, for example rows whose time is NULL.
            while let Some((row, time)) =
                rows.next_if(|(_, time)| time.is_some_and(|time| time < start_ns))
            {
                self.push(time, Some(row), first)?;
            }
            let row = rows.next_if(|(_, time)| *time == Some(start_ns)).map(|(row, _)| row);
            self.push(Some(start_ns), row, first)?;
            bin = bins.next_ns(start_ns);
        }
        for (row, time) in rows {
            self.push(time, Some(row), first)?;
        }
        Ok(())
    }

    fn push(&mut self, time_ns: Option<i64>, row: Option<usize>, group: u32) -> Result<()> {
        if self.times_ns.len() >= GAPFILL_ROWS_MAX {
            let message = format!(
                "gap filling would return more than {GAPFILL_ROWS_MAX} rows: narrow the time \
                 range, or use wider bins"
            );
            return Err(QueryError::invalid(message).into());
        }
        self.times_ns.push(time_ns);
        self.picks.push(row.map(|row| row as u32));
        self.groups.push(group);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.times_ns.len()
    }

    /// Returns the approximate memory that the rows need in addition to the input, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.len() * (size_of::<Option<i64>>() + size_of::<Option<u32>>() + size_of::<u32>())
    }

    fn time_ns(&self, row: usize) -> Option<i64> {
        self.times_ns.get(row).copied().flatten()
    }

    fn pick(&self, row: usize) -> Option<usize> {
        self.picks.get(row).copied().flatten().map(|pick| pick as usize)
    }

    /// Returns the input indices of the rows in `range`. Added rows have the index NULL.
    fn picks(&self, range: &Range<usize>) -> UInt32Array {
        range.clone().map(|row| self.picks.get(row).copied().flatten()).collect()
    }

    fn group(&self, row: usize) -> Option<u32> {
        self.groups.get(row).copied()
    }
}

/// Fills the columns of the result, from the first row to the last.
#[derive(Debug)]
pub(super) struct Filler {
    fills: Vec<Fill>,
    time: usize,
    states: Vec<ColumnState>,
}

/// The state of one column while its rows are filled.
#[derive(Clone, Copy, Debug, Default)]
struct ColumnState {
    /// The current group. A new group resets the state.
    group: Option<u32>,
    last: Option<usize>,
    /// The first row that has not been searched for the next value. No row between `last` and
    /// `next` has a value. Row `next` either has a value or is after the end of the group.
    next: usize,
}

impl Filler {
    pub(super) fn new(fills: &[Fill], time: usize) -> Self {
        Self { fills: fills.to_vec(), time, states: vec![ColumnState::default(); fills.len()] }
    }

    /// Returns the columns for the rows in `range`. The rows must follow the rows of the previous
    /// call.
    ///
    /// # Errors
    /// Returns an error if the type of a column does not support the column's fill.
    pub(super) fn columns(
        &mut self,
        rows: &FilledRows,
        range: Range<usize>,
    ) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::with_capacity(self.fills.len());
        for (at, fill) in self.fills.iter().enumerate() {
            let column = rows.input.column(at);
            let mut none = ColumnState::default();
            let state = self.states.get_mut(at).unwrap_or(&mut none);
            columns.push(match fill {
                Fill::Key if at == self.time => bins_column(rows, &range, column.data_type()),
                Fill::Key => {
                    let groups: UInt32Array = range.clone().map(|row| rows.group(row)).collect();
                    take(column, &groups, None)?
                }
                Fill::Null => take(column, &rows.picks(&range), None)?,
                Fill::Zero => zeros(&take(column, &rows.picks(&range), None)?, rows, &range)?,
                Fill::Previous => {
                    let picks: UInt32Array = range
                        .clone()
                        .map(|row| state.advance(rows, row, column).map(|pick| pick as u32))
                        .collect();
                    take(column, &picks, None)?
                }
                Fill::Linear => linear(state, rows, &range, column)?,
            });
        }
        Ok(columns)
    }
}

impl ColumnState {
    /// Advances to `row`. Returns the input index of the last row that has a value.
    fn advance(&mut self, rows: &FilledRows, row: usize, column: &ArrayRef) -> Option<usize> {
        if self.group != rows.group(row) {
            *self = Self { group: rows.group(row), ..Self::default() };
        }
        if rows.pick(row).is_some_and(|pick| column.is_valid(pick)) {
            self.last = Some(row);
        }
        self.last.and_then(|last| rows.pick(last))
    }

    /// Returns the next row of the group that has a value.
    fn look_ahead(&mut self, rows: &FilledRows, row: usize, column: &ArrayRef) -> Option<usize> {
        self.next = self.next.max(row + 1);
        while rows.group(self.next) == self.group {
            if rows.pick(self.next).is_some_and(|pick| column.is_valid(pick)) {
                return Some(self.next);
            }
            self.next += 1;
        }
        None
    }
}

fn bins_column(rows: &FilledRows, range: &Range<usize>, data_type: &DataType) -> ArrayRef {
    let zone = match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let times = range.clone().map(|row| rows.time_ns(row));
    Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone_opt(zone))
}

/// Replaces the counts of added rows with 0.
fn zeros(counts: &ArrayRef, rows: &FilledRows, range: &Range<usize>) -> Result<ArrayRef> {
    let is_original: BooleanArray =
        range.clone().map(|row| Some(rows.pick(row).is_some())).collect();
    let zero = ScalarValue::new_zero(counts.data_type())?.to_scalar()?;
    Ok(zip(&is_original, counts, &zero)?)
}

enum Point {
    Nothing,
    Original(usize),
    /// A value between two input rows. The two numbers are the distance from the first row to the
    /// value and the distance between both rows, in nanoseconds.
    Between(usize, usize, f64, f64),
}

fn linear(
    state: &mut ColumnState,
    rows: &FilledRows,
    range: &Range<usize>,
    column: &ArrayRef,
) -> Result<ArrayRef> {
    let mut points = |values: &ArrayRef| -> Vec<Point> {
        range.clone().map(|row| point(state, rows, row, values)).collect()
    };
    if let DataType::Struct(fields) = column.data_type() {
        let parts = column.as_struct();
        let columns: Result<Vec<ArrayRef>> = fields
            .iter()
            .zip(parts.columns())
            .map(|(field, part)| {
                if field.name() == VALUE {
                    return interpolated(&points(part), part);
                }
                Ok(take(part, &rows.picks(range), None)?)
            })
            .collect();
        return Ok(Arc::new(StructArray::try_new(fields.clone(), columns?, None)?));
    }
    interpolated(&points(column), column)
}

fn point(state: &mut ColumnState, rows: &FilledRows, row: usize, values: &ArrayRef) -> Point {
    let Some(from) = state.advance(rows, row, values) else { return Point::Nothing };
    if state.last == Some(row) {
        return Point::Original(from);
    }
    let Some(next) = state.look_ahead(rows, row, values) else { return Point::Nothing };
    let times = (state.last.and_then(|last| rows.time_ns(last)), rows.time_ns(row));
    let (Some(to), (Some(start), Some(at)), Some(end)) =
        (rows.pick(next), times, rows.time_ns(next))
    else {
        return Point::Nothing;
    };
    let apart = |from: i64, to: i64| (i128::from(to) - i128::from(from)) as f64;
    Point::Between(from, to, apart(start, at), apart(start, end))
}

/// Computes the values at the given points. Interpolated integers are truncated, as in InfluxQL.
fn interpolated(points: &[Point], values: &ArrayRef) -> Result<ArrayRef> {
    let line = |rise: f64, base: f64, gone: f64, length: f64| rise / length * gone + base;
    let rise = |base: i128, end: i128| (end - base) as f64;
    Ok(match values.data_type() {
        DataType::Float64 => at_points::<Float64Type>(points, values, |base, end, gone, length| {
            line(end - base, base, gone, length)
        }),
        DataType::Int64 => at_points::<Int64Type>(points, values, |base, end, gone, length| {
            line(rise(base.into(), end.into()), base as f64, gone, length) as i64
        }),
        DataType::UInt64 => at_points::<UInt64Type>(points, values, |base, end, gone, length| {
            line(rise(base.into(), end.into()), base as f64, gone, length) as u64
        }),
        other => {
            let message = format!("unsupported data type {other} for interpolation gap filling");
            return Err(DataFusionError::Execution(message));
        }
    })
}

fn at_points<T: ArrowPrimitiveType>(
    points: &[Point],
    values: &ArrayRef,
    between: impl Fn(T::Native, T::Native, f64, f64) -> T::Native,
) -> ArrayRef {
    let values = values.as_primitive::<T>();
    let at = |point: &Point| match *point {
        Point::Nothing => None,
        Point::Original(row) => Some(values.value(row)),
        Point::Between(from, to, gone, length) => {
            Some(between(values.value(from), values.value(to), gone, length))
        }
    };
    Arc::new(points.iter().map(at).collect::<PrimitiveArray<T>>())
}
