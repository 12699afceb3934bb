//! Contains the values of a call for one group, applies LIMIT and OFFSET to them, and joins the
//! values of several calls by time (1.x `multiScannerCursor`).

use crate::result::Column;
use crate::scalar::repeat;
use crate::work::Work;
use tidemark_engine::merge::cursor::Direction;
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldValue;

/// The values of a call for one group, in the statement's direction. Times are unique unless the
/// call returns several values per time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallSeries {
    pub(crate) times_ns: Vec<i64>,
    pub(crate) values: Column,
    pub(crate) aux: Vec<Option<Column>>,
}

impl CallSeries {
    pub(crate) fn bytes(&self) -> usize {
        let aux = self.aux.iter().flatten().map(Column::bytes).sum::<usize>();
        8 * self.times_ns.len() + self.values.bytes() + aux
    }

    /// Appends the rows to `all`.
    pub(crate) fn append_to(self, all: &mut Option<Self>) {
        match all {
            Some(all) => all.extend(&self),
            none => *none = Some(self),
        }
    }

    fn extend(&mut self, next: &Self) {
        let before = self.times_ns.len();
        let rows: Vec<u32> = (0..next.times_ns.len() as u32).collect();
        self.times_ns.extend(&next.times_ns);
        self.values.extend_from(&next.values);
        for (all, column) in self.aux.iter_mut().zip(&next.aux) {
            append(all, column.as_ref(), &rows, before);
        }
    }

    /// Returns rows `from..to`, limited to the rows that exist.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        let to = to.min(self.times_ns.len());
        let from = from.min(to);
        // Row positions fit in u32, because a series in memory has at most a million windows.
        let rows: Vec<u32> = (from as u32..to as u32).collect();
        Self {
            times_ns: self.times_ns.get(from..to).or_bug().to_vec(),
            values: self.values.gather(&rows),
            aux: self.aux.iter().map(|c| c.as_ref().map(|c| c.gather(&rows))).collect(),
        }
    }
}

pub(super) fn append(
    all: &mut Option<Column>,
    column: Option<&Column>,
    rows: &[u32],
    before: usize,
) {
    match (all.as_mut(), column) {
        (Some(all), Some(column)) => {
            if !all.extend_from(&column.gather(rows)) {
                all.extend_nulls(rows.len());
            }
        }
        (Some(all), None) => all.extend_nulls(rows.len()),
        (None, Some(column)) => {
            let mut new = Column::new(column.values.field_type());
            new.extend_nulls(before);
            new.extend_from(&column.gather(rows));
            *all = Some(new);
        }
        (None, None) => {}
    }
}

/// Copies the values at `rows`. A row that is `None` becomes null.
pub(crate) fn gather_or_null(column: &Column, rows: &[Option<u32>]) -> Column {
    let mut gathered = Column::full(column.values.gather_or_pad(rows));
    if rows.iter().any(|row| row.is_none_or(|row| !column.validity.is_valid(row as usize))) {
        for (index, row) in rows.iter().enumerate() {
            let valid = row.is_some_and(|row| column.validity.is_valid(row as usize));
            gathered.validity.push(index, valid);
        }
    }
    gathered
}

/// Copies the given rows of a column. A row that is `None` becomes `otherwise`, or null if the
/// types differ.
pub(super) fn gather_or(
    column: &Column,
    rows: &[Option<u32>],
    otherwise: Option<&FieldValue>,
) -> Column {
    let Some(otherwise) = otherwise else { return gather_or_null(column, rows) };
    let mut all = column.clone();
    let filler = all.len() as u32;
    if !all.extend_from(&Column::full(repeat(otherwise, 1))) {
        return gather_or_null(column, rows);
    }
    all.gather(&rows.iter().map(|row| row.unwrap_or(filler)).collect::<Vec<u32>>())
}

/// Returns each entry's own row, or the last earlier row. `before` is the last row before all
/// entries.
pub(super) fn last_before(rows: &[Option<u32>], before: Option<u32>) -> Vec<Option<u32>> {
    let mut last = before;
    let own_or_last = |row: &Option<u32>| {
        last = row.or(last);
        last
    };
    rows.iter().map(own_or_last).collect()
}

/// Applies LIMIT and OFFSET to a stream of row batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limiter {
    skip: u64,
    show: Option<u64>,
    /// Whether a row has arrived, even if LIMIT or OFFSET hides the row.
    pub(crate) is_begun: bool,
}

impl Limiter {
    pub(crate) fn new(limit: u64, offset: u64) -> Self {
        Self { skip: offset, show: (limit > 0).then_some(limit), is_begun: false }
    }

    /// Returns the positions `from..to` of the result's rows in the next `rows` rows.
    pub(crate) fn take(&mut self, rows: usize) -> (usize, usize) {
        self.is_begun |= rows > 0;
        let from = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rows);
        self.skip -= from as u64;
        let mut to = rows;
        if let Some(show) = &mut self.show {
            let shown = usize::try_from(*show).unwrap_or(usize::MAX).min(rows - from);
            *show -= shown as u64;
            to = from + shown;
        }
        (from, to)
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.show == Some(0)
    }
}

/// Times in order, and the column of each call at these times. The column is `None` for a call
/// without values.
type Joined = (Vec<i64>, Vec<Option<Column>>);

/// The values of several calls, which are joined by time, part by part.
#[derive(Debug)]
pub(crate) struct Join {
    /// The values, without those in `whole`.
    pub(crate) series: Vec<Option<CallSeries>>,
    /// All rows, if all calls have the same times.
    whole: Option<Joined>,
    /// The number of each series' rows in earlier parts.
    passed: Vec<usize>,
    direction: Direction,
}

impl Join {
    pub(crate) fn new(mut series: Vec<Option<CallSeries>>, direction: Direction) -> Self {
        let (whole, passed) = (without_changes(&mut series), vec![0; series.len()]);
        Self { series, whole, passed, direction }
    }

    /// Returns the next rows; `None` after the last rows. Returns at most `rows_max` rows, unless
    /// all calls have the same times.
    ///
    /// `missing[i]` is the value of call `i` at times of other calls. `carry` (`fill(previous)`)
    /// sets `missing[i]` to the call's last value.
    pub(crate) fn next(
        &mut self,
        missing: &mut [Option<FieldValue>],
        carry: bool,
        rows_max: usize,
        work: &Work,
    ) -> Option<Joined> {
        let (times_ns, columns) = match self.whole.take() {
            Some(whole) => whole,
            None => {
                let aligned = self.aligned(missing, carry, rows_max);
                work.add(aligned.0.len() * aligned.1.len());
                aligned
            }
        };
        if times_ns.is_empty() {
            return None;
        }
        if carry {
            for (column, missing) in columns.iter().zip(missing) {
                if let Some(column) = column
                    && let Some(last) = column.len().checked_sub(1)
                {
                    *missing = column.get(last);
                }
            }
        }
        Some((times_ns, columns))
    }

    fn aligned(&mut self, missing: &[Option<FieldValue>], carry: bool, rows_max: usize) -> Joined {
        let passed = self.passed.clone();
        let (times_ns, rows) = self.align(rows_max);
        let places = passed.into_iter().zip(&self.passed);
        let all = self.series.iter().zip(places).zip(rows.into_iter().zip(missing));
        let columns = all.map(|((series, (first, &end)), (rows, missing))| match series {
            Some(series) => {
                // The part begins with the last row of the earlier parts. Row positions fit in u32
                // (`CallSeries::slice`).
                let part: Vec<u32> = (first.saturating_sub(1) as u32..end as u32).collect();
                let before = (first > 0).then_some(0);
                let rows = if carry { last_before(&rows, before) } else { rows };
                Some(gather_or(&series.values.gather(&part), &rows, missing.as_ref()))
            }
            None => missing.as_ref().map(|value| Column::full(repeat(value, times_ns.len()))),
        });
        let columns = columns.collect();
        (times_ns, columns)
    }

    /// Returns the next times in order, and the row of each series at each time. A row number
    /// counts from the series' last row in earlier parts. If a series has several rows with the
    /// same time, the result repeats this time.
    fn align(&mut self, rows_max: usize) -> (Vec<i64>, Vec<Vec<Option<u32>>>) {
        let Self { series, passed, direction, .. } = self;
        let starts: Vec<usize> = passed.iter().map(|rows| rows.saturating_sub(1)).collect();
        let mut rows: Vec<Vec<Option<u32>>> = vec![Vec::new(); series.len()];
        let mut times_ns = Vec::new();
        while times_ns.len() < rows_max {
            let heads = series.iter().zip(&*passed).filter_map(|(series, &row)| {
                series.as_ref().and_then(|series| series.times_ns.get(row)).copied()
            });
            let next_ns = if direction.is_descending() { heads.max() } else { heads.min() };
            let Some(time_ns) = next_ns else { break };
            times_ns.push(time_ns);
            let all = series.iter().zip(&mut *passed).zip(starts.iter().zip(&mut rows));
            for ((series, next), (start, rows)) in all {
                let head = series.as_ref().and_then(|series| series.times_ns.get(*next));
                let here = head == Some(&time_ns);
                rows.push(here.then_some((*next - start) as u32));
                *next += usize::from(here);
            }
        }
        (times_ns, rows)
    }
}

/// Moves the values out of `series` except the `aux` columns. Returns `None` unless all series have
/// the same times.
fn without_changes(series: &mut [Option<CallSeries>]) -> Option<Joined> {
    let mut all = series.iter().map(Option::as_ref);
    let first = all.next()??;
    if !all.all(|other| other.is_some_and(|other| other.times_ns == first.times_ns)) {
        return None;
    }
    let mut times = Vec::new();
    let mut columns = Vec::with_capacity(series.len());
    for series in series.iter_mut().flatten() {
        times = std::mem::take(&mut series.times_ns);
        let none = Column::new(series.values.values.field_type());
        columns.push(Some(std::mem::replace(&mut series.values, none)));
    }
    Some((times, columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Values::Integer;

    fn one(times: &[i64], values: &[i64]) -> Option<CallSeries> {
        Some(CallSeries {
            times_ns: times.to_vec(),
            values: Column::full(Integer(values.to_vec())),
            aux: Vec::new(),
        })
    }

    /// Joins the series in parts of at most `rows_max` rows.
    fn join(
        series: &[Option<CallSeries>],
        missing: &mut [Option<FieldValue>],
        carry: bool,
        rows_max: usize,
    ) -> Joined {
        let mut join = Join::new(series.to_vec(), Direction::Ascending);
        let is_whole = join.whole.is_some();
        let (mut all_ns, mut all) = (Vec::new(), vec![None; series.len()]);
        while let Some((times_ns, columns)) = join.next(missing, carry, rows_max, &Work::default())
        {
            assert!(is_whole || times_ns.len() <= rows_max);
            all_ns.extend(times_ns);
            for (all, column) in all.iter_mut().zip(columns) {
                match (all, column) {
                    (Some(all), Some(column)) => assert!(Column::extend_from(all, &column)),
                    (Some(_), None) => panic!("a part lacks a column"),
                    (all, column) => *all = column,
                }
            }
        }
        (all_ns, all)
    }

    #[test]
    fn join_aligns_repeated_equal_times() {
        let series = [one(&[1, 1, 3], &[10, 11, 30]), one(&[1, 1, 3], &[20, 21, 33])];
        for carry in [false, true] {
            let mut missing = [Some(FieldValue::Integer(5)), None];
            let before = missing.clone();
            let (times, columns) = join(&series, &mut missing, carry, 1);
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
        for rows_max in [1, 2, 3] {
            let mut missing = [None, Some(FieldValue::Integer(0)), None];
            let (times, columns) = join(&series, &mut missing, false, rows_max);
            assert_eq!(times, [1, 2, 3]);
            let value = |call: usize, row: usize| columns[call].as_ref().and_then(|c| c.get(row));
            assert_eq!(value(0, 1), None);
            assert_eq!(value(0, 2), Some(FieldValue::Integer(30)));
            assert_eq!(value(1, 0), Some(FieldValue::Integer(0)));
            assert_eq!(columns[2], None);

            let mut missing = [None, Some(FieldValue::Integer(7)), None];
            let (_, columns) = join(&series, &mut missing, true, rows_max);
            let value = |call: usize, row: usize| columns[call].as_ref().and_then(|c| c.get(row));
            assert_eq!(value(0, 1), Some(FieldValue::Integer(10)));
            assert_eq!(value(1, 0), Some(FieldValue::Integer(7)));
            let last = [Some(FieldValue::Integer(30)), Some(FieldValue::Integer(33)), None];
            assert_eq!(missing, last);
        }
    }

    /// The parts of a join equal the parts of the whole, also for calls without values in a part.
    #[test]
    fn join_in_parts_equals_whole_join() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let mut series = Vec::new();
            for _ in 0..rng.usize(1..4) {
                let mut times: Vec<i64> = (0..rng.usize(0..9)).map(|_| rng.i64(0..9)).collect();
                times.sort_unstable();
                let values: Vec<i64> = times.iter().map(|_| rng.i64(0..99)).collect();
                series.push(if times.is_empty() { None } else { one(&times, &values) });
            }
            let values = |(times, columns): Joined| {
                let value = |row| move |c: &Option<Column>| c.as_ref().map(|c| c.get(row));
                let row = |row| columns.iter().map(value(row)).collect::<Vec<_>>();
                (0..times.len()).map(row).zip(times).collect::<Vec<_>>()
            };
            let number = FieldValue::Integer(7);
            let before: Vec<Option<FieldValue>> =
                series.iter().map(|_| rng.bool().then(|| number.clone())).collect();
            for carry in [false, true] {
                let (mut missing, mut in_parts) = (before.clone(), before.clone());
                let whole = join(&series, &mut missing, carry, usize::MAX);
                let parts = join(&series, &mut in_parts, carry, rng.usize(1..5));
                assert_eq!(values(parts), values(whole), "{series:?}");
                assert_eq!(in_parts, missing, "{series:?}");
            }
        }
    }
}
