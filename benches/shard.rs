//! Native benchmark of a shard over the in-memory store, in bytes per value and times of a batch, a
//! flush and a compaction. Run `cargo bench --bench shard`. Bytes are counted after all alarms, and
//! include everything in the store.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

mod points;

use std::time::Duration;

use cpu_time::ThreadTime;
use tidemark_engine::batch::frame::{self, TableRef};
use tidemark_engine::batch::from_lines::from_lines;
use tidemark_engine::batch::selection::Selection;
use tidemark_engine::protocol::shard::{ShardSettings, Stamp};
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::store::Store;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_line_protocol::{Options, TimestampUnit};
use tidemark_model::ids::{ColumnId, MeasurementId, ObjectId, PolicyId};
use tidemark_model::time::{Precision, TimeRange};

const NOW_NS: i64 = 1_700_000_000_000_000_000;
const WEEK_NS: i64 = 7 * 86_400_000_000_000;

fn main() {
    println!(
        "{:<14} {:>9} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "shape", "values", "B/value", "aim", "append ms", "p99 ms", "flush ms", "merge ms"
    );
    for (name, aim, mut bodies) in points::shapes() {
        run(name, aim, &mut *bodies);
    }
}

fn run(name: &str, aim: f64, bodies: &mut dyn FnMut() -> String) {
    let store = MemoryStore::new();
    let mut shard = Shard::new(store.clone(), Budget::new(256_000_000, 7), u64::MAX);
    shard.open(&settings()).unwrap();
    let (mut values, mut appends, mut flushes, mut merges) = (0, vec![], vec![], vec![]);
    for _ in 0..200 {
        let frame = frame_of(&bodies(), &mut values);
        let stamp = Stamp {
            policy: PolicyId(9),
            generation: 1,
            schema_version: 1,
            fresh: false,
            access: 0,
            meter: None,
        };
        appends.push(time(|| shard.append(&frame, &stamp, NOW_NS)).0);
        alarms(&mut shard, NOW_NS, &mut flushes, &mut merges);
    }
    alarms(&mut shard, NOW_NS + 15_000_000_000, &mut flushes, &mut merges);
    alarms(&mut shard, NOW_NS + 30_000_000_000, &mut flushes, &mut merges);
    let per_value = store.bytes().unwrap() as f64 / values as f64;
    let all = [percentile(&mut appends, 50), percentile(&mut appends, 99)];
    let [append, p99] = all.map(ms);
    let [flush, merge] = [&mut flushes, &mut merges].map(|times| ms(percentile(times, 50)));
    println!(
        "{name:<14} {values:>9} {per_value:>8.3} {aim:>8} {append:>9.2} {p99:>9.2} {flush:>9.1} {merge:>9.1}"
    );
}

fn settings() -> ShardSettings {
    ShardSettings {
        database: ObjectId("1".repeat(64)),
        policy: PolicyId(9),
        group: 1,
        shard: 0,
        range: TimeRange::ALL,
        duration_ns: 0,
        retired: Vec::new(),
        window_ns: WEEK_NS,
        generation: 1,
        access: 0,
    }
}

fn alarms(
    shard: &mut Shard<MemoryStore>,
    now_ns: i64,
    flushes: &mut Vec<Duration>,
    merges: &mut Vec<Duration>,
) {
    while shard.next_due(now_ns).is_some_and(|due| due <= now_ns) {
        let before = shard.stats().unwrap().counters.flushes;
        let (elapsed, _) = time(|| shard.alarm(now_ns));
        let flushed = shard.stats().unwrap().counters.flushes > before;
        if flushed { flushes.push(elapsed) } else { merges.push(elapsed) }
    }
}

fn frame_of(body: &str, values: &mut usize) -> Vec<u8> {
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 0);
    let (batch, rejected) = from_lines(body.as_bytes(), options, 7).unwrap();
    assert_eq!(rejected.count, 0);
    let fields = batch.measurements.iter().flat_map(|table| &table.block.fields);
    *values += fields.map(|c| c.len() - c.validity.nulls(c.len())).sum::<usize>();
    let ids: Vec<ColumnId> = (0..64).map(ColumnId).collect();
    let field_ids: Vec<ColumnId> = (64..128).map(ColumnId).collect();
    // The id depends on the name, because the order of measurements varies between batches.
    let number = |name: &str| MeasurementId(name.bytes().map(u32::from).sum());
    let tables: Vec<TableRef<'_>> = batch
        .measurements
        .iter()
        .map(|table| TableRef {
            measurement: number(&table.name),
            tag_ids: &ids,
            field_ids: &field_ids,
            block: &table.block,
            rows: &Selection::All,
        })
        .collect();
    let mut out = Vec::new();
    frame::encode(&tables, &mut out);
    out
}

fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = ThreadTime::now();
    let result = work();
    (start.elapsed(), result)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    let last = times.len().saturating_sub(1);
    times.get((times.len() * percent / 100).min(last)).copied().unwrap_or_default()
}
