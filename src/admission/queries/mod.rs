//! Counts what queries hold, and lets them begin in turn.
//!
//! A query begins with a megabyte ([`QueryRoom::start`]) and takes more as its answer needs it, as
//! long as there is any: what can be made smaller, such as a slice of an answer, is; what cannot
//! be, such as the values of a median, goes on into what bodies leave free. A query that is refused
//! what it cannot do without is *large*: it gives back what it has and begins anew with what it was
//! refused ([`QueryRoom::restart`]), one large query after the other. So small ones pass, and large
//! ones do not keep each other from ending. One that needs more pages than the first is *long*: few
//! of a database are under way, and the others wait in the same way ([`QueryRoom::goes_on`]).

mod held;
mod slow_reader;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use super::{Admission, Permit, Tag};
use crate::model::limits::{
    BEGINNINGS_BYTES_MAX, FIRST_QUERIES_BYTES_MAX, GATHERED_BYTES_MAX, LONG_QUERIES_EVER_MAX,
    LONG_QUERIES_MAX, LONG_QUERY_BYTES_MAX, LONG_QUERY_NS, PAGE_BYTES_MAX, PIECE_BYTES_MAX,
    PIECE_BYTES_MIN, PIECES_BYTES_MAX, QUERIES_BYTES_MAX, QUERIES_WAITING_MAX,
    QUERY_SPARE_BYTES_MAX, QUERY_START_BYTES, SHARDS_ASKED_AT_ONCE_MAX,
};
pub use held::Held;
pub use slow_reader::Waiting;

/// How often a query begins anew because it needs more than there was.
const RESTARTS_MAX: u32 = 4;
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
    /// Those under way.
    begun: RefCell<Vec<Weak<Room>>>,
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
            begun: RefCell::default(),
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
            begins_with_bytes: Cell::new(QUERY_START_BYTES),
            refused_bytes: Cell::new(0),
            restarts: Cell::new(0),
            has_begun: Cell::new(false),
            began_ns: Cell::new(i64::MIN),
            has_grown: Cell::new(false),
            is_long: Cell::new(false),
            has_reader: Cell::new(true),
        });
        room.queue();
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

/// How a query waits to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As every query at first.
    Small,
    /// It needs more than the first pages of its shards.
    Long,
    /// It was refused more than every query begins with.
    Large,
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
    /// What it has to have to begin.
    begins_with_bytes: Cell<usize>,
    /// What it could not have since it began.
    refused_bytes: Cell<usize>,
    /// How often it began anew.
    restarts: Cell<u32>,
    has_begun: Cell<bool>,
    began_ns: Cell<i64>,
    /// Whether it ever held more than every query begins with: what it holds of that may pass from
    /// one part to another.
    has_grown: Cell<bool>,
    /// Whether it needs more than the first pages of its shards.
    is_long: Cell<bool>,
    /// Whether nothing of its answer waits to be taken.
    has_reader: Cell<bool>,
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
        let begins = match room.kind() {
            Kind::Large => room.is_next_large() && room.take(room.begins_with_bytes.get()),
            Kind::Long => room.is_next_long() && room.take_first(),
            Kind::Small => room.is_next() && room.take_first(),
        };
        if begins {
            let is_other = |other: &Weak<Room>| !std::ptr::eq(other.as_ptr(), Rc::as_ptr(room));
            room.shared.waiting.borrow_mut().retain(is_other);
            let mut begun = room.shared.begun.borrow_mut();
            begun.retain(|other| other.strong_count() > 0 && is_other(other));
            begun.push(Rc::downgrade(room));
            room.has_begun.set(true);
            room.began_ns.set(now_ns);
        }
        begins
    }

    /// It needs more than the first pages of its shards. One whose answer has begun need not ask.
    ///
    /// # Errors
    /// [`NoRoom::Now`] when enough of its database do, or wait to.
    pub fn goes_on(&self) -> Result<(), NoRoom> {
        let room = &self.0;
        if room.kind() != Kind::Small || room.restarts.get() == RESTARTS_MAX {
            return Ok(());
        }
        room.is_long.set(true);
        if room.ahead(1) == 0 && room.may_be_long() {
            return Ok(());
        }
        room.is_long.set(false);
        room.refused_bytes.set(QUERY_START_BYTES);
        Err(NoRoom::Now)
    }

    /// Begins anew, after [`NoRoom::Now`] and once everything is dropped that the query held: it
    /// waits as one of the long, or as one of the large, of which one runs at a time, until it has
    /// what it was refused. `false` when it was refused nothing, or has begun too often.
    pub fn restart(&self) -> bool {
        let room = &self.0;
        let refused_bytes = room.refused_bytes.take();
        if refused_bytes == 0 || room.restarts.get() == RESTARTS_MAX {
            return false;
        }
        room.restarts.update(|restarts| restarts + 1);
        if refused_bytes > QUERY_START_BYTES {
            // It may need much more than it has got to say.
            let more_bytes = (2 * room.begins_with_bytes.get()).min(GATHERED_BYTES_MAX);
            room.begins_with_bytes.set(refused_bytes.max(more_bytes));
        } else {
            room.is_long.set(true);
        }
        room.pieces_bytes.set(HALF_BYTES);
        room.give_up_spare();
        room.permit.borrow_mut().shrink_to(room.used_bytes.get());
        room.has_begun.set(false);
        room.queue();
        true
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
        Held::new(self.clone())
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
}

impl Shared {
    /// Whether a query waits to begin: then others take no more than they need. Short pieces let
    /// writes pass, too.
    fn is_waited_for(&self) -> bool {
        self.waiting.borrow().iter().any(|room| room.strong_count() > 0)
    }

    /// Whether a large query waits to begin, or is under way.
    fn is_for_large(&self) -> bool {
        let waiting = self.waiting.borrow();
        let is_waited_for = waiting.iter().filter_map(Weak::upgrade).any(|room| room.is_large());
        is_waited_for || self.under_way(Room::is_large) > 0
    }

    /// How many such queries are under way. One whose reader takes nothing may be given up.
    fn under_way(&self, is_such: impl Fn(&Room) -> bool) -> usize {
        let is_one =
            |room: &Rc<Room>| room.has_begun.get() && room.has_reader.get() && is_such(room);
        self.begun.borrow().iter().filter_map(Weak::upgrade).filter(is_one).count()
    }
}

impl Room {
    /// Waits to begin, behind those who do.
    fn queue(self: &Rc<Self>) {
        let mut waiting = self.shared.waiting.borrow_mut();
        waiting.retain(|room| room.strong_count() > 0);
        waiting.push(Rc::downgrade(self));
    }

    /// Whether it was refused more than every query begins with.
    fn is_large(&self) -> bool {
        self.begins_with_bytes.get() > QUERY_START_BYTES
    }

    /// Whether it holds more than every query begins with.
    fn is_grown(&self) -> bool {
        self.permit.borrow().bytes() + self.spare.borrow().bytes() > QUERY_START_BYTES
    }

    /// Whether fewer of those who wait begin before this one than there is room for.
    fn is_next(self: &Rc<Self>) -> bool {
        let free = self.shared.rooms.free_bytes_with(BEGINNINGS_BYTES_MAX) / QUERY_START_BYTES;
        match free {
            // What is kept for those who hold nothing, or a slow reader's.
            0 => self.database_bytes() == 0 || self.ahead(1) == 0,
            free => self.ahead(free) < free,
        }
    }

    /// Whether it is the first of the large that wait, and none is under way that is or may become
    /// one: two that need more than there is for both would never end.
    fn is_next_large(self: &Rc<Self>) -> bool {
        let is_such = |room: &Self| room.is_large() || room.is_grown();
        self.ahead(1) == 0 && self.shared.under_way(is_such) == 0
    }

    /// Whether it is the first of the long of its database that wait, and few are under way.
    fn is_next_long(self: &Rc<Self>) -> bool {
        self.ahead(1) == 0 && self.may_be_long()
    }

    /// Whether few others of its database are long, and fewer have not been so for long.
    fn may_be_long(&self) -> bool {
        let is_other = |room: &Self| {
            room.is_long.get() && !std::ptr::eq(room, self) && self.is_of_same_database(room)
        };
        let now_ns = self.shared.now_ns.get();
        let is_new = |room: &Self| now_ns.saturating_sub(room.began_ns.get()) < LONG_QUERY_NS;
        self.shared.under_way(is_other) < LONG_QUERIES_EVER_MAX
            && self.shared.under_way(|room| is_other(room) && is_new(room)) < LONG_QUERIES_MAX
    }

    fn is_of_same_database(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.permit.borrow().share, &other.permit.borrow().share)
    }

    /// How it waits to begin.
    fn kind(&self) -> Kind {
        match (self.is_large(), self.is_long.get()) {
            (true, _) => Kind::Large,
            (false, true) => Kind::Long,
            (false, false) => Kind::Small,
        }
    }

    /// How many of its kind begin before it, up to `most`: those of databases that hold less, and
    /// those who came before.
    fn ahead(self: &Rc<Self>, most: usize) -> usize {
        let waiting: Vec<_> =
            self.shared.waiting.borrow().iter().filter_map(Weak::upgrade).collect();
        let own_bytes = self.database_bytes();
        let mut is_before = true;
        let ahead = waiting.iter().filter(|room| {
            is_before &= !Rc::ptr_eq(room, self);
            let bytes = room.database_bytes();
            let is_rival = room.kind() == self.kind()
                && (self.kind() != Kind::Long || self.is_of_same_database(room));
            is_rival && (bytes < own_bytes || (bytes == own_bytes && is_before))
        });
        ahead.take(most).count()
    }

    /// Takes what every query begins with.
    fn take_first(&self) -> bool {
        self.permit.borrow_mut().grow_to_with(QUERY_START_BYTES, BEGINNINGS_BYTES_MAX).is_ok()
    }

    /// What all queries of its database hold.
    fn database_bytes(&self) -> usize {
        self.permit.borrow().share.bytes.get()
    }

    /// Makes sure that its parts may hold so many bytes beside the pieces on their way.
    fn hold(&self, bytes: usize) -> Result<(), NoRoom> {
        let wanted = bytes + self.pieces_bytes.get();
        let most = QUERIES_BYTES_MAX + QUERY_SPARE_BYTES_MAX;
        if wanted > most {
            return Err(NoRoom::Ever { wanted: bytes, most: most - self.pieces_bytes.get() });
        }
        if wanted <= self.permit.borrow().bytes() {
            return Ok(());
        }
        // Who has grown goes on. Who would begin to waits behind the large.
        let waits = !self.is_large() && !self.has_grown.get() && self.shared.is_for_large();
        if !waits && self.take(wanted) {
            self.has_grown.set(true);
            return Ok(());
        }
        self.refused_bytes.set(wanted);
        Err(NoRoom::Now)
    }

    /// Takes so many bytes, of the budget and beyond it of what bodies leave free.
    fn take(&self, wanted: usize) -> bool {
        let mut permit = self.permit.borrow_mut();
        if permit.take_free(wanted) {
            return true;
        }
        let own = permit.bytes() + self.shared.rooms.free_bytes();
        let mut spare = self.spare.borrow_mut();
        let rest = wanted.saturating_sub(own).max(spare.bytes());
        let spare_bytes = self.shared.spare_bytes.get() + rest - spare.bytes();
        if spare_bytes <= QUERY_SPARE_BYTES_MAX && spare.take_free(rest) {
            permit.take_free(own);
            self.shared.spare_bytes.set(spare_bytes);
            return true;
        }
        // Whose reader is slow may have to make room.
        permit.grow_to(wanted).is_ok()
    }

    /// What its parts may hold without more than what it has and what nobody waits for; one of the
    /// few long ones some megabytes all the same, or it would read the same again and again.
    fn available_bytes(&self) -> usize {
        let has = self.permit.borrow().bytes() + self.spare.borrow().bytes();
        let free = self.shared.rooms.free_bytes();
        let may_have = match (self.shared.is_waited_for(), self.is_long.get()) {
            (false, _) => has + free,
            (true, true) => has.max(LONG_QUERY_BYTES_MAX.min(has + free)),
            (true, false) => has,
        };
        may_have.saturating_sub(self.pieces_bytes.get())
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

#[cfg(test)]
mod tests;
