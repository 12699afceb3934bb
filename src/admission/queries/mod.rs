//! Counts what queries hold, and lets them begin in turn.
//!
//! A query begins with a megabyte ([`QueryRoom::start`]) and takes more as its answer needs it, as
//! long as there is any: what can be made smaller, such as a slice of an answer, is; what cannot
//! be, such as the values of a median, goes on into what bodies leave free, or ends the query.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use super::{Admission, Evictable, Permit, Tag};
use crate::model::limits::{
    FIRST_QUERIES_BYTES_MAX, PAGE_BYTES_MAX, PIECE_BYTES_MAX, PIECE_BYTES_MIN, PIECES_BYTES_MAX,
    QUERIES_BYTES_MAX, QUERIES_WAITING_MAX, QUERY_SPARE_BYTES_MAX, QUERY_START_BYTES,
    SHARDS_ASKED_AT_ONCE_MAX, SLOW_READER_NS,
};

/// What the pieces that are on their way may take of a query's first bytes, and what is gathered.
const HALF_BYTES: usize = QUERY_START_BYTES / 2;

/// The budget of an isolate's queries. Clones share it.
#[derive(Clone, Debug)]
pub struct QueryMemory(Rc<Shared>);

/// A query cannot have the bytes that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Others hold them.
    #[error("the queries under way hold all memory that there is for them: repeat this one later")]
    Now,
    /// It wants more than one query may ever have.
    #[error(
        "the query needs {wanted} bytes at once, of at most {most}: narrow its time range, ask for \
         longer windows, or select less"
    )]
    Ever {
        /// What it would hold.
        wanted: usize,
        /// What one query may hold.
        most: usize,
    },
}

#[derive(Debug)]
struct Shared {
    rooms: Admission,
    bodies: Admission,
    /// What all queries took of what bodies leave free.
    spare_bytes: Cell<usize>,
    /// Who waits for the room to begin, in the order in which they came.
    waiting: RefCell<Vec<Weak<Room>>>,
    /// When a query last began, or tried to.
    now_ns: Cell<i64>,
}

impl Default for QueryMemory {
    fn default() -> Self {
        Self::new(&Admission::default())
    }
}

impl QueryMemory {
    /// The budget beside that of `bodies`.
    pub fn new(bodies: &Admission) -> Self {
        Self(Rc::new(Shared {
            rooms: Admission::new(QUERIES_BYTES_MAX, FIRST_QUERIES_BYTES_MAX),
            bodies: bodies.clone(),
            spare_bytes: Cell::new(0),
            waiting: RefCell::default(),
            now_ns: Cell::new(i64::MIN),
        }))
    }

    /// The room of a query of `database`, which waits to begin.
    pub fn enter(&self, database: &str) -> QueryRoom {
        let room = Rc::new(Room {
            shared: Rc::clone(&self.0),
            permit: RefCell::new(self.0.rooms.enter(database)),
            spare: RefCell::new(self.0.bodies.enter(database)),
            used_bytes: Cell::new(0),
            pieces_bytes: Cell::new(HALF_BYTES),
            has_begun: Cell::new(false),
        });
        let mut waiting = self.0.waiting.borrow_mut();
        waiting.retain(|room| room.strong_count() > 0);
        waiting.push(Rc::downgrade(&room));
        QueryRoom(room)
    }

    /// Whether more queries wait than are worth the wait.
    pub fn is_crowded(&self) -> bool {
        self.0.waiting.borrow().len() > QUERIES_WAITING_MAX
    }

    /// Bytes that queries may still take.
    pub fn free_bytes(&self) -> usize {
        self.0.rooms.free_bytes()
    }
}

/// What one query holds. Clones share it; when the last one is dropped, it is given back.
#[derive(Clone, Debug)]
pub struct QueryRoom(Rc<Room>);

/// The room of a request's queries, of which one runs at a time. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RoomSlot(Rc<OnceCell<QueryRoom>>);

impl RoomSlot {
    /// The room, which a first query of `database` gets in `memory`.
    pub fn enter(&self, memory: &QueryMemory, database: &str) -> &QueryRoom {
        self.0.get_or_init(|| memory.enter(database))
    }

    /// The room, if a query needed one.
    pub fn get(&self) -> Option<&QueryRoom> {
        self.0.get()
    }

    /// Counts `bytes` as those of a part, which `held` is from the first time on. Without a room
    /// nothing is counted.
    ///
    /// # Errors
    /// Those of [`Held::set`].
    pub fn hold(&self, held: &mut Option<Held>, bytes: usize) -> Result<(), NoRoom> {
        let Some(room) = self.get() else { return Ok(()) };
        held.get_or_insert_with(|| room.part()).set(bytes)
    }
}

#[derive(Debug)]
struct Room {
    shared: Rc<Shared>,
    permit: RefCell<Permit>,
    /// Beyond the permit, of what bodies leave free.
    spare: RefCell<Permit>,
    /// What its parts hold.
    used_bytes: Cell<usize>,
    /// What its pieces that are on their way may take.
    pieces_bytes: Cell<usize>,
    has_begun: Cell<bool>,
}

impl Default for QueryRoom {
    /// The room of a query that is the only one.
    fn default() -> Self {
        let room = QueryMemory::default().enter("");
        room.start(0);
        room
    }
}

impl QueryRoom {
    /// Takes the bytes to begin with; `false` when others hold them, or wait whose databases hold
    /// less or who came before: ask again later. As many may begin as there is room for.
    pub fn start(&self, now_ns: i64) -> bool {
        let room = &self.0;
        room.shared.now_ns.set(now_ns);
        if room.has_begun.get() {
            return true;
        }
        let begins = room.is_next() && room.permit.borrow_mut().grow_to(QUERY_START_BYTES).is_ok();
        if begins {
            let is_other = |other: &Weak<Room>| !std::ptr::eq(other.as_ptr(), Rc::as_ptr(room));
            room.shared.waiting.borrow_mut().retain(is_other);
            room.has_begun.set(true);
        }
        begins
    }

    /// How large the pieces may be that so many shards are asked for. Of an answer that `goes_on`
    /// larger ones are asked for if there is room.
    pub fn piece_bytes(&self, shards: usize, goes_on: bool) -> u32 {
        let room = &self.0;
        let shards = shards.clamp(1, SHARDS_ASKED_AT_ONCE_MAX);
        let wish = (PAGE_BYTES_MAX * shards).min(PIECES_BYTES_MAX);
        if goes_on && room.pieces_bytes.get() < wish && !room.shared.is_waited_for() {
            let bytes = room.used_bytes.get() + wish;
            if room.permit.borrow_mut().take_free(bytes) {
                room.pieces_bytes.set(wish);
            }
        }
        let bytes = u32::try_from(room.pieces_bytes.get() / shards).unwrap_or(PIECE_BYTES_MAX);
        bytes.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
    }

    /// A part of the query, which holds nothing yet.
    pub fn part(&self) -> Held {
        Held { room: self.clone(), bytes: 0 }
    }

    /// Whose bytes they are, and how many, for who takes them away.
    fn tag(&self) -> Tag {
        self.0.permit.borrow().tag()
    }

    /// Gives everything back, since the query is given up.
    fn give_up(&self) {
        self.0.permit.borrow_mut().shrink_to(0);
        self.0.give_up_spare();
    }

    /// Its answer waits for its reader from `now_ns` on, and may be given up for others after
    /// [`SLOW_READER_NS`].
    pub fn waits(&self, now_ns: i64) -> Waiting {
        let slot = Rc::new(WaitingRoom {
            room: self.clone(),
            tag: self.tag(),
            since_ns: now_ns,
            is_gone: Cell::new(false),
        });
        self.0.shared.rooms.register(&slot);
        Waiting(slot)
    }
}

impl Shared {
    /// Whether a query waits to begin: then others take no more than they need.
    fn is_waited_for(&self) -> bool {
        self.waiting.borrow().iter().any(|room| room.strong_count() > 0)
    }
}

impl Room {
    /// Whether fewer of those who wait begin before this one than there is room for.
    fn is_next(self: &Rc<Self>) -> bool {
        let mut waiting = self.shared.waiting.borrow_mut();
        waiting.retain(|room| room.strong_count() > 0);
        let is_own = |room: &Weak<Self>| std::ptr::eq(room.as_ptr(), Rc::as_ptr(self));
        let own_bytes = self.database_bytes();
        let free = self.shared.rooms.free_bytes() / QUERY_START_BYTES;
        if free == 0 {
            // What is kept for those who hold nothing, or a slow reader's.
            return own_bytes == 0 || waiting.first().is_some_and(is_own);
        }
        let mut is_before = true;
        let ahead = waiting.iter().filter(|room| {
            is_before &= !is_own(room);
            let other_bytes = room.upgrade().map_or(usize::MAX, |room| room.database_bytes());
            other_bytes < own_bytes || (other_bytes == own_bytes && is_before)
        });
        ahead.take(free).count() < free
    }

    /// What all queries of its database hold.
    fn database_bytes(&self) -> usize {
        self.permit.borrow().share.bytes.get()
    }

    /// Makes sure that its parts may hold so many bytes beside the pieces on their way.
    fn hold(self: &Rc<Self>, bytes: usize) -> Result<(), NoRoom> {
        let wanted = bytes + self.pieces_bytes.get();
        let mut permit = self.permit.borrow_mut();
        if permit.take_free(wanted) {
            return Ok(());
        }
        let most = QUERIES_BYTES_MAX + QUERY_SPARE_BYTES_MAX;
        if wanted > most {
            return Err(NoRoom::Ever { wanted: bytes, most: most - self.pieces_bytes.get() });
        }
        let own = permit.bytes() + self.shared.rooms.free_bytes();
        let mut spare = self.spare.borrow_mut();
        let rest = wanted.saturating_sub(own).max(spare.bytes());
        let spare_bytes = self.shared.spare_bytes.get() + rest - spare.bytes();
        if spare_bytes <= QUERY_SPARE_BYTES_MAX && spare.take_free(rest) {
            permit.take_free(own);
            self.shared.spare_bytes.set(spare_bytes);
            return Ok(());
        }
        // Whose reader is slow may have to make room.
        permit.grow_to(wanted).map_err(|_| NoRoom::Now)
    }

    /// What its parts may hold without more than what it has and what nobody waits for.
    fn available_bytes(&self) -> usize {
        let has = self.permit.borrow().bytes() + self.spare.borrow().bytes();
        let free = match self.shared.is_waited_for() {
            true => 0,
            false => self.shared.rooms.free_bytes(),
        };
        (has + free).saturating_sub(self.pieces_bytes.get())
    }

    fn give_up_spare(&self) {
        let mut spare = self.spare.borrow_mut();
        self.shared.spare_bytes.update(|bytes| bytes - spare.bytes());
        spare.shrink_to(0);
    }

    /// Gives back what its parts need no more.
    fn settle(&self) {
        let (mut permit, mut spare) = (self.permit.borrow_mut(), self.spare.borrow_mut());
        let needed = self.used_bytes.get() + self.pieces_bytes.get();
        let before = spare.bytes();
        spare.shrink_to(needed.saturating_sub(permit.bytes()));
        self.shared.spare_bytes.update(|bytes| bytes + spare.bytes() - before);
        permit.shrink_to(needed.max(QUERY_START_BYTES));
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_up_spare();
    }
}

/// What one part of a query holds, which is given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    room: QueryRoom,
    bytes: usize,
}

impl Held {
    /// The part holds `bytes` now.
    ///
    /// # Errors
    /// [`NoRoom`] when they cannot be had and are more than half of what a query begins with; it
    /// counts as holding what it held before.
    pub fn set(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let room = &self.room.0;
        let used = (room.used_bytes.get() + bytes).saturating_sub(self.bytes);
        if bytes > self.bytes && bytes > HALF_BYTES {
            room.hold(used)?;
        }
        room.used_bytes.set(used);
        if bytes < self.bytes {
            room.settle();
        }
        self.bytes = bytes;
        Ok(())
    }

    /// What it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much of `wish` it may hold without taking what others hold; half of what a query begins
    /// with, always.
    pub fn affordable(&self, wish: usize) -> usize {
        let others = self.room.0.used_bytes.get().saturating_sub(self.bytes);
        let available = self.room.0.available_bytes().saturating_sub(others);
        wish.min(available.max(HALF_BYTES))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let room = &self.room.0;
        room.used_bytes.set(room.used_bytes.get().saturating_sub(self.bytes));
        room.settle();
    }
}

/// An answer that waits for its reader.
#[derive(Debug)]
pub struct Waiting(Rc<WaitingRoom>);

impl Waiting {
    /// Whether the answer was given up.
    pub fn is_gone(&self) -> bool {
        self.0.is_gone.get()
    }
}

#[derive(Debug)]
struct WaitingRoom {
    room: QueryRoom,
    tag: Tag,
    since_ns: i64,
    is_gone: Cell<bool>,
}

impl Evictable for WaitingRoom {
    fn tag(&self) -> &Tag {
        &self.tag
    }

    fn heard_ns(&self) -> i64 {
        self.since_ns
    }

    fn evict(&self) -> bool {
        let waited_ns = self.room.0.shared.now_ns.get().saturating_sub(self.since_ns);
        if waited_ns < SLOW_READER_NS || self.is_gone.replace(true) {
            return false;
        }
        self.room.give_up();
        true
    }
}

#[cfg(test)]
mod tests;
