//! Tests the whole deployment with random schedules. Two edges, whose caches differ in age, use one
//! database with real shards. At the same time, messages are lost, repeated and reordered, groups
//! split, objects crash at any operation, and alarms fail or are late. A model determines for every
//! query which points must, may and must not be in the result.
//!
//! The seeds run on all cores.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use tidemark_coordinator::create_drop::Changed;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::write::WriteOutcome;
use tidemark_model::time::H_NS;
use tidemark_model::value::FieldValue;
use tidemark_query::result::{ResultColumn, SeriesChunk};

use crate::protocol::{create, drop_database, write};
use crate::world::platform::START_NS;
use crate::world::{Answer, Edge, Faults, Results, World, real_shard, run_seeds, seeds};

const SEEDS: u64 = 125;
const STEPS: u64 = 400;
/// The size at which a shard group splits: a few points, and the rows that define a shard.
const SPLIT_BYTES: u64 = 600;
/// The end of an operation that has not returned yet. Also the end of an operation that may take
/// effect at any time until the end of the test.
const NEVER: u64 = u64::MAX;

enum Kind {
    Write(Answer<WriteOutcome>),
    Create(Answer<Changed>),
    /// A drop of the database, which hides every point.
    Drop(Answer<Changed>),
    /// A delete hides the points with these numbers.
    Delete(Results<SeriesChunk>, Range<i64>),
    Query(Results<SeriesChunk>),
}

struct Operation {
    kind: Kind,
    start: u64,
    end: u64,
    succeeded: bool,
}

impl Operation {
    fn poll(&mut self, step: u64) {
        if self.end != NEVER {
            return;
        }
        let is_last = |piece: &Result<_, Error>| !matches!(piece, Ok(Some(_)));
        let succeeded = match &self.kind {
            Kind::Write(answers) => {
                answers.take().map(|a| a.is_ok_and(|outcome| outcome.points_written == 1))
            }
            Kind::Create(answers) | Kind::Drop(answers) => answers.take().map(|a| a.is_ok()),
            Kind::Delete(pieces, _) | Kind::Query(pieces) => {
                pieces.borrow().last().filter(|piece| is_last(piece)).map(|piece| piece.is_ok())
            }
        };
        if let Some(succeeded) = succeeded {
            (self.end, self.succeeded) = (step, succeeded);
        }
    }

    /// Whether the operation can hide point `number`. A query may already miss the point while the
    /// operation runs.
    fn hides(&self, number: i64) -> bool {
        match &self.kind {
            Kind::Drop(_) => true,
            Kind::Delete(_, numbers) => numbers.contains(&number),
            _ => false,
        }
    }
}

/// Most points are in the future, so that group splits move some of them.
fn time_ns(number: i64) -> i64 {
    START_NS + (number - 12) * H_NS
}

fn number_at(time_ns: i64) -> i64 {
    (time_ns - START_NS) / H_NS + 12
}

fn start(world: &mut World, edge: &Edge, number: u64, step: u64) -> Operation {
    // If groups split, databases are dropped less often.
    let is_splitting = world.split_bytes > 0 && world.platform.below(4) > 0;
    let kind = match world.platform.below(24) {
        0 if !is_splitting => Kind::Drop(world.start_task(edge, drop_database("db"))),
        1..=3 => Kind::Create(world.start_task(edge, create("db", 3, None))),
        4 => {
            let first = world.platform.below(number as usize + 1) as i64;
            let numbers = first..first + 8;
            let [from, to] = [first, numbers.end].map(time_ns);
            let text = format!("DELETE FROM m WHERE time >= {from} AND time < {to}");
            Kind::Delete(world.start_statement(edge, "db", &text), numbers)
        }
        5..=10 => Kind::Query(world.start_statement(edge, "db", "SELECT f FROM m")),
        _ => {
            // In each new database, the first write determines whether the field is a float or an
            // integer.
            let suffix = ["", "i"][world.platform.below(2)];
            let (host, time_ns) = (number % 5, time_ns(number as i64));
            let line = format!("m,host=h{host} f={number}{suffix} {time_ns}");
            Kind::Write(world.start_task(edge, write("db", &line)))
        }
    };
    Operation { kind, start: step, end: NEVER, succeeded: false }
}

/// Returns the last step at which an operation may take effect. A drop that failed may still take
/// effect until a later CREATE or DROP succeeds. A delete that failed is never repeated by another
/// operation.
fn effective_end(operations: &[Operation], hiding: &Operation) -> u64 {
    if hiding.succeeded || hiding.end == NEVER || matches!(hiding.kind, Kind::Delete(..)) {
        return hiding.end;
    }
    let settled = operations.iter().filter(|operation| {
        let decides = matches!(operation.kind, Kind::Create(_) | Kind::Drop(_));
        decides && operation.succeeded && operation.start > hiding.end
    });
    settled.map(|operation| operation.end).min().unwrap_or(NEVER)
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    operations: u64,
    queries: u64,
    /// The number of points that every query had to return. `must_not` counts the points that no
    /// query could return.
    must: u64,
    must_not: u64,
}

/// Checks the result of a query that ran from step `start` to step `end`. With `repeats`, the
/// network may deliver a request twice, so a delete or an earlier write may take effect again.
fn check(
    operations: &[Operation],
    answer: &BTreeMap<i64, Vec<FieldValue>>,
    (start, end): (u64, u64),
    repeats: bool,
    counts: &mut Counts,
) {
    let hiding: Vec<(&Operation, u64)> = operations
        .iter()
        .filter(|operation| matches!(operation.kind, Kind::Drop(_) | Kind::Delete(..)))
        .map(|operation| (operation, effective_end(operations, operation)))
        .collect();
    let is_write = |number: &i64| {
        let operation = operations.get(*number as usize);
        operation.is_some_and(|o| matches!(o.kind, Kind::Write(_)) && o.start <= end)
    };
    assert!(answer.keys().all(is_write), "points that nobody wrote");
    for (number, operation) in (0_i64..).zip(operations) {
        if !matches!(operation.kind, Kind::Write(_)) {
            continue;
        }
        let values = answer.get(&number).map(Vec::as_slice).unwrap_or_default();
        assert!(values.len() <= 1, "point {number} is there twice");
        if let Some(value) = values.first() {
            let right = [FieldValue::Float(number as f64), FieldValue::Integer(number)];
            assert!(right.contains(value), "point {number} is {value:?}");
        }
        let may_hide = hiding.iter().filter(|(hiding, _)| hiding.hides(number));
        let safe = may_hide.clone().all(|(hiding, effective_end)| {
            let again = repeats && matches!(hiding.kind, Kind::Delete(..));
            hiding.start > end || (*effective_end < operation.start && !again)
        });
        if operation.succeeded && operation.end < start && safe {
            assert_eq!(values.len(), 1, "acknowledged point {number} is not seen");
            counts.must += 1;
        }
        let hidden = may_hide.clone().any(|(hiding, _)| {
            let is_sure = !repeats || matches!(hiding.kind, Kind::Drop(_));
            is_sure && hiding.succeeded && hiding.start > operation.end && hiding.end < start
        });
        if hidden {
            assert_eq!(values.len(), 0, "dropped or deleted point {number} is seen");
            counts.must_not += 1;
        }
    }
}

fn points(pieces: &Results<SeriesChunk>) -> BTreeMap<i64, Vec<FieldValue>> {
    let mut points: BTreeMap<i64, Vec<FieldValue>> = BTreeMap::new();
    for chunk in pieces.borrow().iter().flatten().flatten() {
        for row in 0..chunk.rows {
            let [ResultColumn::Time(times_ns), ResultColumn::Values(values)] = &chunk.values[..]
            else {
                panic!("{chunk:?}")
            };
            points.entry(number_at(times_ns[row])).or_default().extend(values.get(row));
        }
    }
    points
}

fn run(seed: u64) -> Counts {
    let mut world = World::new(seed, real_shard::make);
    let edges = [Edge::default(), Edge::default()];
    let repeats = seed % 2 == 1;
    let repeated = if repeats { 5 } else { 0 };
    if !seed.is_multiple_of(4) {
        world.faults = Faults { lost: 3, repeated, crashed: 2, storage: 3, alarms: 20 };
    }
    // In one third of the schedules, groups split after a few points.
    world.split_bytes = if seed.is_multiple_of(3) { SPLIT_BYTES } else { 0 };
    let mut operations: Vec<Operation> = Vec::new();
    for step in 0..STEPS {
        let open = operations.iter().filter(|operation| operation.end == NEVER).count();
        match world.platform.below(40) {
            0..=7 if open < 5 => {
                let edge = &edges[world.platform.below(2)];
                operations.push(start(&mut world, edge, operations.len() as u64, step));
            }
            8 | 9 => {
                world.alarm();
            }
            _ => {
                world.deliver();
            }
        }
        operations.iter_mut().for_each(|operation| operation.poll(step));
    }
    world.faults = Faults::default();
    world.settle();
    operations.iter_mut().for_each(|operation| operation.poll(STEPS));
    let last = Kind::Query(world.start_statement(&edges[0], "db", "SELECT f FROM m"));
    world.settle();
    operations.push(Operation { kind: last, start: STEPS + 1, end: NEVER, succeeded: false });
    operations.iter_mut().for_each(|operation| operation.poll(STEPS + 2));

    let mut counts = Counts { operations: operations.len() as u64, ..Counts::default() };
    for operation in &operations {
        if let Kind::Query(pieces) = &operation.kind
            && operation.succeeded
        {
            let span = (operation.start, operation.end);
            check(&operations, &points(pieces), span, repeats, &mut counts);
            counts.queries += 1;
        }
    }
    counts
}

#[test]
fn random_schedules_match_allowed_results() {
    let seeds = seeds(SEEDS);
    let count = seeds.end - seeds.start;
    let mut sum = Counts::default();
    for counts in run_seeds(seeds, run) {
        sum.operations += counts.operations;
        sum.queries += counts.queries;
        sum.must += counts.must;
        sum.must_not += counts.must_not;
    }
    let fences = real_shard::FENCES.load(Ordering::Relaxed);
    println!("{count} schedules, {fences} fences, {sum:?}");
    if count > 1 {
        assert!(sum.queries > count && sum.must > count && sum.must_not > count / 4, "{sum:?}");
        assert!(fences > count / 2, "hardly a group has split");
    }
}
