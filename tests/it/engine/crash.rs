//! Fails the n-th storage operation of a scripted life for every n: having taken effect or not,
//! with the process gone or alive afterwards. Then the life goes on.

use crate::fault_store::After;

use super::life::{Life, Step};

/// Every kind of step, and what depends on what: frames overwritten in the log and in parts, a
/// replay with and without a tombstone, three merges, expired and dropped parts, a split of what
/// lies in the log and in parts.
const SCRIPT: &[Step] = &[
    Step::Open,
    Step::Write,
    Step::Write,
    Step::Repeat,
    Step::Query,
    Step::Pause,
    Step::Write,
    Step::Write,
    Step::Reopen,
    Step::Query,
    Step::Delete,
    Step::Write,
    Step::Reopen,
    Step::Write,
    Step::Query,
    Step::Pause,
    Step::Write,
    Step::Pause,
    Step::Write,
    Step::Pause,
    Step::Delete,
    Step::Query,
    Step::Pause,
    Step::Write,
    Step::Retention,
    Step::Write,
    Step::Write,
    Step::Split,
    Step::Write,
    Step::Reopen,
    Step::Query,
    Step::Delete,
    Step::Drop,
    Step::Write,
    Step::Pause,
    Step::Query,
];

/// Lives of which the one does a merge in one step and the other in many.
const SEEDS: [u64; 2] = [5, 6];

/// The script with operation `at` failing (0: none). Answers the life and how many operations it
/// took.
fn live(seed: u64, at: u64, persisted: bool, after: After) -> (Life, u64) {
    let mut life = Life::new(seed);
    life.store.fail(at, persisted, after);
    let mut operations = 0;
    for &step in SCRIPT {
        let before = life.grid.clone();
        let result = life.attempt(step);
        operations = life.store.seen();
        if life.store.heal() {
            if after == After::Gone {
                life.attempt(Step::Reopen).unwrap();
            }
            // Answered means done.
            let may_be = if result.is_ok() { life.grid.clone() } else { before };
            life.settle(may_be);
        } else {
            result.unwrap_or_else(|refusal| panic!("{step:?} is refused: {refusal}"));
        }
    }
    life.assert_sound();
    (life, operations)
}

#[test]
fn no_failed_operation_loses_or_doubles_anything() {
    for seed in SEEDS {
        let (mut life, operations) = live(seed, 0, false, After::Sound);
        let counters = life.shard.stats().unwrap().counters;
        assert!(counters.flushes >= 5 && counters.compactions >= 2, "{counters:?}");
        for at in 1..=operations {
            for persisted in [false, true] {
                for after in [After::Gone, After::Sound] {
                    let result = std::panic::catch_unwind(|| live(seed, at, persisted, after));
                    let what = format!("{seed}: operation {at}, persisted {persisted}");
                    assert!(result.is_ok(), "{what}, then {after:?}");
                }
            }
        }
        println!("{operations} storage operations, each failed in four ways");
    }
}
