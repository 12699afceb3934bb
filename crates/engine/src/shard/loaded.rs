//! The memory of an open shard, which other files of this folder read and change.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::attempts::{AlarmTask, Attempts};
use super::budget::Budget;
use super::columns::Columns;
use super::compact::job::Running;
use super::damage::{Damage, DamagedRows};
use super::frame_summary::FrameSummary;
use super::log::Log;
use super::manifest::{Manifest, Part};
use super::pace::Pace;
use super::parts::Parts;
use super::read_cache::ShardReads;
use super::refusal::Refusal;
use super::state::{Draft, State};
use super::tombstone::Deletions;
use super::values::{CachedValues, PartRows};
use crate::memtable::Memtable;
use crate::merge::hide::HiddenRows;
use crate::protocol::daily_usage::DailyUsage;
use crate::protocol::shard::Counters;
use crate::scan::read_stats::ReadStats;
use crate::store::usage_meter::UsageMeter;
use crate::store::{RowCounts, Store, StoreResult};
use crate::wal;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

const DAMAGE_FOUND_MAX: usize = 100;

/// The state in memory of an open shard. After an error of the store, the shard drops this state
/// and reads it again, because the failed write may have succeeded.
pub(super) struct Loaded<S> {
    pub store: Rc<S>,
    state: State,
    pub full_bytes: u64,
    counts_before: RowCounts,
    /// The usage, including the events since the last save of the state.
    meter: UsageMeter,
    pub log: Log,
    pub parts: Parts,
    pub deletions: Deletions,
    pub damaged: DamagedRows,
    /// The damaged blocks that requests have found since the last change of the manifest, at most
    /// [`DAMAGE_FOUND_MAX`].
    pub damage_found: BTreeSet<String>,
    pub columns: Columns,
    pub attempts: Attempts,
    pub pace: Pace,
    /// `None` means that the merge has not continued since the object was loaded.
    pub(super) running: Option<Running<S>>,
}

impl<S: Store> Loaded<S> {
    /// Reads the tables of the shard. Returns `None` if the shard is not open.
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
        let taken = deletions.tombstones.values().map(|tombstone| tombstone.sequence).collect();
        let wal = wal::load(&**store, state.head, &taken)?;
        // The object restarted after these frames were stored and before the counters were saved.
        for (_, frame) in wal.frames().range(state.counters.counted + 1..) {
            let summary = FrameSummary::decode(&frame.summary);
            let (rows, aux) = summary.map_or((0, 0), |summary| (summary.rows, summary.other_rows));
            state.count_frame(rows);
            let rows_written = frame.keys.len() as u64 + aux;
            state.counters.rows_written += rows_written;
            meter.add_earlier_request(rows_written);
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
            damage_found: BTreeSet::new(),
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
            counted: self.log.wal.next_sequence() - 1,
            ..saved
        }
    }

    /// Counts a frame that was appended to the log.
    pub(super) fn count_frame(&mut self, rows: u64) {
        self.state.count_frame(rows);
    }

    /// Returns the name of a damaged block that may contain rows of `measurement` within `time`.
    pub(super) fn damage(&self, measurement: MeasurementId, time: &TimeRange) -> Option<String> {
        let found = self.all_damage().find(|damage| damage.concerns(measurement, time))?;
        Some(found.block)
    }

    pub(super) fn damaged_blocks(&self) -> Vec<String> {
        self.all_damage().map(|damage| damage.block).collect()
    }

    fn all_damage(&self) -> impl Iterator<Item = Damage> {
        let in_log = self.log.wal.damaged().iter().map(Damage::of_log);
        in_log.chain(self.damaged.known.iter().cloned())
    }

    pub(super) fn add_damage(&mut self, block: &str) {
        if self.damage_found.len() < DAMAGE_FOUND_MAX {
            self.damage_found.insert(block.to_owned());
        }
    }

    /// Takes the memtable, or replays the log into a new memtable. The caller puts the memtable
    /// back into [`Log::memtable`].
    pub(super) fn take_memtable(&mut self) -> Result<Memtable, Refusal> {
        let Self { store, log, deletions, state, .. } = self;
        let end_ns = state.settings.range.end_ns;
        log.take_memtable(&**store, |sequence, table| {
            deletions.hidden_of_frame(sequence, table, end_ns)
        })
    }

    /// Returns the result of [`Deletions::hidden_of_parts`] for all parts.
    pub(super) fn hidden_rows(
        &mut self,
        only: Option<&[MeasurementId]>,
    ) -> Result<Rc<HiddenRows>, Refusal> {
        let Self { deletions, store, columns, parts, .. } = self;
        deletions.hidden_of_parts(&**store, columns, parts.manifest(), only)
    }

    /// Returns the values of a part. Adds the reads to `stats`.
    pub(super) fn values<'a>(
        &'a self,
        reads: &'a ShardReads,
        part: &Part,
        stats: &Rc<Cell<ReadStats>>,
    ) -> CachedValues<'a, S> {
        CachedValues::new(&*self.store, reads, PartRows::of(self.manifest(), part), stats)
    }

    pub(super) fn draft(&self) -> Draft {
        Draft { state: self.state.clone(), manifest: self.manifest().clone() }
    }

    /// Stores a draft in one transaction with the rows that `aux` writes, then updates the memory.
    /// The change completes the task `done`.
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
            done.map_or(Ok(()), |task| self.attempts.clear(&*self.store, task))?;
            state.write(&*self.store, &manifest)
        })?;
        done.into_iter().for_each(|task| self.attempts.on_success(task));
        self.state = state;
        self.parts.replace(manifest, true);
        self.counts_before = counts_before;
        Ok(())
    }
}
