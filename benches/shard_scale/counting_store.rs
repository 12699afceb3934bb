//! An in-memory store that counts the writes to each table.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

use tidemark::store::memory::MemoryStore;
use tidemark::store::{HeadAndBody, RowCounts, Store, StoreError, StoreResult, Table};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// The rows and bytes of each table, in the order of `Table::ALL`.
    tables: [(u64, u64); Table::ALL.len()],
    /// The platform bills each alarm as a row.
    pub(crate) alarms: u64,
}

impl Written {
    pub(crate) fn rows(&self, table: Table) -> u64 {
        self.tables[table as usize].0
    }

    pub(crate) fn bytes(&self, table: Table) -> u64 {
        self.tables[table as usize].1
    }

    /// Includes the alarm rows.
    pub(crate) fn all(&self) -> u64 {
        self.tables.iter().map(|(rows, _)| rows).sum::<u64>() + self.alarms
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        for (at, table) in since.tables.iter_mut().enumerate() {
            *table = (table.0 - before.tables[at].0, table.1 - before.tables[at].1);
        }
        since.alarms -= before.alarms;
        since
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (at, table) in self.tables.iter_mut().enumerate() {
            *table = (table.0 + other.tables[at].0, table.1 + other.tables[at].1);
        }
        self.alarms += other.alarms;
    }
}

/// Clones share the data and the counts.
#[derive(Clone, Default)]
pub(crate) struct CountingStore {
    pub(crate) inner: MemoryStore,
    written: Rc<RefCell<Written>>,
}

impl CountingStore {
    pub(crate) fn written(&self) -> Written {
        *self.written.borrow()
    }

    pub(crate) fn count_alarm(&self) {
        self.written.borrow_mut().alarms += 1;
    }

    fn count(&self, table: Table, before: RowCounts, bytes: usize) {
        let rows = self.inner.row_counts().since(before).written;
        let counted = &mut self.written.borrow_mut().tables[table as usize];
        *counted = (counted.0 + rows, counted.1 + bytes as u64);
    }
}

impl Store for CountingStore {
    const VALUE_BYTES_MAX: usize = MemoryStore::VALUE_BYTES_MAX;

    fn is_open(&self) -> StoreResult<bool> {
        self.inner.is_open()
    }

    fn open(&self) -> StoreResult<()> {
        self.inner.open()
    }

    fn atomically<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.inner.atomically(work)
    }

    fn put(&self, table: Table, key: u64, head: &[u8], body: &[u8]) -> StoreResult<()> {
        let before = self.inner.row_counts();
        self.inner.put(table, key, head, body)?;
        self.count(table, before, head.len() + body.len());
        Ok(())
    }

    fn head(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>> {
        self.inner.head(table, key)
    }

    fn body(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>> {
        self.inner.body(table, key)
    }

    fn body_slice(
        &self,
        table: Table,
        key: u64,
        bytes: Range<u32>,
    ) -> StoreResult<Option<Vec<u8>>> {
        self.inner.body_slice(table, key, bytes)
    }

    fn head_and_body(&self, table: Table, key: u64) -> StoreResult<Option<HeadAndBody>> {
        self.inner.head_and_body(table, key)
    }

    fn heads(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        limit: u32,
    ) -> StoreResult<Vec<(u64, Vec<u8>)>> {
        self.inner.heads(table, keys, limit)
    }

    fn delete(&self, table: Table, keys: RangeInclusive<u64>) -> StoreResult<()> {
        let before = self.inner.row_counts();
        self.inner.delete(table, keys)?;
        self.count(table, before, 0);
        Ok(())
    }

    fn wipe(&self) -> StoreResult<()> {
        self.inner.wipe()
    }

    fn bytes(&self) -> StoreResult<u64> {
        self.inner.bytes()
    }

    fn row_counts(&self) -> RowCounts {
        self.inner.row_counts()
    }
}
