//! Runs a script of steps on a shard repeatedly. In run n, storage operation n fails, either with
//! or without an effect. After the failure, the process ends, the process continues, or the event
//! reports a bug. Then the rest of the script runs.

use tidemark_model::bug;

use crate::fault_store::After;
use crate::world::is_thorough;

use super::life::{Life, Step};

/// The order matters. The script contains overwritten frames in the log and in parts, a replay with
/// and without a tombstone, merges, expired parts, dropped parts, and splits.
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

/// With one seed, a merge takes a single step. With the other seed, it takes many steps.
const SEEDS: [u64; 2] = [5, 6];

/// Runs the script while operation `at` fails. The value 0 means that no operation fails.
fn live(seed: u64, at: u64, persisted: bool, after: After) -> (Life, u64) {
    let mut life = Life::new(seed);
    life.store.fail(at, persisted, after);
    let mut operations = 0;
    for &step in SCRIPT {
        let before = life.grid.clone();
        let result = bug::tolerate(|| bug::catch(|| life.attempt(step)));
        let result = result.unwrap_or_else(|bug| Err(bug.into()));
        operations = life.store.seen();
        if life.store.heal() {
            if after != After::Sound {
                life.attempt(Step::Reopen).unwrap();
            }
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
fn failed_storage_operation_keeps_data_exact() {
    for seed in SEEDS {
        let (mut life, operations) = live(seed, 0, false, After::Sound);
        let counters = life.shard.stats().unwrap().counters;
        assert!(counters.flushes >= 5 && counters.compactions >= 2, "{counters:?}");
        let step = if is_thorough() { 1 } else { 4 };
        for at in (1..=operations).step_by(step) {
            for persisted in [false, true] {
                for after in [After::Gone, After::Sound, After::Bug] {
                    if after == After::Bug && (persisted || at % 4 != 1) {
                        continue;
                    }
                    let result = std::panic::catch_unwind(|| live(seed, at, persisted, after));
                    let what = format!("{seed}: operation {at}, persisted {persisted}");
                    assert!(result.is_ok(), "{what}, then {after:?}");
                }
            }
        }
        println!("{operations} storage operations, each failed in four ways, and bugs");
    }
}
