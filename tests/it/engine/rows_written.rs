//! What a million points cost in rows written. Run with `--nocapture` to see it.

use tidemark::batch::Block;
use tidemark::batch::column::{Column, Values};
use tidemark::batch::frame::{self, TableRef};
use tidemark::batch::selection::Selection;
use tidemark::batch::series_table::{SeriesTable, TagColumn};
use tidemark::store::memory::MemoryStore;

use super::*;

const BATCH_ROWS: usize = 5_000;
const BATCHES: usize = 200;
const SERIES: usize = 100;
/// DESIGN 8.
const ROWS_WRITTEN_MAX: u64 = 300;

/// A batch of ten integer fields: every series once per 10 s, values on a random walk.
fn batch(number: usize, walk: &mut [i64; 10]) -> Vec<u8> {
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
        block.times_ns.push(1_700_000_000_000_000_000 + tick as i64 * 10_000_000_000);
        for (value, field) in walk.iter_mut().zip(&mut fields) {
            *value = (*value + rng.i64(-1..=1)).clamp(0, 100);
            field.push(*value);
        }
    }
    block.fields = fields.into_iter().map(|f| Column::full(Values::Integer(f))).collect();
    let mut out = Vec::new();
    let table = TableRef {
        measurement: MeasurementId(1),
        tag_ids: &[ColumnId(1)],
        field_ids: &(10..20).map(ColumnId).collect::<Vec<_>>(),
        block: &block,
        rows: &Selection::All,
    };
    frame::encode(&[table], &mut out);
    out
}

#[test]
fn a_million_points_stay_within_the_budget_of_rows() {
    let store = MemoryStore::new();
    let mut shard = reopen(store.clone());
    let week = ShardSettings { window_ns: 7 * 86_400_000_000_000, ..settings() };
    shard.open(&week).unwrap();
    let mut walk = [50; 10];
    let mut alarms = 0;
    for number in 0..BATCHES {
        shard.append(&batch(number, &mut walk), &stamp(), NOW_NS).unwrap();
        // The alarm's own row is billed as well.
        while shard.next_due(NOW_NS).is_some_and(|due| due <= NOW_NS) {
            shard.alarm(NOW_NS);
            alarms += 1;
        }
    }
    let stats = shard.stats().unwrap();
    let written = store.row_counts().written + alarms;
    let per_value = stats.bytes_stored as f64 / (BATCHES * BATCH_ROWS * 10) as f64;
    println!(
        "{written} rows written per million points of ten fields ({alarms} of them alarms), \
         {per_value:.2} bytes stored per value, {:?}",
        stats.counters
    );
    assert_eq!(stats.counters.points, 1_000_000);
    assert!(written <= ROWS_WRITTEN_MAX, "{written}");
}
