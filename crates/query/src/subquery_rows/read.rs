//! Scans the stored rows of a subquery, with pauses.

use std::ops::Range;

use super::layout::{Layout, is_rows};
use crate::error::{QueryError, Result};
use crate::result::{Column, Values};
use crate::stream::Slice;
use crate::work::{PAGE_BYTES_PER_UNIT, Work};
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::merge::key::SeriesKey;
use tidemark_engine::scan::page::{Group, GroupData, ScanPage};
use tidemark_engine::scan::read_stats::ReadStats;
use tidemark_engine::scan::request::{Output, Resume, ScanRequest};
use tidemark_engine::scan::{self, PageLimits};
use tidemark_model::limits::PAGE_BYTES_MAX;
use tidemark_model::regex::Patterns;

/// The number of values whose condition is checked in one unit of work: a check takes about 5 ns,
/// and a unit of work 50 ns.
const FILTER_CELLS_PER_UNIT: u64 = 10;
/// The work of passing a series to a call. The work of reading the series' rows is counted
/// separately.
const CALL_WORK: u64 = 4;
/// The maximum number of times that a piece of a scan passes a series to a call. Without this
/// limit, a piece with many short series would take too long, because the calls need more time than
/// reading the rows.
const CALLED_PER_PIECE: usize = 25_000;
/// The number of cells that a scan counts for a series in addition to its rows.
const SERIES_CELLS: u64 = 10;

/// Reads the next slice of the result. Awaits only [`Work::spend`].
pub(super) async fn read_slice(
    layout: &Layout,
    request: &ScanRequest,
    cells: u64,
    work: &Work,
) -> Result<ScanPage> {
    let calls = match &request.output {
        Output::Aggregates { calls, .. } => calls.len(),
        Output::Rows { .. } => 0,
    };
    let mut gathered = Slice::new(request, false);
    let mut request = request.clone();
    let patterns = Patterns::limited();
    loop {
        let limits = PageLimits {
            bytes: PAGE_BYTES_MAX,
            decoded_bytes: u64::MAX,
            cells: cells.min(piece_cells(layout, &request, calls)),
            tile: scan::TileLimits::DEFAULT,
        };
        patterns.work().renew();
        let piece = scan::scan_with(layout, &request, limits, &patterns);
        let piece = piece.map_err(|_| QueryError::Page("a scan of a subquery"))?;
        let ReadStats { cells, filter_cells, series, .. } = piece.stats;
        let units = cells
            .saturating_add(filter_cells / FILTER_CELLS_PER_UNIT)
            .saturating_add(series.saturating_mul(calls as u64 * CALL_WORK));
        work.add(piece.groups.iter().map(Group::bytes).sum::<usize>() / PAGE_BYTES_PER_UNIT);
        gathered.add(0, piece.groups, &request.output)?;
        if let Some(until) = piece.until {
            // Earlier pieces may contain groups and windows after the new end. The next slice reads
            // them again.
            gathered.lower(until.clone());
            request.resume.until = Some(until);
        }
        let units = usize::try_from(units).unwrap_or(usize::MAX);
        work.spend(units.saturating_add(patterns.take_work())).await;
        request.resume.position = piece.position;
        if request.resume.position.is_none() {
            break;
        }
    }
    let mut groups = Vec::new();
    for (key, mut parts) in gathered.into_groups(work).await {
        while let Some(mut data) = parts.next() {
            if is_rows(&request) {
                restore_times(&mut data);
            }
            let group = Group { key: key.clone(), data };
            work.spend(group.bytes() / PAGE_BYTES_PER_UNIT).await;
            groups.push(group);
        }
    }
    Ok(ScanPage { groups, until: request.resume.until, ..ScanPage::default() })
}

/// Returns the maximum number of cells of the next piece, so that the piece passes about
/// [`CALLED_PER_PIECE`] series to `calls` calls. Long series need no smaller pieces, and each piece
/// merges the states of all earlier pieces.
fn piece_cells(layout: &Layout, request: &ScanRequest, calls: usize) -> u64 {
    let Some(series_max) = CALLED_PER_PIECE.checked_div(calls) else { return u64::MAX };
    let series_max = series_max.max(1);
    let all = &layout.series;
    let left = match &request.resume.position {
        None => 0..all.len(),
        Some(position) => {
            let reached = all.partition_point(|(key, _)| key.as_bytes() < &*position.series);
            let is_known = |(key, _): &(SeriesKey, _)| key.as_bytes() == position.series;
            let is_whole = position.time_ns.is_none() && all.get(reached).is_some_and(is_known);
            match request.direction {
                Direction::Ascending => reached + usize::from(is_whole)..all.len(),
                Direction::Descending => 0..all.len().min(reached + usize::from(!is_whole)),
            }
        }
    };
    if left.len() <= series_max {
        return u64::MAX;
    }
    let next = match request.direction {
        Direction::Ascending => left.start..left.start + series_max,
        Direction::Descending => left.end - series_max..left.end,
    };
    let columns = calls.min(layout.columns.len()) as u64;
    let cells = |(_, rows): &(SeriesKey, Range<u32>)| SERIES_CELLS + columns * rows.len() as u64;
    all.get(next).unwrap_or_default().iter().map(cells).sum()
}

/// Reads all slices of the result, and returns their groups.
pub(super) async fn read_all(
    layout: &Layout,
    request: &ScanRequest,
    cells: u64,
    work: &Work,
) -> Result<ScanPage> {
    let mut request = ScanRequest { resume: Resume::default(), ..request.clone() };
    let mut groups = Vec::new();
    loop {
        let slice = read_slice(layout, &request, cells, work).await?;
        groups.extend(slice.groups);
        match std::mem::take(&mut request.resume).after(slice.until, None) {
            None => return Ok(ScanPage { groups, ..ScanPage::default() }),
            Some(next) => request.resume = next,
        }
    }
}

fn restore_times(data: &mut GroupData) {
    let GroupData::Rows { times_ns, fields, .. } = data else { return };
    if let Some(Column { values: Values::Integer(real), .. }) = fields.pop() {
        *times_ns = real;
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::layout::{ArrivedRows, PAGE_ROWS, PlacedRow, REPEAT_TAG};
    use super::*;
    use crate::stream::tests::request;
    use crate::work::run_measured;
    use tidemark_engine::scan::request::{
        AggregateCall, AggregateFunction, Input, Position, Window,
    };
    use tidemark_model::ids::{ColumnId, MeasurementId};
    use tidemark_model::limits::WORK_PER_TURN;
    use tidemark_model::time::TimeRange;
    use tidemark_model::value::FieldType;

    /// A number of units that is larger than any step of this test needs.
    const EXCESS: usize = 1_000_000;
    const COLUMN: ColumnId = ColumnId(1);
    const INPUT: Input = Input { column: COLUMN, field_type: FieldType::Integer, cast: None };

    /// Returns series of these rows. The column contains `value` of each row.
    fn layout(
        series: impl Iterator<Item = (String, Range<i64>)>,
        value: impl Fn(&PlacedRow) -> i64,
        work: &Work,
    ) -> Layout {
        let mut arrived = ArrivedRows::default();
        for (group, (host, times_ns)) in (0..).zip(series) {
            arrived.groups.push([("host".to_owned(), host)].into());
            arrived.times_ns.extend(times_ns);
            arrived.row_groups.resize(arrived.times_ns.len(), group);
        }
        let (placed, _) = run_measured(work, EXCESS, arrived.by_time(work));
        let pages = placed
            .chunks(PAGE_ROWS as usize)
            .map(|rows| Rc::new(Column::full(Values::Integer(rows.iter().map(&value).collect()))));
        let columns = vec![(COLUMN, pages.collect())];
        run_measured(work, EXCESS, arrived.arranged(MeasurementId(1), &placed, columns, work)).0
    }

    /// The first piece contains only late windows. The early windows of the last host then fill the
    /// slice, so that the slice ends before these late windows.
    #[test]
    fn windows_after_lowered_end_count_once() {
        let hosts = (0..25).map(|host| (format!("a{host:02}"), 200_000..210_000));
        let hosts = hosts.chain([("b".to_owned(), 0..100_000)]);
        let work = Work::default();
        let layout = layout(hosts, |_| 1, &work);
        let function = AggregateFunction::Count;
        let calls = vec![AggregateCall { function, input: INPUT, aux: Vec::new() }];
        let window = Some(Window { every_ns: 1, offset_ns: 0, zone: Vec::new() });
        let request = request(Output::Aggregates { calls, window, limit: None });
        let (page, pauses) =
            run_measured(&work, EXCESS, read_all(&layout, &request, WORK_PER_TURN, &work));
        // Each batch of rows counts only its own rows.
        assert!(pauses <= 30, "{pauses} pauses");
        let count = |group: &Group| {
            let GroupData::Partials(states) = &group.data else { panic!("{group:?}") };
            let Values::Integer(counts) = &states[0].states[0].values else { panic!("{states:?}") };
            counts.iter().sum::<i64>()
        };
        assert_eq!(page.unwrap().groups.iter().map(count).sum::<i64>(), 350_000);
    }

    #[test]
    fn only_short_series_make_pieces_smaller() {
        const LONG: u32 = 1_000_000;
        let key = |n: u32| SeriesKey::new(MeasurementId(0), [format!("{n:06}").as_str()]);
        let short = (1..=60_000).map(|n| (key(n), LONG + n - 1..LONG + n));
        let layout = Layout {
            tag_order: vec![REPEAT_TAG],
            time: TimeRange::ALL,
            times_ns: Rc::default(),
            columns: vec![(ColumnId(1), Vec::new())].into(),
            series: std::iter::once((key(0), 0..LONG)).chain(short).collect(),
        };
        let cells = |direction: Direction, position: Option<(u32, Option<i64>)>, calls: usize| {
            let position = position.map(|(series, time_ns)| Position {
                order: Vec::new(),
                stretch: TimeRange::ALL,
                series: key(series).as_bytes().to_vec(),
                time_ns,
            });
            let output = Output::Aggregates { calls: Vec::new(), window: None, limit: None };
            let resume = Resume { position, ..Resume::default() };
            let request = ScanRequest { direction, resume, ..request(output) };
            piece_cells(&layout, &request, calls)
        };
        let short = SERIES_CELLS + 1;
        let long = u64::from(LONG) - 1;
        assert_eq!(cells(Direction::Ascending, None, 0), u64::MAX);
        assert_eq!(cells(Direction::Ascending, None, 1), 25_000 * short + long);
        assert_eq!(cells(Direction::Ascending, Some((0, Some(5))), 1), 25_000 * short + long);
        assert_eq!(cells(Direction::Ascending, Some((0, None)), 1), 25_000 * short);
        assert_eq!(cells(Direction::Ascending, Some((0, None)), 50), 500 * short);
        assert_eq!(cells(Direction::Ascending, Some((35_000, None)), 1), u64::MAX);
        assert_eq!(cells(Direction::Descending, None, 1), 25_000 * short);
        assert_eq!(cells(Direction::Descending, Some((25_000, Some(5))), 1), 25_000 * short);
        assert_eq!(cells(Direction::Descending, Some((25_001, None)), 1), 25_000 * short);
        assert_eq!(cells(Direction::Descending, Some((25_000, None)), 1), u64::MAX);
    }

    /// The rows of the series are not in the order of the result.
    #[test]
    fn rows_of_many_series_are_sorted_in_turns() {
        /// The work of a piece of the scan.
        const PIECE_WORK: usize = 400_000;
        let work = Work::default();
        let hosts = (0..100).map(|host| (format!("h{host:02}"), 0..3_000));
        // `read_all` takes the times from the last field.
        let layout = layout(hosts, |row| row.time_ns, &work);
        let (fields, tags) = (vec![INPUT], Vec::new());
        let request = request(Output::Rows { fields, tags, limit: None, every_row: false });
        let reading = read_all(&layout, &request, WORK_PER_TURN, &work);
        let (page, pauses) = run_measured(&work, PIECE_WORK, reading);
        assert!(pauses >= 5, "{pauses} pauses");
        let mut read_ns = Vec::new();
        for group in page.unwrap().groups {
            let GroupData::Rows { times_ns, .. } = group.data else { panic!("{:?}", group.key) };
            read_ns.extend(times_ns);
        }
        assert_eq!(read_ns.len(), 300_000);
        assert!(read_ns.is_sorted());
    }
}
