//! One memory budget for the memtables of all objects in an isolate and the cache that they share,
//! which has what memtables leave.
//!
//! WASM memory never shrinks, so what counts is the sum. Everything counted here is a copy of what
//! is stored: under pressure any shard's is dropped without I/O and comes back when it is needed.

use std::cell::{Cell, RefCell};
use std::hash::BuildHasher;
use std::rc::{Rc, Weak};

use foldhash::fast::FixedState;

use super::read_cache::{ReadCache, ShardReads};
use crate::model::limits::READ_CACHE_BYTES_MAX;

/// Memory that can be given back at once, because the store has it too.
pub trait Evictable {
    /// Bytes held.
    fn bytes(&self) -> usize;

    /// Drops everything. Does nothing while the owner is in the middle of using it.
    fn evict(&self);
}

/// The budget. Single-threaded, like an isolate.
pub struct Budget {
    bytes_max: usize,
    hash_seed: u64,
    /// Loads of objects that were given a salt.
    salts: Cell<u64>,
    /// Shards that share the cache.
    shards: Cell<u32>,
    reads: Rc<ReadCache>,
    /// Least recently used first. Gone shards are forgotten on the way.
    holders: RefCell<Vec<Weak<dyn Evictable>>>,
}

impl Budget {
    /// A budget of `bytes_max`; `hash_seed` (drawn by the caller) seeds the tables over tag values,
    /// so that a client cannot choose colliding ones.
    pub fn new(bytes_max: usize, hash_seed: u64) -> Rc<Self> {
        let (salts, shards, holders) = (Cell::new(0), Cell::new(0), RefCell::new(Vec::new()));
        let reads = Rc::new(ReadCache::new(READ_CACHE_BYTES_MAX.min(bytes_max / 2)));
        Rc::new(Self { bytes_max, hash_seed, salts, shards, reads, holders })
    }

    /// The seed of every hash table over client data.
    pub fn hash_seed(&self) -> u64 {
        self.hash_seed
    }

    /// Bits that no other load of an object gets, but by a chance of one in 2^32: neither of this
    /// isolate, which counts them, nor of another, whose seed is another one.
    pub fn draw_salt(&self) -> u32 {
        self.salts.set(self.salts.get().wrapping_add(1));
        // Not the one as the other's seed: that hash is of their difference, of which isolates with
        // seeds in a row would share many.
        let hash = FixedState::default().hash_one((self.hash_seed, self.salts.get()));
        (hash >> 32) as u32
    }

    /// The part of the cache of decoded reads that is of a shard which nobody had before.
    pub(super) fn new_reads(&self) -> ShardReads {
        self.shards.set(self.shards.get().wrapping_add(1));
        ShardReads::new(Rc::clone(&self.reads), self.shards.get())
    }

    /// Enrols a holder, as the most recently used.
    pub fn register(&self, holder: Weak<dyn Evictable>) {
        self.holders.borrow_mut().push(holder);
    }

    /// Bytes held by all.
    pub fn bytes(&self) -> usize {
        self.reads.bytes() + self.live().iter().map(|holder| holder.bytes()).sum::<usize>()
    }

    /// Marks `user` as the most recently used and empties others, longest unused first, until
    /// `more` bytes fit beside what is held and the least that the cache has. The cache gets what
    /// is left. `user` itself is never emptied here.
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

    /// Whether what is held exceeds the budget.
    pub fn is_exceeded(&self) -> bool {
        self.bytes() > self.bytes_max
    }

    fn live(&self) -> Vec<Rc<dyn Evictable>> {
        self.holders.borrow().iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::MEMTABLE_BYTES_MAX;

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
    fn no_two_loads_of_neighbouring_isolates_draw_the_same_salt() {
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
    fn the_cache_has_what_memtables_leave_and_never_less_than_its_part() {
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
        // An append of a frame that takes all: the other memtable goes, a part of the cache stays.
        budget.make_room(&holders[0], MEMTABLE_BYTES_MAX);
        assert_eq!(holders[1].bytes(), 0);
        assert_eq!(budget.reads.bytes_max(), READ_CACHE_BYTES_MAX);
        budget.make_room(&holders[0], 0);
        assert_eq!(budget.reads.bytes_max(), MEMTABLE_BYTES_MAX - 2 * mb);
    }

    #[test]
    fn the_longest_unused_is_emptied_first_and_the_user_never() {
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
