//! Holds a Database in memory: a copy of its rows, the events in flight, and the ways in which one
//! of them ends.

use std::collections::{BTreeMap, BTreeSet};

use super::access::AccessProgress;
use super::rows::{DatabaseRows, DatabaseStage, RowsChange};
use super::split_progress::SplitProgress;
use crate::model::ids::ObjectId;
use crate::model::limits::JOB_RETRY_NS;
use crate::protocol::call::Platform;
use crate::protocol::database::{DatabaseRefusal, FromDatabase, ToDatabase};
use crate::protocol::flights::Flights;
use crate::protocol::host::Unavailable;
use crate::protocol::round::Next;
use crate::store::{Store, StoreError};

/// A Database over its storage.
pub struct Database<S: Store> {
    pub(super) store: S,
    pub(super) object: ObjectId,
    /// Whether `rows` is a copy of what is stored; not before the first read, nor after an error.
    pub(super) loaded: bool,
    /// `None` when the object is not open.
    pub(super) rows: Option<DatabaseRows>,
    pub(super) flights: Flights<DatabaseWork>,
    /// After a store error nothing is known of due jobs: look again then, nanoseconds.
    pub(super) look_again_ns: Option<i64>,
    /// `SHARD_SPLIT_BYTES`; 0 is never.
    pub(super) split_bytes: u64,
    /// Sizes at which groups were looked at without being split, by group, bytes.
    pub(super) weighed: BTreeMap<u64, u64>,
    /// Shards that know the number of the grants, and that number. A shard keeps it.
    pub(super) told: (u64, BTreeSet<ObjectId>),
}

/// What an event is about.
pub(super) enum DatabaseTask {
    /// A request that is answered when it is so.
    Request(ToDatabase),
    /// The alarm's work on one job.
    Job(u64),
    /// The alarm found nothing to do.
    Nothing,
}

/// What is done about one event.
pub(super) struct DatabaseWork {
    pub(super) task: DatabaseTask,
    /// The job that this event stored.
    pub(super) own_job: Option<u64>,
    /// How far the job that is being driven is.
    pub(super) driven: Option<JobProgress>,
    /// What was heard for the split being driven.
    pub(super) split: SplitProgress,
    /// Which shards have heard of a right that ends.
    pub(super) access: AccessProgress,
}

/// How far an event is with a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobProgress {
    /// Key of the job's row.
    pub(super) job: u64,
    /// How many of its messages were answered.
    pub(super) answered: usize,
}

impl DatabaseWork {
    /// Nothing has been asked yet.
    pub(super) fn new(task: DatabaseTask) -> Self {
        let (split, access) = (SplitProgress::default(), AccessProgress::default());
        Self { task, own_job: None, driven: None, split, access }
    }
}

/// Why a request or the alarm does not reach its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("refused")]
    Refused(#[from] DatabaseRefusal),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// There is no database in this object, or none any more.
    #[error("not open")]
    NotOpen,
}

/// What a turn of an event comes to.
pub(super) type Turn = Result<Next<FromDatabase>, Failure>;

impl<S: Store> Database<S> {
    /// The Database that is the object `object`, over `store`. Reads nothing yet.
    pub fn new(store: S, object: ObjectId) -> Self {
        Self {
            store,
            object,
            loaded: false,
            rows: None,
            flights: Flights::default(),
            look_again_ns: None,
            split_bytes: 0,
            weighed: BTreeMap::new(),
            told: (0, BTreeSet::new()),
        }
    }

    /// The same, splitting groups above `SHARD_SPLIT_BYTES`; 0, as without this, is never.
    #[must_use]
    pub fn splitting_at(mut self, bytes: u64) -> Self {
        self.split_bytes = bytes;
        self
    }

    /// The storage, for its figures.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Reads the rows, unless they have been.
    pub(super) fn load(&mut self) -> Result<(), StoreError> {
        if !self.loaded {
            self.rows = DatabaseRows::load(&self.store)?;
            self.loaded = true;
        }
        Ok(())
    }

    /// The rows of a database in use.
    pub(super) fn open_rows(&mut self) -> Result<&mut DatabaseRows, Failure> {
        self.load()?;
        let Some(rows) = &mut self.rows else { return Err(Failure::NotOpen) };
        match rows.state.stage {
            DatabaseStage::Open => Ok(rows),
            DatabaseStage::Opening | DatabaseStage::Frozen => Err(Unavailable::Changing.into()),
            DatabaseStage::Dropping => Err(Failure::NotOpen),
        }
    }

    /// Stores a change, then takes it into memory.
    pub(super) fn apply(&mut self, change: RowsChange) -> Result<(), StoreError> {
        match &mut self.rows {
            Some(rows) => rows.apply(&self.store, change),
            None => Ok(()),
        }
    }

    /// What a failure is answered with.
    pub(super) fn failed(&mut self, platform: &dyn Platform, failure: Failure) -> FromDatabase {
        match failure {
            Failure::Refused(refusal) => FromDatabase::Refused(refusal),
            Failure::Unavailable(why) => FromDatabase::Unavailable(why),
            Failure::NotOpen => FromDatabase::NotOpen,
            Failure::Store(error) => self.distrust(platform, &error),
        }
    }

    /// After a store error memory may differ from what is stored: it is read again.
    pub(super) fn distrust(&mut self, platform: &dyn Platform, error: &StoreError) -> FromDatabase {
        self.loaded = false;
        self.rows = None;
        self.look_again_ns = Some(platform.now_ns().saturating_add(JOB_RETRY_NS));
        FromDatabase::Unavailable(Unavailable::Storage(error.to_string()))
    }
}
