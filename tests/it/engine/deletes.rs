//! Tests the cached aggregates of many series while some of the series are deleted.

use std::time::Duration;

use cpu_time::ThreadTime;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::scan::TileLimits;
use tidemark_engine::scan::request::{
    AggregateCall, AggregateFunction, Comparison, Deletion, Input, Operand, Predicate, Window,
};
use tidemark_engine::shard::Limits;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_engine::store::{Store as _, Table};
use tidemark_model::limits::{
    PENDING_DELETES_BYTES_MAX, PENDING_DELETES_MAX, REGEXES_PER_QUERY_MAX,
};

use super::kept::{Sums, sums};
use super::*;

const MEASUREMENT: MeasurementId = MeasurementId(1);
/// The tags of each series. Each host belongs to one site.
const HOST: ColumnId = ColumnId(1);
const SITE: ColumnId = ColumnId(2);
const HOSTS: i64 = 100;
const ROWS: i64 = 50;

/// Rows by host, site and time. Every value is 1.
type RowSet = std::collections::BTreeSet<(String, String, i64)>;

/// Creates a shard whose rows are all in parts, with about four hosts in each part.
fn at_rest() -> (Shard<MemoryStore>, RowSet) {
    let limits = Limits { tile: TileLimits::LEAST, ..Limits::default() };
    let mut shard = reopen(MemoryStore::new()).with_limits(limits);
    shard.open(&ShardSettings { window_ns: 100_000, ..settings() }).unwrap();
    let mut rows = RowSet::new();
    for host in 0..HOSTS {
        let names = [format!("h{host:02}"), format!("s{}", host % 7)];
        let point = |time_ns| Point {
            measurement: MEASUREMENT.0,
            tags: vec![(HOST.0, names[0].clone()), (SITE.0, names[1].clone())],
            time_ns,
            fields: vec![(11, FieldValue::Integer(1))],
        };
        let points: Vec<Point> = (0..ROWS).map(point).collect();
        shard.append(&encode(&points), &STAMP, NOW_NS).unwrap();
        rows.extend((0..ROWS).map(|time_ns| (names[0].clone(), names[1].clone(), time_ns)));
        if host % 40 == 39 {
            shard.alarm(NOW_NS + host * 3_600_000_000_000);
        }
    }
    shard.alarm(NOW_NS + HOSTS * 3_600_000_000_000);
    (shard, rows)
}

fn is(tag: ColumnId, value: &str) -> Predicate {
    let literal = Operand::Literal(FieldValue::String(value.into()));
    Predicate::Compare(Comparison::Equal, Box::new(Operand::Tag(tag)), Box::new(literal))
}

fn request(
    group_by: Option<ColumnId>,
    window_ns: Option<i64>,
    direction: Direction,
) -> ScanRequest {
    let window = |every_ns| Window { every_ns, offset_ns: 0, zone: Vec::new() };
    let input = Input { column: ColumnId(11), field_type: field_type(11), cast: None };
    let calls = vec![AggregateCall { function: AggregateFunction::Sum, input, aux: Vec::new() }];
    ScanRequest {
        time: TimeRange::new(0, ROWS),
        group_by: group_by.into_iter().collect(),
        direction,
        ..scan_of(Output::Aggregates { calls, window: window_ns.map(window), limit: None })
    }
}

fn expected(rows: &RowSet, request: &ScanRequest) -> Sums {
    let Output::Aggregates { window, .. } = &request.output else { panic!("aggregates") };
    let mut sums = Sums::new();
    for (host, site, time_ns) in rows {
        let group = match request.group_by.first() {
            None => "",
            Some(&HOST) => host,
            Some(_) => site,
        };
        let window_ns = window.as_ref().map_or(0, |of| time_ns - time_ns % of.every_ns);
        *sums.entry((group.to_owned(), window_ns)).or_insert(0) += 1;
    }
    sums
}

#[test]
fn cached_results_reflect_deletes() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut shard, mut rows) = at_rest();
        for _ in 0..40 {
            let group_by = [None, Some(HOST), Some(SITE)][rng.usize(..3)];
            let window_ns = [None, Some(10), Some(25)][rng.usize(..3)];
            let request = request(group_by, window_ns, Direction::descending_if(rng.bool()));
            let found = sums(&mut shard, request.clone(), &STAMP).unwrap();
            assert_eq!(found, expected(&rows, &request));
            if rng.u8(..3) > 0 {
                continue;
            }
            let (host, site) = (format!("h{:02}", rng.i64(..HOSTS)), format!("s{}", rng.u8(..7)));
            let start_ns = rng.i64(..ROWS);
            let time = [TimeRange::ALL, TimeRange::new(start_ns, start_ns + 20)][rng.usize(..2)];
            let by_host = rng.u8(..6) > 0;
            let predicate = if by_host { is(HOST, &host) } else { is(SITE, &site) };
            let deletion = Deletion { measurement: MEASUREMENT, predicate: Some(predicate), time };
            shard.delete(u64::MAX, &[deletion], &STAMP, NOW_NS).unwrap();
            rows.retain(|(of_host, of_site, time_ns)| {
                let is_it = if by_host { *of_host == host } else { *of_site == site };
                !is_it || !time.contains(*time_ns)
            });
        }
    }
}

fn matches(regex: &str) -> Predicate {
    let operand = Box::new(Operand::Tag(HOST));
    Predicate::Matches { operand, regex: regex.to_owned(), negated: false }
}

fn series(measurement: u32, host: &str) -> Point {
    let tags = vec![(HOST.0, host.to_owned())];
    Point { measurement, tags, time_ns: 1, fields: vec![(11, FieldValue::Integer(1))] }
}

#[test]
fn regex_of_delete_is_compiled_once() {
    const MEASUREMENTS: u32 = 300;
    // Compiling this regex takes milliseconds. A query that compiled it for each measurement would
    // need seconds.
    let predicate = matches("^\\pL{20}$");
    let (_, mut shard) = opened();
    let hosts = ["x".to_owned(), "x".repeat(20)];
    let points = |of| hosts.iter().map(move |host| series(of, host));
    let points: Vec<Point> = (1..=MEASUREMENTS).flat_map(points).collect();
    shard.append(&encode(&points), &STAMP, NOW_NS).unwrap();
    let started = ThreadTime::now();
    let deletions: Vec<Deletion> = (1..=MEASUREMENTS)
        .map(MeasurementId)
        .map(|measurement| Deletion {
            measurement,
            predicate: Some(predicate.clone()),
            time: TimeRange::ALL,
        })
        .collect();
    shard.delete(u64::MAX, &deletions, &STAMP, NOW_NS).unwrap();
    // The first round replays the log. In the second round, the rows are in a part.
    for _ in 0..2 {
        for of in 1..=MEASUREMENTS {
            let left = read(&mut shard, of, TimeRange::ALL).unwrap();
            let left: Vec<_> = left.into_keys().map(|(_, tags, ..)| tags).collect();
            assert_eq!(left, [vec![(HOST.0, "x".to_owned())]], "{of}");
        }
        for n in 1..20 {
            shard.alarm(NOW_NS + n * 3_600_000_000_000);
        }
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn pending_deletes_are_limited() {
    type Case = (fn(usize) -> Predicate, &'static str, usize);
    let cases: [Case; 4] = [
        (|_| is(HOST, "y"), "PENDING_DELETES_MAX", PENDING_DELETES_MAX),
        (
            |_| is(HOST, &"y".repeat(200_000)),
            "PENDING_DELETES_BYTES_MAX",
            PENDING_DELETES_BYTES_MAX / 200_100,
        ),
        (|n| matches(&format!("^z{n}$")), "REGEXES_PER_QUERY_MAX", REGEXES_PER_QUERY_MAX),
        // The third value is the number of regexes that a delete may have. The value 0 means that
        // the number depends on the compiled sizes, and is not checked.
        (|n| matches(&format!("^\\pL{{20}}{n}$")), "REGEXES_COMPILED_BYTES_MAX", 0),
    ];
    for (predicate, limit, accepted) in cases {
        let (store, mut shard) = opened();
        let point = series(MEASUREMENT.0, "x");
        shard.append(&encode(&[point]), &STAMP, NOW_NS).unwrap();
        let delete = |shard: &mut Shard<MemoryStore>, n: usize| {
            let predicate = Some(predicate(n));
            let deletion = Deletion { measurement: MEASUREMENT, predicate, time: TimeRange::ALL };
            shard.delete(u64::MAX, &[deletion], &STAMP, NOW_NS)
        };
        let done = (0..2_000).take_while(|&n| delete(&mut shard, n).is_ok()).count();
        assert!(done == accepted || accepted == 0 && (1..100).contains(&done), "{limit}: {done}");
        let mut reopened = reopen(store);
        for shard in [&mut shard, &mut reopened] {
            let error = delete(shard, done).map_err(|refusal| refusal.to_string()).unwrap_err();
            assert!(error.contains(&format!("too many deletes are pending in a shard ({limit})")));
        }
        assert_eq!(read(&mut shard, MEASUREMENT.0, TimeRange::ALL).unwrap().len(), 1);
        for n in 1..100 {
            shard.alarm(NOW_NS + n * 3_600_000_000_000);
        }
        assert_eq!(delete(&mut shard, done), Ok(()), "{limit}: after the merges");
        assert_eq!(read(&mut shard, MEASUREMENT.0, TimeRange::ALL).unwrap().len(), 1);
    }
}

#[test]
fn scans_of_an_event_share_the_steps_of_regexes() {
    const MEASUREMENTS: u32 = 12;
    let mut rng = fastrand::Rng::with_seed(3);
    let host: String = (0..6_000).map(|_| rng.choice(['a', 'b']).unwrap()).collect();
    let (_, mut shard) = opened();
    let points: Vec<Point> = (1..=MEASUREMENTS).map(|of| series(of, &host)).collect();
    shard.append(&encode(&points), &STAMP, NOW_NS).unwrap();
    let mut pages = |regex: &str| {
        let scan = |of| ScanRequest {
            measurement: MeasurementId(of),
            predicate: Some(matches(regex)),
            ..request(None, None, Direction::Ascending)
        };
        let further = (2..=MEASUREMENTS).map(scan).collect();
        let message = ToShard::Scan { query: 0, stamp: STAMP, request: scan(1), further };
        let FromShard::Scanned { further, .. } = shard.handle(&message, NOW_NS) else { panic!() };
        1 + further.len()
    };
    assert_eq!(pages("ab"), MEASUREMENTS as usize);
    // Each match takes about 1.8 million steps.
    let slow = pages("a[ab]{300}c");
    assert!((1..=6).contains(&slow), "{slow}");
}

/// The row may contain a delete that a newer release wrote.
#[test]
fn delete_keeps_damaged_tombstone() {
    let (store, mut shard) = opened();
    shard.append(&encode(&[series(MEASUREMENT.0, "x")]), &STAMP, NOW_NS).unwrap();
    let delete = |shard: &mut Shard<MemoryStore>| {
        let predicate = Some(is(HOST, "y"));
        let deletion = Deletion { measurement: MEASUREMENT, predicate, time: TimeRange::ALL };
        shard.delete(u64::MAX, &[deletion], &STAMP, NOW_NS)
    };
    delete(&mut shard).unwrap();
    store.put(Table::Tombstone, 0, b"damaged", b"").unwrap();
    delete(&mut reopen(store.clone())).unwrap();
    assert_eq!(store.head(Table::Tombstone, 0).unwrap().unwrap(), b"damaged");
    assert!(store.head(Table::Tombstone, 1).unwrap().is_some());
}

#[test]
fn search_for_deleted_rows_takes_several_events() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let (_, mut shard) = opened();
    let mut now_ns = NOW_NS;
    for part in 0..8 {
        let point = |number| {
            let time_ns = part * WINDOW_NS + 1;
            Point { time_ns, ..series(MEASUREMENT.0, &format!("h{number}")) }
        };
        let points: Vec<Point> = (0..1_000).map(point).collect();
        shard.append(&encode(&points), &STAMP, now_ns).unwrap();
        now_ns += HOUR_NS;
        shard.alarm(now_ns);
    }
    for number in 0..200 {
        let predicate = Some(is(HOST, &format!("x{number}")));
        let deletion = Deletion { measurement: MEASUREMENT, predicate, time: TimeRange::ALL };
        shard.delete(u64::MAX, &[deletion], &STAMP, now_ns).unwrap();
    }
    let stats = shard.stats().unwrap();
    assert_eq!((stats.parts, stats.tombstones), (8, 200));
    // Each part needs 200,000 evaluations of conditions. Three events search three, three and two
    // parts. Two events delete the tombstones, and one event deletes rows of the log.
    let mut events = 0;
    while shard.stats().unwrap().tombstones > 0 {
        shard.alarm(now_ns + HOUR_NS);
        events += 1;
        assert!(events < 20);
    }
    assert!(events > 4, "{events}");
}

#[test]
fn search_for_measurements_of_deletes_is_limited() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let (_, mut shard) = opened();
    let mut now_ns = NOW_NS;
    for part in 0..12 {
        let point = Point { time_ns: part * WINDOW_NS + 1, ..series(MEASUREMENT.0, "x") };
        shard.append(&encode(&[point]), &STAMP, now_ns).unwrap();
        now_ns += HOUR_NS;
        shard.alarm(now_ns);
    }
    let mut tombstones = |absent: u32| {
        let of =
            |of| Deletion { measurement: MeasurementId(of), predicate: None, time: TimeRange::ALL };
        let deletions: Vec<Deletion> = (100..100 + absent).map(of).collect();
        shard.delete(u64::MAX, &deletions, &STAMP, now_ns).unwrap();
        let stats = shard.stats().unwrap();
        assert_eq!(stats.parts, 12);
        stats.tombstones
    };
    // If finding the rows of a delete would need more than 10,000 searches, the shard stores a
    // tombstone without searching further.
    assert_eq!([tombstones(800), tombstones(900)], [0, 1]);
}

#[test]
fn scan_of_hidden_series_pauses() {
    let (_, mut shard) = opened();
    let points = (0..4_000).map(|number| series(MEASUREMENT.0, &format!("h{number}")));
    shard.append(&encode(&points.collect::<Vec<_>>()), &STAMP, NOW_NS).unwrap();
    shard.alarm(NOW_NS + 3_600_000_000_000);
    // Each delete hides every series, and the conditions of all deletes are evaluated.
    for number in 0..200 {
        let literal = Operand::Literal(FieldValue::String(format!("x{number}").into()));
        let (host, literal) = (Box::new(Operand::Tag(HOST)), Box::new(literal));
        let predicate = Predicate::Compare(Comparison::NotEqual, host, literal);
        let deletion =
            Deletion { measurement: MEASUREMENT, predicate: Some(predicate), time: TimeRange::ALL };
        shard.delete(u64::MAX, &[deletion], &STAMP, NOW_NS).unwrap();
    }
    let mut request =
        ScanRequest { time: TimeRange::ALL, ..request(None, None, Direction::Ascending) };
    for pages in 1.. {
        let page = shard.scan(&request, &STAMP).unwrap();
        assert!(page.groups.is_empty() && pages < 100, "{pages} pages");
        if page.position.is_none() {
            assert!(pages > 1);
            return;
        }
        assert_ne!(page.position, request.resume.position);
        request.resume.position = page.position;
    }
}
