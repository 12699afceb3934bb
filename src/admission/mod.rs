//! Counts what requests hold of an isolate's memory, by bytes, and shares it among databases.
//!
//! Everything in an isolate shares 128 MB. Bodies have one budget, counted as they arrive, and
//! queries have another ([`queries`]). A permit gives its bytes back when dropped, however the
//! request ends. When a budget is spent, the database that holds most loses the upload that has
//! received nothing for longest, or the answer whose reader has taken nothing: what somebody
//! begins and leaves stops nobody else. A part of each budget is kept for databases that hold
//! nothing: they get a first megabyte out of it.

pub mod queries;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::model::limits::{BODIES_IN_FLIGHT_BYTES_MAX, FIRST_BODIES_BYTES_MAX, FIRST_BYTES};

pub use queries::{Held, NoRoom, QueryMemory, QueryRoom, RoomSlot, Waiting};

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission(Rc<Ledger>);

/// The budget is spent: the client should come back in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many request bodies in flight: {wanted} bytes wanted, {free} of {total} free; {}",
    if *.never { "send smaller batches" } else { "retry in a second" }
)]
pub struct Overloaded {
    /// Bytes asked for.
    pub wanted: usize,
    /// Bytes free.
    pub free: usize,
    /// The whole budget.
    pub total: usize,
    /// One request alone wants more than that.
    pub never: bool,
}

struct Ledger {
    held_bytes: Cell<usize>,
    total_bytes: usize,
    /// What databases that held nothing may hold beyond the total.
    firsts_bytes: usize,
    shares: RefCell<Vec<Weak<Share>>>,
    uploads: RefCell<Vec<Weak<dyn Evictable>>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} bytes held", self.held_bytes.get(), self.total_bytes)
    }
}

/// The bytes that the requests of one database hold.
#[derive(Debug)]
struct Share {
    database: String,
    bytes: Cell<usize>,
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(BODIES_IN_FLIGHT_BYTES_MAX, FIRST_BODIES_BYTES_MAX)
    }
}

impl Admission {
    /// A budget of `total_bytes`, and of `firsts_bytes` for databases that hold nothing.
    pub fn new(total_bytes: usize, firsts_bytes: usize) -> Self {
        Self(Rc::new(Ledger {
            held_bytes: Cell::new(0),
            total_bytes,
            firsts_bytes,
            shares: RefCell::default(),
            uploads: RefCell::default(),
        }))
    }

    /// Bytes that nobody holds.
    pub fn free_bytes(&self) -> usize {
        self.0.free_bytes()
    }

    /// Bytes that nobody holds, of the budget and `more_bytes`.
    fn free_bytes_with(&self, more_bytes: usize) -> usize {
        self.0.free_bytes_with(more_bytes)
    }

    /// A permit for a request about `database`, which holds nothing yet.
    pub fn enter(&self, database: &str) -> Permit {
        let mut shares = self.0.shares.borrow_mut();
        shares.retain(|share| share.strong_count() > 0);
        let known = shares.iter().filter_map(Weak::upgrade).find(|s| s.database == database);
        let share = known.unwrap_or_else(|| {
            let share = Share { database: database.to_owned(), bytes: Cell::new(0) };
            let share = Rc::new(share);
            shares.push(Rc::downgrade(&share));
            share
        });
        Permit { ledger: Rc::clone(&self.0), share, bytes: Rc::default() }
    }

    /// Lets go of `content`, and of the permit in it that `tag` is of, when others need its bytes.
    pub fn upload<T: 'static>(&self, tag: Tag, content: T, now_ns: i64) -> Upload<T> {
        let slot = Slot { content: RefCell::new(Some(content)), tag, heard_ns: Cell::new(now_ns) };
        let slot = Rc::new(slot);
        self.register(&slot);
        Upload(slot)
    }

    /// Lets `holder` go when others need its bytes.
    fn register<T: Evictable + 'static>(&self, holder: &Rc<T>) {
        let mut uploads = self.0.uploads.borrow_mut();
        uploads.retain(|upload| upload.strong_count() > 0);
        let weak: Weak<T> = Rc::downgrade(holder);
        uploads.push(weak);
    }
}

impl Ledger {
    fn free_bytes(&self) -> usize {
        self.free_bytes_with(0)
    }

    fn free_bytes_with(&self, more_bytes: usize) -> usize {
        (self.total_bytes + more_bytes).saturating_sub(self.held_bytes.get())
    }

    /// Takes an upload away from the database that holds most: from one that holds more than
    /// `share` will, or from that itself. `false` when there is none.
    fn evict(&self, share: &Rc<Share>, wanted: usize) -> bool {
        let will_hold = share.bytes.get() + wanted;
        let uploads: Vec<_> = self.uploads.borrow().iter().filter_map(Weak::upgrade).collect();
        let mut candidates: Vec<_> = uploads
            .into_iter()
            .filter(|upload| {
                let Tag { share: of, bytes } = upload.tag();
                bytes.get() > 0 && (Rc::ptr_eq(of, share) || of.bytes.get() > will_hold)
            })
            .collect();
        candidates.sort_by_key(|upload| {
            (std::cmp::Reverse(upload.tag().share.bytes.get()), upload.heard_ns())
        });
        // The one that is asking cannot be taken: it is in use.
        candidates.into_iter().any(|upload| upload.evict())
    }
}

/// Whose bytes an upload's are, and how many.
#[derive(Clone, Debug)]
pub struct Tag {
    share: Rc<Share>,
    bytes: Rc<Cell<usize>>,
}

/// Bytes that are held, given back on drop.
#[derive(Debug)]
pub struct Permit {
    ledger: Rc<Ledger>,
    share: Rc<Share>,
    bytes: Rc<Cell<usize>>,
}

impl Permit {
    /// The share of the database that the bytes are counted in, and their number.
    pub fn tag(&self) -> Tag {
        Tag { share: Rc::clone(&self.share), bytes: Rc::clone(&self.bytes) }
    }

    /// Makes sure that at least `bytes` are held; others may lose theirs for it.
    ///
    /// # Errors
    /// [`Overloaded`] when they cannot be had; what was held stays so.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Overloaded> {
        self.grow_to_with(bytes, 0)
    }

    /// The same where `more_bytes` may be held beyond the budget.
    fn grow_to_with(&mut self, bytes: usize, more_bytes: usize) -> Result<(), Overloaded> {
        while !self.take_free(bytes) && !self.take_free_with(bytes, more_bytes) {
            let Ledger { total_bytes: total, .. } = *self.ledger;
            let (wanted, free) = (self.wanted(bytes), self.ledger.free_bytes());
            let never = bytes > total;
            if never || !self.ledger.evict(&self.share, wanted) {
                return Err(Overloaded { wanted, free, total, never });
            }
        }
        Ok(())
    }

    /// Makes sure that at least `bytes` are held if they are free; `false` when they are not.
    pub fn take_free(&mut self, bytes: usize) -> bool {
        let is_first = self.share.bytes.get() + self.wanted(bytes) <= FIRST_BYTES;
        let more_bytes = if is_first { self.ledger.firsts_bytes } else { 0 };
        self.take_free_with(bytes, more_bytes)
    }

    /// The same where `more_bytes` may be held beyond the budget.
    fn take_free_with(&mut self, bytes: usize, more_bytes: usize) -> bool {
        let wanted = self.wanted(bytes);
        let is_had = wanted <= self.ledger.free_bytes_with(more_bytes);
        if is_had {
            self.add(wanted);
        }
        is_had
    }

    /// The bytes that are held.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    fn wanted(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.bytes.get())
    }

    /// Gives back what is held beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.give_back(self.bytes.get().saturating_sub(bytes));
    }

    fn add(&self, bytes: usize) {
        for cell in [&self.ledger.held_bytes, &self.share.bytes, &*self.bytes] {
            cell.set(cell.get() + bytes);
        }
    }

    fn give_back(&self, bytes: usize) {
        for cell in [&self.ledger.held_bytes, &self.share.bytes, &*self.bytes] {
            cell.set(cell.get().saturating_sub(bytes));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.bytes.get());
    }
}

trait Evictable {
    fn tag(&self) -> &Tag;
    fn heard_ns(&self) -> i64;
    /// Drops the content; `false` when it is in use, or gone.
    fn evict(&self) -> bool;
}

struct Slot<T> {
    content: RefCell<Option<T>>,
    tag: Tag,
    /// When something was received.
    heard_ns: Cell<i64>,
}

impl<T> Evictable for Slot<T> {
    fn tag(&self) -> &Tag {
        &self.tag
    }

    fn heard_ns(&self) -> i64 {
        self.heard_ns.get()
    }

    fn evict(&self) -> bool {
        self.content.try_borrow_mut().is_ok_and(|mut content| content.take().is_some())
    }
}

/// What a body that is being received has come to, until others need its bytes more.
pub struct Upload<T>(Rc<Slot<T>>);

impl<T> std::fmt::Debug for Upload<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upload({} bytes)", self.0.tag.bytes.get())
    }
}

impl<T> Upload<T> {
    /// Works on what there is; `None` when it was taken away.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.content.borrow_mut().as_mut().map(work)
    }

    /// Notes that something was received, which makes the upload one of the last to be given up.
    pub fn heard(&self, now_ns: i64) {
        self.0.heard_ns.set(now_ns);
    }

    /// Whether it was taken away.
    pub fn is_gone(&self) -> bool {
        self.0.content.borrow().is_none()
    }

    /// The whole: nobody takes it away from here on.
    pub fn finish(self) -> Option<T> {
        self.0.content.borrow_mut().take()
    }
}

#[cfg(test)]
mod tests;
