//! Joins the values of several calls of a group by time (1.x `multiScannerCursor`).

use super::series::{CallSeries, gather_or, last_before};
use crate::model::value::FieldValue;
use crate::query::result::Column;
use crate::query::scalar::repeat;

/// Joins `series` by time. Returns the times and a column for each call; the column is `None` for a
/// call without values.
///
/// `missing[i]` is the value of call `i` at times of other calls. `carry` (`fill(previous)`) sets
/// `missing[i]` to the call's last value. The join moves all values out of `series` except the
/// `aux` columns.
pub(crate) fn join(
    series: &mut [Option<CallSeries>],
    missing: &mut [Option<FieldValue>],
    carry: bool,
    descending: bool,
) -> (Vec<i64>, Vec<Option<Column>>) {
    if let Some(joined) = without_changes(series, missing, carry) {
        return joined;
    }
    let (times, rows) = align(series, descending);
    let mut columns = Vec::with_capacity(series.len());
    for ((series, mut rows), missing) in series.iter().zip(rows).zip(missing) {
        columns.push(match series {
            Some(series) => {
                if carry {
                    rows = last_before(&rows, None);
                }
                let column = gather_or(&series.values, &rows, missing.as_ref());
                if carry && let Some(last) = column.len().checked_sub(1) {
                    *missing = column.get(last);
                }
                Some(column)
            }
            None => missing.as_ref().map(|value| Column::full(repeat(value, times.len()))),
        });
    }
    (times, columns)
}

fn without_changes(
    series: &mut [Option<CallSeries>],
    missing: &mut [Option<FieldValue>],
    carry: bool,
) -> Option<(Vec<i64>, Vec<Option<Column>>)> {
    let mut all = series.iter().map(Option::as_ref);
    let first = all.next()??;
    if !all.all(|other| other.is_some_and(|other| other.times_ns == first.times_ns)) {
        return None;
    }
    let mut times = Vec::new();
    let mut columns = Vec::with_capacity(series.len());
    for (series, missing) in series.iter_mut().flatten().zip(missing) {
        times = std::mem::take(&mut series.times_ns);
        let none = Column::new(series.values.values.field_type());
        let column = std::mem::replace(&mut series.values, none);
        if carry && let Some(last) = column.len().checked_sub(1) {
            *missing = column.get(last);
        }
        columns.push(Some(column));
    }
    Some((times, columns))
}

/// Returns all times in order, and each series' row at each time. If a series has several rows at a
/// time, that time is repeated.
fn align(series: &[Option<CallSeries>], descending: bool) -> (Vec<i64>, Vec<Vec<Option<u32>>>) {
    let mut next: Vec<usize> = vec![0; series.len()];
    let mut rows: Vec<Vec<Option<u32>>> = vec![Vec::new(); series.len()];
    let mut times = Vec::new();
    loop {
        let heads = series.iter().zip(&next).filter_map(|(series, &row)| {
            series.as_ref().and_then(|series| series.times_ns.get(row)).copied()
        });
        let Some(time) = (if descending { heads.max() } else { heads.min() }) else { break };
        times.push(time);
        for ((series, next), rows) in series.iter().zip(&mut next).zip(&mut rows) {
            let head = series.as_ref().and_then(|series| series.times_ns.get(*next));
            let here = head == Some(&time);
            rows.push(here.then_some(*next as u32));
            *next += usize::from(here);
        }
    }
    (times, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::result::Values::Integer;

    fn one(times: &[i64], values: &[i64]) -> Option<CallSeries> {
        Some(CallSeries {
            times_ns: times.to_vec(),
            values: Column::full(Integer(values.to_vec())),
            aux: Vec::new(),
        })
    }

    #[test]
    fn join_aligns_repeated_equal_times() {
        let series = [one(&[1, 1, 3], &[10, 11, 30]), one(&[1, 1, 3], &[20, 21, 33])];
        for carry in [false, true] {
            let mut missing = [Some(FieldValue::Integer(5)), None];
            let before = missing.clone();
            let (times, columns) = join(&mut series.clone(), &mut missing, carry, false);
            assert_eq!(times, [1, 1, 3]);
            let values = |of: &Option<CallSeries>| of.as_ref().map(|series| series.values.clone());
            assert!(columns.iter().cloned().eq(series.iter().map(values)));
            let last = [Some(FieldValue::Integer(30)), Some(FieldValue::Integer(33))];
            assert_eq!(missing, if carry { last } else { before });
        }
    }

    #[test]
    fn join_matches_calls_by_time() {
        let series = [one(&[1, 3], &[10, 30]), one(&[2, 3], &[20, 33]), None];
        let (times, columns) = {
            let mut missing = [None, Some(FieldValue::Integer(0)), None];
            join(&mut series.clone(), &mut missing, false, false)
        };
        assert_eq!(times, [1, 2, 3]);
        let value = |call: usize, row: usize| columns[call].as_ref().and_then(|c| c.get(row));
        assert_eq!(value(0, 1), None);
        assert_eq!(value(0, 2), Some(FieldValue::Integer(30)));
        assert_eq!(value(1, 0), Some(FieldValue::Integer(0)));
        assert_eq!(columns[2], None);

        let mut missing = [None, Some(FieldValue::Integer(7)), None];
        let (_, columns) = join(&mut series.clone(), &mut missing, true, false);
        let value = |call: usize, row: usize| columns[call].as_ref().and_then(|c| c.get(row));
        assert_eq!(value(0, 1), Some(FieldValue::Integer(10)));
        assert_eq!(value(1, 0), Some(FieldValue::Integer(7)));
        assert_eq!(missing, [Some(FieldValue::Integer(30)), Some(FieldValue::Integer(33)), None]);
    }
}
