//! Runs random lives of a shard, and compares each with a grid. By default, runs 250 seeds with at
//! least 200 operations each on all cores. `SEED=n` repeats one life, and `SEEDS=n` changes the
//! number of lives. The nightly run uses 40,000 seeds.

use crate::fault_store::After;
use crate::world::{run_seeds, seeds};

use super::life::{Life, Step};

const SEEDS: u64 = 32;
const STEPS: u64 = 200;
const FLUSHES_MIN: u64 = 2;

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    steps: [u64; 9],
    faults: u64,
    flushes: u64,
    compactions: u64,
}

/// The steps with their names and their frequency per thousand steps.
const CHANCES: [(Step, &str, u16); 9] = [
    (Step::Write, "write or overwrite", 520),
    (Step::Repeat, "repeated write", 30),
    (Step::Query, "query", 210),
    (Step::Delete, "delete", 60),
    (Step::Pause, "pause for the alarm", 70),
    (Step::Reopen, "reopen", 60),
    (Step::Retention, "retention", 10),
    (Step::Width, "another window width", 10),
    (Step::Drop, "dropped measurement", 10),
];
const FAULTS: u16 = 50;

impl Taken {
    fn sum(&self) -> u64 {
        self.steps.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        self.steps.iter_mut().zip(other.steps).for_each(|(sum, more)| *sum += more);
        self.faults += other.faults;
        self.flushes += other.flushes;
        self.compactions += other.compactions;
    }

    fn reopens(&self) -> u64 {
        self.steps[5]
    }
}

fn choose(rng: &mut fastrand::Rng) -> usize {
    let sum: u16 = CHANCES.iter().map(|(.., chance)| chance).sum();
    let mut left = rng.u16(..sum);
    let fits = CHANCES.iter().position(|&(.., chance)| {
        let fits = left < chance;
        left = left.saturating_sub(chance);
        fits
    });
    fits.unwrap_or_default()
}

/// Performs a step during which one storage operation fails, if the step has enough operations.
fn fault(life: &mut Life, step: Step) -> u64 {
    let after = if life.rng.bool() { After::Gone } else { After::Sound };
    let before = life.grid.clone();
    life.store.fail(life.rng.u64(1..12), life.rng.bool(), after);
    let result = life.attempt(step);
    let failed = life.store.heal();
    if failed && after == After::Gone || life.rng.bool() {
        life.attempt(Step::Reopen).unwrap();
    }
    let may_be = if result.is_ok() { life.grid.clone() } else { before };
    life.settle(may_be);
    u64::from(failed)
}

fn live(seed: u64) -> Taken {
    let mut life = Life::new(seed);
    life.attempt(Step::Open).unwrap();
    let mut taken = Taken::default();
    while taken.sum() < STEPS
        || taken.flushes < FLUSHES_MIN
        || taken.compactions == 0
        || taken.reopens() == 0
    {
        assert!(taken.sum() < 10 * STEPS, "a life without end: {taken:?}");
        let at = choose(&mut life.rng);
        taken.steps[at] += 1;
        if life.rng.u16(..1_000) < FAULTS {
            taken.faults += fault(&mut life, CHANCES[at].0);
        } else if CHANCES[at].0 == Step::Pause {
            let before = life.shard.stats().unwrap().counters;
            life.attempt(Step::Pause).unwrap();
            let after = life.shard.stats().unwrap();
            assert_eq!(after.troubles, [""; 0]);
            taken.flushes += after.counters.flushes - before.flushes;
            taken.compactions += after.counters.compactions - before.compactions;
        } else {
            life.attempt(CHANCES[at].0).unwrap();
        }
    }
    life.assert_sound();
    taken
}

#[test]
fn random_shard_lives_match_model() {
    let seeds = seeds(SEEDS);
    let lives = seeds.end - seeds.start;
    let mut sum = Taken::default();
    for taken in run_seeds(seeds, live) {
        sum.add(&taken);
    }
    let all = sum.sum();
    println!("{lives} lives, {all} operations");
    for ((_, name, _), count) in CHANCES.into_iter().zip(sum.steps) {
        println!("  {:5.2} % {name} ({count})", count as f64 * 100.0 / all as f64);
        assert!(lives == 1 || count >= lives, "{name}");
    }
    let Taken { faults, flushes, compactions, .. } = sum;
    println!("  among them {flushes} flushes, {compactions} compactions, {faults} failing steps");
}
