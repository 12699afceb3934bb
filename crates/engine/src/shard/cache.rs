//! Stores the memtable of a shard as a cache.

use std::cell::{Cell, RefCell};

use super::budget::Evictable;
use crate::memtable::Memtable;

/// The memtable is absent if it was evicted since the last event.
#[derive(Default)]
pub(super) struct Cache {
    memtable: RefCell<Option<Memtable>>,
    memtable_bytes: Cell<usize>,
}

impl Cache {
    /// A memtable that is in use cannot be evicted.
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
