//! Implements the store in memory, for native tests and the browser page, with the limits of
//! production.
//!
//! Clones of a handle share their data, so a test can keep one handle while the engine owns
//! another. [`MemoryStore::snapshot`] creates an independent copy with the state that a crash would
//! leave.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

use super::{HeadAndBody, KEY_MAX, RowCounts, Store, StoreError, StoreResult, Table};
use tidemark_model::bug;

/// The size of a row in addition to its contents.
const ROW_OVERHEAD_BYTES: u64 = 16;

/// The head and body of a row.
pub type Row = (Rc<[u8]>, Rc<[u8]>);
type StoredRows = BTreeMap<(Table, u64), Row>;

enum Undo {
    Row(Table, u64, Option<Row>),
    Everything(Option<StoredRows>),
}

/// The rows that may have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Changes {
    /// Every row may have changed.
    #[default]
    Everything,
    /// Only these rows may have changed.
    Rows(BTreeSet<(Table, u64)>),
}

#[derive(Default)]
struct Inner {
    /// `None` before the store is opened and after a wipe.
    rows: RefCell<Option<StoredRows>>,
    /// The oldest change is first. The field is `None` outside a transaction.
    undo: RefCell<Option<Vec<Undo>>>,
    bytes: Cell<u64>,
    bytes_max: Cell<Option<u64>>,
    counts: Cell<RowCounts>,
    /// The changes since the last call of [`MemoryStore::take_changes`].
    changes: RefCell<Changes>,
}

/// A store that keeps its tables in memory.
#[derive(Clone, Default)]
pub struct MemoryStore {
    inner: Rc<Inner>,
}

impl MemoryStore {
    /// Creates a store without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum size. Writes that grow the store beyond `bytes_max` return
    /// [`StoreError::Full`].
    pub fn limit_bytes(&self, bytes_max: Option<u64>) {
        self.inner.bytes_max.set(bytes_max);
    }

    /// Returns an independent copy of the rows. The row counts of the copy start at 0.
    pub fn snapshot(&self) -> Self {
        let copy = Self::new();
        copy.inner.rows.replace(self.inner.rows.borrow().clone());
        copy.inner.bytes.set(self.inner.bytes.get());
        copy.inner.bytes_max.set(self.inner.bytes_max.get());
        copy
    }

    /// Returns the changes since the last call. The first call returns [`Changes::Everything`],
    /// because the store starts to track changes with this call.
    pub fn take_changes(&self) -> Changes {
        self.inner.changes.replace(Changes::Rows(BTreeSet::new()))
    }

    /// Marks everything as changed, as before the first call of [`Self::take_changes`].
    pub fn forget_changes(&self) {
        self.inner.changes.replace(Changes::Everything);
    }

    /// Returns the head and body of a row, without counting a row as read.
    pub fn row(&self, table: Table, key: u64) -> Option<Row> {
        self.inner.rows.borrow().as_ref()?.get(&(table, key)).cloned()
    }

    /// Returns the table and key of every row in ascending order, without counting the rows as
    /// read.
    pub fn keys(&self) -> Vec<(Table, u64)> {
        self.inner.rows.borrow().iter().flat_map(BTreeMap::keys).copied().collect()
    }

    fn read<T>(&self, get: impl FnOnce(&StoredRows) -> (u64, T)) -> StoreResult<T> {
        let rows = self.inner.rows.borrow();
        let (read, value) = get(rows.as_ref().ok_or_else(not_open)?);
        self.count(read, 0);
        Ok(value)
    }

    fn read_row<T>(
        &self,
        table: Table,
        key: u64,
        get: impl FnOnce(&Row) -> T,
    ) -> StoreResult<Option<T>> {
        self.read(|rows| {
            let row = rows.get(&(table, key));
            (u64::from(row.is_some()), row.map(get))
        })
    }

    fn count(&self, read: u64, written: u64) {
        let RowCounts { read: r, written: w } = self.inner.counts.get();
        self.inner.counts.set(RowCounts { read: r + read, written: w + written });
    }

    /// Replaces or deletes a row, and adds the previous row to the undo list.
    fn change(&self, table: Table, key: u64, row: Option<Row>) -> StoreResult<()> {
        bug::check()?;
        let mut rows = self.inner.rows.borrow_mut();
        let rows = rows.as_mut().ok_or_else(not_open)?;
        let added = row.as_ref().map_or(0, size);
        let before = replace(rows, table, key, row);
        let removed = before.as_ref().map_or(0, size);
        self.inner.bytes.set(self.inner.bytes.get() + added - removed);
        if let Changes::Rows(changed) = &mut *self.inner.changes.borrow_mut() {
            changed.insert((table, key));
        }
        if let Some(undo) = self.inner.undo.borrow_mut().as_mut() {
            undo.push(Undo::Row(table, key, before));
        }
        Ok(())
    }

    fn roll_back(&self, undo: Vec<Undo>) {
        let mut rows = self.inner.rows.borrow_mut();
        for step in undo.into_iter().rev() {
            match step {
                Undo::Everything(before) => *rows = before,
                Undo::Row(table, key, before) => {
                    rows.as_mut().map(|rows| replace(rows, table, key, before));
                }
            }
        }
        self.inner.bytes.set(rows.iter().flat_map(BTreeMap::values).map(size).sum());
    }
}

fn size((head, body): &Row) -> u64 {
    (head.len() + body.len()) as u64 + ROW_OVERHEAD_BYTES
}

fn not_open() -> StoreError {
    StoreError::Failed("no such table".into())
}

fn range<'a>(
    rows: &'a StoredRows,
    table: Table,
    keys: &RangeInclusive<u64>,
) -> impl Iterator<Item = (u64, &'a Row)> {
    let keys_of_table = (table, *keys.start())..=(table, *keys.end());
    let found = (!keys.is_empty()).then(|| rows.range(keys_of_table));
    found.into_iter().flatten().map(|(&(_, key), row)| (key, row))
}

/// Returns the previous row.
fn replace(rows: &mut StoredRows, table: Table, key: u64, row: Option<Row>) -> Option<Row> {
    match row {
        Some(row) => rows.insert((table, key), row),
        None => rows.remove(&(table, key)),
    }
}

impl Store for MemoryStore {
    fn is_open(&self) -> StoreResult<bool> {
        Ok(self.inner.rows.borrow().is_some())
    }

    fn open(&self) -> StoreResult<()> {
        let mut rows = self.inner.rows.borrow_mut();
        if rows.is_none() {
            *rows = Some(StoredRows::new());
            if let Some(undo) = self.inner.undo.borrow_mut().as_mut() {
                undo.push(Undo::Everything(None));
            }
        }
        Ok(())
    }

    fn atomically<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if self.inner.undo.borrow().is_some() {
            return Err(StoreError::Failed("transactions do not nest".into()).into());
        }
        self.inner.undo.replace(Some(Vec::new()));
        let result = work();
        let undo = self.inner.undo.take().unwrap_or_default();
        if result.is_err() {
            self.roll_back(undo);
        }
        result
    }

    fn put(&self, table: Table, key: u64, head: &[u8], body: &[u8]) -> StoreResult<()> {
        let bytes = head.len() + body.len();
        if bytes > Self::VALUE_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes, limit: Self::VALUE_BYTES_MAX });
        }
        if key > KEY_MAX {
            return Err(StoreError::Failed(format!("key {key} is not below 2^53")));
        }
        let replaced = self.read(|rows| (0, rows.get(&(table, key)).map_or(0, size)))?;
        let before = self.inner.bytes.get();
        let grown = before + bytes as u64 + ROW_OVERHEAD_BYTES - replaced;
        if self.inner.bytes_max.get().is_some_and(|max| grown > max && grown > before) {
            return Err(StoreError::Full);
        }
        self.change(table, key, Some((head.into(), body.into())))?;
        self.count(0, 1);
        Ok(())
    }

    fn head(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>> {
        self.read_row(table, key, |(head, _)| head.to_vec())
    }

    fn body(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>> {
        self.read_row(table, key, |(_, body)| body.to_vec())
    }

    fn body_slice(
        &self,
        table: Table,
        key: u64,
        bytes: Range<u32>,
    ) -> StoreResult<Option<Vec<u8>>> {
        self.read_row(table, key, |(_, body)| {
            let end = body.len().min(bytes.end as usize);
            body.get(bytes.start as usize..end).unwrap_or_default().to_vec()
        })
    }

    fn head_and_body(&self, table: Table, key: u64) -> StoreResult<Option<HeadAndBody>> {
        self.read_row(table, key, |(head, body)| (head.to_vec(), body.to_vec()))
    }

    fn heads(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        limit: u32,
    ) -> StoreResult<Vec<(u64, Vec<u8>)>> {
        self.read(|rows| {
            let found = range(rows, table, &keys).take(limit as usize);
            let heads: Vec<_> = found.map(|(key, (head, _))| (key, head.to_vec())).collect();
            (heads.len() as u64, heads)
        })
    }

    fn delete(&self, table: Table, keys: RangeInclusive<u64>) -> StoreResult<()> {
        let doomed: Vec<u64> = self.read(|rows| {
            let doomed: Vec<_> = range(rows, table, &keys).map(|(key, _)| key).collect();
            (doomed.len() as u64, doomed)
        })?;
        for key in &doomed {
            self.change(table, *key, None)?;
        }
        self.count(0, doomed.len() as u64);
        Ok(())
    }

    fn wipe(&self) -> StoreResult<()> {
        let before = self.inner.rows.take();
        if let Some(undo) = self.inner.undo.borrow_mut().as_mut() {
            undo.push(Undo::Everything(before));
        }
        self.inner.bytes.set(0);
        self.inner.changes.replace(Changes::Everything);
        Ok(())
    }

    fn bytes(&self) -> StoreResult<u64> {
        Ok(self.inner.bytes.get())
    }

    fn row_counts(&self) -> RowCounts {
        self.inner.counts.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> MemoryStore {
        let store = MemoryStore::new();
        store.open().unwrap();
        store
    }

    #[test]
    fn closed_store_rejects_reads_and_writes() {
        let store = MemoryStore::new();
        assert_eq!(store.put(Table::Wal, 0, b"", b""), Err(not_open()));
        assert_eq!(store.heads(Table::Wal, 0..=9, 9), Err(not_open()));
        store.open().unwrap();
        store.put(Table::Wal, 0, b"h", b"b").unwrap();
        store.wipe().unwrap();
        assert_eq!((store.is_open(), store.bytes()), (Ok(false), Ok(0)));
    }

    #[test]
    fn failed_transaction_is_rolled_back() {
        let store = opened();
        store.put(Table::Wal, 1, b"old", b"").unwrap();
        let bytes = store.bytes().unwrap();
        let failed: StoreResult<()> = store.atomically(|| {
            store.put(Table::Wal, 1, b"new", b"")?;
            store.put(Table::State, 1, b"", b"body")?;
            store.delete(Table::Wal, 0..=9)?;
            store.wipe()?;
            store.open()?;
            store.put(Table::Wal, 7, b"", b"")?;
            Err(StoreError::Failed("late".into()))
        });
        assert_eq!(failed, Err(StoreError::Failed("late".into())));
        assert_eq!(store.heads(Table::Wal, 0..=9, 9), Ok(vec![(1, b"old".to_vec())]));
        assert_eq!(store.head(Table::State, 1), Ok(None));
        assert_eq!(store.bytes(), Ok(bytes));
    }

    #[test]
    fn row_counts_match_platform_billing() {
        let store = opened();
        for key in 0..5 {
            store.put(Table::Wal, key, b"", &[0; 100]).unwrap();
        }
        store.put(Table::Wal, 3, b"", b"").unwrap();
        assert_eq!(store.row_counts(), RowCounts { read: 0, written: 6 });
        store.heads(Table::Wal, 1..=9, 2).unwrap();
        store.body(Table::Wal, 0).unwrap();
        store.body(Table::Wal, 99).unwrap();
        store.delete(Table::Wal, 0..=1).unwrap();
        assert_eq!(store.row_counts(), RowCounts { read: 5, written: 8 });
        store.body_slice(Table::Wal, 2, 10..20).unwrap();
        store.body_slice(Table::Wal, 2, 0..0).unwrap();
        store.body_slice(Table::Wal, 99, 10..20).unwrap();
        assert_eq!(store.row_counts(), RowCounts { read: 7, written: 8 });
        store.head_and_body(Table::Wal, 2).unwrap();
        store.head_and_body(Table::Wal, 99).unwrap();
        assert_eq!(store.row_counts(), RowCounts { read: 8, written: 8 });
    }

    #[test]
    fn only_listed_keys_are_deleted() {
        let store = opened();
        (0..10).for_each(|key| store.put(Table::Wal, key, b"", b"").unwrap());
        store.delete_keys(Table::Wal, [0, 2, 3, 4, 8]).unwrap();
        store.delete_keys(Table::Wal, []).unwrap();
        assert_eq!(store.keys(), [1, 5, 6, 7, 9].map(|key| (Table::Wal, key)));
    }

    #[test]
    fn body_slice_stops_at_end() {
        let store = opened();
        let body: Vec<u8> = (0..=u8::MAX).cycle().take(MemoryStore::VALUE_BYTES_MAX - 4).collect();
        let end = body.len() as u32;
        store.put(Table::Value, 3, b"head", &body).unwrap();
        store.put(Table::Value, 4, b"head", b"").unwrap();
        for (bytes, expected) in [
            (0..5, &body[..5]),
            (1_000..1_007, &body[1_000..1_007]),
            (end - 3..end, &body[body.len() - 3..]),
            (end - 3..end + 9, &body[body.len() - 3..]),
            (0..u32::MAX, &body),
            (7..7, &[]),
            (end..end + 1, &[]),
            (u32::MAX - 1..u32::MAX, &[]),
            (Range { start: 9, end: 7 }, &[]),
        ] {
            let slice = store.body_slice(Table::Value, 3, bytes.clone());
            assert!(slice == Ok(Some(expected.to_vec())), "{bytes:?}");
        }
        assert_eq!(store.body_slice(Table::Value, 4, 0..5), Ok(Some(vec![])));
        assert_eq!(store.body_slice(Table::Value, 5, 0..5), Ok(None));
        assert_eq!(store.body_slice(Table::Job, 3, 0..5), Ok(None));
        assert_eq!(MemoryStore::new().body_slice(Table::Value, 3, 0..5), Err(not_open()));
    }

    #[test]
    fn store_reads_head_and_body() {
        let store = opened();
        let body = vec![7; MemoryStore::VALUE_BYTES_MAX - 4];
        store.put(Table::Value, 3, b"head", &body).unwrap();
        store.put(Table::Value, 4, b"", b"").unwrap();
        assert!(store.head_and_body(Table::Value, 3) == Ok(Some((b"head".to_vec(), body))));
        assert_eq!(store.head_and_body(Table::Value, 4), Ok(Some((vec![], vec![]))));
        assert_eq!(store.head_and_body(Table::Value, 5), Ok(None));
        assert_eq!(MemoryStore::new().head_and_body(Table::Value, 3), Err(not_open()));
    }

    #[test]
    fn memory_store_has_production_limits() {
        let store = opened();
        let limit = MemoryStore::VALUE_BYTES_MAX;
        assert_eq!(store.put(Table::Wal, 0, &[0], &vec![0; limit - 1]), Ok(()));
        let refused = Err(StoreError::TooLarge { bytes: limit + 1, limit });
        assert_eq!(store.put(Table::Wal, 0, &[0], &vec![0; limit]), refused);
        assert_eq!(store.put(Table::Wal, KEY_MAX, b"", b""), Ok(()));
        assert!(store.put(Table::Wal, KEY_MAX + 1, b"", b"").is_err());
        store.limit_bytes(Some(store.bytes().unwrap() + 20));
        assert_eq!(store.put(Table::Wal, 1, b"", b"12345"), Err(StoreError::Full));
        assert_eq!(store.put(Table::Wal, 1, b"", b"1234"), Ok(()));
        assert_eq!(store.delete(Table::Wal, 0..=0), Ok(()));
        assert_eq!(store.put(Table::Wal, 2, b"", &[0; 1000]), Ok(()));
    }

    #[test]
    fn store_reports_changes_once() {
        let store = opened();
        store.put(Table::Wal, 1, b"a", b"").unwrap();
        assert_eq!(store.take_changes(), Changes::Everything);
        store.put(Table::Wal, 2, b"b", b"body").unwrap();
        store.delete(Table::Wal, 1..=1).unwrap();
        let rows = [(Table::Wal, 1), (Table::Wal, 2)];
        assert_eq!(store.take_changes(), Changes::Rows(rows.into()));
        assert_eq!(store.take_changes(), Changes::Rows(BTreeSet::new()));
        assert_eq!(store.row(Table::Wal, 1), None);
        assert_eq!(store.row(Table::Wal, 2), Some((b"b"[..].into(), b"body"[..].into())));
        assert_eq!(store.keys(), [(Table::Wal, 2)]);
        store.wipe().unwrap();
        assert_eq!((store.take_changes(), store.keys()), (Changes::Everything, vec![]));
    }

    #[test]
    fn store_snapshot_is_independent() {
        let store = opened();
        store.put(Table::Wal, 0, b"a", b"").unwrap();
        let copy = store.snapshot();
        store.put(Table::Wal, 0, b"b", b"").unwrap();
        assert_eq!(copy.head(Table::Wal, 0), Ok(Some(b"a".to_vec())));
    }
}
