//! Implements the memory budget of an isolate. The budget is for the memtables of all objects and
//! for their shared read cache, which may use the memory that memtables leave free.
//!
//! WebAssembly memory never shrinks, so the budget limits the total of the memtables and the cache.
//! All counted memory is a copy of stored data. The budget can therefore evict any shard's memory
//! without I/O, and the shard loads the data again when it is needed.

use std::cell::{Cell, RefCell};
use std::hash::BuildHasher;
use std::rc::{Rc, Weak};

use foldhash::fast::FixedState;

use super::read_cache::{ReadCache, ShardReads};
use crate::memtable::Memtable;
use tidemark_model::limits::READ_CACHE_BYTES_MAX;

/// The memtable of a shard, which can be dropped at any time, because the store contains the same
/// data. The memtable is absent if it was evicted since the last event, or while it is in use.
#[derive(Default)]
pub(super) struct MemtableCache {
    memtable: RefCell<Option<Memtable>>,
    pub(super) bytes: Cell<usize>,
}

impl MemtableCache {
    /// Takes the memtable for use. A memtable in use cannot be evicted.
    pub(super) fn take(&self) -> Option<Memtable> {
        self.bytes.set(0);
        self.memtable.take()
    }

    pub(super) fn has_memtable(&self) -> bool {
        self.memtable.borrow().is_some()
    }

    pub(super) fn put(&self, memtable: Memtable) {
        self.bytes.set(memtable.bytes());
        self.memtable.replace(Some(memtable));
    }
}

/// The memory budget of an isolate. The type is not thread-safe, because an isolate has one thread.
pub struct Budget {
    bytes_max: usize,
    hash_seed: u64,
    salts: Cell<u64>,
    /// The number of shards that have used the cache.
    shards: Cell<u32>,
    reads: Rc<ReadCache>,
    /// The least recently used memtable is first. `make_room` removes memtables that were dropped.
    memtables: RefCell<Vec<Weak<MemtableCache>>>,
}

impl Budget {
    /// Creates a budget of `bytes_max` bytes. The caller draws `hash_seed` at random. The seed is
    /// for the hash tables of tag values, so that a client cannot construct collisions.
    pub fn new(bytes_max: usize, hash_seed: u64) -> Rc<Self> {
        let (salts, shards, memtables) = (Cell::new(0), Cell::new(0), RefCell::default());
        let reads = Rc::new(ReadCache::new(READ_CACHE_BYTES_MAX.min(bytes_max / 2)));
        Rc::new(Self { bytes_max, hash_seed, salts, shards, reads, memtables })
    }

    /// Returns the seed of every hash table that contains client data.
    pub fn hash_seed(&self) -> u64 {
        self.hash_seed
    }

    /// Returns 32 bits that distinguish this load of an object from other loads, with a collision
    /// probability of 2^-32. A counter distinguishes the loads of an isolate, and the seeds of
    /// isolates differ.
    pub(crate) fn draw_salt(&self) -> u32 {
        self.salts.set(self.salts.get().wrapping_add(1));
        // The seed is hashed as data. If it were the hasher's seed, isolates with consecutive seeds
        // would have many salts in common.
        let hash = FixedState::default().hash_one((self.hash_seed, self.salts.get()));
        (hash >> 32) as u32
    }

    pub(super) fn new_reads(&self) -> ShardReads {
        self.shards.set(self.shards.get().wrapping_add(1));
        ShardReads::new(Rc::clone(&self.reads), self.shards.get())
    }

    /// Returns the place for the memtable of a shard, as the most recently used memtable.
    pub(super) fn new_memtable(&self) -> Rc<MemtableCache> {
        let new = Rc::new(MemtableCache::default());
        let mut memtables = self.memtables.borrow_mut();
        memtables.retain(|memtable| memtable.strong_count() > 0);
        memtables.push(Rc::downgrade(&new));
        new
    }

    /// Returns the number of bytes in use by the cache and all memtables.
    pub fn bytes(&self) -> usize {
        let memtables = self.memtables.borrow();
        let live = memtables.iter().filter_map(Weak::upgrade);
        self.reads.bytes() + live.map(|memtable| memtable.bytes.get()).sum::<usize>()
    }

    /// Marks `user` as most recently used, and evicts other memtables until `more` bytes fit into
    /// the budget. The least recently used memtable is evicted first. The read cache keeps its
    /// guaranteed minimum and can use the remaining memory. `user` is never evicted.
    pub(super) fn make_room(&self, user: &Rc<MemtableCache>, more: usize) {
        let is_other = |other: &Weak<MemtableCache>| {
            other.strong_count() > 0 && other.as_ptr() != Rc::as_ptr(user)
        };
        self.memtables.borrow_mut().retain(is_other);
        self.memtables.borrow_mut().push(Rc::downgrade(user));
        let memtables = self.live();
        let of_cache = READ_CACHE_BYTES_MAX.min(self.bytes_max / 2);
        let mut used = memtables.iter().map(|memtable| memtable.bytes.get()).sum::<usize>();
        for memtable in memtables {
            if used.saturating_add(more) + self.reads.bytes().min(of_cache) <= self.bytes_max {
                break;
            }
            if !Rc::ptr_eq(&memtable, user) {
                used = used.saturating_sub(memtable.bytes.get());
                memtable.take();
            }
        }
        let left = self.bytes_max.saturating_sub(used.saturating_add(more));
        self.reads.resize(left.max(of_cache));
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.bytes() > self.bytes_max
    }

    fn live(&self) -> Vec<Rc<MemtableCache>> {
        self.memtables.borrow().iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::limits::MEMTABLE_BYTES_MAX;

    fn memtables(budget: &Budget, bytes: &[usize]) -> Vec<Rc<MemtableCache>> {
        let memtable = |&bytes: &usize| {
            let memtable = budget.new_memtable();
            memtable.bytes.set(bytes);
            memtable
        };
        bytes.iter().map(memtable).collect()
    }

    #[test]
    fn isolates_draw_distinct_salts() {
        let of_isolate = |seed| {
            let budget = Budget::new(0, seed);
            (0..50).map(|_| budget.draw_salt()).collect::<Vec<_>>()
        };
        let mut salts: Vec<u32> = (0..50).flat_map(of_isolate).collect();
        salts.sort_unstable();
        salts.dedup();
        assert_eq!(salts.len(), 2_500);
    }

    #[test]
    fn read_cache_takes_free_memory() {
        let budget = Budget::new(MEMTABLE_BYTES_MAX, 0);
        let mb = 1_000_000;
        let holders = memtables(&budget, &[2 * mb, 3 * mb]);
        budget.make_room(&holders[0], mb);
        assert_eq!(budget.reads.bytes_max(), MEMTABLE_BYTES_MAX - 6 * mb);
        // The frame needs the whole budget. The other memtable is therefore evicted, and the cache
        // keeps its minimum.
        budget.make_room(&holders[0], MEMTABLE_BYTES_MAX);
        assert_eq!(holders[1].bytes.get(), 0);
        assert_eq!(budget.reads.bytes_max(), READ_CACHE_BYTES_MAX);
        budget.make_room(&holders[0], 0);
        assert_eq!(budget.reads.bytes_max(), MEMTABLE_BYTES_MAX - 2 * mb);
    }

    #[test]
    fn budget_evicts_least_recent_memtable() {
        let budget = Budget::new(100, 0);
        let holders = memtables(&budget, &[30; 3]);
        let held = || holders.iter().map(|h| h.bytes.get()).collect::<Vec<_>>();
        budget.make_room(&holders[0], 10);
        assert_eq!(held(), [30, 30, 30]);
        budget.make_room(&holders[0], 20);
        assert_eq!(held(), [30, 0, 30]);
        budget.make_room(&holders[0], 1_000);
        assert_eq!(held(), [30, 0, 0]);
        assert!(!budget.is_exceeded());
    }
}
