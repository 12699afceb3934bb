//! Tests when flushes and merges run, and how much work they do in each event.

use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::scan::request::{Comparison, Deletion, Operand, Predicate};
use tidemark_engine::shard::Limits;
use tidemark_engine::shard::manifest::{Manifest, Number, Part, PartId};
use tidemark_engine::store::memory::MemoryStore;
use tidemark_engine::store::{KEY_MAX, Store as _, Table};

use super::*;

/// The pause after which a load has ended and a slot is inactive.
const PAUSE_NS: i64 = 700_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;
const ROWS: usize = 5_000;

/// Encodes one row for each series, all at the same time.
fn values_of(series: std::ops::Range<usize>) -> Vec<u8> {
    let names: Vec<String> = series.clone().map(|number| format!("host_{number}")).collect();
    let dictionary = names.iter().map(String::as_str).collect();
    let rows = series.len() as u32;
    let tag = TagColumn { dictionary, codes: (1..=rows).collect() };
    let block = Block {
        series: SeriesTable { tags: vec![tag], len: rows },
        row_series: (0..rows).collect(),
        times_ns: vec![1; series.len()],
        fields: vec![Column::full(Values::Integer(vec![7; series.len()]))],
    };
    encode_block(block, &[ColumnId(1)], &[ColumnId(11)])
}

#[test]
fn reloaded_shard_remembers_quiet_slots() {
    let (store, mut shard) = opened();
    let mut now_ns = NOW_NS;
    for _ in 0..2 {
        shard.append(&values_of(0..3), &STAMP, now_ns).unwrap();
        now_ns += PAUSE_NS;
        run_due(&mut shard, now_ns);
    }
    let quiet_ns = now_ns - PAUSE_NS + HOUR_NS;
    for mut shard in [shard, reopen(store.clone())] {
        assert_eq!(run_due(&mut shard, now_ns), 0);
        assert_eq!(shard.next_due(now_ns), Some(quiet_ns), "the hour of the last write");
        assert_eq!((shard.stats().unwrap().parts, run_due(&mut shard, quiet_ns - 1)), (2, 0));
    }
    let mut shard = reopen(store);
    run_due(&mut shard, quiet_ns);
    let stats = shard.stats().unwrap();
    assert_eq!((stats.parts, stats.counters.compactions), (1, 1));
    assert_eq!(shard.next_due(quiet_ns), None);
}

#[test]
fn quiet_slots_survive_wider_windows() {
    let (_, mut shard) = opened();
    let write = |shard: &mut Shard<MemoryStore>, time_ns: i64, generation: u64, now_ns: i64| {
        let tags = vec![(1, "a".to_owned())];
        let fields = vec![(11, FieldValue::Integer(1))];
        let frame = encode(&[Point { measurement: 1, tags, time_ns, fields }]);
        shard.append(&frame, &Stamp { generation, ..STAMP }, now_ns).unwrap();
        run_due(shard, now_ns + PAUSE_NS);
    };
    write(&mut shard, 1, 1, NOW_NS);
    write(&mut shard, 2, 1, NOW_NS);
    let wider = ShardSettings { window_ns: 2 * WINDOW_NS, generation: 2, ..settings() };
    shard.configure(&wider).unwrap();
    write(&mut shard, 5 * WINDOW_NS, 2, NOW_NS + PAUSE_NS);
    assert_eq!(shard.stats().unwrap().parts, 3);
    assert_eq!(shard.next_due(NOW_NS + 2 * PAUSE_NS), Some(NOW_NS + HOUR_NS));
}

/// Appends frames of 5,000 rows until the alarm flushes. Returns the number of frames.
fn frames_of_a_flush(series: impl Fn(usize) -> std::ops::Range<usize>) -> usize {
    let (_, mut shard) = opened();
    for frame in 0.. {
        if shard.next_due(NOW_NS).is_some_and(|due_ns| due_ns <= NOW_NS) {
            return frame;
        }
        shard.append(&values_of(series(frame)), &STAMP, NOW_NS).unwrap();
    }
    0
}

#[test]
fn new_series_flush_earlier() {
    let new = frames_of_a_flush(|frame| frame * 5_000..(frame + 1) * 5_000);
    let known = frames_of_a_flush(|_| 0..5_000);
    assert!(new * 5_000 <= 90_000, "{new} frames");
    assert!(known >= 4 * new, "{known} frames, of new series {new}");
}

#[test]
fn merge_steps_limit_series() {
    const SERIES: usize = 80_000;
    let (_, mut shard) = opened();
    for flush in 0..2 {
        let now_ns = NOW_NS + flush as i64 * PAUSE_NS;
        shard.append(&values_of(flush * SERIES..(flush + 1) * SERIES), &STAMP, now_ns).unwrap();
        run_due(&mut shard, now_ns + PAUSE_NS);
    }
    assert_eq!(shard.stats().unwrap().parts, 2);
    let events = run_due(&mut shard, NOW_NS + PAUSE_NS + HOUR_NS);
    let stats = shard.stats().unwrap();
    assert_eq!((stats.parts, stats.counters.compactions), (1, 1));
    // Each event handles at most about 40,000 series.
    assert!(events >= 4, "{events} events");
}

/// Returns [`ROWS`] rows of one series. `draw` returns the value of each field.
fn rows_of(number: usize, fields: u32, draw: impl Fn(&mut fastrand::Rng) -> Values) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(number as u64);
    let first_ns = (number * ROWS) as i64;
    let block = Block {
        series: SeriesTable { tags: Vec::new(), len: 1 },
        row_series: vec![0; ROWS],
        times_ns: (first_ns..first_ns + ROWS as i64).collect(),
        fields: (0..fields).map(|_| Column::full(draw(&mut rng))).collect(),
    };
    let field_ids: Vec<ColumnId> = (0..fields).map(|field| ColumnId(11 + field)).collect();
    encode_block(block, &[], &field_ids)
}

#[test]
fn flush_size_is_limited() {
    let booleans =
        |rng: &mut fastrand::Rng| Values::Boolean((0..ROWS).map(|_| rng.bool()).collect());
    let floats = |rng: &mut fastrand::Rng| Values::Float((0..ROWS).map(|_| rng.f64()).collect());
    let frames: [&dyn Fn(usize) -> Vec<u8>; 2] =
        [&|number| rows_of(number, 10, floats), &|number| rows_of(number, 40, booleans)];
    for (frame, fields) in frames.into_iter().zip([10, 40]) {
        let (store, mut shard) = opened();
        let (mut most_bytes, mut most_cells) = (0, 0);
        for number in 0..60 {
            if number % 4 == 3 {
                shard = reopen(store.clone());
            }
            shard.append(&frame(number), &STAMP, NOW_NS).unwrap();
            let stats = shard.stats().unwrap();
            most_bytes = most_bytes.max(stats.wal_bytes);
            most_cells = most_cells.max(stats.wal_frames * ROWS as u64 * fields);
        }
        assert!(shard.stats().unwrap().counters.flushes > 3);
        assert!(most_bytes <= 4_000_000 && most_cells <= 1_500_000, "{most_bytes} {most_cells}");
        assert!(most_bytes > 3_000_000 || most_cells > 1_200_000, "{most_bytes} {most_cells}");
    }
}

/// Opens a shard with small values and a retention duration of an hour.
fn with_small_values() -> (MemoryStore, Shard<MemoryStore>) {
    let mut limits = Limits::default();
    (limits.part.page_rows, limits.part.page_rows_enough) = (100, 100);
    (limits.part.group_pages, limits.part.value_bytes) = (1, 1_500);
    let store = MemoryStore::new();
    let mut shard = reopen(store.clone()).with_limits(limits);
    let durations = ShardSettings { duration_ns: HOUR_NS, window_ns: HOUR_NS, ..settings() };
    shard.open(&durations).unwrap();
    (store, shard)
}

/// Returns 240 KB of random values.
fn random_values(from_ns: i64) -> Vec<u8> {
    const ROWS: usize = 30_000;
    let mut rng = fastrand::Rng::with_seed(1);
    let tag = TagColumn { dictionary: ["a"].into_iter().collect(), codes: vec![1] };
    let block = Block {
        series: SeriesTable { tags: vec![tag], len: 1 },
        row_series: vec![0; ROWS],
        times_ns: (from_ns..from_ns + ROWS as i64).collect(),
        fields: vec![Column::full(Values::Unsigned((0..ROWS).map(|_| rng.u64(..)).collect()))],
    };
    encode_block(block, &[ColumnId(1)], &[ColumnId(12)])
}

#[test]
fn weighed_bytes_exclude_unused_values() {
    let (store, mut shard) = with_small_values();
    for hour in 0..5 {
        shard.append(&random_values(hour * HOUR_NS), &STAMP, NOW_NS).unwrap();
    }
    let now_ns = 5 * HOUR_NS;
    shard.alarm(now_ns);
    assert_eq!(shard.stats().unwrap().parts, 5);
    let has_expired = (0..3).any(|_| {
        shard.alarm(now_ns);
        shard.stats().unwrap().parts == 1
    });
    assert!(has_expired);
    assert!(store.bytes().unwrap() > 1_000_000);
    let FromShard::Weighed { bytes, .. } = shard.handle(&ToShard::Weigh, now_ns) else {
        panic!("the shard did not return its size")
    };
    assert!((240_000..600_000).contains(&bytes), "{bytes}");
}

#[test]
fn unused_values_are_deleted_in_steps() {
    let (store, mut shard) = with_small_values();
    shard.append(&random_values(0), &STAMP, NOW_NS).unwrap();
    let now_ns = NOW_NS + 10 * HOUR_NS;
    let values = || store.heads(Table::Value, 0..=KEY_MAX, 10_000).unwrap().len();
    shard.alarm(now_ns);
    assert!(values() > 140, "{}", values());
    let mut written_max = 0;
    while shard.next_due(now_ns).is_some_and(|due_ns| due_ns <= now_ns) {
        let before = store.row_counts();
        shard.alarm(now_ns);
        written_max = written_max.max(store.row_counts().since(before).written);
    }
    assert_eq!(values(), 0);
    assert!((100..110).contains(&written_max), "{written_max}");
}

#[test]
fn merge_pauses_while_series_are_deleted() {
    let limits = Limits { step_cells: 10_000, ..Limits::default() };
    let mut shard = reopen(MemoryStore::new()).with_limits(limits);
    shard.open(&settings()).unwrap();
    shard.append(&values_of(0..20_000), &STAMP, NOW_NS).unwrap();
    let now_ns = NOW_NS + PAUSE_NS;
    run_due(&mut shard, now_ns);
    let host = Box::new(Operand::Tag(ColumnId(1)));
    let value = Box::new(Operand::Literal(FieldValue::String("host_7".into())));
    let deletion = Deletion {
        measurement: MeasurementId(1),
        predicate: Some(Predicate::Compare(Comparison::NotEqual, host, value)),
        time: TimeRange::ALL,
    };
    shard.delete(u64::MAX, &[deletion], &STAMP, now_ns).unwrap();
    // Each of five steps of the merge passes about 4,000 deleted series.
    let events = run_due(&mut shard, now_ns + PAUSE_NS);
    assert!((7..12).contains(&events), "{events}");
    let stats = shard.stats().unwrap();
    assert_eq!((stats.series, stats.tombstones, stats.counters.compactions), (1, 0, 1));
    assert_eq!(read(&mut shard, 1, TimeRange::ALL).unwrap().len(), 1);
}

#[test]
fn expired_parts_leave_unused_values() {
    const PARTS: u64 = 1_500;
    const VALUES: u64 = 40;
    let mut manifest = Manifest::new(WINDOW_NS);
    let part = |id: u64| {
        let values = (id * VALUES..(id + 1) * VALUES).collect();
        let time_ns = id as i64;
        Part { id: PartId(id), min_ns: time_ns, max_ns: time_ns, values, ..Part::default() }
    };
    let values: Vec<_> = (0..PARTS * VALUES).map(|number| (Number(number), number)).collect();
    manifest.add((0..PARTS).map(part), &values);
    let expired = manifest.expired(PARTS as i64 - 1);
    assert_eq!(manifest.drop_parts(expired), PARTS as usize - 1);
    assert_eq!(manifest.unused().len() as u64, (PARTS - 1) * VALUES);
}
