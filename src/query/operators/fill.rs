//! Applies `fill(…)` to aggregates: assigns values to empty windows (1.x `floatFillIterator` and
//! others).

use super::fill_rows::with_number;
use super::series::{CallSeries, gather_or_null};
use crate::model::time::{MIN_TIME_NS, TimeRange};
use crate::model::value::FieldValue;
use crate::query::error::QueryError;
use crate::query::plan::{SelectNode, Slot};
use crate::query::result::{Column, ResultColumn, Validity, Values};
use crate::query::scalar::repeat;
use crate::scan::request::Window;

/// A query with at most this number of windows is never rejected because of a stray point. Nulls
/// for this number of windows need about 3 MB.
const STRAY_WINDOWS_MIN: i64 = 100_000;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FillPlan {
    Null,
    Value(FieldValue),
    Previous,
    Linear,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownWindows<'a> {
    pub(crate) window: &'a Window,
    /// Without a lower bound, the result starts at the earliest non-empty window.
    pub(crate) range: TimeRange,
    pub(crate) descending: bool,
    pub(crate) limit: u64,
}

/// Adds the missing windows to `series`, which must have at least one window.
///
/// # Errors
/// [`QueryError::Buckets`]
pub(crate) fn fill(
    series: &CallSeries,
    plan: &FillPlan,
    windows: ShownWindows<'_>,
) -> Result<CallSeries, QueryError> {
    let (times_ns, rows) = dense(&series.times_ns, windows)?;
    let aux = (series.aux.iter())
        .map(|column| column.as_ref().map(|column| gather_or_null(column, &rows)))
        .collect();
    let values = match plan {
        FillPlan::Null => gather_or_null(&series.values, &rows),
        FillPlan::Previous => gather_or_null(&series.values, &last_before(&rows)),
        FillPlan::Value(value) => constant(&series.values, &rows, value),
        FillPlan::Linear => linear(series, &times_ns, &rows, windows.window.every_ns),
    };
    Ok(CallSeries { times_ns, values, aux })
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

/// Returns the result column. In strings and booleans, `otherwise` replaces nulls. `otherwise` has
/// one row, which contains the number in `fill(number)`, even if the types differ.
pub(crate) fn shown(column: Column, otherwise: Option<Column>) -> ResultColumn {
    match (otherwise, &column.values) {
        (Some(otherwise), Values::String(_) | Values::Boolean(_)) => {
            ResultColumn::Filled { column, otherwise }
        }
        _ => ResultColumn::Values(column),
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

/// Returns `None` for strings and booleans.
pub(super) fn cast(value: &FieldValue, like: &Values) -> Option<FieldValue> {
    let number = crate::query::math::number(value)?;
    Some(match like {
        Values::Float(_) => FieldValue::Float(number),
        Values::Integer(_) => FieldValue::Integer(number as i64),
        Values::Unsigned(_) => FieldValue::Unsigned(number as u64),
        Values::String(_) | Values::Boolean(_) => return None,
    })
}

/// Returns the times of all windows, and each window's row in the series, if any.
fn dense(
    present_ns: &[i64],
    windows: ShownWindows<'_>,
) -> Result<(Vec<i64>, Vec<Option<u32>>), QueryError> {
    let ShownWindows { window, range, descending, limit } = windows;
    let last_ns = range.end_ns.saturating_sub(1);
    let bounded = range.start_ns > MIN_TIME_NS;
    let first_present = present_ns.first().copied().unwrap_or(range.start_ns);
    let last_present = present_ns.last().copied().unwrap_or(range.start_ns);
    let (mut next, end) = if descending {
        let end = if bounded { window.start(range.start_ns) } else { last_present };
        (window.start(last_ns), end)
    } else {
        let start = if bounded { window.start(range.start_ns) } else { first_present };
        (start, window.start(last_ns))
    };
    if !bounded {
        check_stray(present_ns, next.max(end), window.every_ns)?;
    }
    let before = |a: i64, b: i64| if descending { a > b } else { a < b };
    let (mut times, mut rows) = (Vec::new(), Vec::new());
    let mut shift_ns = window.shift(next);
    let mut row = 0;
    loop {
        let present = present_ns.get(row).copied();
        let due = !before(end, next);
        let time = match present {
            Some(time) if !before(next, time) => {
                rows.push(Some(row as u32));
                row += 1;
                time
            }
            // A subquery can have values after the range's last window, so the windows continue to
            // the last value. A value before the first window replaces the first window (1.x).
            _ if due || present.is_some() => {
                rows.push(None);
                next
            }
            _ => break,
        };
        times.push(time);
        if times.len() as u64 > limit {
            let requested = times.len() as u64;
            return Err(QueryError::Buckets { requested, limit });
        }
        next = window.step(next, &mut shift_ns, descending);
    }
    Ok((times, rows))
}

/// Rejects a query in which a stray point causes nearly all windows: more than `STRAY_WINDOWS_MIN`
/// windows up to `last_ns`, of which at least 90 % precede the second value. A stray point is
/// usually in 1970, because its write had the wrong precision.
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

/// Returns each window's own row, or the last earlier row.
pub(super) fn last_before(rows: &[Option<u32>]) -> Vec<Option<u32>> {
    let mut last = None;
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

/// An entry of `points` contains the positions in `rows` of the empty window, the previous value
/// and the next value.
fn linear(series: &CallSeries, times: &[i64], rows: &[Option<u32>], every_ns: i64) -> Column {
    let mut filled = gather_or_null(&series.values, rows);
    let mut previous: Option<usize> = None;
    let mut points: Vec<(usize, usize, usize)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match row {
            None => open.push(index),
            Some(_) => {
                if let Some(previous) = previous {
                    points.extend(open.iter().map(|&hole| (hole, previous, index)));
                }
                open.clear();
                previous = Some(index);
            }
        }
    }
    let slot = |index: usize| times.get(index).map_or(0, |time| time / every_ns.max(1));
    let mut fills = Vec::with_capacity(points.len());
    for (hole, from, to) in points {
        let both = filled.validity.is_valid(from) && filled.validity.is_valid(to);
        let width = slot(to).wrapping_sub(slot(from)) as f64;
        let along = slot(hole).wrapping_sub(slot(from)) as f64;
        let line = |from: f64, rise: f64| rise / width * along + from;
        match &mut filled.values {
            Values::Float(values) if both => set(values, hole, from, to, |a, b| line(a, b - a)),
            Values::Integer(values) if both => {
                set(values, hole, from, to, |a, b| line(a as f64, b.wrapping_sub(a) as f64) as i64);
            }
            Values::Unsigned(values) if both => {
                set(values, hole, from, to, |a, b| line(a as f64, b.wrapping_sub(a) as f64) as u64);
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

fn set<T: Copy>(values: &mut [T], hole: usize, from: usize, to: usize, f: impl Fn(T, T) -> T) {
    if let (Some(&from), Some(&to)) = (values.get(from), values.get(to))
        && let Some(value) = values.get_mut(hole)
    {
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
        let series = fill(&series, &plan, windows).expect("few windows");
        let value = |row| match series.values.get(row) {
            Some(FieldValue::Integer(value)) => Some(value),
            _ => None,
        };
        series.times_ns.iter().enumerate().map(|(row, &time)| (time, value(row))).collect()
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
