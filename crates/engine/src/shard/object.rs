//! Implements [`Shard`], and operations on the whole shard such as opening, closing and statistics.
//! Other files of this folder contain the operations on rows.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::attempts::AlarmTask;
use super::budget::Budget;
use super::columns::Columns;
use super::loaded::Loaded;
use super::manifest::Manifest;
use super::read_cache::ShardReads;
use super::refusal::Refusal;
use super::state::{Draft, State, write_retired};
use super::step_limits::Limits;
use super::usage::Usage;
use crate::protocol::live_queries::Precedence;
use crate::protocol::release;
use crate::protocol::shard::{ShardSettings, Stamp, Stats};
use crate::scan::request::Deletion;
use crate::store::{Store, StoreError, StoreResult};
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
