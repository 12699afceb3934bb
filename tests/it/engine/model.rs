//! Random lives of a shard against a map.

use tidemark::model::ids::{ColumnId, MeasurementId};
use tidemark::model::time::TimeRange;
use tidemark::model::value::FieldValue;
use tidemark::scan::request::{Comparison, Operand, Predicate};
use tidemark::shard::Shard;
use tidemark::shard::request::Deletion;
use tidemark::store::memory::MemoryStore;

use super::*;

const SEEDS: u64 = 100;
const STEPS: usize = 60;

/// How often each kind of step was taken.
#[derive(Debug, Default)]
struct Taken {
    writes: u64,
    flushes: u64,
    compactions: u64,
    reopens: u64,
    deletes: u64,
    queries: u64,
}

struct Life {
    rng: fastrand::Rng,
    store: MemoryStore,
    shard: Shard<MemoryStore>,
    model: Model,
    now_ns: i64,
    taken: Taken,
}

impl Life {
    fn new(seed: u64) -> Self {
        let store = MemoryStore::new();
        let mut shard = reopen(store.clone());
        shard.open(&settings()).unwrap();
        Self {
            rng: fastrand::Rng::with_seed(seed),
            store,
            shard,
            model: Model::new(),
            now_ns: NOW_NS,
            taken: Taken::default(),
        }
    }

    fn write(&mut self) {
        let count = self.rng.usize(1..60);
        let points = random_points(&mut self.rng, count);
        self.shard.append(&encode(&points), &stamp(), self.now_ns).unwrap();
        apply(&mut self.model, &points);
        self.taken.writes += 1;
    }

    /// Lets a pause pass and every due job run.
    fn pause(&mut self) {
        for _ in 0..10 {
            let before = self.shard.stats().unwrap().counters;
            self.now_ns += 700_000_000_000;
            let next = self.shard.alarm(self.now_ns);
            let after = self.shard.stats().unwrap();
            assert_eq!(after.troubles, [""; 0]);
            self.taken.flushes += after.counters.flushes - before.flushes;
            self.taken.compactions += after.counters.compactions - before.compactions;
            if next.is_none() {
                return;
            }
        }
    }

    fn delete(&mut self) {
        let start_ns = self.rng.i64(-600..2_600);
        let time = match self.rng.u32(..3) {
            0 => TimeRange::ALL,
            _ => TimeRange::new(start_ns, start_ns + self.rng.i64(1..900)),
        };
        let (measurement, value) = (self.rng.u32(1..4), format!("v{}", self.rng.u32(1..4)));
        let by_tag = self.rng.bool();
        let predicate = by_tag.then(|| {
            let tag = Operand::Tag(ColumnId(2));
            let text = Operand::Literal(FieldValue::String(value.as_str().into()));
            Predicate::Compare(Comparison::Equal, Box::new(tag), Box::new(text))
        });
        let deletion = Deletion { measurement: MeasurementId(measurement), predicate, time };
        self.shard.delete(&deletion, &stamp()).unwrap();
        self.model.retain(|(held, tags, time_ns, _), _| {
            let tagged = !by_tag || tags.contains(&(2, value.clone()));
            !(*held == measurement && time.contains(*time_ns) && tagged)
        });
        self.taken.deletes += 1;
    }

    fn query(&mut self) {
        let (a, b) = (self.rng.i64(-600..2_600), self.rng.i64(-600..2_600));
        let time = match self.rng.bool() {
            true => TimeRange::new(a.min(b), a.max(b) + 1),
            false => TimeRange::ALL,
        };
        for measurement in 1..4 {
            let found = read(&mut self.shard, measurement, time).unwrap();
            let expected: Model = self
                .model
                .iter()
                .filter(|((held, _, time_ns, _), _)| {
                    *held == measurement && time.contains(*time_ns)
                })
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            assert_eq!(found, expected);
        }
        self.taken.queries += 1;
    }

    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..55 => self.write(),
            55..65 => self.pause(),
            65..75 => {
                self.shard = reopen(self.store.clone());
                self.taken.reopens += 1;
            }
            75..80 => self.delete(),
            _ => self.query(),
        }
    }
}

#[test]
fn every_life_ends_as_the_map_says() {
    let mut sum = Taken::default();
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| {
            let mut life = Life::new(seed);
            (0..STEPS).for_each(|_| life.step());
            life.query();
            assert_eq!(read_all(&mut reopen(life.store.snapshot())), Ok(life.model.clone()));
            life.taken
        });
        let taken = result.unwrap_or_else(|_| panic!("seed {seed} fails"));
        sum.writes += taken.writes;
        sum.flushes += taken.flushes;
        sum.compactions += taken.compactions;
        sum.reopens += taken.reopens;
        sum.deletes += taken.deletes;
        sum.queries += taken.queries;
    }
    assert!(sum.flushes > 2 * SEEDS && sum.compactions > SEEDS / 2, "{sum:?}");
    println!("{SEEDS} lives of {STEPS} steps: {sum:?}");
}
