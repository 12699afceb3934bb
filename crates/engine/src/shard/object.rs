//! Implements the shard's state in memory, and operations on the whole shard such as opening,
//! closing and statistics. Other files of this folder contain the operations on rows.
//!
//! [`State`] is the row of table `state`, and [`Loaded`] is the memory of an open shard.

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
use super::read_cache::ShardReads;
use super::refusal::Refusal;
use super::slots::SlotWrites;
use super::split::Fence;
use super::tombstone::Deletions;
use super::usage::Usage;
use crate::memtable::Memtable;
use crate::merge::hide::HiddenRows;
use crate::part::writer;
use crate::protocol::daily_usage::DailyUsage;
use crate::protocol::live_queries::Precedence;
use crate::protocol::release;
use crate::protocol::shard::{Counters, ShardSettings, Stamp, Stats};
use crate::scan::TileLimits;
use crate::scan::request::Deletion;
use crate::store::usage_meter::UsageMeter;
use crate::store::{RowCounts, Store, StoreError, StoreResult, Table, row};
use crate::wal;
use tidemark_model::bug;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// A shard object.
pub struct Shard<S: Store> {
    pub(super) store: Rc<S>,
    pub(super) budget: Rc<Budget>,
    pub(super) full_bytes: u64,
    pub(super) limits: Limits,
    pub(super) loaded: Option<Loaded<S>>,
    pub(super) reads: ShardReads,
    /// The newest query is last. An eviction of the object also ends its queries.
    killed: Vec<u64>,
    /// The usage in the current minute, which is lost when the object is evicted.
    pub(super) usage: Usage,
    pub(super) event_ns: i64,
}

const KILLED_MAX: usize = 1_000;
const DAMAGE_FOUND_MAX: usize = 100;

impl<S: Store> Shard<S> {
    /// Creates a shard. The shard rejects writes when its storage reaches `full_bytes`
    /// (`SHARD_FULL_BYTES`).
    pub fn new(store: S, budget: Rc<Budget>, full_bytes: u64) -> Self {
        Self {
            store: Rc::new(store),
            reads: budget.new_reads(),
            budget,
            full_bytes,
            limits: Limits::default(),
            loaded: None,
            killed: Vec::new(),
            usage: Usage::default(),
            event_ns: 0,
        }
    }

    /// Records the time of an event, and counts the event. The object calls this method at the
    /// beginning of each event.
    pub(super) fn begin_event(&mut self, now_ns: i64) {
        self.event_ns = now_ns;
        if let Some(loaded) = &mut self.loaded {
            loaded.begin_event(now_ns);
        }
    }

    /// Replaces the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn kill(&mut self, query: u64) {
        if self.killed.len() >= KILLED_MAX {
            self.killed.remove(0);
        }
        self.killed.push(query);
    }

    /// Whether KILL QUERY stopped the query. `query` is a [`Precedence::number`].
    pub(super) fn is_killed(&self, query: u64) -> bool {
        Precedence::from_number(query).is_some_and(|query| self.killed.contains(&query.id))
    }

    /// Creates the tables and stores the settings. If the shard is already open, the settings are
    /// applied as in [`Shard::configure`].
    ///
    /// # Errors
    /// Returns [`Refusal::Stale`] if the shard is open for another policy, or closed.
    pub fn open(&mut self, settings: &ShardSettings) -> Result<(), Refusal> {
        match self.load().map(|_| ()) {
            Ok(()) => return self.configure(settings),
            Err(Refusal::Stale) if self.loaded.is_none() => {}
            Err(refusal) => return Err(refusal),
        }
        let store = &*self.store;
        let opened = store.atomically(|| -> StoreResult<()> {
            store.open()?;
            if !settings.retired.is_empty() {
                write_retired(store, &settings.retired.iter().copied().collect())?;
            }
            let manifest = Manifest::new(settings.window_ns);
            State::new(settings.clone()).write(store, &manifest)
        });
        opened.map_err(|error| self.discard_state(error.into()))
    }

    /// Applies settings of a newer generation. If the generation is not newer, applies only the
    /// list of retired measurements and the revoked permissions.
    ///
    /// # Errors
    /// Returns [`Refusal::Stale`] if the shard is not open, is closed, or is open for another
    /// policy.
    pub fn configure(&mut self, settings: &ShardSettings) -> Result<(), Refusal> {
        let known = &self.load()?.state().settings;
        if known.policy != settings.policy {
            return Err(Refusal::Stale);
        }
        let is_newer = settings.generation > known.generation;
        let is_cut = settings.range.end_ns < known.range.end_ns;
        self.retire(&settings.retired)?;
        self.revoke_below(settings.access)?;
        if !is_newer {
            return Ok(());
        }
        let access = self.load()?.state().settings.access;
        let settings = ShardSettings { retired: Vec::new(), access, ..settings.clone() };
        if is_cut {
            self.cut(&settings)
        } else {
            self.change(None, |draft| draft.state.settings = settings)
        }
    }

    /// Rejects messages whose permissions are older than `number`, the version of the database's
    /// permissions. A lower number has no effect.
    pub(crate) fn revoke_below(&mut self, number: u64) -> Result<(), Refusal> {
        if self.load()?.state().settings.access >= number {
            return Ok(());
        }
        self.change(None, |draft| draft.state.settings.access = number)
    }

    /// Stores the ids of dropped measurements, which hide the rows of these measurements
    /// immediately. Also stores a tombstone, so that merges remove the rows.
    fn retire(&mut self, measurements: &[MeasurementId]) -> Result<(), Refusal> {
        let loaded = self.load()?;
        let known = &*loaded.deletions.retired;
        let retired = known | &measurements.iter().copied().collect::<BTreeSet<_>>();
        let deletion = |&measurement: &MeasurementId| Deletion {
            measurement,
            predicate: None,
            time: TimeRange::ALL,
        };
        let deletions: Vec<Deletion> = retired.difference(known).map(deletion).collect();
        if deletions.is_empty() {
            return Ok(());
        }
        let is_empty = loaded.manifest().parts().is_empty() && loaded.log.wal.frames().is_empty();
        let unused = match is_empty {
            true => deletions.iter().map(|deletion| deletion.measurement).collect(),
            // The columns are deleted together with the tombstone, after merges have removed the
            // rows.
            false => BTreeSet::new(),
        };
        let tombstone = (!is_empty).then(|| loaded.next_tombstone(u64::MAX, deletions));
        let store = &*loaded.store;
        let written = store.atomically(|| -> Result<(), Refusal> {
            write_retired(store, &retired)?;
            Columns::delete_rows(store, &unused)?;
            tombstone.iter().try_for_each(|(key, tombstone)| tombstone.write(store, *key))
        });
        if let Err(refusal) = written {
            return Err(self.discard_state(refusal));
        }
        loaded.columns.forget(&unused);
        loaded.deletions.retired = Rc::new(retired);
        tombstone.into_iter().for_each(|(key, tombstone)| loaded.add_tombstone(key, tombstone));
        Ok(())
    }

    /// Rejects every later operation except [`Shard::wipe`]. The call has no effect if the shard is
    /// not open.
    pub fn close(&mut self, generation: u64) -> Result<(), Refusal> {
        match self.load() {
            Ok(_) => self.change(None, |Draft { state, .. }| {
                state.closed = true;
                state.settings.generation = state.settings.generation.max(generation);
            }),
            Err(Refusal::Stale) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Deletes all data. The shard is not open afterwards. A repeated call has no effect.
    pub fn wipe(&mut self) -> Result<(), Refusal> {
        self.loaded = None;
        Ok(self.store.wipe()?)
    }

    /// Returns counters and sizes.
    pub fn stats(&mut self) -> Result<Stats, Refusal> {
        // Counting the series may read rows. These rows appear in the next statistics.
        let counters = self.load()?.counters();
        let series = self.series_known()?;
        let loaded = self.load()?;
        let mut troubles = loaded.attempts.set_aside();
        let mut damaged = BTreeSet::from_iter(loaded.damaged_blocks());
        damaged.extend(loaded.damage_found.iter().cloned());
        troubles.extend(damaged);
        let wal = &loaded.log.wal;
        Ok(Stats {
            counters,
            bytes_stored: loaded.store.bytes()?,
            wal_bytes: wal.bytes(),
            wal_frames: wal.frames().len() as u64,
            memory_bytes: loaded.log.memtable.bytes.get() as u64,
            parts: loaded.manifest().parts().len() as u64,
            tombstones: loaded.deletions.tombstones.len() as u64,
            next_sequence: wal.next_sequence(),
            troubles,
            used: Vec::new(),
            series,
            release: release::current(),
            usage: loaded.usage(),
        })
    }

    pub(super) fn load(&mut self) -> Result<&mut Loaded<S>, Refusal> {
        if self.loaded.is_none() {
            let (budget, full_bytes) = (&self.budget, self.full_bytes);
            let read = || Loaded::read(&self.store, budget, full_bytes, self.event_ns);
            self.loaded = bug::catch(read)??;
        }
        self.loaded.as_mut().filter(|loaded| !loaded.state().closed).ok_or(Refusal::Stale)
    }

    /// Drops the state in memory after a failed write, because the stored state is unknown.
    pub(super) fn discard_state(&mut self, refusal: Refusal) -> Refusal {
        self.loaded = None;
        match refusal {
            Refusal::Store(StoreError::Full) => {
                let bytes = self.store.bytes().unwrap_or_default();
                Refusal::Full { bytes, limit: self.full_bytes.min(bytes) }
            }
            refusal => refusal,
        }
    }

    /// Checks that the sender's generation and permissions are not older than the shard's.
    pub(super) fn check_stamp(&mut self, stamp: &Stamp) -> Result<&mut Loaded<S>, Refusal> {
        let loaded = self.load()?;
        let settings = &loaded.state().settings;
        let knows_less = stamp.generation < settings.generation || stamp.access < settings.access;
        if stamp.policy != settings.policy || knows_less {
            return Err(Refusal::Stale);
        }
        Ok(loaded)
    }

    pub(super) fn change(
        &mut self,
        done: Option<AlarmTask>,
        change: impl FnOnce(&mut Draft),
    ) -> Result<(), Refusal> {
        let mut draft = self.load()?.draft();
        change(&mut draft);
        self.commit(draft, done, |_| Ok(()))
    }

    /// Calls [`Loaded::commit`]. Fails if the memory was dropped after the draft was made.
    pub(super) fn commit(
        &mut self,
        draft: Draft,
        done: Option<AlarmTask>,
        aux: impl FnOnce(&Loaded<S>) -> StoreResult<()>,
    ) -> Result<(), Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        // The change may remove parts with damaged blocks. A query that reads a remaining damaged
        // block adds the block again.
        loaded.damage_found.clear();
        let committed = loaded.commit(draft, done, aux);
        committed.map_err(|error| self.discard_state(error.into()))
    }
}

/// The default of [`Limits::step_cells`]. Such a step takes about 20 ms, during which writes wait.
const STEP_CELLS: u64 = 200_000;

/// The number of cells that one series counts as in a merge step, because its key is read, compared
/// and written.
pub(super) const SERIES_CELLS: u64 = 10;

/// The number of cells that a series counts as in a merge step if the series has no visible rows
/// within the time range of the output.
pub(super) const SKIPPED_SERIES_CELLS: u64 = 3;
const SKIPPED_MAX: u64 = 1_000;

/// The limits for the work of an event.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The limits of written parts.
    pub part: writer::Limits,
    /// The number of cells (values and times) that a merge step writes. A step may exceed this
    /// number by one group. A series counts as several cells.
    pub step_cells: u64,
    /// The minimum size of a cached time range.
    pub tile: TileLimits,
}

impl Limits {
    /// Returns the number of series without rows after which a merge checks the limit of its step.
    pub(super) fn skipped_max(&self) -> u64 {
        (self.step_cells / SKIPPED_SERIES_CELLS).clamp(1, SKIPPED_MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { part: writer::Limits::default(), step_cells: STEP_CELLS, tile: TileLimits::DEFAULT }
    }
}

pub(super) const STATE_KEY: u64 = 0;
pub(super) const RETIRED_KEY: u64 = 1;

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
    /// The flushed head: frames up to this write sequence are in parts.
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
    fn new(settings: ShardSettings) -> Self {
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
        let manifest = Manifest::decode(&body)
            .map_err(|error| Refusal::Damaged { block: format!("manifest: {error}") })?;
        Ok(Some((state, manifest)))
    }

    pub(super) fn write<S: Store>(&self, store: &S, manifest: &Manifest) -> StoreResult<()> {
        store.put(Table::State, STATE_KEY, &row::encode(self)?, &manifest.encode())
    }
}

/// Reads the ids of the dropped measurements. The list has a separate row, because every flush
/// writes the state row again, and the list can have `DROPPED_MEASUREMENTS_MAX` (100,000) entries.
pub(super) fn read_retired<S: Store>(store: &S) -> Result<BTreeSet<MeasurementId>, Refusal> {
    let Some(bytes) = store.head(Table::State, RETIRED_KEY)? else { return Ok(BTreeSet::new()) };
    let damaged = |reason| Refusal::Damaged { block: format!("retired measurements: {reason}") };
    let retired: Vec<MeasurementId> = row::decode(&bytes).map_err(damaged)?;
    Ok(retired.into_iter().collect())
}

fn write_retired<S: Store>(store: &S, retired: &BTreeSet<MeasurementId>) -> StoreResult<()> {
    let retired: Vec<&MeasurementId> = retired.iter().collect();
    store.put(Table::State, RETIRED_KEY, &row::encode(&retired)?, b"")
}

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
    damage_found: BTreeSet<String>,
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
