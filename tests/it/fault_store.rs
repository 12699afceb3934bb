//! A store in which one operation fails, with or without an effect, or in which the code reports a
//! bug after one operation.

use std::cell::Cell;
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

use tidemark_engine::store::memory::MemoryStore;
use tidemark_engine::store::{HeadAndBody, RowCounts, Store, StoreError, StoreResult, Table};
use tidemark_model::bug;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// All later operations also fail, because the process has ended.
    Gone,
    /// Only this operation fails.
    Sound,
    /// The operation succeeds, but the event then reports a bug.
    Bug,
}

/// The operation that fails, and its effect. All handles of a store share the plan.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The number of the operation that fails, counted from 1. The value 0 disables failures.
    at: Cell<u64>,
    persisted: Cell<bool>,
    after: Cell<After>,
    /// The number of operations so far. The end of a transaction counts as an operation.
    seen: Cell<u64>,
    failed: Cell<bool>,
}

/// A store whose operations, including reads, can fail.
#[derive(Clone)]
pub(crate) struct FaultStore {
    pub(crate) inner: MemoryStore,
    plan: Rc<Plan>,
}

impl FaultStore {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        let plan = Plan {
            at: Cell::new(0),
            persisted: Cell::new(false),
            after: Cell::new(After::Gone),
            seen: Cell::new(0),
            failed: Cell::new(false),
        };
        Self { inner, plan: Rc::new(plan) }
    }

    /// Returns a second, empty store with the same plan, which counts the operations of both stores
    /// together.
    pub(crate) fn aux(&self) -> Self {
        Self { inner: MemoryStore::new(), plan: Rc::clone(&self.plan) }
    }

    pub(crate) fn fail(&self, at: u64, persisted: bool, after: After) {
        self.plan.at.set(at);
        self.plan.persisted.set(persisted);
        self.plan.after.set(after);
        self.plan.seen.set(0);
        self.plan.failed.set(false);
    }

    pub(crate) fn heal(&self) -> bool {
        self.plan.at.set(0);
        self.plan.failed.take()
    }

    /// Returns the number of operations since the last call of [`FaultStore::fail`], or since the
    /// creation of the store.
    pub(crate) fn seen(&self) -> u64 {
        self.plan.seen.get()
    }

    /// Counts an operation. If the operation must fail, returns whether it takes effect before it
    /// fails.
    fn verdict(&self) -> Option<bool> {
        let seen = self.plan.seen.get() + 1;
        self.plan.seen.set(seen);
        let at = self.plan.at.get();
        let is_it = seen == at;
        let fails = at > 0 && (is_it || seen > at && self.plan.after.get() == After::Gone);
        if !fails {
            return None;
        }
        self.plan.failed.set(true);
        Some(is_it && self.plan.persisted.get())
    }

    fn run<T>(&self, work: impl FnOnce() -> StoreResult<T>) -> StoreResult<T> {
        match self.verdict() {
            None => work(),
            Some(_) if self.plan.after.get() == After::Bug => {
                bug::report();
                work()
            }
            Some(persisted) => {
                if persisted {
                    work()?;
                }
                Err(injected())
            }
        }
    }
}

fn injected() -> StoreError {
    StoreError::Failed("injected".into())
}

impl Store for FaultStore {
    fn is_open(&self) -> StoreResult<bool> {
        self.run(|| self.inner.is_open())
    }
    fn open(&self) -> StoreResult<()> {
        self.run(|| self.inner.open())
    }
    fn atomically<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut persisted = false;
        let result = self.inner.atomically(|| {
            let value = work()?;
            match self.verdict() {
                Some(_) if self.plan.after.get() == After::Bug => bug::report(),
                Some(true) => persisted = true,
                Some(false) => return Err(injected().into()),
                None => {}
            }
            Ok(value)
        });
        if persisted { Err(injected().into()) } else { result }
    }
    fn put(&self, table: Table, key: u64, head: &[u8], body: &[u8]) -> StoreResult<()> {
        self.run(|| self.inner.put(table, key, head, body))
    }
    fn head(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>> {
        self.run(|| self.inner.head(table, key))
    }
    fn body(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>> {
        self.run(|| self.inner.body(table, key))
    }
    fn body_slice(
        &self,
        table: Table,
        key: u64,
        bytes: Range<u32>,
    ) -> StoreResult<Option<Vec<u8>>> {
        self.run(|| self.inner.body_slice(table, key, bytes))
    }
    fn head_and_body(&self, table: Table, key: u64) -> StoreResult<Option<HeadAndBody>> {
        self.run(|| self.inner.head_and_body(table, key))
    }
    fn heads(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        limit: u32,
    ) -> StoreResult<Vec<(u64, Vec<u8>)>> {
        self.run(|| self.inner.heads(table, keys, limit))
    }
    fn delete(&self, table: Table, keys: RangeInclusive<u64>) -> StoreResult<()> {
        self.run(|| self.inner.delete(table, keys))
    }
    fn wipe(&self) -> StoreResult<()> {
        self.run(|| self.inner.wipe())
    }
    fn bytes(&self) -> StoreResult<u64> {
        self.run(|| self.inner.bytes())
    }
    fn row_counts(&self) -> RowCounts {
        self.inner.row_counts()
    }
}
