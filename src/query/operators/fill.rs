//! Applies `fill(…)` to aggregates: assigns values to empty windows (1.x `floatFillIterator` and
//! its variants for other types).

use super::fill_rows::with_number;
use super::series::{CallSeries, gather_or_null};
use crate::model::time::{MIN_TIME_NS, TimeRange};
use crate::model::value::FieldValue;
use crate::query::error::QueryError;
use crate::query::plan::{SelectNode, Slot};
use crate::query::result::{Column, ResultColumn, Validity, Values};
use crate::query::scalar::repeat;
use crate::scan::request::Window;

/// The minimum number of windows of a query that is rejected because of a stray point. Nulls for
/// this number of windows need about 3 MB.
const STRAY_WINDOWS_MIN: i64 = 100_000;
/// The maximum number of windows that [`Filling::next`] returns.
const WINDOWS_PER_STEP: usize = 10_000;

/// The value of an empty window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FillPlan {
    Null,
    /// The specified value, in the type of the call.
    Value(FieldValue),
    /// The value of the previous non-empty window.
    Previous,
    /// The linear interpolation between the nearest non-empty windows.
    Linear,
}

/// The windows in the result, including empty windows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownWindows<'a> {
    /// The width and offset of the windows.
    pub(crate) window: &'a Window,
    /// The time range of the windows. Without a lower bound, the result contains no windows before
    /// the earliest non-empty window.
    pub(crate) range: TimeRange,
    /// Whether the latest window comes first.
    pub(crate) descending: bool,
    /// The maximum number of windows.
    pub(crate) limit: u64,
}

/// The windows of a call that `fill(…)` completes, in steps.
#[derive(Debug)]
pub(crate) struct Filling {
    series: CallSeries,
    /// The position of the next row of `series`.
    row: usize,
    /// The start of the next window.
    next_ns: i64,
    /// The start of the last window of the range.
    end_ns: i64,
    shift_ns: i64,
    /// The number of windows so far.
    count: u64,
}

impl Filling {
    /// Starts to add the missing windows to `series`, which must have at least one window.
    ///
    /// # Errors
    /// [`QueryError::StrayPoint`]
    pub(crate) fn new(series: CallSeries, windows: ShownWindows<'_>) -> Result<Self, QueryError> {
        let ShownWindows { window, range, descending, .. } = windows;
        let present_ns = &series.times_ns;
        let last_ns = range.end_ns.saturating_sub(1);
        let bounded = range.start_ns > MIN_TIME_NS;
        let first_present = present_ns.first().copied().unwrap_or(range.start_ns);
        let last_present = present_ns.last().copied().unwrap_or(range.start_ns);
        let (next_ns, end_ns) = if descending {
            let end = if bounded { window.start(range.start_ns) } else { last_present };
            (window.start(last_ns), end)
        } else {
            let start = if bounded { window.start(range.start_ns) } else { first_present };
            (start, window.start(last_ns))
        };
        if !bounded {
            check_stray(present_ns, next_ns.max(end_ns), window.every_ns)?;
        }
        let shift_ns = window.shift(next_ns);
        Ok(Self { series, row: 0, next_ns, end_ns, shift_ns, count: 0 })
    }

    /// Returns the next windows, or `None` after the last window.
    ///
    /// # Errors
    /// [`QueryError::Buckets`] if the result would exceed the maximum number of windows.
    pub(crate) fn next(
        &mut self,
        plan: &FillPlan,
        windows: ShownWindows<'_>,
    ) -> Result<Option<CallSeries>, QueryError> {
        // The neighbours of these windows are the values of the first and the last empty windows.
        let first = self.row.saturating_sub(1);
        let before = (self.row > 0).then_some(0);
        let (times_ns, rows) = self.step(first, windows)?;
        if times_ns.is_empty() {
            return Ok(None);
        }
        let known = self.series.slice(first, self.row + 1);
        let aux = (known.aux.iter())
            .map(|column| column.as_ref().map(|column| gather_or_null(column, &rows)))
            .collect();
        let values = match plan {
            FillPlan::Null => gather_or_null(&known.values, &rows),
            FillPlan::Previous => gather_or_null(&known.values, &carried(&rows, before)),
            FillPlan::Value(value) => constant(&known.values, &rows, value),
            FillPlan::Linear => linear(&known, (&times_ns, &rows), before, windows.window.every_ns),
        };
        Ok(Some(CallSeries { times_ns, values, aux }))
    }

    /// Returns the times of the next windows and, for each window, its row in the series after row
    /// `first`.
    fn step(
        &mut self,
        first: usize,
        windows: ShownWindows<'_>,
    ) -> Result<(Vec<i64>, Vec<Option<u32>>), QueryError> {
        let ShownWindows { window, descending, limit, .. } = windows;
        let is_before = |a: i64, b: i64| if descending { a > b } else { a < b };
        let (mut times_ns, mut rows) = (Vec::new(), Vec::new());
        while times_ns.len() < WINDOWS_PER_STEP {
            let present = self.series.times_ns.get(self.row).copied();
            let is_due = !is_before(self.end_ns, self.next_ns);
            let time_ns = match present {
                Some(time_ns) if !is_before(self.next_ns, time_ns) => {
                    rows.push(Some((self.row - first) as u32));
                    self.row += 1;
                    time_ns
                }
                // The windows continue to the last value. Only a subquery can have a value after
                // the last window. A value before the first window replaces the first window (1.x).
                _ if is_due || present.is_some() => {
                    rows.push(None);
                    self.next_ns
                }
                _ => break,
            };
            times_ns.push(time_ns);
            self.count += 1;
            if self.count > limit {
                return Err(QueryError::Buckets { requested: self.count, limit });
            }
            self.next_ns = window.step(self.next_ns, &mut self.shift_ns, descending);
        }
        Ok((times_ns, rows))
    }
}

/// Fills the column of `slot` next to a selector. 1.x replaces every null in a column next to a
/// selector with the number in `fill(number)` or with the value of the previous row
/// (`floatIteratorScanner.ScanAt`).
pub(crate) fn fill_aux(column: &mut Option<Column>, slot: &Slot, node: &SelectNode, rows: usize) {
    if let Some(number) = &node.fill_number {
        *column = with_number(column.take(), slot, number, rows);
    } else if node.carries
        && let Some(known) = column
    {
        let valid = |row: u32| known.validity.is_valid(row as usize);
        let picked: Vec<Option<u32>> =
            (0..known.len() as u32).map(|row| valid(row).then_some(row)).collect();
        *column = Some(gather_or_null(known, &last_before(&picked)));
    }
}

/// Returns the result column. In columns of strings and booleans, `otherwise` replaces nulls.
/// `otherwise` has one row, which contains the number in `fill(number)` even if the types differ.
pub(crate) fn shown(column: Column, otherwise: Option<Column>) -> ResultColumn {
    match (otherwise, &column.values) {
        (Some(otherwise), Values::String(_) | Values::Boolean(_)) => {
            ResultColumn::Filled { column, otherwise }
        }
        _ => ResultColumn::Values(column),
    }
}

/// Returns the argument columns of mathematical functions. Mathematical functions have no result
/// for strings and booleans. A column of strings or booleans therefore becomes a column of numbers.
/// In this column, the number in `fill(number)` replaces each null. `columns` has `rows` rows.
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

/// Converts a number to the type of a column. Returns `None` if the type is string or boolean.
pub(super) fn cast(value: &FieldValue, like: &Values) -> Option<FieldValue> {
    let number = crate::query::math::number(value)?;
    Some(match like {
        Values::Float(_) => FieldValue::Float(number),
        Values::Integer(_) => FieldValue::Integer(number as i64),
        Values::Unsigned(_) => FieldValue::Unsigned(number as u64),
        Values::String(_) | Values::Boolean(_) => return None,
    })
}

/// Rejects a query in which nearly all windows exist only because of a stray point. The query is
/// rejected if it has more than `STRAY_WINDOWS_MIN` windows from the first value to `last_ns`, and
/// at least 90 % of these windows precede the next value. The time of a stray point is usually in
/// 1970, because the point was written with the wrong precision.
fn check_stray(present_ns: &[i64], last_ns: i64, every_ns: i64) -> Result<(), QueryError> {
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

/// Returns the row for each window: the window's own row, or the row of the last earlier window
/// that has a row.
pub(super) fn last_before(rows: &[Option<u32>]) -> Vec<Option<u32>> {
    carried(rows, None)
}

/// Returns the same as [`last_before`]. `last` is the row of the last window before `rows`.
fn carried(rows: &[Option<u32>], mut last: Option<u32>) -> Vec<Option<u32>> {
    rows.iter()
        .map(|row| {
            last = row.or(last);
            last
        })
        .collect()
}

pub(super) fn constant(values: &Column, rows: &[Option<u32>], value: &FieldValue) -> Column {
    let mut all = Column::full(values.values.clone());
    all.validity = values.validity.clone();
    let filler = all.len() as u32;
    all.extend_from(&Column::full(repeat(value, 1)));
    let rows: Vec<u32> = rows.iter().map(|row| row.unwrap_or(filler)).collect();
    all.gather(&rows)
}

/// Interpolates the empty windows between two rows of `known`. `before` is the row before the first
/// window.
fn linear(
    known: &CallSeries,
    (times_ns, rows): (&[i64], &[Option<u32>]),
    before: Option<u32>,
    every_ns: i64,
) -> Column {
    let mut filled = gather_or_null(&known.values, rows);
    let slot = |time_ns: i64| time_ns / every_ns.max(1);
    let mut fills = Vec::new();
    let windows = times_ns.iter().zip(rows).zip(carried(rows, before)).enumerate();
    for (hole, ((&time_ns, row), last)) in windows {
        let (None, Some(from)) = (row, last) else { continue };
        let (from, to) = (from as usize, from as usize + 1);
        let ends_ns = known.times_ns.get(from).zip(known.times_ns.get(to));
        let Some((&from_ns, &to_ns)) = ends_ns else { continue };
        if !(known.values.validity.is_valid(from) && known.values.validity.is_valid(to)) {
            continue;
        }
        let width = slot(to_ns).wrapping_sub(slot(from_ns)) as f64;
        let along = slot(time_ns).wrapping_sub(slot(from_ns)) as f64;
        let line = |from: f64, rise: f64| rise / width * along + from;
        match (&mut filled.values, &known.values.values) {
            (Values::Float(values), Values::Float(known)) => {
                set(values, hole, (known.get(from), known.get(to)), |a, b| line(a, b - a));
            }
            (Values::Integer(values), Values::Integer(known)) => {
                set(values, hole, (known.get(from), known.get(to)), |a, b| {
                    line(a as f64, b.wrapping_sub(a) as f64) as i64
                });
            }
            (Values::Unsigned(values), Values::Unsigned(known)) => {
                set(values, hole, (known.get(from), known.get(to)), |a, b| {
                    line(a as f64, b.wrapping_sub(a) as f64) as u64
                });
            }
            _ => continue,
        }
        fills.push(hole);
    }
    if let crate::query::result::Validity::Some(bits) = &mut filled.validity {
        fills.into_iter().for_each(|hole| bits.set(hole, true));
    }
    filled
}

fn set<T: Copy>(
    values: &mut [T],
    hole: usize,
    (from, to): (Option<&T>, Option<&T>),
    f: impl Fn(T, T) -> T,
) {
    if let (Some(&from), Some(&to), Some(value)) = (from, to, values.get_mut(hole)) {
        *value = f(from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::result::Values::Integer;

    fn filled(plan: FillPlan, range: TimeRange, descending: bool) -> Vec<(i64, Option<i64>)> {
        let window = Window { every_ns: 10, offset_ns: 0, zone: Vec::new() };
        let (times_ns, values) =
            if descending { (vec![40, 10], vec![7, 1]) } else { (vec![10, 40], vec![1, 7]) };
        let series =
            CallSeries { times_ns, values: Column::full(Integer(values)), aux: Vec::new() };
        let windows = ShownWindows { window: &window, range, descending, limit: 100 };
        let series = filled_in_steps(series, &plan, windows);
        let value = |row| match series.values.get(row) {
            Some(FieldValue::Integer(value)) => Some(value),
            _ => None,
        };
        series.times_ns.iter().enumerate().map(|(row, &time)| (time, value(row))).collect()
    }

    fn filled_in_steps(
        series: CallSeries,
        plan: &FillPlan,
        windows: ShownWindows<'_>,
    ) -> CallSeries {
        let mut filling = Filling::new(series, windows).expect("no stray point");
        let mut all: Option<CallSeries> = None;
        while let Some(next) = filling.next(plan, windows).expect("few windows") {
            match &mut all {
                Some(all) => all.append(next),
                none => *none = Some(next),
            }
        }
        all.expect("at least one window")
    }

    #[test]
    fn empty_windows_at_the_ends_of_a_step_have_neighbours() {
        let window = Window { every_ns: 10, offset_ns: 0, zone: Vec::new() };
        let count = 3 * WINDOWS_PER_STEP as i64;
        let end = 10 * (count - 1);
        let of = |values: Vec<f64>| CallSeries {
            times_ns: vec![0, end],
            values: Column::full(Values::Float(values)),
            aux: Vec::new(),
        };
        for (descending, values) in [(false, vec![0.0, end as f64]), (true, vec![end as f64, 0.0])]
        {
            let mut series = of(values);
            if descending {
                series.times_ns.reverse();
            }
            let range = TimeRange::new(0, end + 1);
            let windows = ShownWindows { window: &window, range, descending, limit: count as u64 };
            let first = series.values.get(0);
            let filled = filled_in_steps(series.clone(), &FillPlan::Linear, windows);
            assert_eq!(filled.times_ns.len() as i64, count);
            for (row, &time_ns) in filled.times_ns.iter().enumerate() {
                let Some(FieldValue::Float(value)) = filled.values.get(row) else {
                    panic!("no value at {time_ns}")
                };
                assert!((value - time_ns as f64).abs() < 1e-6, "{value} at {time_ns}");
            }
            let filled = filled_in_steps(series, &FillPlan::Previous, windows);
            assert_eq!(filled.values.get(count as usize - 2), first);
        }
    }

    #[test]
    fn fill_covers_every_window_in_range() {
        let range = TimeRange::new(5, 55);
        assert_eq!(
            filled(FillPlan::Null, range, false),
            [(0, None), (10, Some(1)), (20, None), (30, None), (40, Some(7)), (50, None)]
        );
        let late = TimeRange::new(25, 65);
        assert_eq!(
            filled(FillPlan::Null, late, false),
            [(10, Some(1)), (30, None), (40, Some(7)), (50, None), (60, None)]
        );
        let open = TimeRange::new(MIN_TIME_NS, 45);
        let nine = FillPlan::Value(FieldValue::Integer(9));
        assert_eq!(
            filled(nine, open, true),
            [(40, Some(7)), (30, Some(9)), (20, Some(9)), (10, Some(1))]
        );
    }

    #[test]
    fn fill_previous_and_linear_work() {
        let range = TimeRange::new(0, 60);
        assert_eq!(
            filled(FillPlan::Previous, range, false),
            [(0, None), (10, Some(1)), (20, Some(1)), (30, Some(1)), (40, Some(7)), (50, Some(7))]
        );
        assert_eq!(
            filled(FillPlan::Linear, range, false),
            [(0, None), (10, Some(1)), (20, Some(3)), (30, Some(5)), (40, Some(7)), (50, None)]
        );
    }
}
