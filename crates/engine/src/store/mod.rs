//! Defines the engine's storage interface: tables of `key → (head, body)`.
//!
//! Every table is `(key INTEGER PRIMARY KEY, head BLOB, body BLOB)` in the object's SQLite. Heads
//! are small and can be listed without reading a body. The platform bills rows and not bytes.
//! Reading a slice of a body therefore costs as much as reading the whole body, but copies less.
#![doc = include_str!("FORMAT.md")]

pub mod memory;
pub mod row;
pub mod usage_meter;

use std::ops::{Range, RangeInclusive};

use tidemark_model::bug::Bug;

/// The tables of all kinds of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The kind of the object, its identity and its counters. The row exists if and only if the
    /// object is open. On a shard, the body of this row is the manifest, which lists the parts.
    State,
    /// On a shard: the rows of the WAL.
    Wal,
    /// On a shard: the *values*, which contain the blocks of parts. The head contains the directory
    /// of the blocks.
    Value,
    /// On a shard: the tombstones, and copies of damaged frames.
    Tombstone,
    /// On every kind of object: the due jobs.
    Job,
    /// On the catalog: the databases by number. On a database: the policies by number, and at
    /// higher keys the continuous queries, tokens and users.
    Entry,
    /// On a database or shard: the measurements by number. On the catalog: the tokens and users by
    /// number.
    Schema,
}

impl Table {
    /// All tables, in the order in which they are created.
    pub const ALL: [Self; 7] = [
        Self::State,
        Self::Wal,
        Self::Value,
        Self::Tombstone,
        Self::Job,
        Self::Entry,
        Self::Schema,
    ];

    /// Returns the table's name in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Wal => "wal",
            Self::Value => "value",
            Self::Tombstone => "tombstone",
            Self::Job => "job",
            Self::Entry => "entry",
            Self::Schema => "schema",
        }
    }
}

/// The result of an operation of a [`Store`].
pub type StoreResult<T> = Result<T, StoreError>;

/// The reason why a storage operation failed. After an error, `atomically` leaves no changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum StoreError {
    /// The object's storage is full. Deletes still work.
    #[error("storage is full")]
    Full,
    /// The head and body together exceed [`Store::VALUE_BYTES_MAX`].
    #[error("a value of {bytes} bytes exceeds the row limit of {limit} bytes")]
    TooLarge { bytes: usize, limit: usize },
    /// A row fails its checksum, or a newer release has written the row.
    #[error("damaged row {key} of {table}: {reason}")]
    Damaged {
        /// The table's name from [`Table::name`].
        table: &'static str,
        key: u64,
        reason: &'static str,
    },
    #[error("{0}")]
    Failed(String),
}

impl From<Bug> for StoreError {
    fn from(bug: Bug) -> Self {
        Self::Failed(bug.to_string())
    }
}

/// The number of rows billed since the object was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// The number of rows read.
    pub read: u64,
    /// The number of rows written, replaced or deleted.
    pub written: u64,
}

impl RowCounts {
    /// Returns the rows counted since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            read: self.read.saturating_sub(before.read),
            written: self.written.saturating_sub(before.written),
        }
    }
}

/// The highest key of a row. SQL numbers are converted to doubles, which represent integers below
/// 2^53 exactly.
pub const KEY_MAX: u64 = (1 << 53) - 1;

/// The head and body of a row.
pub type HeadAndBody = (Vec<u8>, Vec<u8>);

/// An object's storage. After a bug was reported in an event of a shard, the storage accepts no
/// writes until the end of the event ([`bug::check`](tidemark_model::bug::check)). Methods take
/// `&self`, because the platform's handle is shared and single-threaded.
pub trait Store {
    /// The maximum size of a row's head and body, in bytes. The platform rejects rows of 2 MB in
    /// production, but not in the local runtime. Every implementation must therefore enforce this
    /// limit.
    const VALUE_BYTES_MAX: usize = 1_900_000;

    /// Whether the tables exist. The method must not write to the storage.
    fn is_open(&self) -> StoreResult<bool>;

    /// Creates the tables unless they exist.
    fn open(&self) -> StoreResult<()>;

    /// Runs `work` as one transaction. Transactions cannot be nested.
    fn atomically<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>;

    /// Inserts or replaces one row. The maximum key is [`KEY_MAX`].
    fn put(&self, table: Table, key: u64, head: &[u8], body: &[u8]) -> StoreResult<()>;

    /// Returns a row's head.
    fn head(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>>;

    /// Returns a row's body.
    fn body(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>>;

    /// Returns a slice of a row's body. If the body ends before the end of `bytes`, the slice is
    /// shorter or empty.
    fn body_slice(&self, table: Table, key: u64, bytes: Range<u32>)
    -> StoreResult<Option<Vec<u8>>>;

    /// Reads a row's head and body together.
    fn head_and_body(&self, table: Table, key: u64) -> StoreResult<Option<HeadAndBody>>;

    /// Returns the heads of at most `limit` rows with keys in `keys`, in ascending order of the
    /// keys.
    fn heads(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        limit: u32,
    ) -> StoreResult<Vec<(u64, Vec<u8>)>>;

    /// Deletes the rows with keys in `keys`.
    fn delete(&self, table: Table, keys: RangeInclusive<u64>) -> StoreResult<()>;

    /// Deletes the rows with these keys, which must ascend. One statement deletes a run of
    /// consecutive keys.
    fn delete_keys(&self, table: Table, keys: impl IntoIterator<Item = u64>) -> StoreResult<()> {
        let mut keys = keys.into_iter().peekable();
        while let Some(first) = keys.next() {
            let mut last = first;
            while let Some(next) = keys.next_if_eq(&(last + 1)) {
                last = next;
            }
            self.delete(table, first..=last)?;
        }
        Ok(())
    }

    /// Drops all rows and tables. After this call, `is_open` returns false.
    fn wipe(&self) -> StoreResult<()>;

    /// Returns the object's storage size, in bytes.
    fn bytes(&self) -> StoreResult<u64>;

    /// Returns the number of rows billed since the object was loaded.
    fn row_counts(&self) -> RowCounts;
}
