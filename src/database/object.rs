//! Holds a Database in memory: a copy of its rows, the events in flight, and the ways in which one
//! of them ends.

use super::rows::{DatabaseRows, DatabaseStage, RowsChange};
use super::split_progress::SplitProgress;
use crate::model::ids::ObjectId;
use crate::model::limits::JOB_RETRY_NS;
use crate::model::sorted_map::SortedMap;
use crate::protocol::call::Platform;
use crate::protocol::database::{DatabaseRefusal, FromDatabase, ToDatabase};
use crate::protocol::host::{Ticket, Unavailable};
use crate::protocol::round::{Request, Round};
use crate::store::{Store, StoreError};

/// A Database over its storage.
pub struct Database<S: Store> {
    pub(super) store: S,
    pub(super) object: ObjectId,
    /// Whether `rows` is a copy of what is stored; not before the first read, nor after an error.
    pub(super) loaded: bool,
    /// `None` when the object is not open.
    pub(super) rows: Option<DatabaseRows>,
    pub(super) flights: SortedMap<Ticket, Flight>,
    pub(super) next_ticket: u64,
    /// After a store error nothing is known of due jobs: look again then, nanoseconds.
    pub(super) look_again_ns: Option<i64>,
    /// `SHARD_SPLIT_BYTES`; 0 is never.
    pub(super) split_bytes: u64,
    /// Sizes at which groups were looked at without being split, by group, bytes.
    pub(super) weighed: SortedMap<u64, u64>,
}

/// What a flight is for.
pub(super) enum FlightTask {
    /// A request that is answered when it is so.
    Request(ToDatabase),
    /// The alarm's work on one job.
    Job(u64),
    /// The alarm found nothing to do.
    Nothing,
}

/// One event in flight.
pub(super) struct Flight {
    pub(super) version: u8,
    pub(super) task: FlightTask,
    /// The job that this flight stored.
    pub(super) own_job: Option<u64>,
    /// How far the job that is being driven is.
    pub(super) work: Option<JobProgress>,
    /// What was heard for the split being driven.
    pub(super) split: SplitProgress,
    pub(super) round: Round,
}

/// How far a flight is with a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobProgress {
    /// Key of the job's row.
    pub(super) job: u64,
    /// How many of its messages were answered.
    pub(super) answered: usize,
}

impl Flight {
    /// Nothing has been asked yet.
    pub(super) fn new(version: u8, task: FlightTask) -> Self {
        let split = SplitProgress::default();
        Self { version, task, own_job: None, work: None, split, round: Round::default() }
    }
}

/// Why a task cannot go on.
pub(super) enum Halt {
    Store(StoreError),
    Reply(FromDatabase),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DatabaseRefusal> for Halt {
    fn from(refusal: DatabaseRefusal) -> Self {
        Self::Reply(FromDatabase::Refused(refusal))
    }
}

impl From<Unavailable> for Halt {
    fn from(why: Unavailable) -> Self {
        Self::Reply(FromDatabase::Unavailable(why))
    }
}

/// The next messages of a task, or why there are none.
pub(super) type Next = Result<Vec<Request>, Halt>;

impl<S: Store> Database<S> {
    /// The Database that is the object `object`, over `store`. Reads nothing yet.
    pub fn new(store: S, object: ObjectId) -> Self {
        Self {
            store,
            object,
            loaded: false,
            rows: None,
            flights: SortedMap::new(),
            next_ticket: 0,
            look_again_ns: None,
            split_bytes: 0,
            weighed: SortedMap::new(),
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
    pub(super) fn open_rows(&mut self) -> Result<&mut DatabaseRows, Halt> {
        self.load()?;
        let Some(rows) = &mut self.rows else { return Err(Halt::Reply(FromDatabase::NotOpen)) };
        match rows.state.stage {
            DatabaseStage::Open => Ok(rows),
            DatabaseStage::Opening => Err(Unavailable::Changing.into()),
            DatabaseStage::Dropping => Err(Halt::Reply(FromDatabase::NotOpen)),
        }
    }

    /// Stores a change, then takes it into memory.
    pub(super) fn apply(&mut self, change: RowsChange) -> Result<(), StoreError> {
        match &mut self.rows {
            Some(rows) => rows.apply(&self.store, change),
            None => Ok(()),
        }
    }

    /// A ticket that no other event has.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// After a store error memory may differ from what is stored: it is read again.
    pub(super) fn distrust(&mut self, platform: &dyn Platform, error: &StoreError) -> FromDatabase {
        self.loaded = false;
        self.rows = None;
        self.look_again_ns = Some(platform.now_ns().saturating_add(JOB_RETRY_NS));
        FromDatabase::Unavailable(Unavailable::Storage(error.to_string()))
    }
}
