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
use tidemark_model::limits::READ_CACHE_BYTES_MAX;

/// Memory that can be freed at any time, because the store contains the same data.
pub trait Evictable {
    /// Returns the number of bytes in use.
    fn bytes(&self) -> usize;

    /// Frees the memory. Does nothing while the owner is using the memory.
    fn evict(&self);
}

/// The memory budget of an isolate. The type is not thread-safe, because an isolate has one thread.
pub struct Budget {
    bytes_max: usize,
    hash_seed: u64,
    salts: Cell<u64>,
    /// The number of shards that have used the cache.
    shards: Cell<u32>,
    reads: Rc<ReadCache>,
    /// The least recently used holder is first. `make_room` removes holders that were dropped.
    holders: RefCell<Vec<Weak<dyn Evictable>>>,
}

impl Budget {
    /// Creates a budget of `bytes_max` bytes. The caller draws `hash_seed` at random. The seed is
    /// for the hash tables of tag values, so that a client cannot construct collisions.
    pub fn new(bytes_max: usize, hash_seed: u64) -> Rc<Self> {
        let (salts, shards, holders) = (Cell::new(0), Cell::new(0), RefCell::new(Vec::new()));
        let reads = Rc::new(ReadCache::new(READ_CACHE_BYTES_MAX.min(bytes_max / 2)));
        Rc::new(Self { bytes_max, hash_seed, salts, shards, reads, holders })
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
        // If the seed were the hasher's seed, the hash would depend only on the difference between
        // counter and seed. Isolates with consecutive seeds would then have many salts in common.
        let hash = FixedState::default().hash_one((self.hash_seed, self.salts.get()));
        (hash >> 32) as u32
    }

    pub(super) fn new_reads(&self) -> ShardReads {
        self.shards.set(self.shards.get().wrapping_add(1));
        ShardReads::new(Rc::clone(&self.reads), self.shards.get())
    }

    /// Adds a holder as the most recently used holder. Removes the entries of dropped holders.
    pub fn register(&self, holder: Weak<dyn Evictable>) {
        let mut holders = self.holders.borrow_mut();
        holders.retain(|holder| holder.strong_count() > 0);
        holders.push(holder);
    }

    /// Returns the number of bytes in use by the cache and all holders.
    pub fn bytes(&self) -> usize {
        self.reads.bytes() + self.live().iter().map(|holder| holder.bytes()).sum::<usize>()
    }

    /// Marks `user` as most recently used, and evicts other holders until `more` bytes fit into the
    /// budget. The least recently used holder is evicted first. The read cache keeps its guaranteed
    /// minimum and can use the remaining memory. The memory of `user` is never evicted.
    pub fn make_room(&self, user: &Rc<dyn Evictable>, more: usize) {
        let is_user =
            |holder: &Weak<dyn Evictable>| std::ptr::addr_eq(holder.as_ptr(), Rc::as_ptr(user));
        {
            let mut holders = self.holders.borrow_mut();
            holders.retain(|holder| holder.strong_count() > 0 && !is_user(holder));
            holders.push(Rc::downgrade(user));
        }
        let holders = self.live();
        let of_cache = READ_CACHE_BYTES_MAX.min(self.bytes_max / 2);
        let mut held = holders.iter().map(|holder| holder.bytes()).sum::<usize>();
        for holder in holders {
            if held.saturating_add(more) + self.reads.bytes().min(of_cache) <= self.bytes_max {
                break;
            }
            if !std::ptr::addr_eq(Rc::as_ptr(&holder), Rc::as_ptr(user)) {
                let before = holder.bytes();
                holder.evict();
                held = held.saturating_sub(before.saturating_sub(holder.bytes()));
            }
        }
        let left = self.bytes_max.saturating_sub(held.saturating_add(more));
        self.reads.resize(left.max(of_cache));
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.bytes() > self.bytes_max
    }

    fn live(&self) -> Vec<Rc<dyn Evictable>> {
        self.holders.borrow().iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::limits::MEMTABLE_BYTES_MAX;

    struct Holder(Cell<usize>);

    impl Evictable for Holder {
        fn bytes(&self) -> usize {
            self.0.get()
        }
        fn evict(&self) {
            self.0.set(0);
        }
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
        let holders: Vec<Rc<Holder>> =
            [2 * mb, 3 * mb].map(|bytes| Rc::new(Holder(Cell::new(bytes)))).into();
        let holders: Vec<Rc<dyn Evictable>> =
            holders.into_iter().map(|holder| holder as Rc<dyn Evictable>).collect();
        for holder in &holders {
            budget.register(Rc::downgrade(holder));
        }
        budget.make_room(&holders[0], mb);
        assert_eq!(budget.reads.bytes_max(), MEMTABLE_BYTES_MAX - 6 * mb);
        // The frame needs the whole budget. The other memtable is therefore evicted, and the cache
        // keeps its minimum.
        budget.make_room(&holders[0], MEMTABLE_BYTES_MAX);
        assert_eq!(holders[1].bytes(), 0);
        assert_eq!(budget.reads.bytes_max(), READ_CACHE_BYTES_MAX);
        budget.make_room(&holders[0], 0);
        assert_eq!(budget.reads.bytes_max(), MEMTABLE_BYTES_MAX - 2 * mb);
    }

    #[test]
    fn budget_evicts_least_recent_memtable() {
        let budget = Budget::new(100, 0);
        let holders: Vec<Rc<dyn Evictable>> =
            (0..3).map(|_| Rc::new(Holder(Cell::new(30))) as Rc<dyn Evictable>).collect();
        for holder in &holders {
            budget.register(Rc::downgrade(holder));
        }
        let held = || holders.iter().map(|h| h.bytes()).collect::<Vec<_>>();
        budget.make_room(&holders[0], 10);
        assert_eq!(held(), [30, 30, 30]);
        budget.make_room(&holders[0], 20);
        assert_eq!(held(), [30, 0, 30]);
        budget.make_room(&holders[0], 1_000);
        assert_eq!(held(), [30, 0, 0]);
        assert!(!budget.is_exceeded());
    }
}
