//! Defines the port through which the engine sees storage: tables of `key → (head, body)`.
//!
//! Every table is `(key INTEGER PRIMARY KEY, head BLOB, body BLOB)` in the object's SQLite. A head
//! is small and can be listed without touching a body. Billing is per row, not per byte, so
//! `rows_written` and `rows_read` count what the platform would bill, and a slice of a body costs
//! as much as all of it: what a slice saves are copies.
#![doc = include_str!("FORMAT.md")]

pub mod memory;
pub mod row;

use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

/// The tables that exist, over all kinds of object. The name is the SQL name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// What kind of object this is, its identity and counters: exists once it is open. Shard: the
    /// body lists its parts.
    State,
    /// Shard: WAL slots.
    Wal,
    /// Shard: blocks of parts; the head is their directory.
    Value,
    /// Shard: tombstones. Frames set aside as damaged.
    Tombstone,
    /// All: due jobs.
    Job,
    /// Catalog: databases by number. Database: policies by number; continuous queries, tokens and
    /// users above them.
    Entry,
    /// Database and Shard: measurements by number. Catalog: tokens and users by number.
    Schema,
    /// Shard: what rows at rest came to.
    Answer,
}

impl Table {
    /// Every table, in the order in which they are created.
    pub const ALL: [Self; 8] = [
        Self::State,
        Self::Wal,
        Self::Value,
        Self::Tombstone,
        Self::Job,
        Self::Entry,
        Self::Schema,
        Self::Answer,
    ];

    /// The table's SQL name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Wal => "wal",
            Self::Value => "value",
            Self::Tombstone => "tombstone",
            Self::Job => "job",
            Self::Entry => "entry",
            Self::Schema => "schema",
            Self::Answer => "answer",
        }
    }
}

/// Why a storage operation did not happen. After an error in `atomically` nothing of it remains.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The object's storage is full; deletes still work.
    #[error("storage is full")]
    Full,
    /// Head and body together exceed [`Store::VALUE_BYTES_MAX`].
    #[error("a value of {bytes} bytes exceeds the row limit of {limit} bytes")]
    TooLarge {
        /// Head plus body.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A row fails its checksum, or a newer release wrote it.
    #[error("damaged row {key} of {table}: {why}")]
    Damaged {
        /// [`Table::name`]
        table: &'static str,
        /// Which row.
        key: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Whatever else the platform said.
    #[error("storage failed: {0}")]
    Failed(String),
}

/// Rows billed since the object was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows read.
    pub read: u64,
    /// Rows written, replaced or deleted.
    pub written: u64,
}

impl RowCounts {
    /// What came after `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            read: self.read.saturating_sub(before.read),
            written: self.written.saturating_sub(before.written),
        }
    }
}

/// The highest key of a row: SQL numbers pass through a double, which is exact below 2^53.
pub const KEY_MAX: u64 = (1 << 53) - 1;

/// Both columns of a row.
pub type HeadAndBody = (Vec<u8>, Vec<u8>);

/// One object's storage. Methods take `&self`: the platform's handle is shared and single-threaded.
pub trait Store {
    /// Head plus body of one row, bytes. Production refuses 2 MB; the local runtime does not, so
    /// every implementation enforces this.
    const VALUE_BYTES_MAX: usize = 1_900_000;

    /// Whether the tables exist. Must not write.
    fn is_open(&self) -> Result<bool, StoreError>;

    /// Creates the tables; does nothing when they exist.
    fn open(&self) -> Result<(), StoreError>;

    /// Runs `work` as one transaction: all of its writes happen, or none. Does not nest.
    fn atomically<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>;

    /// Inserts or replaces one row. Keys are at most [`KEY_MAX`].
    fn put(&self, table: Table, key: u64, head: &[u8], body: &[u8]) -> Result<(), StoreError>;

    /// One row's head.
    fn head(&self, table: Table, key: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// One row's body.
    fn body(&self, table: Table, key: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// The `bytes` of one row's body, of which there are fewer, or none, if it ends before.
    fn body_slice(
        &self,
        table: Table,
        key: u64,
        bytes: Range<u32>,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// One row's head and body, read together.
    fn head_and_body(&self, table: Table, key: u64) -> Result<Option<HeadAndBody>, StoreError>;

    /// Heads of the rows with keys in `keys`, ascending by key, at most `limit`.
    fn heads(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Deletes the rows with keys in `keys`.
    fn delete(&self, table: Table, keys: RangeInclusive<u64>) -> Result<(), StoreError>;

    /// Drops everything, tables included: afterwards `is_open` is false.
    fn wipe(&self) -> Result<(), StoreError>;

    /// Bytes of storage used by the object.
    fn bytes(&self) -> Result<u64, StoreError>;

    /// Rows billed since the object was loaded.
    fn row_counts(&self) -> RowCounts;
}

/// A store that several hold: an object, and a merge that is under way between two of its events.
impl<S: Store> Store for Rc<S> {
    const VALUE_BYTES_MAX: usize = S::VALUE_BYTES_MAX;

    fn is_open(&self) -> Result<bool, StoreError> {
        (**self).is_open()
    }

    fn open(&self) -> Result<(), StoreError> {
        (**self).open()
    }

    fn atomically<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        (**self).atomically(work)
    }

    fn put(&self, table: Table, key: u64, head: &[u8], body: &[u8]) -> Result<(), StoreError> {
        (**self).put(table, key, head, body)
    }

    fn head(&self, table: Table, key: u64) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).head(table, key)
    }

    fn body(&self, table: Table, key: u64) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).body(table, key)
    }

    fn body_slice(
        &self,
        table: Table,
        key: u64,
        bytes: Range<u32>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).body_slice(table, key, bytes)
    }

    fn head_and_body(&self, table: Table, key: u64) -> Result<Option<HeadAndBody>, StoreError> {
        (**self).head_and_body(table, key)
    }

    fn heads(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        (**self).heads(table, keys, limit)
    }

    fn delete(&self, table: Table, keys: RangeInclusive<u64>) -> Result<(), StoreError> {
        (**self).delete(table, keys)
    }

    fn wipe(&self) -> Result<(), StoreError> {
        (**self).wipe()
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        (**self).bytes()
    }

    fn row_counts(&self) -> RowCounts {
        (**self).row_counts()
    }
}
