//! Tests random schedules. Two edges, whose caches differ in age, write to, create and drop one
//! database. At the same time, messages are lost, repeated and reordered, and objects crash. A model
//! then determines for every point whether it must, may or must not be visible.

use tidemark::coordinator::Task;
use tidemark::coordinator::create_drop::Changed;
use tidemark::coordinator::write::WriteOutcome;
use tidemark::model::value::FieldValue;

use crate::protocol::{create, drop_database, visible, world, write};
use crate::world::{Answers, Edge, Faults, World};

const SEEDS: u64 = 1_000;
const STEPS: u64 = 400;

enum Kind {
    Write(Answers<Task<WriteOutcome>>),
    Create(Answers<Task<Changed>>),
    Drop(Answers<Task<Changed>>),
}

struct Operation {
    kind: Kind,
    start: u64,
    end: Option<u64>,
    succeeded: bool,
}

impl Operation {
    fn poll(&mut self, step: u64) {
        if self.end.is_some() {
            return;
        }
        let succeeded = match &self.kind {
            Kind::Write(answers) => {
                answers.take().map(|a| a.is_ok_and(|outcome| outcome.points_written == 1))
            }
            Kind::Create(answers) | Kind::Drop(answers) => answers.take().map(|a| a.is_ok()),
        };
        if let Some(succeeded) = succeeded {
            (self.end, self.succeeded) = (Some(step), succeeded);
        }
    }
}

fn start(world: &mut World, edge: &Edge, number: u64) -> Operation {
    let kind = match world.platform.below(10) {
        0 => Kind::Drop(world.start_machine(edge, drop_database("db"))),
        1 | 2 => Kind::Create(world.start_machine(edge, create("db", 3, None))),
        _ => {
            // In each new database, the first write determines whether the field is a float or an
            // integer.
            let suffix = ["", "i"][world.platform.below(2)];
            let line = format!("m,host=h{} f={number}{suffix} {number}", number % 5);
            Kind::Write(world.start_machine(edge, write("db", &line)))
        }
    };
    Operation { kind, start: 0, end: None, succeeded: false }
}

/// A failed drop may take effect until a later CREATE or DROP succeeds.
fn effective_end(operations: &[Operation], drop: &Operation) -> u64 {
    let Some(end) = drop.end else { return u64::MAX };
    if drop.succeeded {
        return end;
    }
    let settled = operations.iter().filter(|operation| {
        let decides = matches!(operation.kind, Kind::Create(_) | Kind::Drop(_));
        decides && operation.succeeded && operation.start > end
    });
    settled.filter_map(|operation| operation.end).min().unwrap_or(u64::MAX)
}

fn check(operations: &[Operation], world: &World, seed: u64) -> (u32, u32) {
    let visible = visible(world);
    let (mut must, mut must_not) = (0, 0);
    let drops: Vec<&Operation> =
        operations.iter().filter(|operation| matches!(operation.kind, Kind::Drop(_))).collect();
    for (number, operation) in (0_i64..).zip(operations) {
        if !matches!(operation.kind, Kind::Write(_)) {
            continue;
        }
        let values = visible.get(&number).map(Vec::as_slice).unwrap_or_default();
        assert!(values.len() <= 1, "seed {seed}: point {number} is there twice");
        if let Some(value) = values.first() {
            let right = [FieldValue::Float(number as f64), FieldValue::Integer(number)];
            assert!(right.contains(value), "seed {seed}: point {number} is {value:?}");
        }
        let safe = drops.iter().all(|drop| effective_end(operations, drop) < operation.start);
        if operation.succeeded && safe {
            assert_eq!(values.len(), 1, "seed {seed}: acknowledged point {number} is lost");
            must += 1;
        }
        let ended = operation.end.unwrap_or(u64::MAX);
        if drops.iter().any(|drop| drop.succeeded && drop.start > ended) {
            assert_eq!(values.len(), 0, "seed {seed}: dropped point {number} is back");
            must_not += 1;
        }
    }
    (must, must_not)
}

#[test]
fn random_schedules_keep_acknowledged_points() {
    let (mut must, mut must_not) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = world(seed);
        let edges = [Edge::default(), Edge::default()];
        if seed % 4 != 0 {
            world.faults = Faults { lost: 3, repeated: 5, crashed: 3, ..Faults::default() };
        }
        let mut operations: Vec<Operation> = Vec::new();
        for step in 0..STEPS {
            let open = operations.iter().filter(|operation| operation.end.is_none()).count();
            match world.platform.below(40) {
                0..=5 if open < 4 => {
                    let edge = &edges[world.platform.below(2)];
                    let mut operation = start(&mut world, edge, operations.len() as u64);
                    operation.start = step;
                    operations.push(operation);
                }
                6 => {
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
        let counts = check(&operations, &world, seed);
        must += counts.0;
        must_not += counts.1;
    }
    assert!(must > 1_000 && must_not > 1_000, "{must} points had to be there, {must_not} gone");
}
