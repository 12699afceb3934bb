//! Implements the shard's state in memory, and operations on the whole shard such as opening,
//! closing and statistics. Other files of this folder contain the operations on rows.

use std::rc::Rc;

use super::attempts::{self, AlarmTask};
use super::budget::{Budget, Evictable};
use super::cache::Cache;
use super::compact::job::Running;
use super::limits::Limits;
use super::load::Loaded;
use super::manifest::Manifest;
use super::read_cache::ShardReads;
use super::request::{Deletion, Refusal, Stats};
use super::state::{self, State};
use super::usage::Usage;
use crate::protocol::live_queries::Precedence;
use crate::protocol::release;
use crate::protocol::shard::{ShardSettings, Stamp};
use crate::store::{Store, StoreResult};
use tidemark_model::bug;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// A shard object.
pub struct Shard<S: Store> {
    pub(super) store: Rc<S>,
    pub(super) budget: Rc<Budget>,
    pub(super) full_bytes: u64,
    pub(super) limits: Limits,
    pub(super) loaded: Option<Loaded>,
    pub(super) cache: Rc<Cache>,
    pub(super) reads: ShardReads,
    /// `None` means that the merge has not continued since the object was loaded.
    pub(super) running: Option<Running<S>>,
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
        let cache = Rc::new(Cache::default());
        let holder: Rc<dyn Evictable> = Rc::<Cache>::clone(&cache);
        budget.register(Rc::downgrade(&holder));
        let (store, limits) = (Rc::new(store), Limits::default());
        let (loaded, running, killed, reads) = (None, None, Vec::new(), budget.new_reads());
        let (usage, event_ns) = (Usage::default(), 0);
        Self {
            store,
            budget,
            full_bytes,
            limits,
            loaded,
            cache,
            reads,
            running,
            killed,
            usage,
            event_ns,
        }
    }

    /// The host calls this method at the beginning of each event.
    pub(super) fn begin_event(&mut self, now_ns: i64) {
        self.event_ns = now_ns;
        if let Some(loaded) = &mut self.loaded {
            loaded.meter.begin_event(self.store.row_counts(), now_ns);
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

    /// `query` is a [`Precedence::number`].
    pub(super) fn is_killed(&self, query: u64) -> bool {
        query != 0 && self.killed.contains(&Precedence::from_number(query).id)
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
        let store = &self.store;
        let opened = store.atomically(|| -> StoreResult<()> {
            store.open()?;
            if !settings.retired.is_empty() {
                state::write_retired(store, &settings.retired.iter().copied().collect())?;
            }
            let manifest = Manifest::new(settings.window_ns);
            State::new(settings.clone()).write(store, &manifest)
        });
        opened.map_err(|error| self.lost(error.into()))
    }

    /// Applies settings of a newer generation. If the generation is not newer, applies only the
    /// list of retired measurements.
    ///
    /// # Errors
    /// Returns [`Refusal::Stale`] if the shard is not open, is closed, or is open for another
    /// policy.
    pub fn configure(&mut self, settings: &ShardSettings) -> Result<(), Refusal> {
        let loaded = self.load()?;
        if loaded.state.settings.policy != settings.policy {
            return Err(Refusal::Stale);
        }
        let known = &loaded.state.settings;
        let is_newer = settings.generation > known.generation;
        let is_cut = settings.range.end_ns < known.range.end_ns;
        self.retire(&settings.retired)?;
        self.revoke_below(settings.access)?;
        if !is_newer {
            return Ok(());
        }
        let access = self.load()?.state.settings.access;
        let settings = ShardSettings { retired: Vec::new(), access, ..settings.clone() };
        if is_cut { self.cut(&settings) } else { self.change(|state| state.settings = settings) }
    }

    /// Rejects messages whose permissions are older than `number`, the version of the database's
    /// permissions. A lower number has no effect.
    pub(crate) fn revoke_below(&mut self, number: u64) -> Result<(), Refusal> {
        if self.load()?.state.settings.access >= number {
            return Ok(());
        }
        self.change(|state| state.settings.access = number)
    }

    /// Stores the ids of dropped measurements, which hide the rows of these measurements
    /// immediately. Also stores a tombstone, so that merges remove the rows.
    fn retire(&mut self, measurements: &[MeasurementId]) -> Result<(), Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let mut retired = loaded.retired.clone();
        let new = measurements.iter().filter(|&&measurement| retired.insert(measurement));
        let deletion = |&measurement: &MeasurementId| Deletion {
            measurement,
            predicate: None,
            time: TimeRange::ALL,
        };
        let deletions: Vec<Deletion> = new.map(deletion).collect();
        if deletions.is_empty() {
            return Ok(());
        }
        let is_empty = loaded.manifest.parts().is_empty() && loaded.wal.frames().is_empty();
        let tombstone = (!is_empty).then(|| loaded.next_tombstone(u64::MAX, deletions));
        let store = &self.store;
        let written = store.atomically(|| -> Result<(), Refusal> {
            state::write_retired(store, &retired)?;
            tombstone.iter().try_for_each(|(key, tombstone)| tombstone.write(store, *key))
        });
        if let Err(refusal) = written {
            return Err(self.lost(refusal));
        }
        loaded.retired = retired;
        tombstone.into_iter().for_each(|(key, tombstone)| loaded.add_tombstone(key, tombstone));
        self.cache.take_memtable();
        Ok(())
    }

    /// Rejects every later operation except [`Shard::wipe`]. The call has no effect if the shard is
    /// not open.
    pub fn close(&mut self, generation: u64) -> Result<(), Refusal> {
        match self.load() {
            Ok(_) => self.change(|state| {
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
        self.running = None;
        self.cache.clear();
        Ok(self.store.wipe()?)
    }

    /// Returns counters and sizes.
    pub fn stats(&mut self) -> Result<Stats, Refusal> {
        self.load()?;
        // Counting the series may read rows. These rows appear in the next statistics.
        let counters = self.loaded.as_ref().ok_or(Refusal::Stale)?.counters(&self.store);
        let series = self.series_known()?;
        let loaded = self.loaded.as_ref().ok_or(Refusal::Stale)?;
        let mut troubles = loaded.attempts.set_aside();
        troubles.extend(loaded.damaged_blocks());
        Ok(Stats {
            counters,
            bytes_stored: self.store.bytes()?,
            wal_bytes: loaded.wal.bytes(),
            wal_frames: loaded.wal.frames().len() as u64,
            memory_bytes: self.cache.bytes() as u64,
            parts: loaded.manifest.parts().len() as u64,
            tombstones: loaded.tombstones.len() as u64,
            next_sequence: loaded.wal.next_sequence(),
            troubles,
            used: Vec::new(),
            series,
            release: release::current(),
            usage: loaded.meter.usage(self.store.row_counts()),
        })
    }

    pub(super) fn load(&mut self) -> Result<&mut Loaded, Refusal> {
        if self.loaded.is_none() {
            self.cache.clear();
            self.running = None;
            let salt = self.budget.draw_salt();
            let read = || Loaded::read(&self.store, salt, self.full_bytes, self.event_ns);
            self.loaded = bug::catch(read)??;
        }
        self.loaded.as_mut().filter(|loaded| !loaded.state.closed).ok_or(Refusal::Stale)
    }

    /// Checks that the sender's generation and permissions are not older than the shard's.
    pub(super) fn current(&mut self, stamp: &Stamp) -> Result<&mut Loaded, Refusal> {
        let loaded = self.load()?;
        let settings = &loaded.state.settings;
        let knows_less = stamp.generation < settings.generation || stamp.access < settings.access;
        if stamp.policy != settings.policy || knows_less {
            return Err(Refusal::Stale);
        }
        Ok(loaded)
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<(), Refusal> {
        let manifest = self.load()?.manifest.clone();
        self.commit(manifest, None, change, |_, _| Ok(()))
    }

    /// Stores a changed state and manifest in one transaction with the rows that `aux` writes, then
    /// updates the memory. The change completes the duty `done`.
    pub(super) fn commit(
        &mut self,
        manifest: Manifest,
        done: Option<AlarmTask>,
        change: impl FnOnce(&mut State),
        aux: impl FnOnce(&S, &Loaded) -> StoreResult<()>,
    ) -> Result<(), Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let (store, counts) = (&*self.store, self.store.row_counts());
        let mut state = loaded.state.clone();
        state.counters = loaded.counters(store);
        state.usage = loaded.meter.usage(counts);
        change(&mut state);
        let written = store.atomically(|| -> StoreResult<()> {
            aux(store, loaded)?;
            done.map_or(Ok(()), |task| attempts::clear(store, task, &loaded.attempts))?;
            state.write(store, &manifest)
        });
        if let Err(error) = written {
            return Err(self.lost(error.into()));
        }
        done.into_iter().for_each(|task| loaded.attempts.succeeded(task));
        loaded.commit(state, manifest, counts);
        Ok(())
    }

    pub(super) fn evictable(&self) -> Rc<dyn Evictable> {
        Rc::<Cache>::clone(&self.cache)
    }
}
