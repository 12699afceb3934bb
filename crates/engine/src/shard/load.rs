//! Reads the metadata of a shard from the manifest and the heads of its tables, and changes the
//! stored state.

use std::rc::Rc;

use super::attempts::{self, AlarmTask, Attempts};
use super::budget::Budget;
use super::columns::Columns;
use super::compact::job::Running;
use super::damage::{Damage, DamagedRows};
use super::deletions::Deletions;
use super::frame_summary::FrameSummary;
use super::log::Log;
use super::manifest::Manifest;
use super::pace::Pace;
use super::parts::Parts;
use super::request::{Counters, Refusal};
use super::state::State;
use crate::memtable::Memtable;
use crate::merge::hide::HiddenRows;
use crate::protocol::daily_usage::DailyUsage;
use crate::store::usage_meter::UsageMeter;
use crate::store::{RowCounts, Store, StoreResult};
use crate::wal;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// The memory of an open shard. After an error of the store, all of it is dropped and read again,
/// because the failed write may have succeeded.
pub(super) struct Loaded<S> {
    pub store: Rc<S>,
    state: State,
    full_bytes: u64,
    counts_before: RowCounts,
    /// The usage, including the events since the last save of the state.
    meter: UsageMeter,
    pub log: Log,
    pub parts: Parts,
    pub deletions: Deletions,
    pub damaged: DamagedRows,
    pub columns: Columns,
    pub attempts: Attempts,
    pub pace: Pace,
    /// `None` means that the merge has not continued since the object was loaded.
    pub(super) running: Option<Running<S>>,
}

/// A changed state that is not stored yet.
pub(super) struct Draft {
    pub state: State,
    pub manifest: Manifest,
}

impl<S: Store> Loaded<S> {
    /// Returns `None` if the shard is not open.
    pub(super) fn read(
        store: &Rc<S>,
        budget: &Rc<Budget>,
        full_bytes: u64,
        event_ns: i64,
    ) -> Result<Option<Self>, Refusal> {
        if !store.is_open()? {
            return Ok(None);
        }
        let counts_before = store.row_counts();
        let Some((mut state, manifest)) = State::read(&**store)? else { return Ok(None) };
        let mut meter = UsageMeter::continued(state.usage.clone(), counts_before);
        meter.begin_event(counts_before, event_ns);
        let mut damaged = DamagedRows::new();
        let deletions = Deletions::read(&**store, &mut damaged)?;
        let attempts = Attempts::read(&**store)?;
        let taken = deletions.tombstones().values().map(|tombstone| tombstone.sequence).collect();
        let wal = wal::replay::load(&**store, state.head, &taken)?;
        // The object restarted after these frames were stored and before the counters were saved.
        for (_, frame) in wal.frames().range(state.counters.counted + 1..) {
            let touch = FrameSummary::decode(&frame.touch);
            let (rows, aux) = touch.map_or((0, 0), |touch| (touch.rows, touch.other_rows));
            state.count_frame(rows);
            state.counters.rows_written += u64::from(frame.parts) + aux;
            meter.add_earlier_request(u64::from(frame.parts) + aux);
        }
        Ok(Some(Self {
            log: Log::new(wal, budget, state.schema_version),
            parts: Parts::new(manifest, budget.draw_salt()),
            store: Rc::clone(store),
            state,
            full_bytes,
            counts_before,
            meter,
            deletions,
            damaged,
            columns: Columns::default(),
            attempts,
            pace: Pace::default(),
            running: None,
        }))
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn manifest(&self) -> &Manifest {
        self.parts.manifest()
    }

    pub(super) fn full_bytes(&self) -> u64 {
        self.full_bytes
    }

    pub(super) fn begin_event(&mut self, now_ns: i64) {
        self.meter.begin_event(self.store.row_counts(), now_ns);
    }

    pub(super) fn usage(&self) -> DailyUsage {
        self.meter.usage(self.store.row_counts())
    }

    pub(super) fn counters(&self) -> Counters {
        self.add_rows(self.state.counters)
    }

    /// Adds the rows since the last save of the state.
    fn add_rows(&self, saved: Counters) -> Counters {
        let since = self.store.row_counts().since(self.counts_before);
        Counters {
            rows_read: saved.rows_read + since.read,
            rows_written: saved.rows_written + since.written,
            counted: self.log.wal().next_sequence() - 1,
            ..saved
        }
    }

    /// Counts a frame that was appended to the log.
    pub(super) fn count_frame(&mut self, rows: u64) {
        self.state.count_frame(rows);
    }

    /// Returns the name of a damaged block that may contain rows of `measurement` within `time`.
    pub(super) fn damage(&self, measurement: MeasurementId, time: &TimeRange) -> Option<String> {
        let in_log = self.log.wal().damaged().iter().map(Damage::of_log);
        let all = in_log.chain(self.damaged.known().iter().cloned());
        all.filter(|damage| damage.concerns(measurement, time)).map(|damage| damage.block).next()
    }

    pub(super) fn damaged_blocks(&self) -> Vec<String> {
        let in_log = self.log.wal().damaged().iter().map(|damage| damage.block.clone());
        in_log.chain(self.damaged.known().iter().map(|damage| damage.block.clone())).collect()
    }

    /// The caller puts the memtable back with [`Log::memtable`].
    pub(super) fn take_memtable(&mut self) -> Result<Memtable, Refusal> {
        let Self { store, log, deletions, state, .. } = self;
        let end_ns = state.settings.range.end_ns;
        log.take_memtable(&**store, |sequence, table| {
            deletions.hidden_of_frame(sequence, table, end_ns)
        })
    }

    pub(super) fn hidden_of_merge(&mut self) -> Result<Rc<HiddenRows>, Refusal> {
        self.deletions.hidden_of_merge(&*self.store, &mut self.columns)
    }

    pub(super) fn draft(&self) -> Draft {
        Draft { state: self.state.clone(), manifest: self.manifest().clone() }
    }

    /// Stores a draft in one transaction with the rows that `aux` writes, then updates the memory.
    /// The change completes the duty `done`.
    pub(super) fn commit(
        &mut self,
        draft: Draft,
        done: Option<AlarmTask>,
        aux: impl FnOnce(&Self) -> StoreResult<()>,
    ) -> StoreResult<()> {
        let counts_before = self.store.row_counts();
        let Draft { mut state, manifest } = draft;
        state.counters = self.add_rows(state.counters);
        state.usage = self.usage();
        self.store.atomically(|| -> StoreResult<()> {
            aux(self)?;
            done.map_or(Ok(()), |task| attempts::clear(&*self.store, task, &self.attempts))?;
            state.write(&*self.store, &manifest)
        })?;
        done.into_iter().for_each(|task| self.attempts.succeeded(task));
        self.state = state;
        self.parts.replace(manifest, true);
        self.counts_before = counts_before;
        Ok(())
    }
}
