//! Applies `fill(…)`, which assigns values to the empty windows of an aggregate (1.x
//! `floatFillIterator` and others), and to fields that are missing in a row (1.x
//! `floatIteratorScanner.ScanAt`).

use super::join_limit::{CallSeries, gather_or, gather_or_null, last_before};
use crate::data_type::DataType;
use crate::error::{QueryError, Result};
use crate::math;
use crate::plan::{FillPlan, SelectNode, Variable};
use crate::result::{Column, ResultColumn, Validity, Values};
use crate::scalar::repeat;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::request::Window;
use tidemark_model::limits::STRAY_WINDOWS_MIN;
use tidemark_model::time::{MIN_TIME_NS, TimeRange};
use tidemark_model::value::{FieldType, FieldValue};

/// The windows that the result of a call contains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownWindows<'a> {
    pub(crate) window: &'a Window,
    /// Without a lower bound, the result starts at the earliest non-empty window.
    pub(crate) range: TimeRange,
    pub(crate) direction: Direction,
    pub(crate) limit: u64,
}

/// Adds the missing windows to a series, part by part.
#[derive(Debug)]
pub(crate) struct SeriesFill {
    series: CallSeries,
    /// The next row of the series.
    row: usize,
    next_ns: i64,
    end_ns: i64,
    shift_ns: i64,
    /// The number of windows so far.
    count: u64,
}

impl SeriesFill {
    /// Creates the operator. `series` must have at least one window.
    pub(crate) fn new(series: CallSeries, windows: ShownWindows<'_>) -> Result<Self> {
        let ShownWindows { window, range, direction, .. } = windows;
        let last_ns = range.end_ns.saturating_sub(1);
        let bounded = range.start_ns > MIN_TIME_NS;
        let first_present = series.times_ns.first().copied().unwrap_or(range.start_ns);
        let last_present = series.times_ns.last().copied().unwrap_or(range.start_ns);
        let (next_ns, end_ns) = if direction.is_descending() {
            let end = if bounded { window.start(range.start_ns) } else { last_present };
            (window.start(last_ns), end)
        } else {
            let start = if bounded { window.start(range.start_ns) } else { first_present };
            (start, window.start(last_ns))
        };
        if !bounded {
            check_stray(&series.times_ns, next_ns.max(end_ns), window.every_ns)?;
        }
        let shift_ns = window.shift(next_ns);
        Ok(Self { series, row: 0, next_ns, end_ns, shift_ns, count: 0 })
    }

    /// Returns the next part, which has at most `windows_max` windows, or `None` at the end.
    pub(crate) fn next(
        &mut self,
        plan: &FillPlan,
        windows: ShownWindows<'_>,
        windows_max: usize,
    ) -> Result<Option<CallSeries>> {
        let first_row = self.row;
        let (times_ns, rows) = self.windows(windows, windows_max)?;
        if times_ns.is_empty() {
            return Ok(None);
        }
        let series = &self.series;
        let aux = (series.aux.iter())
            .map(|column| column.as_ref().map(|column| gather_or_null(column, &rows)))
            .collect();
        let values = match plan {
            FillPlan::Null => gather_or_null(&series.values, &rows),
            FillPlan::Previous => {
                let before = first_row.checked_sub(1).map(|row| row as u32);
                gather_or_null(&series.values, &last_before(&rows, before))
            }
            FillPlan::Value(value) => gather_or(&series.values, &rows, Some(value)),
            FillPlan::Linear => {
                linear(series, first_row, &times_ns, &rows, windows.window.every_ns)
            }
        };
        Ok(Some(CallSeries { times_ns, values, aux }))
    }

    /// Returns the times of the next windows, and each window's row in the series, if any.
    fn windows(
        &mut self,
        windows: ShownWindows<'_>,
        windows_max: usize,
    ) -> Result<(Vec<i64>, Vec<Option<u32>>)> {
        let ShownWindows { window, direction, limit, .. } = windows;
        let before = |a: i64, b: i64| direction.order(a.cmp(&b)).is_lt();
        let (mut times, mut rows) = (Vec::new(), Vec::new());
        while times.len() < windows_max {
            let present = self.series.times_ns.get(self.row).copied();
            let due = !before(self.end_ns, self.next_ns);
            let time = match present {
                Some(time) if !before(self.next_ns, time) => {
                    rows.push(Some(self.row as u32));
                    self.row += 1;
                    time
                }
                // A subquery can have values after the range's last window, so the windows continue
                // to the last value. A value before the first window replaces the first window
                // (1.x).
                _ if due || present.is_some() => {
                    rows.push(None);
                    self.next_ns
                }
                _ => break,
            };
            times.push(time);
            self.count += 1;
            if self.count > limit {
                return Err(QueryError::Buckets { requested: self.count, limit });
            }
            self.next_ns = window.step(self.next_ns, &mut self.shift_ns, direction);
        }
        Ok((times, rows))
    }
}

/// Fills columns outside of aggregates, which can span several batches.
#[derive(Debug, Default)]
pub(crate) struct RowFill {
    /// The last value of each column.
    last: Vec<Option<FieldValue>>,
}

impl RowFill {
    /// Fills the next rows. A column that is `None` contains only nulls.
    ///
    /// With `fill(number)`, strings and booleans remain null; the result replaces them with the
    /// unconverted number.
    pub(crate) fn fill(&mut self, node: &SelectNode, rows: usize, columns: &mut [Option<Column>]) {
        if let Some(number) = &node.fill_number {
            for (column, variable) in columns.iter_mut().zip(&node.variables) {
                *column = with_number(column.take(), variable, number, rows);
            }
        }
        if node.carries {
            self.last.resize(columns.len(), None);
            for (column, last) in columns.iter_mut().zip(&mut self.last) {
                *column = with_previous(column.take(), last.as_ref(), rows);
                let shown = column.as_ref().zip(rows.checked_sub(1));
                *last = shown.and_then(|(column, row)| column.get(row)).or(last.take());
            }
        }
    }
}

fn with_number(
    column: Option<Column>,
    variable: &Variable,
    number: &FieldValue,
    rows: usize,
) -> Option<Column> {
    let is_missing = |column: &Column| column.validity.nulls(column.len()) == column.len();
    let is_unknown = variable.data_type == DataType::Unknown;
    let Some(column) = column.filter(|column| !is_unknown || !is_missing(column)) else {
        // A column of unknown type has the type of the number.
        let field_type = match variable.data_type {
            DataType::Unknown => number.field_type(),
            known => known.field_type().unwrap_or(FieldType::String),
        };
        return cast(number, field_type).map(|value| Column::full(repeat(&value, rows)));
    };
    match cast(number, column.values.field_type()) {
        Some(value) => Some(gather_or(&column, &valid_rows(&column), Some(&value))),
        None => Some(column),
    }
}

fn with_previous(column: Option<Column>, last: Option<&FieldValue>, rows: usize) -> Option<Column> {
    let Some(mut column) = column else {
        return last.map(|last| Column::full(repeat(last, rows)));
    };
    let own = valid_rows(&column);
    // `last`, the value that precedes the first row, is appended after the last row, so that the
    // first rows can refer to it.
    let before = last.map(|_| own.len() as u32);
    if let Some(last) = last {
        column.extend_from(&Column::full(repeat(last, 1)));
    }
    Some(gather_or_null(&column, &last_before(&own, before)))
}

fn valid_rows(column: &Column) -> Vec<Option<u32>> {
    let own = |row: u32| column.validity.is_valid(row as usize).then_some(row);
    (0..column.len() as u32).map(own).collect()
}

/// Returns the result column. In strings and booleans, `otherwise` replaces nulls. `otherwise` has
/// one row, which contains the number in `fill(number)`, even if the types differ.
pub(crate) fn shown(column: Column, otherwise: Option<Column>) -> ResultColumn {
    match (otherwise, &column.values) {
        (Some(otherwise), Values::String(_) | Values::Boolean(_)) => {
            ResultColumn::Filled { column: column.into(), otherwise: otherwise.into() }
        }
        _ => ResultColumn::Values(column.into()),
    }
}

/// Returns the argument columns of mathematical functions. Strings and booleans have no result, so
/// their columns become numbers in which the number in `fill(number)` replaces each null.
pub(crate) fn arguments(
    columns: &[Option<Column>],
    number: &FieldValue,
    node: &SelectNode,
    rows: usize,
) -> Vec<Option<Column>> {
    let argument = |(index, column): (usize, &Option<Column>)| match column {
        None => node.has_type(index).then(|| Column::full(repeat(number, rows))),
        Some(Column { values: Values::String(_) | Values::Boolean(_), validity }) => {
            let mut missing = Validity::All;
            (0..rows).for_each(|row| missing.push(row, !validity.is_valid(row)));
            Some(Column { values: repeat(number, rows), validity: missing })
        }
        known => known.clone(),
    };
    columns.iter().enumerate().map(argument).collect()
}

/// Converts the number in `fill(number)` like 1.x's `castToFloat` and similar functions: an integer
/// is not rounded, and a negative integer wraps in an unsigned column. Returns `None` for strings
/// and booleans.
pub(crate) fn cast(value: &FieldValue, to: FieldType) -> Option<FieldValue> {
    let number = math::number(value)?;
    Some(match (to, value) {
        (FieldType::Integer, FieldValue::Integer(_)) => value.clone(),
        (FieldType::Unsigned, FieldValue::Integer(value)) => FieldValue::Unsigned(*value as u64),
        (FieldType::Float, _) => FieldValue::Float(number),
        (FieldType::Integer, _) => FieldValue::Integer(number as i64),
        (FieldType::Unsigned, _) => FieldValue::Unsigned(number as u64),
        (FieldType::String | FieldType::Boolean, _) => return None,
    })
}

/// Rejects a query in which a stray point causes nearly all windows. This is the case if there are
/// more than `STRAY_WINDOWS_MIN` windows up to `last_ns`, and at least 90 % of these windows
/// precede the second value. A stray point is usually in 1970, because its write had the wrong
/// precision.
fn check_stray(present_ns: &[i64], last_ns: i64, every_ns: i64) -> Result<()> {
    let (mut from_ns, mut next_ns) = (present_ns.first().copied(), present_ns.get(1).copied());
    if from_ns > present_ns.last().copied() {
        from_ns = present_ns.last().copied();
        next_ns = present_ns.len().checked_sub(2).and_then(|at| present_ns.get(at)).copied();
    }
    let Some(first_ns) = from_ns else { return Ok(()) };
    let windows = |to_ns: i64| to_ns.saturating_sub(first_ns).max(0) / every_ns.max(1);
    let (requested, hole) = (windows(last_ns), windows(next_ns.unwrap_or(last_ns)));
    if requested > STRAY_WINDOWS_MIN && hole >= requested / 10 * 9 {
        return Err(QueryError::StrayPoint {
            requested: requested.unsigned_abs(),
            first_ns,
            next_ns,
        });
    }
    Ok(())
}

/// Fills empty windows with a linear interpolation between their neighbours (`fill(linear)`).
/// `next` is the first row of the series that does not precede the windows.
fn linear(
    series: &CallSeries,
    mut next: usize,
    times_ns: &[i64],
    rows: &[Option<u32>],
    every_ns: i64,
) -> Column {
    let values = &series.values;
    if matches!(values.values, Values::String(_) | Values::Boolean(_)) {
        return gather_or_null(values, rows);
    }
    // The interpolated values are appended after the values of the series, so that rows can refer
    // to them.
    let mut lines = Column::new(values.values.field_type());
    let window = |time_ns: i64| time_ns / every_ns.max(1);
    let point = |row: usize| Some((window(*series.times_ns.get(row)?), series.values.get(row)?));
    let own_or_line = |(row, &time_ns): (&Option<u32>, &i64)| {
        if row.is_some() {
            next += 1;
            return *row;
        }
        let (from, to) = (point(next.checked_sub(1)?)?, point(next)?);
        let width = to.0.wrapping_sub(from.0) as f64;
        let along = window(time_ns).wrapping_sub(from.0) as f64;
        let line = |from: f64, rise: f64| rise / width * along + from;
        let number = values.len() + lines.len();
        match (&mut lines.values, from.1, to.1) {
            (Values::Float(lines), FieldValue::Float(a), FieldValue::Float(b)) => {
                lines.push(line(a, b - a));
            }
            (Values::Integer(lines), FieldValue::Integer(a), FieldValue::Integer(b)) => {
                lines.push(line(a as f64, b.wrapping_sub(a) as f64) as i64);
            }
            (Values::Unsigned(lines), FieldValue::Unsigned(a), FieldValue::Unsigned(b)) => {
                lines.push(line(a as f64, b.wrapping_sub(a) as f64) as u64);
            }
            _ => return None,
        }
        Some(number as u32)
    };
    let rows: Vec<Option<u32>> = rows.iter().zip(times_ns).map(own_or_line).collect();
    let mut all = values.clone();
    all.extend_from(&lines);
    gather_or_null(&all, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Values::Integer;

    fn filled(plan: FillPlan, range: TimeRange, direction: Direction) -> Vec<(i64, Option<i64>)> {
        let window = Window { every_ns: 10, offset_ns: 0, zone: Vec::new() };
        let (times_ns, values) = if direction.is_descending() {
            (vec![40, 10], vec![7, 1])
        } else {
            (vec![10, 40], vec![1, 7])
        };
        let series =
            CallSeries { times_ns, values: Column::full(Integer(values)), aux: Vec::new() };
        let windows = ShownWindows { window: &window, range, direction, limit: 100 };
        // The size of the parts does not change the result.
        let in_parts_of = |windows_max: usize| {
            let mut fill = SeriesFill::new(series.clone(), windows).expect("no stray point");
            let mut all = Vec::new();
            while let Some(part) = fill.next(&plan, windows, windows_max).expect("few windows") {
                assert!(part.times_ns.len() <= windows_max);
                let value = |row| match part.values.get(row) {
                    Some(FieldValue::Integer(value)) => Some(value),
                    _ => None,
                };
                all.extend(part.times_ns.iter().enumerate().map(|(row, &time)| (time, value(row))));
            }
            all
        };
        let whole = in_parts_of(usize::MAX);
        for windows_max in 1..4 {
            assert_eq!(in_parts_of(windows_max), whole);
        }
        whole
    }

    #[test]
    fn fill_covers_every_window_in_range() {
        let range = TimeRange::new(5, 55);
        assert_eq!(
            filled(FillPlan::Null, range, Direction::Ascending),
            [(0, None), (10, Some(1)), (20, None), (30, None), (40, Some(7)), (50, None)]
        );
        let late = TimeRange::new(25, 65);
        assert_eq!(
            filled(FillPlan::Null, late, Direction::Ascending),
            [(10, Some(1)), (30, None), (40, Some(7)), (50, None), (60, None)]
        );
        let open = TimeRange::new(MIN_TIME_NS, 45);
        let nine = FillPlan::Value(FieldValue::Integer(9));
        assert_eq!(
            filled(nine, open, Direction::Descending),
            [(40, Some(7)), (30, Some(9)), (20, Some(9)), (10, Some(1))]
        );
    }

    #[test]
    fn fill_previous_and_linear_work() {
        let range = TimeRange::new(0, 60);
        assert_eq!(
            filled(FillPlan::Previous, range, Direction::Ascending),
            [(0, None), (10, Some(1)), (20, Some(1)), (30, Some(1)), (40, Some(7)), (50, Some(7))]
        );
        assert_eq!(
            filled(FillPlan::Linear, range, Direction::Ascending),
            [(0, None), (10, Some(1)), (20, Some(3)), (30, Some(5)), (40, Some(7)), (50, None)]
        );
    }

    #[test]
    fn previous_value_fills_next_rows() {
        let mut column = Column::new(FieldType::Integer);
        column.push_null();
        column.extend_from(&Column::full(Values::Integer(vec![7])));
        let value = |column: &Option<Column>, row| column.as_ref().and_then(|c| c.get(row));
        let none = with_previous(Some(column.clone()), None, 2);
        assert_eq!([value(&none, 0), value(&none, 1)], [None, Some(FieldValue::Integer(7))]);
        let before = FieldValue::Integer(3);
        let carried = with_previous(Some(column), Some(&before), 2);
        assert_eq!(value(&carried, 0), Some(before.clone()));
        assert_eq!(value(&with_previous(None, Some(&before), 2), 1), Some(before));
    }
}
