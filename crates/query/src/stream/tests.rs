//! Rows from several shards must be returned in order for every division into pages and slices.

use super::*;
use crate::admission::QueryReservation;
use crate::result::Column;
use tidemark_engine::batch::column::Values;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::page::Group;
use tidemark_engine::scan::request::{Input, Output, ResultPosition};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

/// A group, a time, and a number that distinguishes rows.
type Row = (String, i64, i64);

struct Shard {
    rows: Vec<Row>,
    direction: Direction,
}

impl Shard {
    fn new(rng: &mut fastrand::Rng, first: i64, direction: Direction) -> Self {
        let mut rows = Vec::new();
        for series in 0..rng.i64(0..6) {
            let group = (*rng.choice(&["", "a", "b"]).unwrap()).to_owned();
            let mut time_ns = rng.i64(0..4);
            for row in 0..rng.i64(0..9) {
                rows.push((group.clone(), time_ns, first + series * 100 + row));
                time_ns += rng.i64(1..3);
            }
        }
        Self { rows, direction }
    }

    fn is_before(&self, row: &Row, place: &ResultPosition) -> bool {
        let key = (row.0.as_str(), row.1);
        let place = (place.group.first().map_or("", String::as_str), place.time_ns);
        match (self.direction, key.0 == place.0) {
            (Direction::Ascending, _) => key < place,
            (Direction::Descending, true) => key.1 > place.1,
            (Direction::Descending, false) => key.0 > place.0,
        }
    }

    fn piece(&self, resume: &Resume, count: usize) -> ScanPage {
        let wanted = |row: &&Row| {
            let behind = resume.from.as_ref().is_none_or(|from| !self.is_before(row, from));
            behind && resume.until.as_ref().is_none_or(|until| self.is_before(row, until))
        };
        let start = resume.position.as_ref().map_or(0, |position| position.stretch.start_ns);
        let all = self.rows.iter().enumerate().skip(start as usize);
        let found: Vec<(usize, &Row)> =
            all.filter(|(_, row)| wanted(row)).take(count + 1).collect();
        let position = found.get(count).map(|(at, _)| Position {
            order: Vec::new(),
            stretch: TimeRange::new(*at as i64, 0),
            series: Vec::new(),
            time_ns: None,
        });
        let groups = found.iter().take(count).map(|(_, (group, time_ns, number))| Group {
            key: vec![group.clone()],
            data: GroupData::Rows {
                times_ns: vec![*time_ns],
                fields: vec![Column::full(Values::Integer(vec![*number]))],
                tags: Vec::new(),
            },
        });
        let groups = groups.collect();
        ScanPage { groups, position, ..ScanPage::default() }
    }
}

/// Returns a request for all rows of a measurement.
pub(crate) fn request(output: Output) -> ScanRequest {
    ScanRequest::new(MeasurementId(1), output)
}

/// Reads slices of at most `bytes_max` bytes in pages of less than `piece_rows` rows. Returns all
/// rows, and the number of rows that the shards returned.
fn read(
    shards: &[Shard],
    (bytes_max, piece_rows): (usize, usize),
    rng: &mut fastrand::Rng,
) -> (Vec<Row>, usize) {
    let fields = vec![Input { column: ColumnId(9), field_type: FieldType::Integer, cast: None }];
    let output = Output::Rows { fields, tags: Vec::new(), limit: None, every_row: false };
    let direction = shards[0].direction;
    let request = ScanRequest { group_by: vec![ColumnId(1)], direction, ..request(output) };
    let mut stream = Stream::new(
        0,
        shards.len() as u32,
        request.clone(),
        [Some(0)].into(),
        false,
        &QueryReservation::default(),
    );
    stream.slice_bytes_max = bytes_max;
    let (mut all, mut given) = (Vec::new(), 0);
    for _ in 0..200_000 {
        match stream.front() {
            Front::End => return (all, given),
            Front::Group(key) => {
                let group = key[0].clone();
                let Some(GroupData::Rows { times_ns, fields, .. }) = stream.pop() else { panic!() };
                let Values::Integer(numbers) = &fields[0].values else { panic!() };
                let rows = times_ns.iter().zip(numbers);
                all.extend(rows.map(|(&time_ns, &number)| (group.clone(), time_ns, number)));
            }
            Front::Missing => {
                let mut needs: Vec<PageNeed> = stream.needs().collect();
                assert!(!needs.is_empty() && needs.len() <= SHARDS_REQUESTED_AT_ONCE_MAX);
                rng.shuffle(&mut needs);
                for PageNeed { stream: id, request } in needs {
                    let shard = &shards[id.shard as usize];
                    let page = shard.piece(&request.resume, rng.usize(1..piece_rows));
                    given += page.groups.len();
                    stream.supply(id.shard, page).unwrap();
                }
            }
        }
    }
    panic!("a stream that never ends")
}

#[test]
fn stream_merges_shard_rows_in_order() {
    for seed in 0..2_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let direction = Direction::descending_if(rng.bool());
        let count = rng.i64(1..9);
        let shards: Vec<Shard> =
            (0..count).map(|at| Shard::new(&mut rng, at * 10_000, direction)).collect();
        let expected = in_order(&shards);
        for bytes_max in [1, 400, 3_000, 1_000_000] {
            let (found, _) = read(&shards, (bytes_max, 20), &mut rng);
            assert_eq!(found, expected, "seed {seed}, {bytes_max} bytes");
        }
    }
}

/// A batch of a subquery is larger than a slice. The subquery returns the next batch instead of the
/// same groups again.
#[test]
fn stream_keeps_all_groups_of_large_batch() {
    let output =
        Output::Rows { fields: Vec::new(), tags: Vec::new(), limit: None, every_row: true };
    let request = ScanRequest { group_by: vec![ColumnId(1)], ..request(output) };
    let key = [Some(0)].into();
    let mut stream = Stream::new(0, 1, request, key, true, &QueryReservation::default());
    stream.keep_all();
    stream.slice_bytes_max = 1;
    let group = |name: &str| Group {
        key: vec![name.to_owned()],
        data: GroupData::Rows { times_ns: vec![1, 2], fields: Vec::new(), tags: Vec::new() },
    };
    let groups = vec![group("a"), group("b")];
    stream.supply(0, ScanPage { groups, ..ScanPage::default() }).unwrap();
    let mut found = Vec::new();
    while let Front::Group(key) = stream.front() {
        found.extend_from_slice(key);
        stream.pop();
    }
    assert_eq!(found, ["a", "b"]);
}

fn in_order(shards: &[Shard]) -> Vec<Row> {
    let mut rows: Vec<Row> = shards.iter().flat_map(|shard| shard.rows.clone()).collect();
    rows.sort_by(|a, b| {
        let order = (&a.0, a.1).cmp(&(&b.0, b.1));
        shards[0].direction.order(order)
    });
    rows
}

/// Creates a shard of `series` series with one row per second. The shard returns its rows in two
/// time ranges.
fn long(
    group: impl Fn(i64) -> String,
    (series, seconds): (i64, i64),
    direction: Direction,
) -> Shard {
    let mut rows = Vec::new();
    let halves = [0..seconds / 2, seconds / 2..seconds];
    for half in 0..2 {
        let half = halves[if direction.is_descending() { 1 - half } else { half }].clone();
        let all =
            (0..series).map(|at| if direction.is_descending() { series - 1 - at } else { at });
        for series in all {
            let times = half.clone().map(|second| (second, series * seconds + second));
            let mut of_series: Vec<Row> =
                times.map(|(second, number)| (group(series), second, number)).collect();
            if direction.is_descending() {
                of_series.reverse();
            }
            rows.extend(of_series);
        }
    }
    Shard { rows, direction }
}

#[test]
fn long_result_is_read_once() {
    let mut rng = fastrand::Rng::with_seed(5);
    type Case = (&'static str, fn(i64) -> String, (i64, i64));
    let cases: [Case; 3] = [
        ("one group", |_| String::new(), (20, 1_000)),
        ("many groups", |series| format!("{series:03}"), (100, 200)),
        ("few large ones", |series| format!("{series:03}"), (3, 6_000)),
    ];
    for (name, group, size) in cases {
        for direction in [Direction::Ascending, Direction::Descending] {
            for count in [1, 8] {
                let shards: Vec<Shard> = (0..count).map(|_| long(group, size, direction)).collect();
                let (found, given) = read(&shards, (100_000, 300), &mut rng);
                let expected = in_order(&shards);
                assert!(found == expected, "{name}, {count} shards");
                let ratio = given as f64 / expected.len() as f64;
                assert!(ratio < 1.5, "{name}, {count} shards: read {ratio} times");
            }
        }
    }
}
