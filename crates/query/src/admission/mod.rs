//! Limits the memory that requests use in an isolate, and divides the memory fairly among
//! databases: a request reserves bytes before it uses them.
//!
//! All code in an isolate shares 128 MB. Request bodies have one budget, which counts bytes as they
//! arrive. Queries have another budget ([`queries`]). Each request has a *permit* with its reserved
//! bytes. Dropping the permit returns the bytes, regardless of how the request ends.
//!
//! When a budget is exhausted, the module evicts one request of the database that uses the most
//! bytes. From the bodies' budget it evicts the upload that has been idle for the longest time;
//! from the queries' budget, a response whose client does not read. Requests with slow clients
//! therefore do not block other requests. In addition to each budget, a reserve is available only
//! for the first megabyte of a database, so that one busy database cannot exclude all others.

pub mod queries;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use tidemark_model::limits::{BODIES_IN_FLIGHT_BYTES_MAX, FIRST_BODIES_BYTES_MAX, FIRST_BYTES};

pub use queries::{
    BufferMemory, OutOfMemory, QueryMemory, QueryReservation, RequestReservation, SlowReader,
};

/// A budget of bytes. Clones share the budget.
#[derive(Clone, Debug)]
pub struct Admission(Rc<Ledger>);

/// The budget is exhausted. The client should retry after a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many request bodies in flight: the request needs {wanted} bytes, and {free} of {total} \
     bytes (BODIES_IN_FLIGHT_BYTES_MAX) are free; {}",
    if *.never { "send smaller batches" } else { "retry in a second" }
)]
pub struct Overloaded {
    /// The number of requested bytes.
    pub wanted: usize,
    /// The number of free bytes.
    pub free: usize,
    /// The whole budget, in bytes.
    pub total: usize,
    /// Whether this request alone exceeds the budget.
    pub never: bool,
}

#[derive(Debug)]
struct Ledger {
    held_bytes: Cell<usize>,
    total_bytes: usize,
    /// The reserve for databases that use no bytes yet. The reserve is not part of the budget.
    first_use_reserve_bytes: usize,
    /// The shares by database. A share removes its entry when it is dropped.
    shares: RefCell<BTreeMap<String, Weak<Share>>>,
    /// The uploads and waiting responses, oldest first.
    uploads: RefCell<BTreeMap<u64, Weak<Evictable>>>,
    next_id: Cell<u64>,
}

#[derive(Debug)]
struct Share {
    budget: Admission,
    database: String,
    bytes: Cell<usize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.shares.borrow_mut().remove(&self.database);
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(BODIES_IN_FLIGHT_BYTES_MAX, FIRST_BODIES_BYTES_MAX)
    }
}

impl Admission {
    /// Creates a budget of `total_bytes`, with a reserve of `first_use_reserve_bytes` for databases
    /// that use no bytes yet.
    pub fn new(total_bytes: usize, first_use_reserve_bytes: usize) -> Self {
        Self(Rc::new(Ledger {
            held_bytes: Cell::new(0),
            total_bytes,
            first_use_reserve_bytes,
            shares: RefCell::default(),
            uploads: RefCell::default(),
            next_id: Cell::default(),
        }))
    }

    /// Returns the number of free bytes.
    pub fn free_bytes(&self) -> usize {
        self.free_bytes_with(0)
    }

    fn free_bytes_with(&self, more_bytes: usize) -> usize {
        (self.0.total_bytes + more_bytes).saturating_sub(self.0.held_bytes.get())
    }

    /// Returns an empty permit for a request to `database`.
    pub fn permit_for(&self, database: &str) -> Permit {
        let mut shares = self.0.shares.borrow_mut();
        let known = shares.get(database).and_then(Weak::upgrade);
        let share = known.unwrap_or_else(|| {
            let (budget, database) = (self.clone(), database.to_owned());
            let share = Rc::new(Share { budget, database, bytes: Cell::new(0) });
            shares.insert(share.database.clone(), Rc::downgrade(&share));
            share
        });
        Permit { share, bytes: Rc::default() }
    }

    /// Registers an upload, which may be evicted when other requests need its bytes. Eviction drops
    /// `content`, which must contain the permit of `counters`.
    pub fn upload<T: 'static>(
        &self,
        counters: PermitCounters,
        content: T,
        now_ns: i64,
    ) -> Upload<T> {
        let content = Rc::new(RefCell::new(Some(content)));
        let evicted = Rc::clone(&content);
        let evict =
            move || evicted.try_borrow_mut().is_ok_and(|mut content| content.take().is_some());
        Upload { content, entry: self.register(counters, now_ns, evict) }
    }

    /// Adds an entry to the list of uploads. `evict` drops the content, and returns `false` if the
    /// content is in use or already dropped.
    fn register(
        &self,
        counters: PermitCounters,
        now_ns: i64,
        evict: impl Fn() -> bool + 'static,
    ) -> Rc<Evictable> {
        let id = self.0.next_id.get();
        self.0.next_id.set(id + 1);
        let last_active_ns = Cell::new(now_ns);
        let entry = Rc::new(Evictable { id, counters, last_active_ns, evict: Box::new(evict) });
        self.0.uploads.borrow_mut().insert(id, Rc::downgrade(&entry));
        entry
    }

    /// Evicts an upload of the database that uses the most bytes. The candidates are uploads of the
    /// requesting database `share`, and of databases that use more bytes than `share` will use.
    /// Returns `false` if no upload can be evicted.
    fn evict(&self, share: &Rc<Share>, wanted: usize) -> bool {
        let will_hold = share.bytes.get() + wanted;
        let uploads: Vec<_> = self.0.uploads.borrow().values().filter_map(Weak::upgrade).collect();
        let mut candidates: Vec<_> = uploads
            .into_iter()
            .filter(|upload| {
                let PermitCounters { share: of, bytes } = &upload.counters;
                bytes.get() > 0 && (Rc::ptr_eq(of, share) || of.bytes.get() > will_hold)
            })
            .collect();
        candidates.sort_by_key(|upload| {
            (std::cmp::Reverse(upload.counters.share.bytes.get()), upload.last_active_ns.get())
        });
        // The upload that requests bytes is in use, so it cannot be evicted.
        candidates.into_iter().any(|upload| (upload.evict)())
    }
}

/// The counters of a permit: the bytes of its database, and its own bytes.
#[derive(Clone, Debug)]
pub struct PermitCounters {
    share: Rc<Share>,
    bytes: Rc<Cell<usize>>,
}

/// The bytes that a request has reserved. Dropping the permit returns them to the budget.
#[derive(Debug)]
pub struct Permit {
    share: Rc<Share>,
    bytes: Rc<Cell<usize>>,
}

impl Permit {
    /// Returns the database's share and the size of this permit, in bytes.
    pub fn counters(&self) -> PermitCounters {
        PermitCounters { share: Rc::clone(&self.share), bytes: Rc::clone(&self.bytes) }
    }

    /// Grows the permit to at least `bytes`. Evicts other uploads if necessary.
    ///
    /// # Errors
    /// [`Overloaded`] if the bytes are not available. The permit then keeps its previous size.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Overloaded> {
        self.grow_to_with(bytes, 0)
    }

    /// Grows the permit like [`Self::grow_to`], but may exceed the budget by `more_bytes`.
    fn grow_to_with(&mut self, bytes: usize, more_bytes: usize) -> Result<(), Overloaded> {
        while !self.take_free(bytes) && !self.take_free_with(bytes, more_bytes) {
            let budget = &self.share.budget;
            let total = budget.0.total_bytes;
            let (wanted, free) = (self.wanted(bytes), budget.free_bytes());
            let never = bytes > total;
            if never || !budget.evict(&self.share, wanted) {
                return Err(Overloaded { wanted, free, total, never });
            }
        }
        Ok(())
    }

    /// Grows the permit to at least `bytes` without eviction. Returns `false` if the bytes are not
    /// free.
    pub fn take_free(&mut self, bytes: usize) -> bool {
        let is_first = self.share.bytes.get() + self.wanted(bytes) <= FIRST_BYTES;
        let more_bytes = if is_first { self.share.budget.0.first_use_reserve_bytes } else { 0 };
        self.take_free_with(bytes, more_bytes)
    }

    /// Grows the permit like [`Self::take_free`], but may exceed the budget by `more_bytes`.
    fn take_free_with(&mut self, bytes: usize, more_bytes: usize) -> bool {
        let wanted = self.wanted(bytes);
        let is_free = wanted <= self.share.budget.free_bytes_with(more_bytes);
        if is_free {
            for cell in self.cells() {
                cell.update(|held| held + wanted);
            }
        }
        is_free
    }

    /// Returns the number of used bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    fn wanted(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.bytes.get())
    }

    /// Shrinks the permit to `bytes`, and returns the rest to the budget.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.give_back(self.bytes.get().saturating_sub(bytes));
    }

    fn give_back(&self, bytes: usize) {
        for cell in self.cells() {
            cell.update(|held| held.saturating_sub(bytes));
        }
    }

    /// Returns the counters that include the bytes of this permit.
    fn cells(&self) -> [&Cell<usize>; 3] {
        [&self.share.budget.0.held_bytes, &self.share.bytes, &self.bytes]
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.bytes.get());
    }
}

/// An upload or a waiting response. The entry leaves the list when it is dropped.
struct Evictable {
    id: u64,
    counters: PermitCounters,
    /// The time of the last received or sent bytes.
    last_active_ns: Cell<i64>,
    evict: Box<dyn Fn() -> bool>,
}

impl Drop for Evictable {
    fn drop(&mut self) {
        self.counters.share.budget.0.uploads.borrow_mut().remove(&self.id);
    }
}

/// The received part of a request body, which the module can evict.
pub struct Upload<T> {
    content: Rc<RefCell<Option<T>>>,
    entry: Rc<Evictable>,
}

impl<T> Upload<T> {
    /// Calls `work` with the content. Returns `None` if the upload was evicted.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.content.borrow_mut().as_mut().map(work)
    }

    /// Records that bytes were received. Recently active uploads are evicted last.
    pub fn record_activity(&self, now_ns: i64) {
        self.entry.last_active_ns.set(now_ns);
    }

    /// Whether the upload was evicted.
    pub fn is_gone(&self) -> bool {
        self.content.borrow().is_none()
    }

    /// Returns the complete content. Afterwards the content cannot be evicted.
    pub fn finish(self) -> Option<T> {
        self.content.borrow_mut().take()
    }
}

#[cfg(test)]
mod tests;
