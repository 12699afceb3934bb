//! A shard: the columnar store of some of a policy's series over one time range.
//!
//! The only module that knows WAL, memtable and segments together. Every function is synchronous:
//! an event is never interleaved with another, and the platform's output gate holds a reply until
//! what it promises is durable. A shard that is not open answers [`Refusal::Stale`] and writes
//! nothing.
//!
//! Memory changes only after the store has taken a change. When the store fails, what it holds is
//! unknown: everything in memory is dropped and read again by the next event.
#![doc = include_str!("FORMAT.md")]

mod append;
mod blocks;
pub mod budget;
mod cache;
pub mod compact;
mod delete;
mod flush;
mod handle;
pub mod host;
mod jobs;
mod load;
pub mod manifest;
mod memtable_rows;
mod narrow;
mod pace;
pub mod request;
mod retention;
mod scan;
mod split;
mod state;
mod tombstone;
mod touch;
pub mod turns;
mod verify;

use std::rc::Rc;

use crate::model::ids::MeasurementId;
use crate::protocol::shard::{ShardSettings, Stamp};
use crate::store::{Store, StoreError};
use budget::{Budget, Evictable};
use cache::Cache;
use load::Loaded;
use request::{Refusal, Stats};
use state::State;

/// One Shard object.
pub struct Shard<S: Store> {
    store: S,
    budget: Rc<Budget>,
    full_bytes: u64,
    /// What the tables hold; `None` until it is read.
    loaded: Option<Loaded>,
    cache: Rc<Cache>,
    /// Queries whose pages are refused, newest last. Lost with the object, as the queries are.
    killed: Vec<u64>,
}

/// Killed queries that a shard remembers.
const KILLED_MAX: usize = 1_000;

impl<S: Store> Shard<S> {
    /// A shard over its storage; it refuses writes from `full_bytes` on (`SHARD_FULL_BYTES`).
    /// Reads nothing yet.
    pub fn new(store: S, budget: Rc<Budget>, full_bytes: u64) -> Self {
        let cache = Rc::new(Cache::default());
        let holder: Rc<dyn Evictable> = Rc::<Cache>::clone(&cache);
        budget.register(Rc::downgrade(&holder));
        Self { store, budget, full_bytes, loaded: None, cache, killed: Vec::new() }
    }

    fn kill(&mut self, query: u64) {
        if self.killed.len() >= KILLED_MAX {
            self.killed.remove(0);
        }
        self.killed.push(query);
    }

    fn is_killed(&self, query: u64) -> bool {
        query != 0 && self.killed.contains(&query)
    }

    /// Creates the tables and records the settings. An open shard takes them as
    /// [`Shard::configure`] does.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when it is open for another policy, or closed.
    pub fn open(&mut self, settings: &ShardSettings) -> Result<(), Refusal> {
        match self.load().map(|_| ()) {
            Ok(()) => return self.configure(settings),
            Err(Refusal::Stale) if self.loaded.is_none() => {}
            Err(refusal) => return Err(refusal),
        }
        let store = &self.store;
        let opened = store.atomically(|| -> Result<(), StoreError> {
            store.open()?;
            if !settings.retired.is_empty() {
                state::write_retired(store, &settings.retired.iter().copied().collect())?;
            }
            State::new(settings.clone()).write(store)
        });
        opened.map_err(|error| self.lost(error.into()))
    }

    /// Takes newer settings; those of an older or the same generation change nothing, but for the
    /// measurements that they retire.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when the shard is not open, closed, or open for another policy.
    pub fn configure(&mut self, settings: &ShardSettings) -> Result<(), Refusal> {
        let loaded = self.load()?;
        if loaded.state.settings.policy != settings.policy {
            return Err(Refusal::Stale);
        }
        let known = &loaded.state.settings;
        let is_newer = settings.generation > known.generation;
        let is_cut = settings.range.end_ns < known.range.end_ns;
        self.retire(&settings.retired)?;
        if !is_newer {
            return Ok(());
        }
        let settings = ShardSettings { retired: Vec::new(), ..settings.clone() };
        if is_cut { self.cut(&settings) } else { self.change(|state| state.settings = settings) }
    }

    /// Refuses frames of these measurements too from now on, and hides what they have.
    fn retire(&mut self, measurements: &[MeasurementId]) -> Result<(), Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let mut retired = loaded.retired.clone();
        retired.extend(measurements.iter().copied());
        if retired.len() == loaded.retired.len() {
            return Ok(());
        }
        if let Err(error) = state::write_retired(&self.store, &retired) {
            return Err(self.lost(error.into()));
        }
        loaded.retired = retired;
        loaded.plan.take();
        Ok(())
    }

    /// Refuses everything but [`Shard::wipe`] from now on. A shard that is not open stays so.
    ///
    /// # Errors
    /// [`Refusal::Store`].
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

    /// Drops everything. Afterwards the shard is not open; a repeat does nothing.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub fn wipe(&mut self) -> Result<(), Refusal> {
        self.loaded = None;
        self.cache.clear();
        Ok(self.store.wipe()?)
    }

    /// Counters and sizes.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when not open; [`Refusal::Store`].
    pub fn stats(&mut self) -> Result<Stats, Refusal> {
        self.load()?;
        let loaded = self.loaded.as_ref().ok_or(Refusal::Stale)?;
        let mut troubles = loaded.jobs.set_aside();
        troubles.extend(loaded.damaged_blocks());
        Ok(Stats {
            counters: loaded.counters(&self.store),
            bytes_stored: self.store.bytes()?,
            wal_bytes: loaded.wal.bytes(),
            wal_frames: loaded.wal.frames().len() as u64,
            memory_bytes: self.cache.bytes() as u64,
            segments: loaded.directories.values().map(|d| d.segments.len() as u64).sum(),
            tombstones: loaded.tombstones.len() as u64,
            next_sequence: loaded.wal.next_sequence(),
            troubles,
        })
    }

    /// The metadata, read if it is not in memory.
    fn load(&mut self) -> Result<&mut Loaded, Refusal> {
        if self.loaded.is_none() {
            self.cache.clear();
            self.loaded = Loaded::read(&self.store)?;
        }
        self.loaded.as_mut().filter(|loaded| !loaded.state.closed).ok_or(Refusal::Stale)
    }

    /// Checks that the sender does not know less than this shard.
    fn current(&mut self, stamp: &Stamp) -> Result<&mut Loaded, Refusal> {
        let loaded = self.load()?;
        let settings = &loaded.state.settings;
        if stamp.policy != settings.policy || stamp.generation < settings.generation {
            return Err(Refusal::Stale);
        }
        Ok(loaded)
    }

    /// Rewrites the state row.
    fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<(), Refusal> {
        self.load()?;
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let mut state = loaded.state.clone();
        change(&mut state);
        let counts = self.store.row_counts();
        state.counters = loaded.counters(&self.store);
        if let Err(error) = state.write(&self.store) {
            return Err(self.lost(error.into()));
        }
        loaded.commit_state(state, counts);
        Ok(())
    }

    fn evictable(&self) -> Rc<dyn Evictable> {
        Rc::<Cache>::clone(&self.cache)
    }
}
