//! Tests the errors, the state and the responses of a shard.

use tidemark_engine::protocol::shard::{
    FromShard, ShardRefusal, ShardSettings, Stamp, ToShard, VerifyPage,
};
use tidemark_engine::scan::request::Deletion;
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::refusal::Refusal;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_engine::store::{Store, Table};
use tidemark_model::bug;
use tidemark_model::ids::{ColumnId, MeasurementId, PolicyId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

use super::*;
use crate::fault_store::{After, FaultStore};

const LATER_NS: i64 = NOW_NS + 700_000_000_000;

fn point(measurement: u32, time_ns: i64, field: u32, value: FieldValue) -> Point {
    let tags = vec![(1, "a".to_owned())];
    Point { measurement, tags, time_ns, fields: vec![(field, value)] }
}

fn integer(measurement: u32, time_ns: i64, value: i64) -> Point {
    point(measurement, time_ns, 11, FieldValue::Integer(value))
}

fn append<S: Store>(shard: &mut Shard<S>, points: &[Point]) -> Result<(), Refusal> {
    shard.append(&encode(points), &STAMP, NOW_NS).map(drop)
}

fn pause<S: Store>(shard: &mut Shard<S>) {
    for _ in 0..9 {
        shard.alarm(LATER_NS);
    }
}

fn rows(store: &MemoryStore, table: Table) -> usize {
    store.heads(table, 0..=(1 << 53) - 1, 10_000).unwrap().len()
}

#[test]
fn unopened_shard_is_stale() {
    let store = MemoryStore::new();
    let mut shard = reopen(store.clone());
    let newer = ShardSettings { generation: 5, ..settings() };
    assert_eq!(append(&mut shard, &[integer(1, 1, 1)]), Err(Refusal::Stale));
    assert_eq!(read_all(&mut shard), Err(Refusal::Stale));
    assert_eq!(shard.configure(&newer), Err(Refusal::Stale));
    assert_eq!((shard.close(1), shard.wipe()), (Ok(()), Ok(())));
    assert_eq!((shard.stats(), shard.verify(None)), (Err(Refusal::Stale), Err(Refusal::Stale)));
    assert_eq!((shard.alarm(NOW_NS), shard.next_due(NOW_NS)), (None, None));
    assert_eq!((store.is_open(), store.row_counts().written), (Ok(false), 0));

    shard.open(&settings()).unwrap();
    append(&mut shard, &[integer(1, 1, 1)]).unwrap();
    shard.wipe().unwrap();
    assert_eq!(append(&mut shard, &[integer(1, 1, 1)]), Err(Refusal::Stale));
    assert_eq!(store.is_open(), Ok(false));
}

#[test]
fn closed_shard_accepts_only_wipe() {
    let (store, mut shard) = opened();
    append(&mut shard, &[integer(1, 1, 1)]).unwrap();
    shard.close(2).unwrap();
    for mut shard in [shard, reopen(store.clone())] {
        assert_eq!(append(&mut shard, &[integer(1, 1, 1)]), Err(Refusal::Stale));
        assert_eq!(read_all(&mut shard), Err(Refusal::Stale));
        let newer = ShardSettings { generation: 9, ..settings() };
        assert_eq!(
            (shard.open(&newer), shard.configure(&newer)),
            (Err(Refusal::Stale), Err(Refusal::Stale))
        );
    }
    assert_eq!(reopen(store.clone()).wipe(), Ok(()));
    assert_eq!(store.is_open(), Ok(false));
}

#[test]
fn older_generation_is_stale() {
    let (store, mut shard) = opened();
    let newer = ShardSettings { generation: 3, range: TimeRange::new(0, 100), ..settings() };
    shard.configure(&newer).unwrap();
    shard.configure(&settings()).unwrap();
    for mut shard in [shard, reopen(store)] {
        let frame = encode(&[integer(1, 1, 1)]);
        assert_eq!(shard.append(&frame, &STAMP, NOW_NS), Err(Refusal::Stale));
        let other = Stamp { policy: PolicyId(8), generation: 3, ..STAMP };
        assert_eq!(shard.append(&frame, &other, NOW_NS), Err(Refusal::Stale));
        let stamp = Stamp { generation: 3, ..STAMP };
        assert!(shard.append(&frame, &stamp, NOW_NS).is_ok());
        let outside = encode(&[integer(1, 1, 1), integer(2, 100, 1)]);
        assert_eq!(shard.append(&outside, &stamp, NOW_NS), Err(Refusal::OutOfRange));
    }
}

#[test]
fn shard_remembers_highest_schema_version() {
    let (store, mut shard) = opened();
    let stamped = |schema_version| Stamp { schema_version, ..STAMP };
    shard.append(&encode(&[integer(1, 1, 1)]), &stamped(7), NOW_NS).unwrap();
    shard.append(&encode(&[integer(1, 2, 1)]), &stamped(3), NOW_NS).unwrap();
    let ask = |shard: &mut Shard<MemoryStore>, version| {
        shard
            .with_reader(&stamped(version), &[], |_| Ok(()))
            .map_err(|refusal| refusal == Refusal::Stale)
    };
    for flush in [false, true] {
        if flush {
            pause(&mut shard);
            assert_eq!(rows(&store, Table::Wal), 0);
        }
        for shard in [&mut shard, &mut reopen(store.clone())] {
            assert_eq!((ask(shard, 6), ask(shard, 7)), (Err(true), Ok(())));
            // Accepts a sender with the older schema version 6 if it has loaded the schema after
            // the start of the query, because it then knows all columns.
            let fresh = Stamp { fresh: true, ..stamped(6) };
            assert_eq!(shard.with_reader(&fresh, &[], |_| Ok(())), Ok(()));
        }
    }
}

#[test]
fn wrong_types_and_dropped_measurements_rejected() {
    let (store, mut shard) = opened();
    let wrong = |field, value| [point(1, 5, field, value)];
    append(&mut shard, &[integer(1, 1, 1)]).unwrap();
    for flush in [false, true] {
        if flush {
            pause(&mut shard);
        }
        for shard in [&mut shard, &mut reopen(store.clone())] {
            let before = store.row_counts().written;
            let mut frame = encode(&wrong(12, FieldValue::Unsigned(1)));
            assert!(shard.append(&frame[..9], &STAMP, NOW_NS).is_err());
            // A frame can give any type to any id. Here, the changed header gives the values of
            // field 12 to field 11.
            frame = renamed(frame);
            let conflict =
                Refusal::TypeConflict { measurement: MeasurementId(1), column: ColumnId(11) };
            assert_eq!(shard.append(&frame, &STAMP, NOW_NS), Err(conflict));
            assert_eq!(store.row_counts().written, before);
            assert!(shard.next_due(NOW_NS).is_some_and(|due| due >= NOW_NS) || flush);
        }
    }
    let retired = vec![MeasurementId(1)];
    shard.configure(&ShardSettings { generation: 2, retired, ..settings() }).unwrap();
    let stamp = Stamp { generation: 2, ..STAMP };
    let refusal = Refusal::RetiredMeasurement { measurement: MeasurementId(1) };
    let frame = encode(&[integer(1, 1, 1)]);
    assert_eq!(shard.append(&frame, &stamp, NOW_NS), Err(refusal));
    let parts = |shard: &mut Shard<MemoryStore>| {
        let parts = shard.with_reader(&stamp, &[MeasurementId(1)], |reader| {
            Ok(part_count(reader, MeasurementId(1), TimeRange::ALL)?)
        });
        parts.unwrap()
    };
    assert_eq!((parts(&mut shard), rows(&store, Table::Value)), (0, 1));
    pause(&mut shard);
    assert_eq!(rows(&store, Table::Value), 0);
}

#[test]
fn dropped_measurement_stays_dropped() {
    let (store, mut shard) = opened();
    append(&mut shard, &[1, 2, 3, 4].map(|of| integer(of, 1, 1))).unwrap();
    let settings_of = |generation, retired: &[u32]| ShardSettings {
        generation,
        retired: retired.iter().copied().map(MeasurementId).collect(),
        ..settings()
    };
    shard.configure(&settings_of(3, &[2])).unwrap();
    // If two drops run concurrently, the newer settings may arrive first.
    shard.configure(&settings_of(2, &[1])).unwrap();
    shard.configure(&settings_of(4, &[])).unwrap();
    let before = store.row_counts();
    shard.configure(&settings_of(4, &[1, 2])).unwrap();
    assert_eq!(store.row_counts().since(before).written, 0, "a repeat");
    let stamp = Stamp { generation: 4, ..STAMP };
    let seen = |shard: &mut Shard<MemoryStore>| {
        let parts = |of| {
            shard.with_reader(&stamp, &[MeasurementId(of)], |reader| {
                Ok(part_count(reader, MeasurementId(of), TimeRange::ALL)?)
            })
        };
        [1, 2, 3, 4].map(parts).map(Result::unwrap)
    };
    for flush in [false, true] {
        if flush {
            pause(&mut shard);
        }
        for shard in [&mut shard, &mut reopen(store.clone())] {
            assert_eq!(seen(shard), [0, 0, 1, 1]);
            let frame = encode(&[integer(1, 2, 1)]);
            let refusal = Refusal::RetiredMeasurement { measurement: MeasurementId(1) };
            assert_eq!(shard.append(&frame, &stamp, NOW_NS), Err(refusal));
        }
    }
    // A shard that was just opened applies its settings immediately.
    let opened = MemoryStore::new();
    let mut shard = reopen(opened.clone());
    shard.open(&settings_of(4, &[1])).unwrap();
    for shard in [&mut shard, &mut reopen(opened)] {
        assert!(shard.append(&encode(&[integer(1, 2, 1)]), &stamp, NOW_NS).is_err());
    }
}

#[test]
fn dropped_measurement_frees_its_columns() {
    let (store, mut shard) = opened();
    append(&mut shard, &[1, 2].map(|of| integer(of, 1, 1))).unwrap();
    pause(&mut shard);
    let dropping = |ids: &[u32]| {
        let retired = ids.iter().copied().map(MeasurementId).collect();
        ShardSettings { retired, ..settings() }
    };
    shard.configure(&dropping(&[1])).unwrap();
    // A running merge may still need the order of the tags.
    assert_eq!(rows(&store, Table::Schema), 2);
    pause(&mut shard);
    assert_eq!((rows(&store, Table::Schema), rows(&store, Table::Tombstone)), (1, 0));
    // The next measurement is dropped after the shard has deleted its rows.
    let time = TimeRange::ALL;
    let deletion = Deletion { measurement: MeasurementId(2), predicate: None, time };
    shard.delete(u64::MAX, &[deletion], &STAMP, NOW_NS).unwrap();
    pause(&mut shard);
    assert_eq!((rows(&store, Table::Schema), shard.stats().unwrap().parts), (1, 0));
    shard.configure(&dropping(&[1, 2])).unwrap();
    assert_eq!(rows(&store, Table::Schema), 0);
}

fn renamed(mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::from_le_bytes(frame[1..5].try_into().unwrap()) as usize;
    let (header, end) = (5, 5 + length);
    let at = (header..end).rev().find(|&at| frame[at] == 12).unwrap();
    frame[at] = 11;
    let crc = tidemark_engine::codec::crc::crc32c(&frame[..end]).to_le_bytes();
    frame[end..end + 4].copy_from_slice(&crc);
    frame
}

#[test]
fn full_object_still_serves_reads() {
    let store = MemoryStore::new();
    let mut shard = Shard::new(store.clone(), budget(), 500);
    shard.open(&settings()).unwrap();
    let mut model = Model::new();
    let refusal = loop {
        let points = [integer(1, model.len() as i64, 1)];
        match append(&mut shard, &points) {
            Ok(()) => apply(&mut model, &points),
            Err(refusal) => break refusal,
        }
    };
    let bytes = store.bytes().unwrap();
    assert_eq!(refusal, Refusal::Full { bytes, limit: 500 });
    assert_eq!(read_all(&mut shard), Ok(model.clone()));
    // The platform's own limit is reached in the middle of a write and of a flush.
    let mut shard = reopen(store.clone());
    store.limit_bytes(Some(bytes));
    assert!(matches!(append(&mut shard, &[integer(1, 9, 1)]), Err(Refusal::Full { .. })));
    pause(&mut shard);
    assert_eq!(read_all(&mut shard), Ok(model.clone()));
    store.limit_bytes(None);
    assert!(append(&mut shard, &[integer(1, 9_999, 1)]).is_ok());
}

#[test]
fn cold_append_writes_one_row() {
    let (store, mut shard) = opened();
    for time in 0..20 {
        append(&mut shard, &[integer(1, time, time)]).unwrap();
    }
    let fresh = store.snapshot();
    let mut cold = reopen(fresh.clone());
    cold.append(&encode(&[integer(1, 20, 20)]), &STAMP, NOW_NS).unwrap();
    // The shard reads its state row, twenty heads, and the measurement's columns.
    let (counts, billed) = (cold.stats().unwrap().counters, fresh.row_counts());
    assert_eq!((billed.written, counts.rows_read), (1, 22));
    // Includes the rows of the previous instance and the row with the columns.
    assert_eq!((counts.rows_written, counts.points), (22, 21));
    assert_eq!(read(&mut cold, 1, TimeRange::ALL).unwrap().len(), 21);
}

#[test]
fn evicted_memtable_reloads_from_log() {
    let budget = Budget::new(100_000, 1);
    let store = [MemoryStore::new(), MemoryStore::new()];
    let mut shards =
        store.clone().map(|store| Shard::new(store, Rc::clone(&budget), 9_000_000_000));
    let mut models = [Model::new(), Model::new()];
    let mut rng = fastrand::Rng::with_seed(3);
    shards.iter_mut().for_each(|shard| shard.open(&settings()).unwrap());
    for round in 0..60 {
        let points = random_points(&mut rng, 200);
        append(&mut shards[round % 2], &points).unwrap();
        apply(&mut models[round % 2], &points);
        assert!(budget.bytes() <= 100_000, "{}", budget.bytes());
    }
    let memory = |shard: &mut Shard<MemoryStore>| shard.stats().unwrap().memory_bytes;
    assert!(shards.iter_mut().any(|shard| memory(shard) == 0), "one of them was emptied");
    for (shard, model) in shards.iter_mut().zip(&models) {
        assert_eq!(read_all(shard).as_ref(), Ok(model));
    }
}

#[test]
fn expired_parts_free_their_storage() {
    let (store, mut shard) = opened();
    let kept = ShardSettings { generation: 2, duration_ns: 10 * WINDOW_NS, ..settings() };
    shard.configure(&kept).unwrap();
    let stamp = Stamp { generation: 2, ..STAMP };
    let points = [integer(1, LATER_NS - 20 * WINDOW_NS, 1), integer(1, LATER_NS - 20, 2)];
    shard.append(&encode(&points), &stamp, NOW_NS).unwrap();
    shard.alarm(LATER_NS);
    assert_eq!(shard.stats().unwrap().parts, 2);
    pause(&mut shard);
    assert_eq!(shard.stats().unwrap().parts, 1);
    let due = LATER_NS - 20 + 10 * WINDOW_NS + 1;
    assert_eq!(shard.next_due(LATER_NS), Some(due));
    shard.alarm(due - 1);
    assert_eq!(shard.stats().unwrap().parts, 1);
    shard.alarm(due);
    assert_eq!(shard.stats().unwrap().parts, 0);
    assert!(shard.next_due(due).is_some_and(|due_ns| due_ns <= due));
    shard.alarm(due);
    assert_eq!((rows(&store, Table::Value), shard.next_due(due)), (0, None));
}

#[test]
fn damage_fails_only_affected_reads() {
    let (store, mut shard) = opened();
    append(&mut shard, &[integer(1, 1, 1), integer(2, 1, 1)]).unwrap();
    append(&mut shard, &[integer(2, 5_000, 1)]).unwrap();
    let (head, mut body) =
        (store.head(Table::Wal, 1).unwrap().unwrap(), store.body(Table::Wal, 1).unwrap().unwrap());
    let last = body.len() - 1;
    body[last] ^= 1;
    store.put(Table::Wal, 1, &head, &body).unwrap();
    for flushed in [false, true] {
        let mut shard = reopen(store.clone());
        if flushed {
            pause(&mut shard);
            shard = reopen(store.clone());
        }
        let early = TimeRange::new(0, 1_000);
        assert_eq!(read(&mut shard, 1, TimeRange::ALL).unwrap().len(), 1);
        assert_eq!(read(&mut shard, 2, early).unwrap().len(), 1);
        let block = "WAL frame 2: part 0 fails its checksum".to_owned();
        let refusal = Refusal::Damaged { block: block.clone() };
        assert_eq!(read(&mut shard, 2, TimeRange::ALL), Err(refusal));
        assert_eq!(shard.stats().unwrap().troubles, [block.as_str()]);
        let VerifyPage { damaged, resume, .. } = shard.verify(None).unwrap();
        assert_eq!((damaged, resume), (vec![block], None));
    }
    assert_eq!(store.body(Table::Tombstone, (1 << 40) + 1), Ok(Some(body)), "kept raw");
    let (head, mut body) = store.head_and_body(Table::Value, 0).unwrap().unwrap();
    body[20] ^= 1;
    store.put(Table::Value, 0, &head, &body).unwrap();
    let page = reopen(store).verify(None).unwrap();
    assert_eq!(page.damaged.len(), 2, "{:?}", page.damaged);
}

#[test]
fn rule_12_failing_shard_job_retries_hourly() {
    // In the first case, the free space can hold the job's row. In the second case, it cannot.
    for room in [150, 0] {
        let (store, mut shard) = opened();
        append(&mut shard, &[integer(1, 1, 1)]).unwrap();
        store.limit_bytes(Some(store.bytes().unwrap() + room));
        let mut now_ns = LATER_NS;
        let mut waits = Vec::new();
        while waits.len() < 5 {
            let due_ns = shard.alarm(now_ns).unwrap();
            waits.push((due_ns - now_ns) / 1_000_000_000);
            now_ns = due_ns;
        }
        assert_eq!(waits, [30, 60, 3_600, 3_600, 3_600]);
        let named = |shard: &mut Shard<MemoryStore>| {
            let troubles = shard.stats().unwrap().troubles;
            assert_eq!(read_all(shard).unwrap().len(), 1);
            troubles.first().is_some_and(|t| t.starts_with("flush failed 5 times: "))
        };
        assert!(named(&mut shard));
        assert_eq!(named(&mut reopen(store.clone())), room > 0);
        store.limit_bytes(None);
        shard.alarm(now_ns);
        assert_eq!(shard.stats().unwrap().troubles, [""; 0]);
        assert_eq!(shard.stats().unwrap().counters.flushes, 1);
    }
}

#[test]
fn shard_messages_dispatch_to_methods() {
    let mut shard = reopen(MemoryStore::new());
    let message = ToShard::Append { stamp: STAMP, frame: encode(&[integer(1, 1, 1)]) };
    assert_eq!(shard.handle(&message, NOW_NS), FromShard::Stale);
    assert_eq!(shard.handle(&ToShard::Open(settings()), NOW_NS), FromShard::Done);
    assert!(matches!(shard.handle(&message, NOW_NS), FromShard::Appended { bytes: 1.., .. }));
    assert_eq!(shard.handle(&ToShard::Close { generation: 1 }, NOW_NS), FromShard::Done);
    assert_eq!(shard.handle(&message, NOW_NS), FromShard::Stale);
    assert_eq!(shard.handle(&ToShard::Wipe, NOW_NS), FromShard::Done);
}

#[test]
fn reported_bug_stores_nothing() {
    let store = FaultStore::new(MemoryStore::new());
    let mut shard = reopen(store.clone());
    let append =
        |value| ToShard::Append { stamp: STAMP, frame: encode(&[integer(1, value, value)]) };
    assert_eq!(shard.handle(&ToShard::Open(settings()), NOW_NS), FromShard::Done);
    assert!(matches!(shard.handle(&append(1), NOW_NS), FromShard::Appended { .. }));
    let stored = rows(&store.inner, Table::Wal);
    // The operation after the first operation of the event writes the frame.
    store.fail(1, false, After::Bug);
    let reply = bug::tolerate(|| shard.handle(&append(2), NOW_NS));
    let FromShard::Refused(ShardRefusal::Query(text)) = reply else { panic!("{reply:?}") };
    assert!(text.starts_with("internal error at "), "{text}");
    assert_eq!(rows(&store.inner, Table::Wal), stored);
    // The job's first operation counts the attempt. The job runs again.
    assert!(store.heal() && shard.stats().is_ok());
    store.fail(2, false, After::Bug);
    assert!(bug::tolerate(|| shard.alarm(LATER_NS)).is_some_and(|due_ns| due_ns > LATER_NS));
    assert!(store.heal());
    assert_eq!(rows(&store.inner, Table::Value), 0);
    assert!(matches!(shard.handle(&append(2), NOW_NS), FromShard::Appended { .. }));
    assert_eq!(read_all(&mut shard).unwrap().len(), 2);
}

/// The window widths before and after an ALTER RETENTION POLICY … SHARD DURATION.
const WIDTHS_NS: [[i64; 2]; 2] = [[WINDOW_NS, 7 * WINDOW_NS], [7 * WINDOW_NS, WINDOW_NS]];

/// A time that has a different window number for each width.
const FIRST_NS: i64 = 70 * WINDOW_NS;

/// Writes rows at the same times into two parts with different window widths.
fn overwritten(widths_ns: [i64; 2], duration_ns: i64) -> (MemoryStore, Shard<MemoryStore>) {
    let (store, mut shard) = opened();
    let written = |value| -> Vec<Point> {
        (0..36).map(|at| integer(1, FIRST_NS + at * 100, value)).collect()
    };
    for (value, window_ns) in (1..).zip(widths_ns) {
        let generation = 1 + value as u64;
        shard.configure(&ShardSettings { window_ns, generation, ..settings() }).unwrap();
        let stamp = Stamp { generation, ..STAMP };
        shard.append(&encode(&written(value)), &stamp, NOW_NS).unwrap();
        shard.alarm(LATER_NS);
    }
    let last = ShardSettings { window_ns: widths_ns[1], generation: 4, duration_ns, ..settings() };
    shard.configure(&last).unwrap();
    (store, shard)
}

fn values(shard: &mut Shard<MemoryStore>, generation: u64) -> Vec<FieldValue> {
    let columns = [ColumnId(11)];
    let stamp = Stamp { generation, ..STAMP };
    let found = shard.with_reader(&stamp, &[MeasurementId(1)], |reader| {
        let mut found = BTreeMap::new();
        let see = &mut |(_, time_ns, mut values): Row<'_>| {
            found.insert(time_ns, values.remove(0).1);
        };
        every_row(reader, MeasurementId(1), TimeRange::ALL, &columns, see)?;
        Ok(found)
    });
    found.unwrap().into_values().collect()
}

#[test]
fn merge_keeps_overwrites_across_window_widths() {
    for widths_ns in WIDTHS_NS {
        let (_, mut shard) = overwritten(widths_ns, 0);
        for later in 1..=3 {
            let stamp = Stamp { generation: 4, ..STAMP };
            shard.append(&encode(&[integer(1, FIRST_NS - later, 2)]), &stamp, NOW_NS).unwrap();
            shard.alarm(LATER_NS);
        }
        for _ in 0..9 {
            shard.alarm(LATER_NS + 3_600_000_000_000);
        }
        assert_eq!(shard.stats().unwrap().counters.compactions, 1, "{widths_ns:?}");
        assert_eq!(values(&mut shard, 4), vec![FieldValue::Integer(2); 39], "{widths_ns:?}");
    }
}

#[test]
fn retention_keeps_overwrites_across_window_widths() {
    for widths_ns in WIDTHS_NS {
        let (_, mut shard) = overwritten(widths_ns, LATER_NS - FIRST_NS - 1_000);
        pause(&mut shard);
        let left = values(&mut shard, 4);
        assert!((26..=36).contains(&left.len()), "{widths_ns:?}");
        assert_eq!(left, vec![FieldValue::Integer(2); left.len()], "{widths_ns:?}");
    }
}

fn apart(points: &[Point]) -> Vec<u8> {
    let of_point = |point: &Point| table(std::slice::from_ref(point), point.measurement);
    let tables: Vec<FrameTable> = points.iter().map(of_point).collect();
    encode_tables(&tables)
}

/// Encodes a frame with so many measurements that the log does not list them.
fn of_everything(measurements: u32) -> Vec<u8> {
    let points: Vec<Point> = (1..=measurements).map(|of| integer(of, 1, i64::from(of))).collect();
    apart(&points)
}

#[test]
fn frame_with_many_measurements_works() {
    const MEASUREMENTS: u32 = 6_000;
    let (store, mut shard) = opened();
    shard.append(&of_everything(MEASUREMENTS), &STAMP, NOW_NS).unwrap();
    let head = store.heads(Table::Wal, 0..=0, 1).unwrap();
    assert!(head[0].1.len() < 100, "the head of its row names none: {}", head[0].1.len());
    let mut shard = reopen(store.clone());
    assert_eq!(shard.stats().unwrap().counters.points, u64::from(MEASUREMENTS));
    let conflict = encode(&[point(MEASUREMENTS, 2, 11, FieldValue::Integer(1))]);
    assert!(shard.append(&conflict, &STAMP, NOW_NS).is_ok(), "the type that is stored");
    let deletion =
        Deletion { measurement: MeasurementId(2), predicate: None, time: TimeRange::ALL };
    shard.delete(u64::MAX, &[deletion], &STAMP, NOW_NS).unwrap();
    let found = |shard: &mut Shard<MemoryStore>| -> Vec<usize> {
        [1, 2, MEASUREMENTS].map(|of| read(shard, of, TimeRange::ALL).unwrap().len()).into()
    };
    assert_eq!(found(&mut shard), [1, 0, 2]);
    let range = TimeRange::new(i64::MIN, 2);
    shard.configure(&ShardSettings { range, generation: 2, ..settings() }).unwrap();
    let stamp = Stamp { generation: 2, ..STAMP };
    let left = |shard: &mut Shard<MemoryStore>, of| {
        shard
            .with_reader(&stamp, &[MeasurementId(of)], |reader| {
                Ok(part_count(reader, MeasurementId(of), range)?)
            })
            .unwrap()
    };
    for mut shard in [shard, reopen(store)] {
        assert_eq!([1, 2].map(|of| left(&mut shard, of) > 0), [true, false]);
    }
}

#[test]
fn column_is_stored_with_first_frame() {
    let (store, mut shard) = opened();
    let written = |frames: &[Point], shard: &mut Shard<MemoryStore>| {
        let before = store.row_counts();
        append(shard, frames).unwrap();
        store.row_counts().since(before).written
    };
    assert_eq!(written(&[integer(1, 1, 1), integer(2, 1, 1)], &mut shard), 3);
    assert_eq!(written(&[integer(1, 2, 1), integer(2, 2, 1)], &mut shard), 1);
    let mut shard = reopen(store.clone());
    assert_eq!(written(&[integer(1, 3, 1)], &mut shard), 1);
    assert_eq!(written(&[point(1, 3, 10, FieldValue::Float(1.0))], &mut shard), 2);
    assert_eq!(rows(&store, Table::Schema), 2);
}

#[test]
fn row_counters_survive_restart() {
    let (store, mut shard) = opened();
    append(&mut shard, &[integer(1, 1, 1), integer(2, 1, 1)]).unwrap();
    append(&mut shard, &[integer(1, 2, 1)]).unwrap();
    append(&mut shard, &[point(1, 3, 10, FieldValue::Float(1.0))]).unwrap();
    let before = store.row_counts();
    let text = |time_ns: i64| {
        let mut rng = fastrand::Rng::with_seed(time_ns as u64);
        let text: String = (0..900_000).map(|_| rng.alphanumeric()).collect();
        point(3, time_ns, 13, FieldValue::String(text.into()))
    };
    append(&mut shard, &(1..=4).map(text).collect::<Vec<_>>()).unwrap();
    let large = store.row_counts().since(before).written;
    assert!(large > 2, "several rows of the log: {large}");
    let counted = shard.stats().unwrap().counters;
    let again = reopen(store).stats().unwrap().counters;
    assert_eq!((again.rows_written, again.points), (counted.rows_written, counted.points));
}

#[test]
fn contradictory_frame_is_rejected_whole() {
    let (store, mut shard) = opened();
    let unsigned = point(1, 2, 12, FieldValue::Unsigned(1));
    let both = renamed(apart(&[integer(1, 1, 1), unsigned.clone()]));
    let conflict = Refusal::TypeConflict { measurement: MeasurementId(1), column: ColumnId(11) };
    assert_eq!(shard.append(&both, &STAMP, NOW_NS), Err(conflict.clone()));
    assert_eq!((rows(&store, Table::Wal), rows(&store, Table::Schema)), (0, 0));
    // The shard has not stored a type for this column, so it accepts the first type that it
    // receives.
    let frame = renamed(encode(&[unsigned]));
    shard.append(&frame, &STAMP, NOW_NS).unwrap();
    assert_eq!(append(&mut shard, &[integer(1, 1, 1)]), Err(conflict));
}
