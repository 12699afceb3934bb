//! Fails the n-th storage operation for every n, having taken effect or not; then reopens.

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::rc::Rc;

use tidemark::model::ids::MeasurementId;
use tidemark::model::time::TimeRange;
use tidemark::shard::Shard;
use tidemark::shard::request::Deletion;
use tidemark::store::memory::MemoryStore;
use tidemark::store::{RowCounts, Store, StoreError, Table};

use super::*;

/// Writing operation number `at` reports failure, having taken effect or not (`persisted`), and so
/// does every later one: the process is gone.
#[derive(Clone)]
struct FaultStore {
    inner: MemoryStore,
    at: u64,
    persisted: bool,
    /// Writing operations so far; transactions count as one more at their end.
    seen: Rc<Cell<u64>>,
}

impl FaultStore {
    fn fails(&self) -> Option<StoreError> {
        self.seen.set(self.seen.get() + 1);
        (self.seen.get() >= self.at).then(|| StoreError::Failed("injected".into()))
    }

    fn write(&self, work: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        match self.fails() {
            None => work(),
            Some(error) => {
                if self.persisted && self.seen.get() == self.at {
                    work()?;
                }
                Err(error)
            }
        }
    }
}

impl Store for FaultStore {
    fn is_open(&self) -> Result<bool, StoreError> {
        self.inner.is_open()
    }
    fn open(&self) -> Result<(), StoreError> {
        self.write(|| self.inner.open())
    }
    fn atomically<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lost = None;
        let result = self.inner.atomically(|| {
            let value = work()?;
            match self.fails() {
                Some(error) if self.persisted && self.seen.get() == self.at => lost = Some(error),
                Some(error) => return Err(error.into()),
                None => {}
            }
            Ok(value)
        });
        match lost {
            Some(error) => Err(error.into()),
            None => result,
        }
    }
    fn put(&self, table: Table, key: u64, head: &[u8], body: &[u8]) -> Result<(), StoreError> {
        self.write(|| self.inner.put(table, key, head, body))
    }
    fn head(&self, table: Table, key: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.head(table, key)
    }
    fn body(&self, table: Table, key: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.body(table, key)
    }
    fn heads(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.inner.heads(table, keys, limit)
    }
    fn delete(&self, table: Table, keys: RangeInclusive<u64>) -> Result<(), StoreError> {
        self.write(|| self.inner.delete(table, keys))
    }
    fn wipe(&self) -> Result<(), StoreError> {
        self.write(|| self.inner.wipe())
    }
    fn bytes(&self) -> Result<u64, StoreError> {
        self.inner.bytes()
    }
    fn row_counts(&self) -> RowCounts {
        self.inner.row_counts()
    }
}

/// What the script did: acknowledged, and what the one step in flight would have changed.
struct Outcome {
    sure: Model,
    /// With the unacknowledged step wholly done.
    maybe: Model,
    is_open: bool,
}

/// A life with every kind of writing step. Stops at the first failure.
fn live(store: &FaultStore) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut shard = reopen(store.clone());
    let mut outcome = Outcome { sure: Model::new(), maybe: Model::new(), is_open: false };
    if shard.open(&settings()).is_err() {
        return outcome;
    }
    outcome.is_open = true;
    for round in 0..6 {
        for _ in 0..2 {
            let points = random_points(&mut rng, 40);
            apply(&mut outcome.maybe, &points);
            if shard.append(&encode(&points), &stamp(), NOW_NS).is_err() {
                return outcome;
            }
            outcome.sure.clone_from(&outcome.maybe);
        }
        if round == 3 {
            let deletion = Deletion {
                measurement: MeasurementId(2),
                predicate: None,
                time: TimeRange::new(0, 900),
            };
            outcome.maybe.retain(|key, _| !(key.0 == 2 && deletion.time.contains(key.2)));
            if shard.delete(&deletion, &stamp()).is_err() {
                return outcome;
            }
            outcome.sure.clone_from(&outcome.maybe);
        }
        if round == 4 {
            shard = reopen(store.clone());
        }
        pause(&mut shard, round);
    }
    outcome
}

fn pause<S: Store>(shard: &mut Shard<S>, round: i64) {
    for step in 1..6 {
        shard.alarm(NOW_NS + (round * 6 + step) * 700_000_000_000);
    }
}

#[test]
fn no_failed_operation_loses_or_doubles_anything() {
    let store = |at, persisted| FaultStore {
        inner: MemoryStore::new(),
        at,
        persisted,
        seen: Rc::new(Cell::new(0)),
    };
    let whole = store(u64::MAX, false);
    let outcome = live(&whole);
    let operations = whole.seen.get();
    assert_eq!(read_all(&mut reopen(whole.inner.clone())), Ok(outcome.sure));
    let counters = reopen(whole.inner.clone()).stats().unwrap().counters;
    assert!(counters.flushes >= 5 && counters.compactions >= 2, "{counters:?}");
    for at in 1..=operations {
        for persisted in [false, true] {
            let store = store(at, persisted);
            let Outcome { sure, maybe, is_open } = live(&store);
            let mut shard = reopen(store.inner.clone());
            let found = match (is_open, read_all(&mut shard)) {
                (false, Err(Refusal::Stale)) => continue,
                (_, found) => found.unwrap_or_else(|refusal| panic!("operation {at}: {refusal}")),
            };
            assert!(found == sure || found == maybe, "operation {at}, persisted {persisted}");
            // The survivor goes on: a retry, a flush and a compaction leave what was meant.
            let points = random_points(&mut fastrand::Rng::with_seed(at), 30);
            let mut expected = found;
            apply(&mut expected, &points);
            shard.append(&encode(&points), &stamp(), NOW_NS).unwrap();
            pause(&mut shard, 9);
            assert_eq!(read_all(&mut shard).as_ref(), Ok(&expected), "operation {at}");
            assert_eq!(shard.stats().unwrap().troubles, [""; 0], "operation {at}");
        }
    }
    println!("{operations} storage operations, each failed twice");
}
