//! Tests the cached aggregates of a shard. They must equal the aggregates that a scan computes.

use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::page::GroupData;
use tidemark_engine::scan::partial;
use tidemark_engine::scan::request::{
    AggregateCall, AggregateFunction, Input, SummaryRequest, SummaryWant, Window,
};

use super::grid::{self, Grid};
use super::*;

/// The field whose values are summed, and the index of this field in a grid.
const INTEGERS: (ColumnId, usize) = (ColumnId(11), 1);

#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) time: TimeRange,
    pub(super) window_ns: Option<i64>,
    pub(super) by_tag: bool,
    pub(super) direction: Direction,
}

/// Sums by group and window. The key contains the start of the window, or 0 without windows.
pub(super) type Sums = BTreeMap<(String, i64), i64>;

impl Question {
    fn request(&self, measurement: MeasurementId) -> ScanRequest {
        let window = |every_ns| Window { every_ns, offset_ns: 0, zone: Vec::new() };
        let window = self.window_ns.map(window);
        ScanRequest {
            measurement,
            time: self.time,
            group_by: self.by_tag.then_some(ColumnId(1)).into_iter().collect(),
            direction: self.direction,
            ..scan_of(Output::Aggregates { calls: vec![sum()], window, limit: None })
        }
    }

    pub(super) fn ask<S: Store>(
        &self,
        shard: &mut Shard<S>,
        measurement: MeasurementId,
        stamp: &Stamp,
    ) -> Result<Sums, Refusal> {
        sums(shard, self.request(measurement), stamp)
    }

    pub(super) fn expected(&self, rows: &Grid) -> Sums {
        let mut sums = Sums::new();
        for row in rows.rows() {
            let value = -i64::from(row.values[INTEGERS.1]);
            let group = if self.by_tag { grid::tag(row.series) } else { "" };
            let time_ns = grid::time_ns(row.time);
            let window_ns =
                self.window_ns.map_or(0, |every_ns| time_ns - time_ns.rem_euclid(every_ns));
            if value != 0 {
                *sums.entry((group.to_owned(), window_ns)).or_insert(0) += value;
            }
        }
        sums
    }
}

/// Returns the sums of the request's only call, which has integers as results.
pub(super) fn sums<S: Store>(
    shard: &mut Shard<S>,
    request: ScanRequest,
    stamp: &Stamp,
) -> Result<Sums, Refusal> {
    let Output::Aggregates { calls, window, .. } = request.output.clone() else {
        panic!("{request:?}")
    };
    let (mut sums, mut next) = (Sums::new(), Some(request));
    while let Some(page) = next_page(shard, &mut next, stamp)? {
        for group in page.groups {
            let GroupData::Partials(states) = &group.data else { panic!("{group:?}") };
            let finished = partial::finish(&calls[0], &states[0]).unwrap();
            let Values::Integer(values) = finished.values.values else { panic!("not integers") };
            for (window_ns, value) in finished.windows_ns.into_iter().zip(values) {
                let window_ns = window.as_ref().map_or(0, |_| window_ns);
                *sums.entry((group.key.concat(), window_ns)).or_insert(0) += value;
            }
        }
    }
    Ok(sums)
}

pub(super) fn ask_latest<S: Store>(
    time: TimeRange,
    shard: &mut Shard<S>,
    measurement: MeasurementId,
    stamp: &Stamp,
) -> Result<BTreeMap<String, i64>, Refusal> {
    let field = Input { column: INTEGERS.0, field_type: FieldType::Integer, cast: None };
    let output =
        Output::Rows { fields: vec![field], tags: Vec::new(), limit: Some(1), every_row: false };
    let question =
        Question { time, window_ns: None, by_tag: true, direction: Direction::Descending };
    let request = ScanRequest { output, ..question.request(measurement) };
    let (mut latest, mut next) = (BTreeMap::new(), Some(request));
    while let Some(page) = next_page(shard, &mut next, stamp)? {
        assert_eq!(page.until, None, "it fits a slice");
        for group in page.groups {
            let GroupData::Rows { times_ns, .. } = &group.data else { panic!("{group:?}") };
            let of_group = latest.entry(group.key.concat()).or_insert(i64::MIN);
            *of_group = times_ns.iter().copied().fold(*of_group, i64::max);
        }
    }
    Ok(latest)
}

pub(super) fn expected_latest(rows: &Grid) -> BTreeMap<String, i64> {
    let mut latest = BTreeMap::new();
    for row in rows.rows().into_iter().filter(|row| row.values[INTEGERS.1] != 0) {
        let of_group = latest.entry(grid::tag(row.series).to_owned()).or_insert(i64::MIN);
        *of_group = grid::time_ns(row.time).max(*of_group);
    }
    latest
}

fn sum() -> AggregateCall {
    let input = Input { column: INTEGERS.0, field_type: FieldType::Integer, cast: None };
    AggregateCall { function: AggregateFunction::Sum, input, aux: Vec::new() }
}

pub(super) fn count_series<S: Store>(
    shard: &mut Shard<S>,
    measurement: MeasurementId,
    stamp: &Stamp,
) -> Result<u64, Refusal> {
    let tags = vec![vec![(ColumnId(1), 1), (ColumnId(2), 2)]];
    let want = SummaryWant::SeriesHashes { tags, count_only: true };
    let mut request = SummaryRequest::new(vec![measurement], want);
    let mut count = 0;
    loop {
        let page = shard.summary(&request, stamp)?;
        count += page.measurements.iter().map(|found| found.count).sum::<u64>();
        request.resume = page.resume;
        if request.resume.is_none() {
            return Ok(count);
        }
    }
}

fn second_by_second() -> Shard<MemoryStore> {
    let mut shard = reopen(MemoryStore::new());
    shard.open(&ShardSettings { window_ns: 100_000, ..settings() }).unwrap();
    for half in [0..5_000, 5_000..10_000] {
        let points: Vec<Point> = half.map(|time_ns| point(time_ns, 1)).collect();
        shard.append(&encode(&points), &STAMP, NOW_NS).unwrap();
        shard.alarm(NOW_NS + 3_600_000_000_000);
    }
    shard
}

fn point(time_ns: i64, value: i64) -> Point {
    let fields = vec![(11, FieldValue::Integer(value))];
    Point { measurement: 1, tags: Vec::new(), time_ns, fields }
}

#[test]
fn repeated_query_reads_only_new_rows() {
    let mut shard = second_by_second();
    let of = |start, end| Question {
        time: TimeRange::new(start, end),
        window_ns: Some(10),
        by_tag: false,
        direction: Direction::Ascending,
    };
    let ask = |question: Question, shard: &mut Shard<_>| {
        let request = question.request(MeasurementId(1));
        let stats = shard.scan(&request, &STAMP).unwrap().stats;
        let sums = question.ask(shard, MeasurementId(1), &STAMP).unwrap();
        (stats.rows_scanned, stats.rows_kept, sums.values().sum::<i64>())
    };
    assert_eq!(ask(of(3, 9_003), &mut shard), (9_000, 0, 9_000));
    // With so few rows, the aggregates are almost as large as the rows, so a tile is cached only
    // after two queries have needed it.
    let (rows, kept, sum) = ask(of(13, 9_013), &mut shard);
    assert_eq!((rows, sum), (9_000, 9_000));
    assert!((7_500..9_000).contains(&kept), "all but the two ends: {kept}");
    // A late write changes only one tile.
    shard.append(&encode(&[point(4_444, 3)]), &STAMP, NOW_NS).unwrap();
    let (rows, kept, sum) = ask(of(13, 9_013), &mut shard);
    assert_eq!((rows, sum), (9_000, 9_002));
    assert!((8_000..9_000).contains(&kept), "all but one tile: {kept}");
}

#[test]
fn repeated_query_returns_identical_digits() {
    let mut shard = reopen(MemoryStore::new());
    shard.open(&ShardSettings { window_ns: 100_000, ..settings() }).unwrap();
    for host in 0..8 {
        let tags = vec![(1, format!("h{host}"))];
        let value = |time_ns| point(time_ns, (time_ns * 7_919 + host) % 1_000);
        let points: Vec<Point> =
            (0..9_000).map(|at_ns| Point { tags: tags.clone(), ..value(at_ns) }).collect();
        shard.append(&encode(&points), &STAMP, NOW_NS).unwrap();
    }
    shard.alarm(NOW_NS + 3_600_000_000_000);
    let call = AggregateCall { function: AggregateFunction::Stddev, ..sum() };
    let mut ask = |end_ns| {
        let time = TimeRange::new(0, end_ns);
        let question =
            Question { time, window_ns: Some(100), by_tag: false, direction: Direction::Ascending };
        let calls = vec![call.clone()];
        let window = Some(Window { every_ns: 100, offset_ns: 0, zone: Vec::new() });
        let output = Output::Aggregates { calls, window, limit: None };
        let request = ScanRequest { output, ..question.request(MeasurementId(1)) };
        let page = shard.scan(&request, &STAMP).unwrap();
        assert!(page.position.is_none());
        let GroupData::Partials(states) = &page.groups[0].data else { panic!("states") };
        (page.stats.rows_kept > 0, partial::finish(&call, &states[0]).unwrap())
    };
    let (first, second, third) = (ask(9_000), ask(9_001), ask(9_002));
    assert!(third.0, "what is kept is compared");
    assert_eq!(first.1, second.1);
    assert_eq!(first.1, third.1);
}

fn many_series() -> Shard<MemoryStore> {
    let mut shard = reopen(MemoryStore::new());
    shard.open(&ShardSettings { window_ns: 100_000, ..settings() }).unwrap();
    for at_ns in 0..20 {
        let of = |id| Point { tags: vec![(1, format!("id{id:05}"))], ..point(at_ns * 100, id) };
        let points: Vec<Point> = (0..1_000).map(of).collect();
        shard.append(&encode(&points), &STAMP, NOW_NS).unwrap();
    }
    shard.alarm(NOW_NS + 3_600_000_000_000);
    shard
}

/// Returns the number of rows, the number of rows from the cache, and the number of pages.
fn rows_of<S: Store>(shard: &mut Shard<S>, request: ScanRequest) -> (u64, u64, usize) {
    let (mut rows, mut kept, mut pieces) = (0, 0, 0);
    let mut next = Some(request);
    while let Some(page) = next_page(shard, &mut next, &STAMP).unwrap() {
        assert_eq!(page.until, None, "it fits a slice");
        rows += page.stats.rows_scanned;
        kept += page.stats.rows_kept;
        pieces += 1;
    }
    (rows, kept, pieces)
}

#[test]
fn multi_page_results_are_cached_whole() {
    let mut shard = many_series();
    let time = TimeRange::new(0, 2_000);
    let question =
        Question { time, window_ns: Some(100), by_tag: true, direction: Direction::Ascending };
    let request = ScanRequest { page_bytes: 100_000, ..question.request(MeasurementId(1)) };
    let (rows, _, pieces) = rows_of(&mut shard, request.clone());
    assert!(rows == 20_000 && pieces > 3, "{rows} rows in {pieces} pieces");
    rows_of(&mut shard, request.clone());
    let (rows, kept, _) = rows_of(&mut shard, request);
    assert_eq!((rows, kept), (20_000, 20_000));
}
