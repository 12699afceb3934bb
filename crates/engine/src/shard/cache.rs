//! Stores the memtable of a shard as a cache.

use std::cell::{Cell, RefCell};

use super::budget::Evictable;
use crate::memtable::Memtable;

/// The memtable is absent if it was evicted since the last event, or while it is in use.
#[derive(Default)]
pub(super) struct Cache {
    memtable: RefCell<Option<Memtable>>,
    bytes: Cell<usize>,
}

impl Cache {
    /// A memtable that is in use cannot be evicted.
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

impl Evictable for Cache {
    fn bytes(&self) -> usize {
        self.bytes.get()
    }

    fn evict(&self) {
        self.take();
    }
}
