//! Counts the reads of a query in a shard with a large number of measurements.

use tidemark_engine::store::memory::MemoryStore;

use super::*;

const MEASUREMENTS: u32 = 3_000;
/// The number of rows per measurement. With this number, each group has a separate table of Huffman
/// codes.
const ROWS: i64 = 100;

fn points(measurement: u32) -> Vec<Point> {
    let mut rng = fastrand::Rng::with_seed(u64::from(measurement));
    let point = |at: i64| Point {
        measurement,
        tags: vec![(1, "host".into())],
        time_ns: at * 10 + rng.i64(0..10),
        fields: vec![(FIELDS[0], random_value(&mut rng, FIELDS[0]))],
    };
    (0..ROWS).map(point).collect()
}

#[test]
fn directories_are_cached_after_first_read() {
    let store = MemoryStore::new();
    let mut shard = reopen(store.clone());
    shard.open(&ShardSettings { window_ns: i64::MAX, ..settings() }).unwrap();
    for measurement in 1..=MEASUREMENTS {
        shard.append(&encode(&points(measurement)), &STAMP, NOW_NS).unwrap();
    }
    let mut later_ns = NOW_NS;
    while let Some(due_ns) = shard.next_due(later_ns) {
        later_ns = later_ns.max(due_ns);
        shard.alarm(later_ns);
    }
    let ask = |shard: &mut Shard<MemoryStore>| {
        // The measurements are written in an order that differs from the order of the directories.
        for number in 0..MEASUREMENTS {
            let measurement = 1 + number * 1_009 % MEASUREMENTS;
            let time = TimeRange::new(0, 100);
            assert!(!read(shard, measurement, time).unwrap().is_empty(), "{measurement}");
        }
    };
    ask(&mut shard);
    let before = store.row_counts().read;
    ask(&mut shard);
    assert_eq!(store.row_counts().read, before, "everything asked for fits the cache");
}
