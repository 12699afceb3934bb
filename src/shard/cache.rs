//! The rows of a shard's log in memory, although the store has them.

use std::cell::{Cell, RefCell};

use super::budget::Evictable;
use crate::memtable::Memtable;

/// The memtable of one shard, which may be gone at any event's start.
#[derive(Default)]
pub(super) struct Cache {
    memtable: RefCell<Option<Memtable>>,
    memtable_bytes: Cell<usize>,
}

impl Cache {
    /// Takes the memtable out, so that nothing evicts it while it is used.
    pub(super) fn take_memtable(&self) -> Option<Memtable> {
        self.memtable_bytes.set(0);
        self.memtable.take()
    }

    pub(super) fn has_memtable(&self) -> bool {
        self.memtable.borrow().is_some()
    }

    pub(super) fn put_memtable(&self, memtable: Memtable) {
        self.memtable_bytes.set(memtable.bytes());
        self.memtable.replace(Some(memtable));
    }

    /// Drops it: what is stored has changed, or may have.
    pub(super) fn clear(&self) {
        self.take_memtable();
    }
}

impl Evictable for Cache {
    fn bytes(&self) -> usize {
        self.memtable_bytes.get()
    }

    fn evict(&self) {
        if let Ok(mut memtable) = self.memtable.try_borrow_mut() {
            *memtable = None;
            self.memtable_bytes.set(0);
        }
    }
}
