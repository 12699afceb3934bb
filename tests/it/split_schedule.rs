//! Tests random schedules in which two edges write and query while shard groups split. Messages are
//! lost, repeated, delayed and reordered, objects crash between any two messages, and alarms are
//! irregular. A model determines for every query which points and values it must and may return.
//!
//! In simulator.rs, each write has one point with a new time, and databases are dropped. Here,
//! writes have several points, which may overwrite earlier points.

use std::collections::BTreeMap;

use tidemark_coordinator::error::Error;
use tidemark_coordinator::write::WriteOutcome;
use tidemark_model::time::{D_NS, MS_NS};
use tidemark_model::value::FieldValue;
use tidemark_query::result::{ResultColumn, SeriesChunk};

use crate::protocol::{create, write};
use crate::world::platform::START_NS;
use crate::world::{Answer, Edge, Faults, Results, World, real_shard, seeds};

const SEEDS: u64 = 15;
const STEPS: u64 = 700;
/// The size at which a shard group splits: a few dozen points.
const SPLIT_BYTES: u64 = 1_200;
/// 2100-01-01.
const FAR_NS: i64 = 4_102_444_800_000_000_000;

type Piece = Result<Option<SeriesChunk>, Error>;

struct Writing {
    answers: Answer<WriteOutcome>,
    /// The times of the points, which all have the value `value`.
    times_ns: Vec<i64>,
    value: i64,
    start: u64,
    end: Option<u64>,
    succeeded: bool,
}

struct Asking {
    pieces: Results<SeriesChunk>,
    start: u64,
    end: Option<u64>,
}

/// Returns a time that is near now, years ago or in the year 2100. With `once`, no time repeats: a
/// late repeated message could otherwise restore an earlier value.
fn time_ns(world: &World, number: usize, once: bool) -> i64 {
    let at = world.platform.below(if once { 1_000_000 } else { 60 }) as i64;
    let at = if once { at * 1_000 + number as i64 } else { at * 1_000_000 };
    match world.platform.below(10) {
        0 => FAR_NS + at,
        1..=3 => START_NS - 900 * D_NS + at * 50_000,
        _ => START_NS - D_NS + at * 2_000,
    }
}

fn start_write(world: &mut World, edge: &Edge, value: i64, once: bool) -> Writing {
    let count = 1 + world.platform.below(12);
    let times_ns: Vec<i64> =
        (0..count).map(|n| time_ns(world, value as usize * 12 + n, once)).collect();
    // The time determines the series, so that a repeated write overwrites the same point.
    let line = |time_ns: &i64| {
        let host = (time_ns / 1_000).rem_euclid(5);
        format!("m,host=h{host} i={value}i,s=\"text of {value}\" {time_ns}")
    };
    let lines: Vec<String> = times_ns.iter().map(line).collect();
    let answers = world.start_task(edge, write("db", &lines.join("\n")));
    Writing { answers, times_ns, value, start: 0, end: None, succeeded: false }
}

fn start_query(world: &mut World, edge: &Edge) -> Asking {
    let text = ["SELECT i FROM m", "SELECT i, s FROM m GROUP BY host"][world.platform.below(2)];
    Asking { pieces: world.start_statement(edge, "db", text), start: 0, end: None }
}

/// Returns the values by time. Every time must occur only once.
fn shown(pieces: &[Piece], seed: u64) -> Option<BTreeMap<i64, i64>> {
    let mut rows = BTreeMap::new();
    for piece in pieces {
        let Ok(Some(chunk)) = piece else {
            return matches!(piece, Ok(None)).then_some(rows);
        };
        let [ResultColumn::Time(times_ns), ResultColumn::Values(column), ..] =
            chunk.values.as_slice()
        else {
            panic!("seed {seed}: {:?}", chunk.columns);
        };
        for (row, time_ns) in times_ns.iter().enumerate() {
            let Some(FieldValue::Integer(value)) = column.get(row) else {
                panic!("seed {seed}: no value at {time_ns}");
            };
            assert_eq!(rows.insert(*time_ns, value), None, "seed {seed}: {time_ns} is there twice");
        }
    }
    None
}

/// Returns the number of points that the query had to return.
fn check(writes: &[Writing], rows: &BTreeMap<i64, i64>, asked: (u64, u64), seed: u64) -> u64 {
    let mut of_time: BTreeMap<i64, Vec<&Writing>> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.start <= asked.1) {
        write.times_ns.iter().for_each(|time| of_time.entry(*time).or_default().push(write));
    }
    let acknowledged =
        |write: &&&Writing| write.succeeded && write.end.is_some_and(|end| end < asked.0);
    let mut must = 0;
    for (time_ns, writes) in &of_time {
        let shown = rows.get(time_ns);
        let safe: Vec<_> = writes.iter().filter(acknowledged).collect();
        if !safe.is_empty() {
            must += 1;
            let context = || format!("asked at {asked:?}, {} rows", rows.len());
            assert!(shown.is_some(), "seed {seed}: point {time_ns} is missing, {}", context());
        }
        let Some(shown) = shown else { continue };
        let write = writes.iter().find(|write| write.value == *shown);
        let write = write.unwrap_or_else(|| panic!("seed {seed}: nobody wrote {shown}"));
        let ended = write.end.unwrap_or(u64::MAX);
        let newer = safe.iter().find(|newer| newer.start > ended);
        assert!(newer.is_none(), "seed {seed}: {time_ns} shows {shown}, which was overwritten");
    }
    let unknown = rows.keys().find(|time_ns| !of_time.contains_key(*time_ns));
    assert_eq!(unknown, None, "seed {seed}: a point that nobody wrote");
    must
}

#[test]
fn splits_stay_exact_under_random_faults() {
    let seeds = seeds(SEEDS);
    let count = seeds.end - seeds.start;
    let (mut must, mut answered, mut shards, mut refused) = (0, 0, 0, 0);
    for seed in seeds {
        let mut world = World::new(seed, real_shard::make);
        world.split_bytes = SPLIT_BYTES;
        let edges = [Edge::default(), Edge::default()];
        world.run(&edges[0], create("db", 1 + (seed % 3) as u32, None)).unwrap();
        // With late messages, an old value may be restored, so no time repeats.
        let once = seed % 2 == 1;
        if seed % 4 != 0 {
            world.spares_clients = !once;
            world.faults = Faults { lost: 4, repeated: 6, crashed: 3, alarms: 5, storage: 1 };
        }
        let (mut writes, mut queries): (Vec<Writing>, Vec<Asking>) = (Vec::new(), Vec::new());
        for step in 0..STEPS {
            let now_ns = world.platform.time_ns();
            world.platform.advance_to(now_ns + 40 * MS_NS);
            let edge = edges[world.platform.below(2)].clone();
            let open = writes.iter().filter(|write| write.end.is_none()).count();
            match world.platform.below(40) {
                0..=4 if open < 3 => {
                    let mut write = start_write(&mut world, &edge, writes.len() as i64, once);
                    write.start = step;
                    writes.push(write);
                }
                5 => {
                    let mut query = start_query(&mut world, &edge);
                    query.start = step;
                    queries.push(query);
                }
                6 | 7 => {
                    world.alarm_if_due();
                }
                _ => {
                    world.deliver();
                }
            }
            for write in writes.iter_mut().filter(|write| write.end.is_none()) {
                if let Some(answer) = write.answers.take() {
                    (write.end, write.succeeded) = (Some(step), answer.is_ok());
                    refused += u64::from(answer.is_err());
                }
            }
            for query in queries.iter_mut().filter(|query| query.end.is_none()) {
                let over = |piece: &Piece| !matches!(piece, Ok(Some(_)));
                if query.pieces.borrow().last().is_some_and(over) {
                    query.end = Some(step);
                    if let Some(rows) = shown(&query.pieces.borrow(), seed) {
                        must += check(&writes, &rows, (query.start, step), seed);
                        answered += 1;
                    }
                }
            }
        }
        world.faults = Faults::default();
        world.settle();
        for write in writes.iter_mut().filter(|write| write.end.is_none()) {
            let answer = write.answers.take();
            (write.end, write.succeeded) = (Some(STEPS), answer.is_some_and(|a| a.is_ok()));
        }
        for edge in &edges {
            let mut query = start_query(&mut world, edge);
            while world.deliver() {}
            query.end = Some(STEPS);
            let rows = shown(&query.pieces.borrow(), seed);
            let rows = rows.unwrap_or_else(|| panic!("seed {seed}: {:?}", query.pieces));
            must += check(&writes, &rows, (STEPS + 1, STEPS + 1), seed);
        }
        shards += world.shard_ids().len();
    }
    println!("{answered} queries, {must} points due, {shards} shards, {refused} writes refused");
    assert!(count == 1 || (answered > count && shards as u64 > 5 * count));
}

fn column(world: &mut World, edge: &Edge, field: &str) -> BTreeMap<i64, i64> {
    let pieces = world.start_statement(edge, "db", &format!("SELECT {field} FROM m"));
    while world.deliver() {}
    shown(&pieces.borrow(), 0).unwrap()
}

/// A page contains the requested columns, even if columns are added later.
#[test]
fn split_handles_columns_added_meanwhile() {
    let mut split = 0;
    for messages in 0..60 {
        let mut world = World::new(messages, real_shard::make);
        world.split_bytes = SPLIT_BYTES;
        let edge = Edge::default();
        world.run(&edge, create("db", 1, None)).unwrap();
        // Old points remain in their shard, and points of the year 2100 are copied.
        let time_ns = |n: i64| if n % 2 == 0 { START_NS - D_NS + n } else { FAR_NS + n };
        // The texts cannot be compressed, because the group must become full.
        let text = |n: i64| (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let line =
            |n: i64| format!("m,host=h{} i={n}i,s=\"{:016x}\" {}", n % 5, text(n), time_ns(n));
        let lines: Vec<String> = (0..200).map(line).collect();
        for lines in lines.chunks(25) {
            world.run(&edge, write("db", &lines.join("\n"))).unwrap();
        }
        for _ in 0..messages {
            if !world.deliver() {
                world.alarm();
            }
        }
        // The split does not delay the write of a point before all its groups.
        let early = format!("m,host=h1 g=7i {}", START_NS - 2 * D_NS);
        world.run(&edge, write("db", &early)).unwrap();
        world.settle();
        split += usize::from(world.shard_ids().len() > 1);
        let made = column(&mut world, &edge, "g");
        assert_eq!(made, BTreeMap::from([(START_NS - 2 * D_NS, 7)]), "after {messages} messages");
        assert_eq!(column(&mut world, &edge, "i").len(), 200, "after {messages} messages");
    }
    assert!(split > 40, "only {split} groups have split");
}
