//! Defines the memory of a Database: a copy of its rows, and its pending events.

use std::collections::{BTreeMap, BTreeSet};

use super::access::AccessProgress;
use super::rows::{DatabaseRows, DatabaseStage, RowsChange};
use super::split_progress::SplitProgress;
use crate::model::ids::ObjectId;
use crate::model::limits::JOB_RETRY_NS;
use crate::protocol::call::Platform;
use crate::protocol::database::{DatabaseRefusal, FromDatabase, ToDatabase};
use crate::protocol::host::Unavailable;
use crate::protocol::pending_events::PendingEvents;
use crate::protocol::round::Next;
use crate::protocol::shard::FromShard;
use crate::store::{Store, StoreError, StoreResult};

/// A Database and its storage.
pub struct Database<S: Store> {
    pub(super) store: S,
    pub(super) object: ObjectId,
    /// Whether `rows` is a copy of the stored rows. `false` before the first read and after a store
    /// error.
    pub(super) loaded: bool,
    /// The rows; `None` if the object has no database.
    pub(super) rows: Option<DatabaseRows>,
    pub(super) pending_events: PendingEvents<DatabaseWork>,
    /// The time, in nanoseconds, of the next check for due jobs after a store error.
    pub(super) look_again_ns: Option<i64>,
    /// `SHARD_SPLIT_BYTES`; 0 disables splits.
    pub(super) split_bytes: u64,
    /// The size of each group in bytes at the last check that did not start a split.
    pub(super) weighed: BTreeMap<u64, u64>,
    pub(super) notified_shards: (u64, BTreeSet<ObjectId>),
    /// The time at which the last request or alarm began, in nanoseconds.
    pub(super) event_ns: i64,
}

pub(super) enum DatabaseTask {
    Request(ToDatabase),
    Job(u64),
    /// The alarm found no due job.
    Nothing,
}

pub(super) struct DatabaseWork {
    pub(super) task: DatabaseTask,
    pub(super) own_job: Option<u64>,
    pub(super) driven: Option<JobProgress>,
    pub(super) relayed: Vec<FromShard>,
    pub(super) calls: usize,
    pub(super) split: SplitProgress,
    pub(super) access: AccessProgress,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct JobProgress {
    pub(super) job: u64,
    pub(super) answered: usize,
}

impl DatabaseWork {
    pub(super) fn new(task: DatabaseTask) -> Self {
        let (split, access) = (SplitProgress::default(), AccessProgress::default());
        Self { task, own_job: None, driven: None, relayed: Vec::new(), calls: 0, split, access }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("refused")]
    Refused(#[from] DatabaseRefusal),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("not open")]
    NotOpen,
}

pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;
pub(super) type Turn = Result<Next<FromDatabase>>;

impl<S: Store> Database<S> {
    /// Creates the Database `object` over `store`. The constructor reads no rows.
    pub fn new(store: S, object: ObjectId) -> Self {
        Self {
            store,
            object,
            loaded: false,
            rows: None,
            pending_events: PendingEvents::default(),
            look_again_ns: None,
            split_bytes: 0,
            weighed: BTreeMap::new(),
            notified_shards: (0, BTreeSet::new()),
            event_ns: 0,
        }
    }

    /// Sets the shard size above which groups split (`SHARD_SPLIT_BYTES`). 0, the default, disables
    /// splits.
    #[must_use]
    pub fn splitting_at(mut self, bytes: u64) -> Self {
        self.split_bytes = bytes;
        self
    }

    /// Returns the store, for its statistics.
    pub fn store(&self) -> &S {
        &self.store
    }

    pub(super) fn load(&mut self) -> StoreResult<()> {
        if !self.loaded {
            let before = self.store.row_counts();
            self.rows = DatabaseRows::load(&self.store)?;
            if let Some(rows) = &mut self.rows {
                rows.bill.begin_event(before, self.event_ns);
            }
            self.loaded = true;
        }
        Ok(())
    }

    pub(super) fn open_rows(&mut self) -> Result<&mut DatabaseRows> {
        self.load()?;
        let Some(rows) = &mut self.rows else { return Err(Failure::NotOpen) };
        match rows.state.stage {
            DatabaseStage::Open => Ok(rows),
            DatabaseStage::Opening | DatabaseStage::Frozen => Err(Unavailable::Changing.into()),
            DatabaseStage::Dropping => Err(Failure::NotOpen),
        }
    }

    pub(super) fn apply(&mut self, change: RowsChange) -> StoreResult<()> {
        match &mut self.rows {
            Some(rows) => rows.apply(&self.store, change),
            None => Ok(()),
        }
    }

    pub(super) fn failed(&mut self, platform: &dyn Platform, failure: Failure) -> FromDatabase {
        match failure {
            Failure::Refused(refusal) => FromDatabase::Refused(refusal),
            Failure::Unavailable(reason) => FromDatabase::Unavailable(reason),
            Failure::NotOpen => FromDatabase::NotOpen,
            Failure::Store(error) => self.discard_cache(platform, &error),
        }
    }

    /// Discards the memory after a store error, because the stored rows may differ. The next event
    /// reads the rows again.
    pub(super) fn discard_cache(
        &mut self,
        platform: &dyn Platform,
        error: &StoreError,
    ) -> FromDatabase {
        self.loaded = false;
        self.rows = None;
        self.look_again_ns = Some(platform.now_ns().saturating_add(JOB_RETRY_NS));
        FromDatabase::Unavailable(Unavailable::Storage(error.to_string()))
    }
}
