//! Measures the memory of shards: many points, many series, several busy objects, and a restart.
//! With `LONG_TESTS=1`, writes ten million points and a million series, twenty times as much as by
//! default.

use std::rc::Rc;
use std::time::Instant;

use tidemark_engine::batch::Block;
use tidemark_engine::batch::column::{Column, Values};
use tidemark_engine::batch::from_lines::from_lines;
use tidemark_engine::batch::series_table::{SeriesTable, TagColumn};
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::protocol::shard::ShardSettings;
use tidemark_engine::scan::page::GroupData;
use tidemark_engine::scan::request::{
    AggregateCall, AggregateFunction, Input, Output, ScanRequest, SummaryRequest, SummaryWant,
};
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::store::Store;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_line_protocol::{Options, TimestampUnit};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::limits::{MEMTABLE_BYTES_MAX, PAGE_BYTES_MAX};
use tidemark_model::time::{Precision, TimeRange};
use tidemark_model::value::FieldType;

use crate::allocator::{live, peak_since};
use crate::engine::{STAMP, encode_block, next_page, run_due, scan_of, settings};
use crate::every_row::part_count;
use crate::world::is_long;

const ROWS: usize = 5_000;
const NOW_NS: i64 = 1_700_000_000_000_000_000;
/// The memory limit of an isolate (docs/design/README.md). Shards must never exceed it.
const PEAK_BYTES_MAX: isize = 128_000_000;

/// The rows have one integer field, and alternate between `series` series.
fn batch(number: usize, series: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(number as u64);
    let first = number * ROWS % series.max(ROWS);
    let held = series.min(ROWS);
    let names: Vec<String> = (first..first + held).map(|n| format!("host_{n:07}")).collect();
    let tag = TagColumn {
        dictionary: names.iter().map(String::as_str).collect(),
        codes: (1..=held as u32).collect(),
    };
    let block = Block {
        series: SeriesTable { tags: vec![tag], len: held as u32 },
        row_series: (0..ROWS as u32).map(|row| row % held as u32).collect(),
        times_ns: (0..ROWS)
            .map(|row| NOW_NS + (number * ROWS + row / held) as i64 * 1_000_000_000)
            .collect(),
        fields: vec![Column::full(Values::Integer((0..ROWS).map(|_| rng.i64(0..1_000)).collect()))],
    };
    encode_block(block, &[ColumnId(1)], &[ColumnId(10)])
}

pub(crate) fn opened(store: &MemoryStore, budget: &Rc<Budget>) -> Shard<MemoryStore> {
    let mut shard = Shard::new(store.clone(), Rc::clone(budget), u64::MAX);
    let week = ShardSettings { window_ns: 7 * 86_400_000_000_000, ..settings() };
    shard.open(&week).unwrap();
    shard
}

/// Fills shards. Returns the maximum memory during an event and the memory between events, both
/// without the stored data.
fn fill(objects: usize, batches: usize, series: usize) -> (isize, isize) {
    let before = live();
    let budget = Budget::new(MEMTABLE_BYTES_MAX, 1);
    let stores: Vec<MemoryStore> = (0..objects).map(|_| MemoryStore::new()).collect();
    let mut shards: Vec<_> = stores.iter().map(|store| opened(store, &budget)).collect();
    let stored =
        || stores.iter().map(|store| store.bytes().unwrap() as isize).sum::<isize>() + before;
    let (mut peak, mut held) = (0, 0);
    for number in 0..batches {
        let frame = batch(number / objects, series);
        let shard = &mut shards[number % objects];
        let base = stored();
        held = held.max(live() - base);
        shard.append(&frame, &STAMP, NOW_NS).unwrap();
        run_due(shard, NOW_NS);
        peak = peak.max(peak_since() - base);
    }
    for shard in &mut shards {
        let base = stored();
        live();
        let parts = shard.with_reader(&STAMP, &[MeasurementId(1)], |reader| {
            Ok(part_count(reader, MeasurementId(1), TimeRange::ALL)?)
        });
        assert!(parts.unwrap() > 0);
        peak = peak.max(peak_since() - base);
        live();
        let (mut request, mut counted, mut is_last) = (every_series(), 0, false);
        while !is_last {
            let page = shard.summary(&request, &STAMP).unwrap();
            counted += page.measurements.iter().map(|found| found.count).sum::<u64>();
            (request.resume, is_last) = (page.resume.clone(), page.resume.is_none());
        }
        assert_eq!(counted, series.min(batches * ROWS) as u64);
        let count = shard.scan(&count_of(10, FieldType::Integer), &STAMP).unwrap();
        assert!(!count.groups.is_empty());
        peak = peak.max(peak_since() - base);
        let points = shard.stats().unwrap().counters.points;
        assert_eq!(points as usize, batches / objects * ROWS);
    }
    (peak, held)
}

fn every_series() -> SummaryRequest {
    let tags = vec![vec![(ColumnId(1), 7)]];
    let want = SummaryWant::SeriesHashes { tags, count_only: true };
    SummaryRequest::new(vec![MeasurementId(1)], want)
}

fn count_of(column: u32, field_type: FieldType) -> ScanRequest {
    let input = Input { column: ColumnId(column), field_type, cast: None };
    let function = AggregateFunction::Count;
    let calls = vec![AggregateCall { function, input, aux: Vec::new() }];
    scan_of(Output::Aggregates { calls, window: None, limit: None })
}

fn text(number: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(number as u64);
    let texts: Vec<String> =
        (0..1_000).map(|_| (0..1_000).map(|_| rng.char(' '..'~')).collect()).collect();
    let tag = TagColumn { dictionary: ["a"].into_iter().collect(), codes: vec![1] };
    let block = Block {
        series: SeriesTable { tags: vec![tag], len: 1 },
        row_series: vec![0; texts.len()],
        times_ns: (0..texts.len()).map(|row| NOW_NS + (number * 1_000 + row) as i64).collect(),
        fields: vec![Column::full(Values::String(texts.iter().map(String::as_str).collect()))],
    };
    encode_block(block, &[ColumnId(1)], &[ColumnId(11)])
}

#[test]
fn decoded_bytes_per_event_are_limited() {
    const EVENT_BYTES_MAX: u64 = 8_000_000;
    let budget = Budget::new(MEMTABLE_BYTES_MAX, 1);
    let store = MemoryStore::new();
    let mut shard = opened(&store, &budget);
    let mut stored = 0;
    for number in 0..17 {
        let frame = text(number);
        stored += frame.len() as u64;
        shard.append(&frame, &STAMP, NOW_NS).unwrap();
        // Two flushes write seven frames each. The last three frames remain in the log.
        if number < 14 {
            run_due(&mut shard, NOW_NS);
        }
    }
    let log_bytes = shard.stats().unwrap().wal_bytes;
    assert!(log_bytes > 2_000_000 && log_bytes < stored / 2, "{log_bytes} of {stored}");
    let mut next = Some(count_of(11, FieldType::String));
    let mut cold = Shard::new(store.clone(), Rc::clone(&budget), u64::MAX);
    let (mut decoded, mut pages) = (log_bytes, 0);
    while let Some(page) = next_page(&mut cold, &mut next, &STAMP).unwrap() {
        let replayed = if pages == 0 { log_bytes } else { 0 };
        let event = page.stats.bytes_decoded + replayed;
        println!("page {pages}: {event} bytes decoded");
        assert!(event < EVENT_BYTES_MAX, "page {pages}: {event} bytes");
        decoded += page.stats.bytes_decoded;
        pages += 1;
    }
    assert!(pages > 1 && decoded >= stored * 8 / 10, "{decoded} of {stored} in {pages} pages");
    assert!(decoded <= stored * 3 / 2, "{decoded} of {stored}: blocks are read again and again");
}

/// In storage, the frame takes a few kilobytes.
fn repeated(number: usize) -> Vec<u8> {
    const ROWS: usize = 20_000;
    let text = "x".repeat(310);
    let block = Block {
        series: SeriesTable { tags: Vec::new(), len: 1 },
        row_series: vec![0; ROWS],
        times_ns: (0..ROWS).map(|row| NOW_NS + (number * ROWS + row) as i64).collect(),
        fields: vec![Column::full(Values::String((0..ROWS).map(|_| text.as_str()).collect()))],
    };
    encode_block(block, &[], &[ColumnId(11)])
}

fn rows_of(column: u32, direction: Direction) -> ScanRequest {
    let input = Input { column: ColumnId(column), field_type: FieldType::String, cast: None };
    let output =
        Output::Rows { fields: vec![input], tags: Vec::new(), limit: None, every_row: false };
    ScanRequest { output, direction, ..count_of(column, FieldType::String) }
}

/// Repeated text is small in storage and in memory, but large in a page.
#[test]
fn repeated_strings_bound_page_memory() {
    let store = MemoryStore::new();
    let mut shard = opened(&store, &Budget::new(MEMTABLE_BYTES_MAX, 1));
    for number in 0..12 {
        shard.append(&repeated(number), &STAMP, NOW_NS).unwrap();
        // The last frame remains in the log.
        if number < 11 {
            run_due(&mut shard, NOW_NS);
        }
    }
    for direction in [Direction::Ascending, Direction::Descending] {
        let mut next = Some(rows_of(11, direction));
        let (mut rows, mut highest) = (0, 0);
        loop {
            let before = live();
            let Some(page) = next_page(&mut shard, &mut next, &STAMP).unwrap() else { break };
            highest = highest.max(peak_since() - before);
            for group in &page.groups {
                let GroupData::Rows { times_ns, .. } = &group.data else { panic!("{group:?}") };
                rows += times_ns.len();
            }
        }
        println!("{direction:?}: {highest} bytes at the peak of a page");
        assert_eq!(rows, 12 * 20_000);
        assert!(highest < 8 * PAGE_BYTES_MAX as isize, "{highest}");
    }
}

/// Several writes can give one row more text than an isolate can hold.
#[test]
fn row_with_too_much_text_is_rejected() {
    let mut shard = opened(&MemoryStore::new(), &Budget::new(MEMTABLE_BYTES_MAX, 1));
    let text = Column::full(Values::String(["x".repeat(1_000_000).as_str()].into_iter().collect()));
    for first in (20..56).step_by(2) {
        let block = Block {
            series: SeriesTable { tags: Vec::new(), len: 1 },
            row_series: vec![0],
            times_ns: vec![NOW_NS],
            fields: vec![text.clone(); 2],
        };
        let frame = encode_block(block, &[], &[ColumnId(first), ColumnId(first + 1)]);
        shard.append(&frame, &STAMP, NOW_NS).unwrap();
        run_due(&mut shard, NOW_NS);
    }
    let mut read = |end: u32| {
        let field_type = FieldType::String;
        let input = |id| Input { column: ColumnId(id), field_type, cast: None };
        let fields = (20..end).map(input).collect();
        let output = Output::Rows { fields, tags: Vec::new(), limit: None, every_row: false };
        shard.scan(&scan_of(output), &STAMP).map(|page| page.groups.len())
    };
    assert_eq!(read(50), Ok(1));
    let refused = read(56).map_err(|refusal| refusal.to_string());
    let text = "the text of a point has more than 32000000 bytes: select fewer fields";
    assert_eq!(refused, Err(text.to_owned()));
}

/// Encodes rows of which every second row has no text. With `with_number`, the rows also have a
/// number.
fn repeated_in(number: usize, with_number: bool) -> Vec<u8> {
    const ROWS: usize = 20_000;
    let text =
        Column::full(Values::String(std::iter::repeat_n("x".repeat(310).as_str(), 1).collect()));
    let mut texts = Column::new(FieldType::String);
    for row in 0..ROWS {
        texts.extend_from(&text.gather(if row % 2 == 0 { &[0] } else { &[] }));
        texts.extend_nulls(row % 2);
    }
    let (mut fields, mut field_ids) = (vec![texts], vec![ColumnId(11)]);
    if with_number {
        fields.push(Column::full(Values::Integer(vec![number as i64; ROWS])));
        field_ids.push(ColumnId(12));
    }
    let block = Block {
        series: SeriesTable { tags: Vec::new(), len: 1 },
        row_series: vec![0; ROWS],
        times_ns: (0..ROWS).map(|row| NOW_NS + (number * ROWS / 2 + row) as i64).collect(),
        fields,
    };
    encode_block(block, &[], &field_ids)
}

/// Frames of one measurement have different columns, and overlap in memory and in storage.
#[test]
fn overlaid_strings_stay_dictionary_encoded() {
    const FRAMES: usize = 16;
    const EVENT_BYTES_MAX: isize = 24_000_000;
    let store = MemoryStore::new();
    let mut shard = opened(&store, &Budget::new(MEMTABLE_BYTES_MAX, 1));
    let held = |store: &MemoryStore| live() - store.bytes().unwrap() as isize;
    let check = |what: &str, store: &MemoryStore, before: isize| {
        let event = peak_since() - before - store.bytes().unwrap() as isize;
        println!("{what}: {event} bytes at the peak");
        assert!(event < EVENT_BYTES_MAX, "{what}: {event}");
    };
    let scan = |what: &str, shard: &mut Shard<MemoryStore>| {
        let (mut next, mut rows) = (Some(rows_of(11, Direction::Ascending)), 0);
        loop {
            let before = held(&store);
            let Some(page) = next_page(shard, &mut next, &STAMP).unwrap() else { break };
            check(what, &store, before);
            for group in &page.groups {
                let GroupData::Rows { times_ns, .. } = &group.data else { panic!("{group:?}") };
                rows += times_ns.len();
            }
        }
        assert_eq!(rows, (FRAMES + 1) * 20_000 / 2 / 2, "{what}");
    };
    for number in 0..FRAMES {
        let before = held(&store);
        shard.append(&repeated_in(number, number % 2 == 1), &STAMP, NOW_NS).unwrap();
        check("append", &store, before);
        if number == FRAMES / 2 {
            let before = held(&store);
            shard.alarm(NOW_NS + 700_000_000_000);
            check("flush", &store, before);
        }
    }
    scan("overlay of memory over storage", &mut shard);
    let before = held(&store);
    shard.alarm(NOW_NS + 700_000_000_000);
    check("flush", &store, before);
    scan("overlay in storage", &mut shard);
}

#[test]
fn large_loads_stay_within_isolate_memory() {
    let scale = if is_long() { 20 } else { 1 };
    for (what, objects, batches, series) in [
        ("points in one object", 1, 100 * scale, 100),
        ("new series in one object", 1, 10 * scale, 50_000 * scale),
        ("points in eight objects", 8, 80 * scale, 100),
    ] {
        let (peak, held) = fill(objects, batches, series);
        println!("{} {what}: {peak} bytes at the peak, {held} between events", batches * ROWS);
        assert!(peak < PEAK_BYTES_MAX, "{what}: {peak}");
    }
}

/// A contiguous column would exist twice while it grows, and then leave a gap that only smaller
/// allocations can use.
#[test]
fn append_memory_ignores_stored_rows() {
    let (store, budget) = (MemoryStore::new(), Budget::new(MEMTABLE_BYTES_MAX, 1));
    let mut shard = opened(&store, &budget);
    let mut aux = |number: usize| {
        let (frame, stored) = (batch(number, 100), store.bytes().unwrap() as isize);
        let held = live();
        shard.append(&frame, &STAMP, NOW_NS).unwrap();
        peak_since() - held - (store.bytes().unwrap() as isize - stored)
    };
    let first: isize = (0..10).map(&mut aux).max().unwrap();
    // With more rows, the log would reach its maximum size and would be flushed.
    let late = (10..110).map(aux).max().unwrap();
    println!("a write of {ROWS} rows: {first} bytes at first, {late} with 550,000 rows there");
    assert!(late < first * 2, "{first} bytes at first, {late} later");
    let stats = shard.stats().unwrap();
    assert!(stats.memory_bytes > 10_000_000 && stats.counters.flushes == 0, "{stats:?}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is printed; nothing depends on it"
)]
fn a_restart_reads_the_log_when_it_is_asked_and_not_before() {
    let megabytes: &[u64] = if is_long() { &[1, 4, 8] } else { &[1] };
    for &megabytes in megabytes {
        let budget = Budget::new(MEMTABLE_BYTES_MAX, 1);
        let store = MemoryStore::new();
        let mut shard = opened(&store, &budget);
        let mut number = 0;
        // A frame is slightly larger than a megabyte. At 8 MB, the frames are flushed.
        let limit = (megabytes * 1_000_000).min(7_000_000);
        while shard.stats().unwrap().wal_bytes < limit {
            shard.append(&text(number), &STAMP, NOW_NS).unwrap();
            number += 1;
        }
        let mut cold = Shard::new(store.clone(), Rc::clone(&budget), u64::MAX);
        let from = Instant::now();
        let frame = batch(0, 100);
        cold.append(&frame, &STAMP, NOW_NS).unwrap();
        let write = from.elapsed();
        assert_eq!(cold.stats().unwrap().memory_bytes, 0, "a write replayed the log");
        let from = Instant::now();
        cold.with_reader(&STAMP, &[MeasurementId(1)], |reader| {
            Ok(part_count(reader, MeasurementId(1), TimeRange::ALL)?)
        })
        .unwrap();
        let read = from.elapsed();
        println!("{megabytes} MB of log: first write {write:?}, first query {read:?}");
    }
}

/// The shortest lines make the largest message to a shard. Ten bytes of text become a point that
/// needs twenty bytes in columns.
#[test]
fn shortest_lines_stay_within_isolate_memory() {
    let lines = if is_long() { 3_100_000 } else { 1_550_000 };
    let body: String = (0..lines).map(|n| format!("m v=1 {}\n", n % 10)).collect();
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), NOW_NS);
    let (mut batch, _) = from_lines(body.as_bytes(), options, 1).unwrap();
    drop(body);
    let frame = encode_block(batch.measurements.remove(0).block, &[], &[ColumnId(11)]);
    drop(batch);
    let store = MemoryStore::new();
    let mut shard = opened(&store, &Budget::new(MEMTABLE_BYTES_MAX, 1));
    type Event = fn(&mut Shard<MemoryStore>, &[u8]);
    let events: [(&str, Event); 4] = [
        ("append", |shard, frame| _ = shard.append(frame, &STAMP, NOW_NS).unwrap()),
        ("alarm", |shard, _| _ = shard.alarm(NOW_NS)),
        ("append", |shard, frame| _ = shard.append(frame, &STAMP, NOW_NS).unwrap()),
        ("read", |shard, _| {
            let parts = shard.with_reader(&STAMP, &[MeasurementId(1)], |reader| {
                Ok(part_count(reader, MeasurementId(1), TimeRange::ALL)?)
            });
            assert!(parts.unwrap() > 0);
        }),
    ];
    for (name, event) in events {
        let stored = store.bytes().unwrap() as isize;
        let before = live();
        event(&mut shard, &frame);
        let peak = peak_since() - before;
        println!("{name}: {peak} bytes at the peak, {stored} stored, {} left", live() - before);
        // Frames that are only in the log are read one table at a time.
        let most = if name == "append" { 24_000_000 } else { lines as isize * 40 };
        assert!(peak < most, "{name}: {peak}");
    }
}
