//! Compares scans with a naive evaluator that processes single rows, over random data and requests.

mod naive;
mod random;
mod vectors;

use std::collections::BTreeMap;

use super::bounds::Bounds;
use super::page::{AuxValues, CELLS_PER_PAGE_MAX, Group, GroupData, PartialColumn, ScanPage};
use super::partial::{FinalValues, Merge};
use super::reader::Reader;
use super::request::{
    AggregateCall, AggregateFunction, Comparison, Input, Operand, Output, Predicate,
    ResultPosition, Resume, ScanRequest,
};
use super::{PageLimits, TileLimits, explain, scan};
use crate::merge::cursor::Direction;
use crate::test_seeds::seeds;
use naive::{Answer, Point};
use tidemark_model::bug;
use tidemark_model::ids::ColumnId;
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};
use vectors::{MEASUREMENT, VectorReader, Write};

const HUGE: PageLimits = PageLimits {
    bytes: 1 << 30,
    decoded_bytes: u64::MAX,
    cells: CELLS_PER_PAGE_MAX,
    tile: TileLimits::LEAST,
};

const TAG: ColumnId = ColumnId(1);
const FIELD: ColumnId = ColumnId(10);

/// Returns a request for all rows of the measurement, in ascending order.
fn request_of(output: Output) -> ScanRequest {
    ScanRequest::new(MEASUREMENT, output)
}

fn rows_output(fields: Vec<Input>, tags: Vec<ColumnId>, limit: Option<u64>) -> Output {
    Output::Rows { fields, tags, limit, every_row: false }
}

fn integers(column: ColumnId) -> Input {
    Input { column, field_type: FieldType::Integer, cast: None }
}

fn integer_of(host: String, time_ns: i64, column: ColumnId, value: i64) -> Write {
    let fields = vec![(column, FieldValue::Integer(value))];
    Write { tags: vec![(TAG, host)], time_ns, fields }
}

fn matches_tag(regex: &str) -> Predicate {
    let operand = Box::new(Operand::Tag(TAG));
    Predicate::Matches { operand, regex: regex.to_owned(), negated: false }
}

fn compare_tag(comparison: Comparison, literal: &str) -> Predicate {
    let literal = Operand::Literal(text(literal));
    Predicate::Compare(comparison, Box::new(Operand::Tag(TAG)), Box::new(literal))
}

/// Returns the pages of a request. `read` returns one page.
fn pages_of(mut request: ScanRequest, read: impl Fn(&ScanRequest) -> ScanPage) -> Vec<ScanPage> {
    let mut pages = Vec::new();
    loop {
        let page = read(&request);
        let position = page.position.clone();
        assert!(position.is_none() || position != request.resume.position, "no progress");
        pages.push(page);
        if position.is_none() {
            return pages;
        }
        request.resume.position = position;
    }
}

fn pages(reader: &VectorReader, request: &ScanRequest, limits: PageLimits) -> Vec<ScanPage> {
    let mut request = request.clone();
    let (mut slices, mut pieces) = (Vec::new(), Vec::new());
    for _ in 0..100_000 {
        let piece = scan(reader, &request, limits).unwrap();
        let until = piece.until.clone().or(request.resume.until.clone());
        let position = piece.position.clone();
        assert!(position.is_none() || position != request.resume.position, "no progress");
        pieces.push(piece);
        if position.is_some() {
            (request.resume.until, request.resume.position) = (until, position);
            continue;
        }
        assert!(until.is_none() || until != request.resume.from, "no progress");
        slices.push(slice(std::mem::take(&mut pieces), &request, until.as_ref()));
        if until.is_none() {
            return slices;
        }
        request.resume = Resume { from: until, ..Resume::default() };
    }
    panic!("a scan that never ends");
}

fn slice(pieces: Vec<ScanPage>, request: &ScanRequest, until: Option<&ResultPosition>) -> ScanPage {
    let until_only = ScanRequest {
        time: TimeRange::ALL,
        resume: Resume { until: until.cloned(), ..Resume::default() },
        ..request.clone()
    };
    let bounds = Bounds::new(&until_only);
    let mut groups: BTreeMap<Vec<String>, Vec<GroupData>> = BTreeMap::new();
    for group in pieces.into_iter().flat_map(|piece| piece.groups) {
        groups.entry(group.key).or_default().push(group.data);
    }
    let mut all = Vec::new();
    for (key, parts) in groups {
        let time = bounds.time_of(&key);
        // The only window of the whole range starts at the start of the range, and not at the time
        // of a row.
        let has_windows = matches!(request.output, Output::Aggregates { window: Some(_), .. });
        let windows = if has_windows { time } else { TimeRange::ALL };
        let mut rows: Vec<(i64, usize, usize)> = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            match part {
                GroupData::Rows { times_ns, .. } => {
                    let times = times_ns.iter().enumerate();
                    rows.extend(times.map(|(row, &time_ns)| (time_ns, number, row)));
                }
                GroupData::Partials(_) if time.is_empty() => {}
                GroupData::Partials(calls) => {
                    let inside = |start_ns| windows == TimeRange::ALL || windows.contains(start_ns);
                    let calls = calls.iter().map(|call| call.windows(inside));
                    let data = GroupData::Partials(calls.collect());
                    all.push(Group { key: key.clone(), data });
                }
            }
        }
        rows.sort_by_key(|row| {
            if request.direction.is_descending() { (-row.0, row.1) } else { (row.0, row.1) }
        });
        for (_, number, row) in rows.into_iter().filter(|row| time.contains(row.0)) {
            let GroupData::Rows { times_ns, fields, tags } = &parts[number] else { continue };
            let row = [row as u32];
            let data = GroupData::Rows {
                times_ns: vec![times_ns[row[0] as usize]],
                fields: fields.iter().map(|column| column.gather(&row)).collect(),
                tags: tags.iter().map(|column| column.gather(&row)).collect(),
            };
            all.push(Group { key: key.clone(), data });
        }
    }
    ScanPage { groups: all, until: until.cloned(), ..ScanPage::default() }
}

fn evaluate(request: &ScanRequest, pages: &[ScanPage]) -> Answer {
    let mut merges: BTreeMap<Vec<String>, Vec<Merge>> = BTreeMap::new();
    let mut rows: BTreeMap<Vec<String>, Vec<Point>> = BTreeMap::new();
    for group in pages.iter().flat_map(|page| &page.groups) {
        match (&group.data, &request.output) {
            (GroupData::Rows { times_ns, fields, tags }, _) => {
                for (row, &time_ns) in times_ns.iter().enumerate() {
                    let values = fields.iter().map(|column| column.get(row));
                    let tags = tags.iter().map(|column| Some(text(column.get(row))));
                    let point = Point { time_ns, values: values.chain(tags).collect() };
                    rows.entry(group.key.clone()).or_default().push(point);
                }
            }
            (GroupData::Partials(partials), Output::Aggregates { calls, .. }) => {
                let merges = merges
                    .entry(group.key.clone())
                    .or_insert_with(|| calls.iter().map(|c| Merge::new(c).unwrap()).collect());
                for (merge, partial) in merges.iter_mut().zip(partials) {
                    merge.add(partial).unwrap();
                }
            }
            _ => panic!("states where rows were asked for"),
        }
    }
    let limit = match &request.output {
        Output::Aggregates { limit: Some(limit), .. } | Output::Rows { limit: Some(limit), .. } => {
            *limit as usize
        }
        _ => usize::MAX,
    };
    let finished = merges.into_iter().map(|(key, merges)| {
        let calls = merges.iter().map(|m| finished_points(m.finish(request.direction)));
        let calls = calls.map(|points| points.into_iter().take(limit).collect());
        (key, calls.collect())
    });
    let rows =
        rows.into_iter().map(|(key, rows)| (key, vec![rows.into_iter().take(limit).collect()]));
    let mut answer: Vec<_> = finished.chain(rows).collect();
    if request.direction.is_descending() {
        answer.reverse();
    }
    answer
}

fn text(text: &str) -> FieldValue {
    FieldValue::String(text.into())
}

fn finished_points(finished: FinalValues) -> Vec<Point> {
    let windows = finished.windows_ns.iter().enumerate();
    windows
        .map(|(row, &time_ns)| {
            let mut values = vec![finished.values.get(row)];
            values.extend(finished.times_ns.iter().map(|t| Some(FieldValue::Integer(t[row]))));
            values.extend(finished.aux.iter().map(|column| match column {
                AuxValues::Field(column) => column.get(row),
                AuxValues::Tag(column) => Some(text(column.get(row))),
            }));
            Point { time_ns, values }
        })
        .collect()
}

fn same(a: &Answer, b: &Answer, tolerance: f64) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((a_key, a_calls), (b_key, b_calls))| {
            let calls = a_calls.iter().zip(b_calls);
            a_key == b_key
                && a_calls.len() == b_calls.len()
                && calls.into_iter().all(|(a, b)| {
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b, tolerance))
                })
        })
}

fn close(a: &Point, b: &Point, tolerance: f64) -> bool {
    let value = |(a, b): (&Option<FieldValue>, &Option<FieldValue>)| match (a, b) {
        (Some(FieldValue::Float(a)), Some(FieldValue::Float(b))) => {
            (a - b).abs() <= tolerance || (a.is_nan() && b.is_nan())
        }
        (a, b) => a == b,
    };
    a.time_ns == b.time_ns
        && a.values.len() == b.values.len()
        && a.values.iter().zip(&b.values).all(value)
}

fn as_multiset(mut answer: Answer, direction: Direction) -> Answer {
    for points in answer.iter_mut().flat_map(|(_, calls)| calls) {
        points.sort_by_key(|point| {
            let time_ns = if direction.is_descending() { -point.time_ns } else { point.time_ns };
            (time_ns, format!("{:?}", point.values))
        });
    }
    answer
}

#[test]
fn vectorised_scan_equals_naive_scan() {
    for seed in seeds(250) {
        let case = random::case(seed);
        let expected = naive::answer(&case.points, &case.request, &case.order);
        let found = evaluate(&case.request, &pages(&case.source(), &case.request, HUGE));
        assert!(
            same(&found, &expected, case.tolerance()),
            "{}",
            difference(&case, &found, &expected)
        );
    }
}

/// A scan of a short column either returns an error or does not read the missing row.
#[test]
fn short_column_fails_scan() {
    let mut refused = 0;
    for seed in 0..500 {
        let case = random::case(seed);
        let (sound, mut faulty) = (case.source(), case.source());
        faulty.is_short = true;
        let sound = format!("{:?}", scan(&sound, &case.request, HUGE).unwrap().groups);
        match bug::tolerate(|| bug::catch(|| scan(&faulty, &case.request, HUGE))) {
            Ok(found) => assert_eq!(format!("{:?}", found.unwrap().groups), sound, "seed {seed}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn cached_tiles_serve_other_ranges() {
    let mut hits = 0;
    for seed in seeds(250) {
        let mut case = random::case(seed);
        let source = case.source();
        for later_ns in [0, 0, 1, 2] {
            case.request.time.start_ns = case.request.time.start_ns.saturating_add(later_ns);
            let expected = naive::answer(&case.points, &case.request, &case.order);
            let found = evaluate(&case.request, &pages(&source, &case.request, HUGE));
            let text = || difference(&case, &found, &expected);
            assert!(same(&found, &expected, case.tolerance()), "{}", text());
        }
        hits += source.hits.get();
    }
    assert!(hits > 250, "{hits}");
}

#[test]
fn page_size_does_not_change_result() {
    for seed in seeds(250) {
        let case = random::case(seed);
        let whole = evaluate(&case.request, &pages(&case.source(), &case.request, HUGE));
        for (bytes, decoded_bytes, cells) in [
            (1, u64::MAX, CELLS_PER_PAGE_MAX),
            (1 << 20, 0, CELLS_PER_PAGE_MAX),
            (90, 40, CELLS_PER_PAGE_MAX),
            (400, 1_000, CELLS_PER_PAGE_MAX),
            // With these limits, the cost of the condition ends a batch in the middle of a series.
            (1 << 20, u64::MAX, 1),
            (1 << 20, u64::MAX, 30),
        ] {
            let limits = PageLimits { bytes, decoded_bytes, cells, tile: TileLimits::LEAST };
            let found = evaluate(&case.request, &pages(&case.source(), &case.request, limits));
            let text = || format!("{limits:?} {}", difference(&case, &found, &whole));
            assert!(same(&found, &whole, case.tolerance()), "{}", text());
        }
    }
}

#[test]
fn rows_with_equal_time_appear_once() {
    const SERIES: i64 = 1_500;
    let (up, down) = (Direction::Ascending, Direction::Descending);
    for (fields, value, direction) in
        [(1, 0, up), (5, 0, up), (5, 0, down), (7, 0, up), (5, 63, up), (5, -300, down)]
    {
        let columns = (10..10 + fields).map(ColumnId);
        let row = |series: i64| Write {
            tags: vec![(TAG, format!("{series:05}"))],
            time_ns: 7,
            fields: columns.clone().map(|id| (id, FieldValue::Integer(value))).collect(),
        };
        let mut source = VectorReader::new(vec![TAG], 1);
        source.add(&(0..SERIES).map(row).collect::<Vec<_>>());
        let inputs = columns.clone().map(integers).collect();
        let output = rows_output(inputs, vec![TAG], None);
        let request = ScanRequest { direction, ..request_of(output) };
        let limits = PageLimits { bytes: 8_000, ..HUGE };
        let found = evaluate(&request, &pages(&source, &request, limits));
        let mut tags: Vec<_> =
            found[0].1[0].iter().map(|point| format!("{:?}", point.values.last())).collect();
        tags.sort_unstable();
        tags.dedup();
        let (rows, each) = (found[0].1[0].len() as i64, tags.len() as i64);
        assert_eq!((rows, each), (SERIES, SERIES), "{fields} fields of {value}");
    }
}

#[test]
fn a_page_passes_a_limited_number_of_excluded_series() {
    let row = |host: u64| integer_of(format!("h{host}"), 7, FIELD, 1);
    let rows = rows_output(vec![integers(FIELD)], vec![TAG], None);
    for (series, pages) in [(1_000, 1), (70_000, 2), (140_000, 3)] {
        let mut source = VectorReader::new(vec![TAG], 1);
        source.add(&(0..series).map(row).collect::<Vec<_>>());
        let predicate = Some(matches_tag("^h999$"));
        let request = ScanRequest { predicate, ..request_of(rows.clone()) };
        let (mut count, mut found) = (0, 0);
        for page in pages_of(request, |request| scan(&source, request, HUGE).unwrap()) {
            count += 1;
            found += page.stats.series;
            // A shard ends an event after this amount of work.
            assert_eq!(page.stats.work() > 1_000_000, page.position.is_some());
        }
        assert_eq!((count, found), (pages, 1), "{series} series");
    }
}

#[test]
fn a_page_reads_a_limited_number_of_series() {
    let row = |host: u64| integer_of(format!("h{host}"), 7, FIELD, 1);
    let mut source = VectorReader::new(vec![TAG], 1);
    source.add(&(0..120_000).map(row).collect::<Vec<_>>());
    let request = request_of(rows_output(vec![integers(FIELD)], Vec::new(), None));
    let pages = pages_of(request, |request| scan(&source, request, HUGE).unwrap());
    assert!(pages.iter().all(|page| page.stats.series <= 50_000));
    assert_eq!(pages.iter().map(|page| page.stats.rows_scanned).sum::<u64>(), 120_000);
}

#[test]
fn a_page_computes_a_limited_number_of_states() {
    let row = |host: u64| integer_of(format!("h{host}"), 7, FIELD, 1);
    let mut source = VectorReader::new(vec![TAG], 1);
    source.add(&(0..1_000).map(row).collect::<Vec<_>>());
    let (function, input) = (AggregateFunction::Sum, integers(FIELD));
    let call = AggregateCall { function, input, aux: Vec::new() };
    for (group_by, groups) in [(Vec::new(), 1), (vec![TAG], 100)] {
        let output =
            Output::Aggregates { calls: vec![call.clone(); 2_000], window: None, limit: None };
        let request = ScanRequest { group_by, ..request_of(output) };
        let pages = pages_of(request, |request| scan(&source, request, HUGE).unwrap());
        assert!(pages.len() > 3, "{} pages", pages.len());
        assert!(pages.iter().all(|page| page.groups.len() <= groups && page.stats.series < 500));
    }
}

/// Returns a conjunction of equal terms.
fn conjunction(term: &Predicate, terms: usize) -> Predicate {
    if terms == 1 {
        return term.clone();
    }
    let (a, b) = (conjunction(term, terms / 2), conjunction(term, terms - terms / 2));
    Predicate::And(Box::new(a), Box::new(b))
}

/// Tests that each page evaluates at most about [`CELLS_PER_PAGE_MAX`] comparisons of the
/// condition.
#[test]
fn a_page_counts_terms_of_condition() {
    let row =
        |(host, time_ns): (i64, i64)| integer_of(format!("h{host:03}"), time_ns, FIELD, time_ns);
    let zero = Box::new(Operand::Literal(FieldValue::Integer(0)));
    let field = Box::new(Operand::Field(integers(FIELD)));
    let above = Predicate::Compare(Comparison::Greater, field, zero);
    let is_host = compare_tag(Comparison::NotEqual, "x");
    let operand = Box::new(Operand::Field(integers(FIELD)));
    let matching = Predicate::Matches { operand, regex: "1".to_owned(), negated: false };
    let excluded = |terms| {
        let hosts = Box::new(conjunction(&is_host, terms));
        Predicate::And(hosts, Box::new(Predicate::Constant(false)))
    };
    // The columns are the predicate, the number of series, the rows of each series, and the
    // expected number of pages.
    for (predicate, series, each, pages) in [
        (conjunction(&above, 10), 1, 5_000, 1..=1),
        (conjunction(&above, 4_000), 1, 5_000, 5..=13),
        (conjunction(&above, 10), 700, 7, 1..=1),
        (conjunction(&above, 4_000), 700, 7, 110..=125),
        // Only the rows are matched with a regex.
        (matching, 4_000, 1, 1..=1),
        (conjunction(&is_host, 10), 700, 7, 1..=1),
        (conjunction(&is_host, 100), 700, 7, 1..=1),
        (conjunction(&is_host, 4_000), 700, 7, 5..=6),
        (conjunction(&matches_tag("^h"), 200), 700, 7, 3..=4),
        (excluded(10), 700, 7, 1..=1),
        (excluded(4_000), 700, 7, 5..=6),
    ] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let mut source = VectorReader::new(vec![TAG], 1_024);
            let rows = (0..series).flat_map(|host| (5..5 + each).map(move |ns| (host, ns)));
            source.add(&rows.map(row).collect::<Vec<_>>());
            let request = ScanRequest {
                predicate: Some(predicate.clone()),
                direction,
                ..request_of(rows_output(vec![integers(FIELD)], Vec::new(), None))
            };
            let (mut count, mut rows) = (0, 0);
            for page in pages_of(request, |request| scan(&source, request, HUGE).unwrap()) {
                count += 1;
                rows += page.stats.rows_scanned;
                let cells = page.stats.filter_cells;
                assert!(cells <= 3 * CELLS_PER_PAGE_MAX, "{cells} cells in page {count}");
            }
            assert!(pages.contains(&count), "{count} pages instead of {pages:?}");
            let is_none = matches!(&predicate, Predicate::And(_, b)
                if **b == Predicate::Constant(false));
            assert_eq!(rows, if is_none { 0 } else { (series * each) as u64 }, "{count} pages");
        }
    }
}

#[test]
fn a_page_counts_excluded_series_of_runs() {
    let mut source = VectorReader::new(vec![TAG], 1);
    for time_ns in [9, 1] {
        let row = |host: u64| integer_of(format!("h{host}"), time_ns, FIELD, 1);
        source.add(&(0..5_000).map(row).collect::<Vec<_>>());
    }
    let mut request = ScanRequest {
        predicate: Some(matches_tag("^h7$")),
        direction: Direction::Descending,
        ..request_of(rows_output(vec![integers(FIELD)], Vec::new(), Some(1)))
    };
    let one_group = scan(&source, &request, HUGE).unwrap().stats.filter_cells;
    // To skip times of complete groups, the scan reads the keys of each run.
    request.group_by = vec![TAG];
    let by_tag = scan(&source, &request, HUGE).unwrap().stats.filter_cells;
    assert!(one_group > 0 && by_tag >= 2 * one_group, "{by_tag} instead of {one_group}");
}

#[test]
fn a_plan_reads_a_limited_number_of_series_per_page() {
    let row = |host: u64| integer_of(format!("h{host}"), 7, FIELD, 1);
    let is_999 = matches_tag("^h999$");
    // The condition is so expensive that each page evaluates it for only one series.
    let long = conjunction(&compare_tag(Comparison::Greater, "a"), 60_000);
    let long_none = conjunction(&compare_tag(Comparison::Less, "z"), 60_000);
    let long_none = Predicate::And(Box::new(long_none), Box::new(Predicate::Constant(false)));
    // Both stretches of the source contain all series.
    for (predicate, series, pages, expected) in [
        (Some(&is_999), 1_000, 1, 1),
        (Some(&is_999), 28_000, 3, 1),
        (None, 10_000, 1, 10_000),
        (None, 24_000, 3, 24_000),
        (Some(&long), 5, 6, 5),
        (Some(&long_none), 5, 6, 0),
    ] {
        let mut source = VectorReader::new(vec![TAG], 1);
        source.add(&(0..series).map(row).collect::<Vec<_>>());
        let output = rows_output(Vec::new(), vec![TAG], None);
        let request = ScanRequest { predicate: predicate.cloned(), ..request_of(output) };
        let (mut count, mut found) = (0, 0);
        for page in pages_of(request, |request| explain(&source, request).unwrap()) {
            count += 1;
            found += page.stats.series;
            assert!(count <= pages && page.stats.cells <= 20_002);
        }
        assert_eq!((count, found), (pages, expected), "{series} series");
    }
}

/// The latest rows of a host have no value, and a page ends after each host.
#[test]
fn series_without_latest_value_is_read_completely() {
    let row = |host: i64, time_ns, field| integer_of(format!("h{host}"), time_ns, field, time_ns);
    let mut rows: Vec<Write> = (10..9_000).map(|time_ns| row(5, time_ns, ColumnId(11))).collect();
    rows.extend([10, 2_500].map(|time_ns| row(5, time_ns, FIELD)));
    rows.extend((0..9).filter(|&host| host != 5).map(|host| row(host, 8_999, FIELD)));
    let mut source = VectorReader::new(vec![TAG], 1_024);
    source.add(&rows);
    let request = ScanRequest {
        group_by: vec![TAG],
        direction: Direction::Descending,
        ..request_of(rows_output(vec![integers(FIELD)], Vec::new(), Some(1)))
    };
    let limits = PageLimits { cells: 1, ..HUGE };
    let found = evaluate(&request, &pages(&source, &request, limits));
    assert_eq!(found, naive::answer(&rows, &request, &[TAG]));
}

/// The only value is far before the latest row. Each page reads a limited number of rows.
#[test]
fn search_for_latest_value_pauses() {
    let row = |time_ns, field| integer_of("h".to_owned(), time_ns, field, time_ns);
    let mut rows: Vec<Write> = (0..40_000).map(|time_ns| row(time_ns, ColumnId(11))).collect();
    rows.push(row(20_000, FIELD));
    let limits = PageLimits { cells: 5_000, ..HUGE };
    for group_by in [Vec::new(), vec![TAG]] {
        let mut source = VectorReader::new(vec![TAG], 256);
        source.add(&rows);
        let request = ScanRequest {
            group_by,
            direction: Direction::Descending,
            ..request_of(rows_output(vec![integers(FIELD)], Vec::new(), Some(1)))
        };
        let all = pages_of(request, |request| scan(&source, request, limits).unwrap());
        let found = |page: &ScanPage| match page.groups.first().map(|group| &group.data) {
            Some(GroupData::Rows { times_ns, .. }) => times_ns.first().copied(),
            _ => None,
        };
        assert_eq!(all.iter().filter_map(found).max(), Some(20_000));
        let cells = all.iter().map(|page| page.stats.cells).max().unwrap();
        assert!(all.len() > 2 && cells < 20_000, "{} pages of {cells} cells", all.len());
    }
}

#[test]
fn cached_last_points_read_no_rows() {
    let row = |(host, time_ns): (i64, i64)| {
        integer_of(format!("h{host}"), time_ns, FIELD, host * time_ns)
    };
    let rows = |from: i64, hosts: i64| {
        let times = (from..from + 100).flat_map(|time_ns| (0..hosts).map(move |n| (n, time_ns)));
        times.map(row).collect::<Vec<_>>()
    };
    let long = conjunction(&compare_tag(Comparison::NotEqual, "x"), 7_000);
    let mut costs = Vec::new();
    for (limit, predicate, is_kept) in [(1, None, true), (2, None, false), (1, Some(long), true)] {
        let mut source = VectorReader::new(vec![TAG], 8);
        // In one case, the fifth host has only older rows, so every scan must search for these
        // rows.
        for (from, hosts) in [(9_000, 4), (1_000, 5), (2_000, 5)] {
            source.add(&rows(from, hosts));
        }
        let request = ScanRequest {
            predicate,
            group_by: vec![TAG],
            direction: Direction::Descending,
            ..request_of(rows_output(vec![integers(FIELD)], Vec::new(), Some(limit)))
        };
        let ask = || {
            let before = source.stats().bytes_decoded;
            let found = evaluate(&request, &pages(&source, &request, HUGE));
            (found, source.stats().bytes_decoded - before)
        };
        let ((first, cost), (second, again)) = (ask(), ask());
        assert_eq!(first, second);
        assert_eq!(first.len(), 5);
        assert_eq!(again < cost, is_kept, "{cost} rows, then {again}");
        costs.push(cost);
    }
    assert_eq!(costs[0], costs[2], "the length of the condition does not matter");
}

#[test]
fn slimit_skips_rows_of_other_groups() {
    let row = |(host, time_ns): (i64, i64)| Write {
        tags: vec![(TAG, format!("h{host:02}")), (ColumnId(2), format!("r{}", host * 7 % 10))],
        time_ns,
        fields: vec![(FIELD, FieldValue::Integer(host * time_ns))],
    };
    let (function, input) = (AggregateFunction::Sum, integers(FIELD));
    let call = AggregateCall { function, input, aux: Vec::new() };
    let sums = Output::Aggregates { calls: vec![call], window: None, limit: None };
    let rows = |limit| rows_output(vec![integers(FIELD)], Vec::new(), limit);
    for order in [[1, 2], [2, 1]].map(|ids| ids.map(ColumnId).to_vec()) {
        let (up, down) = (Direction::Ascending, Direction::Descending);
        for (output, direction) in
            [(&sums, up), (&sums, down), (&rows(None), up), (&rows(Some(2)), down)]
        {
            let mut source = VectorReader::new(order.clone(), 8);
            let times = (0..100).flat_map(|time_ns| (0..60).map(move |host| (host, time_ns)));
            source.add(&times.map(row).collect::<Vec<_>>());
            let request = |groups_max| ScanRequest {
                group_by: vec![TAG],
                direction,
                groups_max,
                ..request_of(output.clone())
            };
            let (all, some) = (request(None), request(Some(3)));
            let first = scan(&source, &some, HUGE).unwrap();
            let last = if direction.is_descending() { "h57" } else { "h02" };
            let until = first.until.map(|until| until.group.concat());
            assert_eq!(until.as_deref(), Some(last), "{order:?} {output:?}");
            assert_eq!(first.groups.len(), 3);
            assert!(first.stats.rows_scanned <= 300, "{} rows", first.stats.rows_scanned);
            let whole = evaluate(&all, &pages(&source, &all, HUGE));
            assert_eq!(evaluate(&some, &pages(&source, &some, HUGE)), whole);
        }
    }
}

#[test]
fn sharded_scan_equals_single_scan() {
    for seed in seeds(250) {
        let mut case = random::case(seed);
        if let Output::Rows { limit, .. } = &mut case.request.output {
            // Several rows with equal times may satisfy the limit. The edge chooses among these
            // rows.
            *limit = None;
        }
        let whole = evaluate(&case.request, &pages(&case.source(), &case.request, HUGE));
        let whole = as_multiset(whole, case.request.direction);
        for shards in [2, 4, 7] {
            let sources = case.split(shards);
            let pages: Vec<ScanPage> = sources
                .into_iter()
                .flat_map(|source| pages(&source, &case.request, HUGE))
                .collect();
            let found = as_multiset(evaluate(&case.request, &pages), case.request.direction);
            let text = || format!("{shards} shards {}", difference(&case, &found, &whole));
            assert!(same(&found, &whole, case.tolerance()), "{}", text());
        }
    }
}

#[test]
fn partial_columns_merge_like_pages() {
    for seed in 0..200 {
        let case = random::case(seed);
        let Output::Aggregates { calls, .. } = &case.request.output else { continue };
        let shards: Vec<Vec<ScanPage>> =
            case.split(2).iter().map(|s| pages(s, &case.request, HUGE)).collect();
        let partials = |shard: usize, call: usize| -> Option<PartialColumn> {
            let group = shards[shard].first()?.groups.first()?;
            let GroupData::Partials(partials) = &group.data else { return None };
            partials.get(call).cloned()
        };
        for (position, call) in calls.iter().enumerate() {
            let (Some(mut a), Some(b)) = (partials(0, position), partials(1, position)) else {
                continue;
            };
            let mut merge = Merge::new(call).unwrap();
            merge.add(&b).unwrap();
            merge.add(&a).unwrap();
            super::partial::merge(call, &mut a, &b).unwrap();
            let one_way = super::partial::finish(call, &a).unwrap();
            let other_way = merge.finish(Direction::Ascending);
            assert_eq!(one_way.windows_ns, other_way.windows_ns);
            assert_eq!((one_way.times_ns, one_way.aux), (other_way.times_ns, other_way.aux));
        }
    }
}

#[test]
fn later_states_append_without_merge() {
    let mut appended = 0;
    for seed in 0..500 {
        let case = random::case(seed);
        for group in pages(&case.source(), &case.request, HUGE).iter().flat_map(|p| &p.groups) {
            let GroupData::Partials(calls) = &group.data else { continue };
            for whole in calls {
                let windows = whole.windows_ns.len() as u32;
                for cut in 0..=windows {
                    let (front, behind): (Vec<u32>, Vec<u32>) =
                        (0..windows).partition(|&w| w < cut);
                    let (mut front, mut behind) = (whole.gather(&front), whole.gather(&behind));
                    assert!(front.append(&behind));
                    assert_eq!(&front, whole);
                    appended += u32::from(0 < cut && cut < windows);
                    let mut shapeless = behind.clone();
                    shapeless.states.pop();
                    if windows - cut > 1 && cut > 0 {
                        let before = behind.clone();
                        assert!(!behind.append(&whole.gather(&[0])));
                        assert!(!behind.append(&before), "the same windows");
                        assert!(!whole.gather(&[0]).append(&shapeless));
                        assert_eq!(behind, before);
                    }
                }
            }
        }
    }
    assert!(appended > 500, "{appended}");
}

fn difference(case: &random::Case, found: &Answer, expected: &Answer) -> String {
    format!(
        "seed {}\nrequest {:#?}\nfound    {found:?}\nexpected {expected:?}",
        case.seed, case.request
    )
}
