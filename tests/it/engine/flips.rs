//! Flips one bit in stored rows of every kind, hundreds of times. A query must return the correct
//! result, or an error that describes the damage.

use tidemark_engine::shard::refusal::Refusal;
use tidemark_engine::store::{Store, Table};
use tidemark_model::time::TimeRange;

use super::grid;
use super::life::{Life, Step};

const FLIPS_PER_TABLE: usize = 700;
const TABLES: [Table; 5] =
    [Table::Wal, Table::Value, Table::State, Table::Schema, Table::Tombstone];

fn lived() -> Life {
    let mut life = Life::new(1);
    life.attempt(Step::Open).unwrap();
    for step in [Step::Pause, Step::Pause, Step::Delete] {
        (0..8).for_each(|_| life.attempt(Step::Write).unwrap());
        life.attempt(step).unwrap();
    }
    (0..3).for_each(|_| life.attempt(Step::Write).unwrap());
    life.assert_sound();
    life
}

/// Returns the number of correct results, and the number of errors that describe the damage.
fn ask(life: &mut Life, what: &str) -> (usize, usize) {
    let mut counts = (0, 0);
    for measurement in 0..grid::MEASUREMENTS {
        match life.read(measurement, TimeRange::ALL) {
            Ok(found) => {
                assert!(found == life.grid.part(measurement, TimeRange::ALL), "{what}: wrong");
                counts.0 += 1;
            }
            Err(Refusal::Damaged { block }) => {
                assert!(!block.is_empty(), "{what}");
                counts.1 += 1;
            }
            Err(other) => panic!("{what}: {other}"),
        }
    }
    counts
}

#[test]
fn flipped_bits_never_yield_wrong_results() {
    let life = lived();
    let mut rng = fastrand::Rng::with_seed(8);
    for table in TABLES {
        let rows = life.store.inner.heads(table, 0..=(1 << 53) - 1, 1_000).unwrap();
        assert!(!rows.is_empty(), "{table:?} is empty");
        let (mut right, mut named) = (0, 0);
        for flip in 0..FLIPS_PER_TABLE {
            let (key, mut head) = rows[flip % rows.len()].clone();
            let store = life.store.inner.snapshot();
            let mut body = store.body(table, key).unwrap().unwrap();
            let (at, bit) = (rng.usize(..head.len() + body.len()), 1 << rng.u32(..8));
            let held = head.len();
            let byte = if at < held { &mut head[at] } else { &mut body[at - held] };
            *byte ^= bit;
            store.put(table, key, &head, &body).unwrap();
            let mut damaged = life.on(store);
            // Checks the shard before and after jobs set aside the unreadable rows.
            for _ in 0..2 {
                let counts = ask(&mut damaged, &format!("{table:?} row {key}, byte {at}"));
                right += counts.0;
                named += counts.1;
                damaged.attempt(Step::Pause).unwrap();
            }
        }
        println!("{FLIPS_PER_TABLE} flips in {table:?}: {right} answers right, {named} refused");
        // If the columns of a measurement are lost, the measurement can be read but not written.
        assert!(named > 0 || table == Table::Schema, "{table:?}: no flip was noticed");
    }
}
