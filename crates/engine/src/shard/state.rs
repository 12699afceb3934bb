//! Defines the rows of table `state`: the shard's state with its manifest, and the dropped
//! measurements. [`Loaded`] is the memory of an open shard.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::alarm::{AlarmTask, Attempts, Pace};
use super::budget::Budget;
use super::columns::Columns;
use super::compact::job::Running;
use super::damage::{Damage, DamagedRows};
use super::log::{FrameSummary, Log};
use super::manifest::Manifest;
use super::parts::Parts;
use super::request::{Counters, Refusal};
use super::slots::SlotWrites;
use super::split::Fence;
use super::tombstone::Deletions;
use crate::memtable::Memtable;
use crate::merge::hide::HiddenRows;
use crate::protocol::daily_usage::DailyUsage;
use crate::protocol::shard::ShardSettings;
use crate::store::usage_meter::UsageMeter;
use crate::store::{RowCounts, Store, StoreResult, Table, row};
use crate::wal;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

pub(super) const STATE_KEY: u64 = 0;
pub(super) const RETIRED_KEY: u64 = 1;

/// Development builds wrote state rows without a body before parts existed.
const WITHOUT_MANIFEST: &str =
    "an earlier development build wrote this row: export the database with that build";

/// The head of the state row. Opening and configuring the shard and every change of the parts write
/// this row, whose body is the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// `retired` is empty here, because a separate row contains the list.
    pub settings: ShardSettings,
    /// A closed shard rejects every operation except a wipe.
    pub closed: bool,
    /// The fence of the last split from this shard.
    #[serde(default)]
    pub fence: Fence,
    /// Frames up to this write sequence are in parts.
    pub head: u64,
    pub schema_version: u64,
    pub counters: Counters,
    #[serde(default)]
    pub(crate) slot_writes: SlotWrites,
    /// The checksum of the restored snapshot plus one, or 0 if the shard was not restored from a
    /// backup.
    #[serde(default)]
    pub restored: u64,
    /// The usage up to the last change of this row.
    #[serde(default)]
    pub usage: DailyUsage,
}

impl State {
    pub(super) fn new(settings: ShardSettings) -> Self {
        Self {
            settings: ShardSettings { retired: Vec::new(), ..settings },
            closed: false,
            fence: Fence::default(),
            head: 0,
            schema_version: 0,
            counters: Counters::default(),
            slot_writes: SlotWrites::default(),
            restored: 0,
            usage: DailyUsage::default(),
        }
    }

    pub(super) fn count_frame(&mut self, rows: u64) {
        self.counters.frames += 1;
        self.counters.points += rows;
    }

    pub(super) fn read<S: Store>(store: &S) -> Result<Option<(Self, Manifest)>, Refusal> {
        let Some((head, body)) = store.head_and_body(Table::State, STATE_KEY)? else {
            return Ok(None);
        };
        let damaged = |reason: &str| Refusal::Damaged { block: format!("state row: {reason}") };
        let state = row::decode(&head).map_err(damaged)?;
        if body.is_empty() {
            return Err(damaged(WITHOUT_MANIFEST));
        }
        let manifest = Manifest::decode(&body)
            .map_err(|error| Refusal::Damaged { block: format!("manifest: {error}") })?;
        Ok(Some((state, manifest)))
    }

    pub(super) fn write<S: Store>(&self, store: &S, manifest: &Manifest) -> StoreResult<()> {
        store.put(Table::State, STATE_KEY, &row::encode(self)?, &manifest.encode())
    }
}

/// Every flush rewrites the state row. The list has a separate row, because it can have ten
/// thousand entries.
pub(super) fn read_retired<S: Store>(store: &S) -> Result<BTreeSet<MeasurementId>, Refusal> {
    let Some(bytes) = store.head(Table::State, RETIRED_KEY)? else { return Ok(BTreeSet::new()) };
    let damaged = |reason| Refusal::Damaged { block: format!("retired measurements: {reason}") };
    let retired: Vec<MeasurementId> = row::decode(&bytes).map_err(damaged)?;
    Ok(retired.into_iter().collect())
}

pub(super) fn write_retired<S: Store>(
    store: &S,
    retired: &BTreeSet<MeasurementId>,
) -> StoreResult<()> {
    let retired: Vec<&MeasurementId> = retired.iter().collect();
    store.put(Table::State, RETIRED_KEY, &row::encode(&retired)?, b"")
}

/// The memory of an open shard. After an error of the store, all of it is dropped and read again,
/// because the failed write may have succeeded.
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
        let taken = deletions.tombstones.values().map(|tombstone| tombstone.sequence).collect();
        let wal = wal::load(&**store, state.head, &taken)?;
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
        let in_log = self.log.wal.damaged().iter().map(Damage::of_log);
        let all = in_log.chain(self.damaged.known.iter().cloned());
        all.filter(|damage| damage.concerns(measurement, time)).map(|damage| damage.block).next()
    }

    pub(super) fn damaged_blocks(&self) -> Vec<String> {
        let in_log = self.log.wal.damaged().iter().map(|damage| damage.block.clone());
        in_log.chain(self.damaged.known.iter().map(|damage| damage.block.clone())).collect()
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
            done.map_or(Ok(()), |task| self.attempts.clear(&*self.store, task))?;
            state.write(&*self.store, &manifest)
        })?;
        done.into_iter().for_each(|task| self.attempts.succeeded(task));
        self.state = state;
        self.parts.replace(manifest, true);
        self.counts_before = counts_before;
        Ok(())
    }
}
