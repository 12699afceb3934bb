//! Implements the storage of an object: one SQLite file with the tables of `tidemark_engine::store`.
//!
//! The first write in a batch of events begins a transaction, and [`SqliteStore::commit`] ends the
//! transaction. `atomically` sets a savepoint in this transaction. Another thread performs the
//! commit, which waits for the disk: the connection moves to that thread and back. The object
//! processes no events during the commit.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::types::{FromSql, FromSqlResult, ValueRef};
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension as _, Params, Row, params};
use tidemark_engine::store::{HeadAndBody, KEY_MAX, RowCounts, Store, StoreError, Table};
use tidemark_model::bug;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::limits::{PAGE_BYTES, PAGE_CACHE_KIB, SQLITE_BYTES_MAX, STATEMENTS_KEPT, WAL_PAGES};

/// The state of a call of `atomically`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Atomic {
    No,
    /// A call of `atomically` is running and has not written yet.
    Untouched,
    /// The first write began the transaction.
    Began,
    /// The first write set a savepoint in the transaction.
    Savepoint,
}

/// The result of a commit. An error means that the writes are lost.
pub type Committed = Result<(), StoreError>;

/// A commit on another thread, which returns the connection.
type RunningCommit = JoinHandle<(Option<Connection>, Committed)>;

/// A handle to the storage of an object. Clones share the storage.
#[derive(Clone, Debug)]
pub struct SqliteStore(Rc<SharedState>);

#[derive(Debug)]
pub struct SharedState {
    path: Arc<Path>,
    /// The connection. The field is `None` before the file is opened, and during a commit, because
    /// another thread then uses the connection.
    connection: RefCell<Option<Connection>>,
    /// The last commit, until [`SqliteStore::committed`] is called.
    commit: RefCell<Option<RunningCommit>>,
    /// Whether the tables are known to exist.
    is_open: Cell<bool>,
    /// Whether all data was deleted after the tables were created.
    is_wiped: Cell<bool>,
    /// Whether a transaction has begun.
    is_dirty: Cell<bool>,
    atomic: Cell<Atomic>,
    /// The error of the last failed write since the last commit.
    failed_write: RefCell<Option<StoreError>>,
    counts: Cell<RowCounts>,
}

impl Deref for SqliteStore {
    type Target = SharedState;

    fn deref(&self) -> &SharedState {
        &self.0
    }
}

impl SqliteStore {
    /// Returns the storage in the file `path`. The first write creates the file.
    pub fn new(path: PathBuf) -> Self {
        Self(Rc::new(SharedState {
            path: path.into(),
            connection: RefCell::new(None),
            commit: RefCell::new(None),
            is_open: Cell::new(false),
            is_wiped: Cell::new(false),
            is_dirty: Cell::new(false),
            atomic: Cell::new(Atomic::No),
            failed_write: RefCell::new(None),
            counts: Cell::default(),
        }))
    }

    /// Whether the storage has writes that [`Self::commit`] has not committed yet.
    pub fn is_dirty(&self) -> bool {
        self.is_dirty.get()
    }

    /// Returns the error of the last failed write since the last call. The commit may succeed
    /// nevertheless, because the failed event was rolled back.
    pub fn take_failed_write(&self) -> Option<StoreError> {
        self.failed_write.take()
    }

    pub fn is_wiped(&self) -> bool {
        self.is_wiped.get()
    }

    /// Starts a thread that makes all writes durable and then calls `send_replies`. Before any other
    /// use of the storage, the caller must wait for [`Self::committed`].
    pub fn commit(&self, send_replies: impl FnOnce(&Committed) + Send + 'static) {
        let (connection, path) = (self.connection.take(), Arc::clone(&self.path));
        self.commit.replace(Some(spawn_blocking(move || {
            let result = match &connection {
                None => Err(gone()),
                // SQLite has rolled back the transaction itself, for example because the disk is
                // full.
                Some(connection) if connection.is_autocommit() => Err(rolled_back()),
                Some(connection) => run(connection, "COMMIT"),
            };
            let result = result.map_err(|reason| in_file(&path, reason));
            send_replies(&result);
            (connection, result)
        })));
    }

    /// Waits for the end of the last commit. The thread of the commit wakes this thread only if
    /// this function waits.
    ///
    /// # Errors
    /// An error means that the writes are lost and the object must be loaded again.
    pub async fn committed(&self) -> Committed {
        let Some(commit) = self.commit.take() else { return Ok(()) };
        let (connection, result) = commit.await.map_err(|_| gone())?;
        result?;
        self.connection.replace(connection);
        self.is_dirty.set(false);
        Ok(())
    }

    /// Closes the file. Uses another thread, because closing copies the write-ahead log into the
    /// file and waits for the disk. Deletes the file if the object has no data.
    pub async fn close(&self) {
        let is_empty = self.is_open().is_ok_and(|is_open| !is_open);
        let Some(connection) = self.connection.take() else { return };
        let path = Arc::clone(&self.path);
        let closed = spawn_blocking(move || {
            drop(connection);
            if is_empty {
                // SQLite ignores a write-ahead log whose database file is missing.
                for suffix in ["", "-wal"] {
                    // If the file remains, it is empty. An empty file has the same meaning as a
                    // missing file.
                    let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
                }
            }
        });
        let _ = closed.await;
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection.borrow_mut();
        let connection = match &mut *connection {
            Some(connection) => connection,
            None if self.is_dirty.get() => return Err(gone()),
            none => none
                .insert(open(&self.path).map_err(|reason| in_file(&self.path, failure(reason)))?),
        };
        work(connection).map_err(|reason| in_file(&self.path, reason))
    }

    /// Runs a statement that writes. The first write begins the transaction.
    fn write(&self, sql: &str, params: impl Params) -> Result<(), StoreError> {
        bug::check()?;
        let written = self.with(|connection| {
            if !self.is_dirty.get() {
                run(connection, "BEGIN")?;
                self.is_dirty.set(true);
                if self.atomic.get() == Atomic::Untouched {
                    self.atomic.set(Atomic::Began);
                }
            } else if connection.is_autocommit() {
                return Err(rolled_back());
            } else if self.atomic.get() == Atomic::Untouched {
                run(connection, "SAVEPOINT event")?;
                self.atomic.set(Atomic::Savepoint);
            }
            let mut statement = connection.prepare_cached(sql).map_err(failure)?;
            let rows = statement.execute(params).map_err(failure)?;
            let counts = self.counts.get();
            self.counts.set(RowCounts { written: counts.written + rows as u64, ..counts });
            Ok(())
        });
        if let Err(reason) = &written {
            // The first error is the cause of the later ones.
            self.failed_write.borrow_mut().get_or_insert_with(|| reason.clone());
        }
        written
    }

    /// Returns the row that `sql` selects.
    fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let row = self.with(|connection| {
            let mut statement = connection.prepare_cached(sql).map_err(failure)?;
            statement.query_row(params, read).optional().map_err(failure)
        })?;
        self.count_read(u64::from(row.is_some()));
        Ok(row)
    }

    fn count_read(&self, rows: u64) {
        let counts = self.counts.get();
        self.counts.set(RowCounts { read: counts.read + rows, ..counts });
    }

    fn number(&self, pragma: &str) -> Result<u64, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(pragma).map_err(failure)?;
            statement.query_row((), |row| row.get::<_, i64>(0)).map_err(failure)
        })
        .map(i64::unsigned_abs)
    }

    /// Rolls back or keeps the writes of a call of `atomically`.
    fn end_atomic(&self, is_kept: bool) -> Result<(), StoreError> {
        let atomic = self.atomic.replace(Atomic::No);
        self.with(|connection| match (atomic, is_kept) {
            (Atomic::No | Atomic::Untouched, _) | (Atomic::Began, true) => Ok(()),
            (Atomic::Began, false) => {
                self.is_dirty.set(false);
                if connection.is_autocommit() { Ok(()) } else { run(connection, "ROLLBACK") }
            }
            (Atomic::Savepoint, true) => run(connection, "RELEASE event"),
            (Atomic::Savepoint, false) => {
                run(connection, "ROLLBACK TO event")?;
                run(connection, "RELEASE event")
            }
        })
    }
}

/// Opens a database file of this program. Creates the file if it is missing.
///
/// # Errors
/// SQLite's error.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // The locking mode is exclusive, because no other process can use the folder. SQLite then needs
    // neither shared memory nor file locks. Without fullfsync, macOS leaves a commit in the cache
    // of the drive. Other systems ignore fullfsync.
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA wal_autocheckpoint = {WAL_PAGES};
         PRAGMA cache_size = -{PAGE_CACHE_KIB};
         PRAGMA soft_heap_limit = {SQLITE_BYTES_MAX};
         PRAGMA temp_store = MEMORY;"
    ))?;
    Ok(connection)
}

fn run(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failure)?;
    statement.execute(()).map(drop).map_err(failure)
}

/// The bytes of a blob. Durable Objects store an empty blob as NULL, so NULL is also read as an
/// empty blob.
struct Blob(Vec<u8>);

impl FromSql for Blob {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(Self(Vec::new())),
            value => value.as_blob().map(|bytes| Self(bytes.to_vec())),
        }
    }
}

fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    row.get::<_, Blob>(column).map(|blob| blob.0)
}

fn number(key: u64) -> Result<i64, StoreError> {
    let number = i64::try_from(key).ok().filter(|_| key <= KEY_MAX);
    number.ok_or_else(|| StoreError::Failed(format!("key {key} is not below 2^53")))
}

/// Returns the last key of a range. The last key of an open range is the maximum key.
fn last_key(keys: &RangeInclusive<u64>) -> u64 {
    (*keys.end()).min(KEY_MAX)
}

fn failure(error: Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Failed(error.to_string()),
    }
}

/// Adds the name of the file to an error.
fn in_file(path: &Path, error: StoreError) -> StoreError {
    match (error, path.file_name()) {
        (StoreError::Failed(reason), Some(name)) => {
            StoreError::Failed(format!("{}: {reason}", name.display()))
        }
        (error, _) => error,
    }
}

fn gone() -> StoreError {
    StoreError::Failed("the file is being committed".to_owned())
}

fn rolled_back() -> StoreError {
    StoreError::Failed("SQLite rolled the transaction back".to_owned())
}

impl Store for SqliteStore {
    fn is_open(&self) -> Result<bool, StoreError> {
        if self.is_open.get() {
            return Ok(true);
        }
        // Reads must not create the file.
        if self.connection.borrow().is_none() && !self.is_dirty.get() && !self.path.exists() {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM sqlite_master WHERE name = ?";
        let found = self.row(sql, [Table::ALL[0].name()], |_| Ok(()))?.is_some();
        self.is_open.set(found);
        Ok(found)
    }

    fn open(&self) -> Result<(), StoreError> {
        for table in Table::ALL {
            self.write(
                &format!(
                    "CREATE TABLE IF NOT EXISTS {} (key INTEGER PRIMARY KEY, head BLOB, body BLOB)",
                    table.name()
                ),
                (),
            )?;
        }
        self.is_wiped.set(false);
        Ok(())
    }

    fn atomically<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if self.atomic.get() != Atomic::No {
            return Err(StoreError::Failed("transactions do not nest".to_owned()).into());
        }
        self.atomic.set(Atomic::Untouched);
        let result = work();
        if result.is_err() {
            self.is_open.set(false);
        }
        let ended = self.end_atomic(result.is_ok());
        if result.is_err() && ended.is_err() {
            // Closing the connection rolls back the transaction, so that the next commit fails
            // instead of storing half of an event.
            drop(self.connection.take());
        }
        let value = result?;
        ended?;
        Ok(value)
    }

    fn put(&self, table: Table, key: u64, head: &[u8], body: &[u8]) -> Result<(), StoreError> {
        let bytes = head.len() + body.len();
        if bytes > Self::VALUE_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes, limit: Self::VALUE_BYTES_MAX });
        }
        let sql = format!("INSERT OR REPLACE INTO {} VALUES (?, ?, ?)", table.name());
        self.write(&sql, params![number(key)?, head, body])
    }

    fn head(&self, table: Table, key: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = format!("SELECT head FROM {} WHERE key = ?", table.name());
        self.row(&sql, [number(key)?], |row| blob(row, 0))
    }

    fn body(&self, table: Table, key: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = format!("SELECT body FROM {} WHERE key = ?", table.name());
        self.row(&sql, [number(key)?], |row| blob(row, 0))
    }

    fn body_slice(
        &self,
        table: Table,
        key: u64,
        bytes: Range<u32>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = format!("SELECT substr(body, ?, ?) FROM {} WHERE key = ?", table.name());
        // SQLite counts the bytes of a blob from 1.
        let first = i64::from(bytes.start) + 1;
        let length = i64::from(bytes.end.saturating_sub(bytes.start));
        self.row(&sql, [first, length, number(key)?], |row| blob(row, 0))
    }

    fn head_and_body(&self, table: Table, key: u64) -> Result<Option<HeadAndBody>, StoreError> {
        let sql = format!("SELECT head, body FROM {} WHERE key = ?", table.name());
        self.row(&sql, [number(key)?], |row| Ok((blob(row, 0)?, blob(row, 1)?)))
    }

    fn heads(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let sql = format!(
            "SELECT key, head FROM {} WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
            table.name()
        );
        let params = [number(*keys.start())?, number(last_key(&keys))?, i64::from(limit)];
        let rows = self.with(|connection| {
            let mut statement = connection.prepare_cached(&sql).map_err(failure)?;
            let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?.unsigned_abs(), blob(row, 1)?));
            let rows = statement.query_map(params, read).map_err(failure)?;
            rows.collect::<rusqlite::Result<Vec<_>>>().map_err(failure)
        })?;
        self.count_read(rows.len() as u64);
        Ok(rows)
    }

    fn delete(&self, table: Table, keys: RangeInclusive<u64>) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM {} WHERE key BETWEEN ? AND ?", table.name());
        self.write(&sql, [number(*keys.start())?, number(last_key(&keys))?])
    }

    fn wipe(&self) -> Result<(), StoreError> {
        for table in Table::ALL {
            self.write(&format!("DROP TABLE IF EXISTS {}", table.name()), ())?;
        }
        self.is_open.set(false);
        self.is_wiped.set(true);
        Ok(())
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        if self.connection.borrow().is_none() && !self.path.exists() {
            return Ok(0);
        }
        let pages = self.number("PRAGMA page_count")?;
        let free = self.number("PRAGMA freelist_count")?;
        Ok(pages.saturating_sub(free) * u64::from(PAGE_BYTES))
    }

    fn row_counts(&self) -> RowCounts {
        self.counts.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> PathBuf {
        let name = format!("tidemark-store-{:016x}.sqlite", crate::platform::random_u64());
        std::env::temp_dir().join(name)
    }

    fn commit(store: &SqliteStore) -> Committed {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (to, released) = tokio::sync::oneshot::channel();
            store.commit(|committed| to.send(committed.clone()).unwrap());
            let committed = store.committed().await;
            assert_eq!(released.await.as_ref(), Ok(&committed));
            committed
        })
    }

    fn close(store: &SqliteStore) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.close());
    }

    #[test]
    fn file_closes_on_another_thread() {
        let store = SqliteStore::new(place());
        store.open().unwrap();
        commit(&store).unwrap();
        store.wipe().unwrap();
        commit(&store).unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            let busy = spawn_blocking(move || ended.recv().is_err());
            let mut closing = std::pin::pin!(store.close());
            tokio::select! {
                biased;
                () = closing.as_mut() => panic!("the only thread is busy"),
                () = tokio::task::yield_now() => assert!(store.path.exists()),
            }
            drop(end);
            closing.await;
            assert!(busy.await.unwrap() && !store.path.exists());
        });
    }

    #[test]
    fn reopened_store_has_only_committed_rows() {
        let path = place();
        let store = SqliteStore::new(path.clone());
        assert!(!store.is_open().unwrap());
        assert!(!path.exists());
        store.open().unwrap();
        store.put(Table::Wal, 1, b"a", b"").unwrap();
        commit(&store).unwrap();
        store.put(Table::Wal, 2, b"b", b"").unwrap();
        drop(store);
        let store = SqliteStore::new(path);
        assert!(store.is_open().unwrap());
        assert_eq!(store.heads(Table::Wal, 0..=9, 9).unwrap(), [(1, b"a".to_vec())]);
        store.wipe().unwrap();
        commit(&store).unwrap();
        close(&store);
        assert!(!store.path.exists());
    }

    #[test]
    fn failed_event_rolls_back_own_writes() {
        let store = SqliteStore::new(place());
        let fails = |key: u64| {
            let result: Result<(), StoreError> = store.atomically(|| {
                store.open()?;
                store.put(Table::Wal, key, b"x", b"")?;
                Err(StoreError::Full)
            });
            assert_eq!(result, Err(StoreError::Full));
        };
        fails(1);
        assert!(!store.is_dirty() && !store.is_open().unwrap());
        store.open().unwrap();
        store.put(Table::Wal, 2, b"b", b"").unwrap();
        fails(3);
        let kept: Result<(), StoreError> =
            store.atomically(|| store.put(Table::Wal, 4, b"d", b"body"));
        kept.unwrap();
        commit(&store).unwrap();
        let keys = store.heads(Table::Wal, 0..=u64::MAX, 9).unwrap();
        assert_eq!(keys.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(store.body_slice(Table::Wal, 4, 1..3).unwrap().unwrap(), b"od");
        assert_eq!(store.body_slice(Table::Wal, 4, 9..12).unwrap().unwrap(), b"");
        assert_eq!(store.body(Table::Wal, 9).unwrap(), None);
        store.wipe().unwrap();
        commit(&store).unwrap();
        close(&store);
    }

    #[test]
    fn commits_reach_the_drive() {
        let path = place();
        let connection = open(&path).unwrap();
        let number =
            |pragma: &str| connection.query_row(pragma, (), |row| row.get::<_, i64>(0)).unwrap();
        // 2 is FULL.
        assert_eq!((number("PRAGMA synchronous"), number("PRAGMA fullfsync")), (2, 1));
        // Deletes the write-ahead log.
        drop(connection);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn failed_rollback_fails_the_commit() {
        let path = place();
        let store = SqliteStore::new(path.clone());
        store.open().unwrap();
        let result: Result<(), StoreError> = store.atomically(|| {
            store.put(Table::Wal, 1, b"half of an event", b"")?;
            // Without the savepoint, the rollback to it fails.
            store.with(|connection| run(connection, "RELEASE event"))?;
            Err(StoreError::Full)
        });
        assert_eq!(result, Err(StoreError::Full));
        assert_eq!(commit(&store), Err(in_file(&path, gone())));
        assert!(!SqliteStore::new(path).is_open().unwrap());
    }

    #[test]
    fn writes_fail_after_sqlite_rollback() {
        let path = place();
        let store = SqliteStore::new(path.clone());
        store.open().unwrap();
        store.with(|connection| run(connection, "ROLLBACK")).unwrap();
        let error = in_file(&path, rolled_back());
        assert_eq!(store.put(Table::Wal, 1, b"a", b""), Err(error.clone()));
        assert_eq!(commit(&store), Err(error));
    }
}
