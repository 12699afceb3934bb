//! Counts the rows that are written for a million points, and the rows that a query reads. With
//! `--nocapture`, prints both counts.

use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::scan::request::{Comparison, Input, Operand, Predicate};
use tidemark_engine::store::memory::MemoryStore;

use super::driven::Driven;
use super::*;
use crate::repository::text;

const BATCH_ROWS: usize = 5_000;
const BATCHES: usize = 200;
/// The time after a load until all rows are flushed and merged, in nanoseconds (docs/COSTS.md).
const REST_NS: i64 = 12_000_000_000;
const SERIES: usize = 100;
/// The budget in docs/design/README.md.
const ROWS_WRITTEN_MAX: u64 = 300;

fn costs_state(figure: &str) {
    let page = text("docs/COSTS.md");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains(figure), "docs/COSTS.md has not: {figure}");
}

/// Encodes a batch in which every series has one row per 10 s. The values are random walks.
pub(super) fn batch(number: usize, walk: &mut [i64; 10]) -> Vec<u8> {
    batch_every(number, walk, 10_000_000_000)
}

fn batch_every(number: usize, walk: &mut [i64; 10], step_ns: i64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(number as u64);
    let names: Vec<String> = (0..SERIES).map(|host| format!("host_{host}")).collect();
    let tag = TagColumn {
        dictionary: names.iter().map(String::as_str).collect(),
        codes: (1..=SERIES as u32).collect(),
    };
    let mut fields = vec![Vec::new(); 10];
    let mut block =
        Block { series: SeriesTable { tags: vec![tag], len: SERIES as u32 }, ..Block::default() };
    for row in 0..BATCH_ROWS {
        block.row_series.push((row % SERIES) as u32);
        let tick = (number * BATCH_ROWS + row) / SERIES;
        block.times_ns.push(1_700_000_000_000_000_000 + tick as i64 * step_ns);
        for (value, field) in walk.iter_mut().zip(&mut fields) {
            *value = (*value + rng.i64(-1..=1)).clamp(0, 100);
            field.push(*value);
        }
    }
    block.fields = fields.into_iter().map(|f| Column::full(Values::Integer(f))).collect();
    encode_block(block, &[ColumnId(1)], &(10..20).map(ColumnId).collect::<Vec<_>>())
}

#[test]
fn million_points_write_few_rows() {
    let store = MemoryStore::new();
    let mut shard = reopen(store.clone());
    let week = ShardSettings { window_ns: 7 * 86_400_000_000_000, ..settings() };
    shard.open(&week).unwrap();
    let mut object = Driven::new(shard);
    let mut walk = [50; 10];
    for number in 0..BATCHES {
        let frame = batch(number, &mut walk);
        let reply = object.reply(&ToShard::Append { stamp: STAMP, frame });
        assert!(matches!(reply, FromShard::Appended { .. }), "{reply:?}");
        object.run_due_work();
    }
    let FromShard::Stats(stats) = object.reply(&ToShard::Stats) else { panic!("no counters") };
    let written = store.row_counts().written + object.alarms_set;
    let per_value = stats.bytes_stored as f64 / (BATCHES * BATCH_ROWS * 10) as f64;
    println!(
        "{written} rows written per million points of ten fields ({} of them alarms), \
         {per_value:.2} bytes stored per value, {:?}",
        object.alarms_set, stats.counters
    );
    assert_eq!(stats.counters.points, 1_000_000);
    assert!(written <= ROWS_WRITTEN_MAX, "{written}");
    object.pass_to(object.platform.time_ns() + REST_NS);
    let at_rest = store.row_counts().written + object.alarms_set - written;
    println!("{at_rest} rows more until it is at rest");
    costs_state(&format!("**{written} written rows**"));
    costs_state(&format!("**{at_rest} written rows**"));
}

/// The maximum number of rows that a query reads. The query selects one series and one hour of a
/// month of a hundred series.
const ROWS_READ_MAX: u64 = 40;
const HOUR_NS: i64 = 3_600_000_000_000;

fn one_hour(from_ns: i64) -> ScanRequest {
    let host = Operand::Literal(FieldValue::String("host_42".into()));
    let tag = Operand::Tag(ColumnId(1));
    let fields = (10..20)
        .map(|id| Input { column: ColumnId(id), field_type: FieldType::Integer, cast: None })
        .collect();
    ScanRequest {
        time: TimeRange::new(from_ns, from_ns + HOUR_NS),
        predicate: Some(Predicate::Compare(Comparison::Equal, Box::new(tag), Box::new(host))),
        ..scan_of(Output::Rows { fields, tags: Vec::new(), limit: None, every_row: false })
    }
}

#[test]
fn hour_query_reads_few_rows() {
    let store = MemoryStore::new();
    let mut shard = reopen(store.clone());
    let week = ShardSettings { window_ns: 7 * 86_400_000_000_000, ..settings() };
    shard.open(&week).unwrap();
    let mut walk = [50; 10];
    // A batch contains fifty time steps. Batches at intervals of 17 minutes fill a month.
    let month_ns = 30 * 24 * HOUR_NS;
    for number in 0..52 {
        shard.append(&batch_every(number, &mut walk, month_ns / 2_600), &STAMP, NOW_NS).unwrap();
        run_due(&mut shard, NOW_NS);
    }
    let request = one_hour(1_700_000_000_000_000_000 + month_ns / 2);
    let read = |shard: &mut Shard<MemoryStore>| {
        let before = store.row_counts().read;
        let page = shard.scan(&request, &STAMP).unwrap();
        assert_eq!(page.stats.rows_read, store.row_counts().read - before);
        assert!(page.stats.rows_scanned > 0);
        page.stats.rows_read
    };
    let mut cold_shard = reopen(store.clone());
    let (cold, warm) = (read(&mut cold_shard), read(&mut cold_shard));
    let awake = read(&mut shard);
    println!("{cold} rows read cold, {awake} awake, {warm} once more");
    assert!(warm <= awake && awake <= ROWS_READ_MAX, "{awake} {warm}");
    assert!(cold > awake, "{cold} {awake}");
    costs_state(&format!("**{awake} rows**"));
    costs_state(&format!(" {cold},"));
}
