//! The keys of a page: the number of rows of each series, and the times of the rows.

use std::ops::Range;
use std::rc::Rc;

use super::block::{self, CORRUPT, Error, first_not};
use crate::codec::draft::Draft;
use crate::codec::huffman::Decoder;
use crate::codec::{integer, timestamp, varint};
use crate::merge::cursor::{Columns, PageKeys};
use tidemark_model::bug::OrBug;
use tidemark_model::time::TimeRange;

/// The minimum average number of rows per series for which a page stores times as steps.
const STEPS_MIN: usize = 4;

/// The rows of a page: the end of each series and the times.
#[derive(Clone, Debug)]
pub struct RowKeys {
    ends: Rc<[u32]>,
    times: Times,
}

#[derive(Clone, Debug)]
enum Times {
    /// The time of each row, in nanoseconds. Times ascend within a series.
    Each(Rc<[i64]>),
    /// The first time of each series and the step to the next time, in nanoseconds.
    Steps(Rc<[(i64, i64)]>),
}

impl RowKeys {
    fn new(ends: Vec<u32>, times_ns: Vec<i64>) -> Self {
        Self { ends: ends.into(), times: Times::Each(times_ns.into()) }
    }

    pub(super) fn draft(rows_of_series: &[i64], times_ns: &[i64]) -> Draft {
        let mut head = Vec::new();
        varint::write_counted(&mut head, |head| integer::encode(rows_of_series, head));
        timestamp::draft(times_ns, head)
    }

    pub(super) fn decode(
        bytes: &[u8],
        rows: u32,
        series: u32,
        table: Option<&Decoder>,
    ) -> Result<Self, Error> {
        let mut times = block::open(bytes)?;
        let counts = varint::read_bytes(&mut times)?;
        let (mut rows_of_series, mut times_ns) = (Vec::new(), Vec::new());
        integer::decode(counts, series as usize, &mut rows_of_series)?;
        timestamp::decode_with(times, rows as usize, table, &mut times_ns)?;
        let (mut end, mut ends) = (0_u32, Vec::new());
        for count in rows_of_series {
            let count = u32::try_from(count).map_err(|_| CORRUPT)?;
            end = end.checked_add(count).filter(|&end| end <= rows).ok_or(CORRUPT)?;
            ends.push(end);
        }
        if end == rows { Ok(Self::new(ends, times_ns)) } else { Err(CORRUPT) }
    }

    /// Returns the time of the last row, or `None` if times are stored as steps.
    pub(super) fn last_ns(&self) -> Option<i64> {
        let Times::Each(times_ns) = &self.times else { return None };
        times_ns.last().copied()
    }

    /// Returns the same keys in fewer bytes if the rows of each series have a constant time step.
    #[must_use]
    pub fn narrowed(&self) -> Self {
        let Times::Each(times_ns) = &self.times else { return self.clone() };
        let times = steps(&self.ends, times_ns).map_or_else(|| self.times.clone(), Times::Steps);
        Self { ends: Rc::clone(&self.ends), times }
    }

    pub(super) fn bytes(&self) -> usize {
        let times = match &self.times {
            Times::Each(times_ns) => size_of_val(&**times_ns),
            Times::Steps(steps) => size_of_val(&**steps),
        };
        size_of_val(&*self.ends) + times
    }

    pub(super) fn end_of(&self, series: usize) -> Option<u32> {
        self.ends.get(series).copied()
    }

    /// Returns the keys of `rows`, which may belong to several series, or `None` if times are
    /// stored as steps.
    pub(super) fn of_rows(
        &self,
        rows: Range<u32>,
        page: u64,
        columns: &Columns,
    ) -> Option<PageKeys> {
        let Times::Each(times_ns) = &self.times else { return None };
        Some(PageKeys::new(page, Rc::clone(columns), Rc::clone(times_ns), rows))
    }

    pub(super) fn of_series(
        &self,
        series: usize,
        time: TimeRange,
        page: u64,
        columns: &Columns,
    ) -> Option<PageKeys> {
        let columns = Rc::clone(columns);
        let start = series.checked_sub(1).and_then(|before| self.end_of(before));
        let rows = start.unwrap_or_default()..self.end_of(series)?;
        match &self.times {
            Times::Each(times_ns) => {
                PageKeys::new(page, columns, Rc::clone(times_ns), rows).within(time)
            }
            Times::Steps(steps) => {
                let &(first_ns, step_ns) = steps.get(series)?;
                let time_ns =
                    |row: u32| first_ns.wrapping_add(i64::from(row).wrapping_mul(step_ns));
                let before = |bound_ns| first_not(rows.len() as u32, |row| time_ns(row) < bound_ns);
                let inside = before(time.start_ns)..before(time.end_ns);
                let times_ns: Rc<[i64]> = inside.clone().map(time_ns).collect();
                let page_rows = self.ends.last().copied().or_bug();
                let first = rows.start + inside.start;
                let keys = PageKeys::of_rows(page, columns, first, times_ns, page_rows);
                (!inside.is_empty()).then_some(keys)
            }
        }
    }
}

fn steps(ends: &[u32], times_ns: &[i64]) -> Option<Rc<[(i64, i64)]>> {
    if times_ns.len() < STEPS_MIN * ends.len() {
        return None;
    }
    let mut rest = times_ns;
    let mut start = 0;
    let series = ends.iter().map(|&end| {
        let (times, behind) = rest.split_at_checked(end.checked_sub(start)? as usize)?;
        (rest, start) = (behind, end);
        let (&first_ns, others) = times.split_first()?;
        let step_ns = others.first().map_or(0, |second| second.wrapping_sub(first_ns));
        let is_step = |two: &[i64]| matches!(two, [a, b] if b.wrapping_sub(*a) == step_ns);
        times.windows(2).all(is_step).then_some((first_ns, step_ns))
    });
    let series = series.collect::<Option<_>>()?;
    rest.is_empty().then_some(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a series inside `time`, their times, and the number of rows of the page.
    type OfSeries = (Range<u32>, Vec<i64>, u32);

    fn read(keys: &RowKeys, time: TimeRange) -> Vec<Option<OfSeries>> {
        let columns = Rc::default();
        let series = 0..keys.ends.len() + 1;
        let of = |series| keys.of_series(series, time, 7, &columns);
        let content = |page: PageKeys| (page.rows(), page.times_ns().to_vec(), page.page_rows());
        series.map(|series| of(series).map(content)).collect()
    }

    #[test]
    fn narrowed_row_keys_read_equal_rows() {
        for (ends, times_ns) in [
            (&[4][..], &[10, 20, 30, 40][..]),
            (&[1, 4, 12], &[7, 1, 2, 3, -10, -8, -6, -4, -2, 0, 2, 4]),
            (&[4], &[i64::MIN, -1, i64::MAX - 1, i64::MAX]),
            (&[4], &[i64::MIN, i64::MIN + 1, i64::MIN + 2, i64::MIN + 3]),
            (&[4], &[i64::MAX - 3, i64::MAX - 2, i64::MAX - 1, i64::MAX]),
        ] {
            let each = RowKeys::new(ends.to_vec(), times_ns.to_vec());
            let narrowed = each.narrowed();
            let mut bounds = vec![i64::MIN, i64::MAX];
            bounds.extend(times_ns.iter().flat_map(|&t| [t, t.saturating_add(1)]));
            for (&start_ns, &end_ns) in
                bounds.iter().flat_map(|s| bounds.iter().map(move |e| (s, e)))
            {
                let time = TimeRange { start_ns, end_ns };
                assert_eq!(read(&narrowed, time), read(&each, time), "{times_ns:?} {time:?}");
            }
            assert_eq!(narrowed.narrowed().bytes(), narrowed.bytes());
        }
    }

    #[test]
    fn regular_times_narrow_to_steps() {
        let keys = |ends: &[u32], times_ns: &[i64]| RowKeys::new(ends.to_vec(), times_ns.to_vec());
        let steps = keys(&[8, 16], &[1, 2, 3, 4, 5, 6, 7, 8, 1, 4, 7, 10, 13, 16, 19, 22]);
        assert_eq!(steps.narrowed().bytes(), 2 * 4 + 2 * 16);
        for (ends, times_ns) in [
            (&[4][..], &[10, 20, 30, 41][..]),
            (&[4], &[10, 20, 30, 40, 50]),
            (&[5], &[10, 20, 30, 40]),
            (&[0, 4], &[10, 20, 30, 40, 50, 60, 70, 80]),
            (&[2, 4], &[10, 20, 30, 40]),
        ] {
            let keys = keys(ends, times_ns);
            assert_eq!(keys.narrowed().bytes(), keys.bytes());
            assert!(matches!(keys.narrowed().times, Times::Each(_)));
        }
    }
}
