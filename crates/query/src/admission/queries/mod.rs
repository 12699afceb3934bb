//! Limits the memory of an isolate's queries, and determines when a query may start.
//!
//! A query starts with one megabyte ([`QueryReservation::start`]) and reserves more bytes while its
//! result grows. If memory is short, a query uses smaller buffers where it can, such as smaller
//! slices of a result. A buffer whose size the query cannot choose, such as all values of a median,
//! may also use the free part of the bodies' budget.
//!
//! A query that cannot reserve the bytes for such a buffer becomes *large*: it returns all its
//! bytes, waits until it can reserve as many as it needed, and starts again
//! ([`QueryReservation::restart`]). Only one large query runs at a time. Otherwise two of them
//! could each hold bytes that the other needs.
//!
//! A query that needs more than the first page of each shard is *long*. Each database can run a few
//! long queries at a time. A further long query returns its bytes, waits and starts again, like a
//! large query ([`QueryReservation::become_long`]).

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use super::{Admission, Evictable, Permit};
use tidemark_model::limits::{
    FIRST_QUERIES_BYTES_MAX, LONG_QUERIES_MAX, LONG_QUERIES_TOTAL_MAX, LONG_QUERY_BYTES_MAX,
    LONG_QUERY_NS, PAGE_BYTES_MAX, PAGE_BYTES_MIN, PAGES_BYTES_MAX, QUERIES_BYTES_MAX,
    QUERIES_WAITING_MAX, QUERY_SPARE_BYTES_MAX, QUERY_START_BYTES, QUERY_STARTS_BYTES_MAX,
    SHARDS_REQUESTED_AT_ONCE_MAX, SLOW_READER_NS, WHOLE_WINDOW_BYTES_MAX,
};

/// The maximum number of restarts of a query that needs more bytes than are available.
const RESTARTS_MAX: u32 = 4;
/// Half of a query's initial bytes. One half is for pages that shards send, the other half for
/// collected results.
const HALF_BYTES: usize = QUERY_START_BYTES / 2;

/// The budget of an isolate's queries. Clones share the budget.
#[derive(Clone, Debug)]
pub struct QueryMemory(Rc<Shared>);

/// The error of a query that cannot reserve the bytes that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum OutOfMemory {
    /// Other queries use the bytes.
    #[error("query memory exhausted; retry later")]
    Now,
    /// The query needs more bytes than a query may use.
    #[error(
        "the query needs {wanted} bytes of memory, and the limit is {most}: narrow the time range, \
         select fewer measurements or columns, or use longer windows"
    )]
    Ever { wanted: usize, most: usize },
}

#[derive(Debug)]
struct Shared {
    reservations: Admission,
    bodies: Admission,
    /// The bytes that all queries took from the free part of the bodies' budget.
    spare_bytes: Cell<usize>,
    /// The queries that wait to start, in the order of arrival.
    waiting: RefCell<Vec<Weak<Reservation>>>,
    started: RefCell<Vec<Weak<Reservation>>>,
    /// The time at which a query last started, or tried to start.
    now_ns: Cell<i64>,
}

impl Default for QueryMemory {
    fn default() -> Self {
        Self::new(&Admission::default())
    }
}

impl QueryMemory {
    /// Creates a budget for queries, in addition to the budget of `bodies`.
    pub fn new(bodies: &Admission) -> Self {
        Self(Rc::new(Shared {
            reservations: Admission::new(QUERIES_BYTES_MAX, FIRST_QUERIES_BYTES_MAX),
            bodies: bodies.clone(),
            spare_bytes: Cell::new(0),
            waiting: RefCell::default(),
            started: RefCell::default(),
            now_ns: Cell::new(i64::MIN),
        }))
    }

    /// Returns the reservation of a query of `database`. The query then waits to start.
    pub fn reservation_for(&self, database: &str) -> QueryReservation {
        let reservation = Rc::new(Reservation {
            shared: Rc::clone(&self.0),
            permit: RefCell::new(self.0.reservations.permit_for(database)),
            spare: RefCell::new(self.0.bodies.permit_for(database)),
            used_bytes: Cell::new(0),
            pages_bytes: Cell::new(HALF_BYTES),
            start_bytes: Cell::new(QUERY_START_BYTES),
            refused_bytes: Cell::new(0),
            restarts: Cell::new(0),
            started_ns: Cell::new(None),
            has_grown: Cell::new(false),
            is_long: Cell::new(false),
            has_reader: Cell::new(true),
        });
        reservation.queue();
        QueryReservation(reservation)
    }

    /// Whether too many queries wait, so that the caller must reject further queries.
    pub fn is_crowded(&self) -> bool {
        self.0.waiting.borrow().len() > QUERIES_WAITING_MAX
    }

    /// Returns the number of free bytes for queries.
    pub fn free_bytes(&self) -> usize {
        self.0.reservations.free_bytes()
    }
}

/// The bytes that a query uses. All clones refer to the same bytes, which are returned when the
/// last clone is dropped.
#[derive(Clone, Debug)]
pub struct QueryReservation(Rc<Reservation>);

/// The memory reservation of a request's queries, which run one at a time. All clones refer to the
/// same reservation.
#[derive(Clone, Debug, Default)]
pub struct RequestReservation(Rc<OnceCell<QueryReservation>>);

impl RequestReservation {
    /// Returns the reservation. The first query of `database` creates the reservation in `memory`.
    pub fn get_or_create(&self, memory: &QueryMemory, database: &str) -> &QueryReservation {
        self.0.get_or_init(|| memory.reservation_for(database))
    }

    /// Returns the reservation, if a query needed one.
    pub fn get(&self) -> Option<&QueryReservation> {
        self.0.get()
    }

    /// Sets the number of bytes of a buffer. The first call creates the buffer's counter in
    /// `memory`. If no reservation exists, the bytes are not counted.
    ///
    /// # Errors
    /// The errors of [`BufferMemory::set`].
    pub fn set_bytes(
        &self,
        memory: &mut Option<BufferMemory>,
        bytes: usize,
    ) -> Result<(), OutOfMemory> {
        let Some(reservation) = self.get() else { return Ok(()) };
        memory.get_or_insert_with(|| reservation.buffer()).set(bytes)
    }

    /// Sets the number of bytes of a response that contains rows, like [`Self::set_bytes`]. The
    /// query no longer waits for large queries, because a query that has returned rows cannot start
    /// again.
    ///
    /// # Errors
    /// The errors of [`BufferMemory::set`].
    pub fn set_response_bytes(
        &self,
        memory: &mut Option<BufferMemory>,
        bytes: usize,
    ) -> Result<(), OutOfMemory> {
        self.get().inspect(|reservation| reservation.0.has_grown.set(true));
        self.set_bytes(memory, bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Small,
    /// The query needs more than the first pages of its shards.
    Long,
    /// The query has restarted because it needs more than the initial bytes. The query starts again
    /// only when it can reserve these bytes.
    Large,
}

#[derive(Debug)]
struct Reservation {
    shared: Rc<Shared>,
    permit: RefCell<Permit>,
    /// The bytes that exceed the permit, from the free part of the bodies' budget.
    spare: RefCell<Permit>,
    used_bytes: Cell<usize>,
    /// The bytes reserved for pages that shards send at the same time.
    pages_bytes: Cell<usize>,
    start_bytes: Cell<usize>,
    refused_bytes: Cell<usize>,
    restarts: Cell<u32>,
    /// `None` while the query waits to start.
    started_ns: Cell<Option<i64>>,
    /// Whether the query has ever reserved more than the initial bytes. A query that grows for the
    /// first time must let large queries run first; a query that has grown continues.
    has_grown: Cell<bool>,
    is_long: Cell<bool>,
    /// Whether the client reads. `false` while a part of the response waits for the client.
    has_reader: Cell<bool>,
}

impl Default for QueryReservation {
    /// Creates the reservation of a query that competes with no other query.
    fn default() -> Self {
        let reservation = QueryMemory::default().reservation_for("");
        reservation.start(0);
        reservation
    }
}

impl QueryReservation {
    /// Reserves the bytes with which the query starts. Returns `false` if other queries use the
    /// bytes, or if a waiting query must start first. The database that uses the fewest bytes
    /// starts first, and then the earlier query. After `false`, the caller must try again later.
    pub fn start(&self, now_ns: i64) -> bool {
        let reservation = &self.0;
        reservation.shared.now_ns.set(now_ns);
        if reservation.started_ns.get().is_some() {
            return true;
        }
        let starts = match reservation.kind() {
            Kind::Large => {
                reservation.is_next_large() && reservation.reserve(reservation.start_bytes.get())
            }
            Kind::Long => reservation.is_next_long() && reservation.reserve_initial(),
            Kind::Small => reservation.is_next() && reservation.reserve_initial(),
        };
        if starts {
            let is_other =
                |other: &Weak<Reservation>| !std::ptr::eq(other.as_ptr(), Rc::as_ptr(reservation));
            reservation.shared.waiting.borrow_mut().retain(is_other);
            let mut started = reservation.shared.started.borrow_mut();
            started.retain(|other| other.strong_count() > 0 && is_other(other));
            started.push(Rc::downgrade(reservation));
            reservation.started_ns.set(Some(now_ns));
        }
        starts
    }

    /// Marks the query as long. The caller must call this function before the query requests more
    /// than the first pages of its shards, unless the response has already begun.
    ///
    /// # Errors
    /// [`OutOfMemory::Now`] if too many queries of the database are long or wait to become long.
    pub fn become_long(&self) -> Result<(), OutOfMemory> {
        let reservation = &self.0;
        if reservation.kind() != Kind::Small || reservation.restarts.get() == RESTARTS_MAX {
            return Ok(());
        }
        reservation.is_long.set(true);
        if reservation.count_ahead(1) == 0 && reservation.may_be_long() {
            return Ok(());
        }
        reservation.is_long.set(false);
        reservation.refused_bytes.set(QUERY_START_BYTES);
        Err(OutOfMemory::Now)
    }

    /// Prepares a restart after [`OutOfMemory::Now`]. Before this call, the caller must drop all
    /// memory of the query. The query then waits as a long query, or as a large query until the
    /// missing bytes are available. Returns `false` if no bytes were missing, or if the query has
    /// restarted too often.
    pub fn restart(&self) -> bool {
        let reservation = &self.0;
        let refused_bytes = reservation.refused_bytes.take();
        if refused_bytes == 0 || reservation.restarts.get() == RESTARTS_MAX {
            return false;
        }
        reservation.restarts.update(|restarts| restarts + 1);
        if refused_bytes > QUERY_START_BYTES {
            // The query may need many more bytes than requested so far.
            let more_bytes = (2 * reservation.start_bytes.get()).min(WHOLE_WINDOW_BYTES_MAX);
            reservation.start_bytes.set(refused_bytes.max(more_bytes));
        } else {
            reservation.is_long.set(true);
        }
        reservation.pages_bytes.set(HALF_BYTES);
        reservation.release_spare();
        reservation.permit.borrow_mut().shrink_to(reservation.used_bytes.get());
        reservation.started_ns.set(None);
        reservation.queue();
        true
    }

    /// Returns the page size, in bytes, to request from each of `shards` shards. `continues` states
    /// that the pages are not the first pages of their shards. The function then reserves bytes for
    /// larger pages, if the bytes are free and no query waits to start.
    pub fn page_bytes(&self, shards: usize, continues: bool) -> usize {
        let reservation = &self.0;
        let shards = shards.clamp(1, SHARDS_REQUESTED_AT_ONCE_MAX);
        let wish = (PAGE_BYTES_MAX * shards).min(PAGES_BYTES_MAX);
        if continues
            && reservation.pages_bytes.get() < wish
            && !reservation.shared.has_waiting_query()
        {
            let bytes = reservation.used_bytes.get() + wish;
            if reservation.permit.borrow_mut().take_free(bytes) {
                reservation.pages_bytes.set(wish);
            }
        }
        (reservation.pages_bytes.get() / shards).clamp(PAGE_BYTES_MIN, PAGE_BYTES_MAX)
    }

    /// Creates the counter of an empty buffer of the query.
    pub fn buffer(&self) -> BufferMemory {
        BufferMemory { reservation: self.clone(), bytes: 0 }
    }

    /// Marks the response as waiting for its client since `now_ns`. After [`SLOW_READER_NS`], other
    /// queries may evict the response.
    pub fn wait_for_client(&self, now_ns: i64) -> SlowReader {
        let (reservation, is_gone) = (self.clone(), Rc::new(Cell::new(false)));
        let was_evicted = Rc::clone(&is_gone);
        let evict = move || {
            let Reservation { shared, permit, .. } = &*reservation.0;
            let waited_ns = shared.now_ns.get().saturating_sub(now_ns);
            if waited_ns < SLOW_READER_NS || was_evicted.replace(true) {
                return false;
            }
            permit.borrow_mut().shrink_to(0);
            reservation.0.release_spare();
            true
        };
        let counters = self.0.permit.borrow().counters();
        let entry = self.0.shared.reservations.register(counters, now_ns, evict);
        self.0.has_reader.set(false);
        SlowReader { reservation: self.clone(), is_gone, _entry: entry }
    }
}

impl Shared {
    /// Whether a query waits to start. Running queries then reserve only necessary bytes. Running
    /// queries also read smaller pages, so that writes can run between these pages.
    fn has_waiting_query(&self) -> bool {
        self.waiting.borrow().iter().any(|reservation| reservation.strong_count() > 0)
    }

    fn is_for_large(&self) -> bool {
        let waiting = self.waiting.borrow();
        let is_waited_for =
            waiting.iter().filter_map(Weak::upgrade).any(|reservation| reservation.is_large());
        is_waited_for || self.count_running(Reservation::is_large) > 0
    }

    /// Returns the number of running queries for which `is_such` is true. Omits queries whose
    /// client does not read, because such queries can be evicted.
    fn count_running(&self, is_such: impl Fn(&Reservation) -> bool) -> usize {
        let is_one = |reservation: &Rc<Reservation>| {
            reservation.started_ns.get().is_some()
                && reservation.has_reader.get()
                && is_such(reservation)
        };
        self.started.borrow().iter().filter_map(Weak::upgrade).filter(is_one).count()
    }
}

impl Reservation {
    fn queue(self: &Rc<Self>) {
        let mut waiting = self.shared.waiting.borrow_mut();
        waiting.retain(|reservation| reservation.strong_count() > 0);
        waiting.push(Rc::downgrade(self));
    }

    /// Whether the query has restarted because it needs more than the initial bytes.
    fn is_large(&self) -> bool {
        self.start_bytes.get() > QUERY_START_BYTES
    }

    fn is_grown(&self) -> bool {
        self.permit.borrow().bytes() + self.spare.borrow().bytes() > QUERY_START_BYTES
    }

    /// Whether the free bytes suffice for this query and for all small queries that start before
    /// it.
    fn is_next(self: &Rc<Self>) -> bool {
        let free =
            self.shared.reservations.free_bytes_with(QUERY_STARTS_BYTES_MAX) / QUERY_START_BYTES;
        match free {
            // The budget is used up. A query of a database without memory can still use the
            // reserve, and the first waiting query can evict a response with a slow client.
            0 => self.database_bytes() == 0 || self.count_ahead(1) == 0,
            free => self.count_ahead(free) < free,
        }
    }

    /// Whether the query is the first waiting large query, and no running query has more than the
    /// initial bytes. If two such queries together needed more than the budget, neither would ever
    /// end.
    fn is_next_large(self: &Rc<Self>) -> bool {
        let is_such = |reservation: &Self| reservation.is_large() || reservation.is_grown();
        self.count_ahead(1) == 0 && self.shared.count_running(is_such) == 0
    }

    /// Whether the query is the first waiting long query of its database, and the database may run
    /// another long query.
    fn is_next_long(self: &Rc<Self>) -> bool {
        self.count_ahead(1) == 0 && self.may_be_long()
    }

    /// Whether the database may run another long query: [`LONG_QUERIES_MAX`] that started within
    /// [`LONG_QUERY_NS`], and [`LONG_QUERIES_TOTAL_MAX`] in total.
    fn may_be_long(&self) -> bool {
        let is_other = |reservation: &Self| {
            reservation.is_long.get()
                && !std::ptr::eq(reservation, self)
                && self.is_of_same_database(reservation)
        };
        let now_ns = self.shared.now_ns.get();
        let is_new = |reservation: &Self| {
            let started_ns = reservation.started_ns.get();
            started_ns.is_some_and(|ns| now_ns.saturating_sub(ns) < LONG_QUERY_NS)
        };
        self.shared.count_running(is_other) < LONG_QUERIES_TOTAL_MAX
            && self.shared.count_running(|reservation| is_other(reservation) && is_new(reservation))
                < LONG_QUERIES_MAX
    }

    fn is_of_same_database(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.permit.borrow().share, &other.permit.borrow().share)
    }

    fn kind(&self) -> Kind {
        match (self.is_large(), self.is_long.get()) {
            (true, _) => Kind::Large,
            (false, true) => Kind::Long,
            (false, false) => Kind::Small,
        }
    }

    /// Returns the number of queries of this query's kind that start before this query, up to
    /// `most`. A query starts before this query if its database uses fewer bytes, or if its
    /// database uses equally many bytes and the query arrived earlier.
    fn count_ahead(self: &Rc<Self>, most: usize) -> usize {
        let waiting: Vec<_> =
            self.shared.waiting.borrow().iter().filter_map(Weak::upgrade).collect();
        let own_bytes = self.database_bytes();
        let mut is_before = true;
        let ahead = waiting.iter().filter(|reservation| {
            is_before &= !Rc::ptr_eq(reservation, self);
            let bytes = reservation.database_bytes();
            let is_rival = reservation.kind() == self.kind()
                && (self.kind() != Kind::Long || self.is_of_same_database(reservation));
            is_rival && (bytes < own_bytes || (bytes == own_bytes && is_before))
        });
        ahead.take(most).count()
    }

    fn reserve_initial(&self) -> bool {
        self.permit.borrow_mut().grow_to_with(QUERY_START_BYTES, QUERY_STARTS_BYTES_MAX).is_ok()
    }

    fn database_bytes(&self) -> usize {
        self.permit.borrow().share.bytes.get()
    }

    /// Ensures that the query's buffers can use `bytes` in addition to the pages in transit.
    fn ensure_bytes(&self, bytes: usize) -> Result<(), OutOfMemory> {
        let wanted = bytes + self.pages_bytes.get();
        let most = QUERIES_BYTES_MAX + QUERY_SPARE_BYTES_MAX;
        if wanted > most {
            return Err(OutOfMemory::Ever { wanted: bytes, most: most - self.pages_bytes.get() });
        }
        if wanted <= self.permit.borrow().bytes() {
            return Ok(());
        }
        // A small query whose buffers need more than its initial bytes for the first time must wait
        // while a large query waits.
        let waits = !self.is_large() && !self.has_grown.get() && self.shared.is_for_large();
        if !waits && self.reserve(wanted) {
            self.has_grown.set(true);
            return Ok(());
        }
        self.refused_bytes.set(wanted);
        Err(OutOfMemory::Now)
    }

    /// Reserves `wanted` bytes, first from the budget, and then from the free part of the bodies'
    /// budget.
    fn reserve(&self, wanted: usize) -> bool {
        let mut permit = self.permit.borrow_mut();
        if permit.take_free(wanted) {
            return true;
        }
        let own = permit.bytes() + self.shared.reservations.free_bytes();
        let mut spare = self.spare.borrow_mut();
        let rest = wanted.saturating_sub(own).max(spare.bytes());
        let spare_bytes = self.shared.spare_bytes.get() + rest - spare.bytes();
        if spare_bytes <= QUERY_SPARE_BYTES_MAX && spare.take_free(rest) {
            permit.take_free(own);
            self.shared.spare_bytes.set(spare_bytes);
            return true;
        }
        // As a last resort, evict a response with a slow client.
        permit.grow_to(wanted).is_ok()
    }

    /// Returns the number of bytes that the query's buffers may use in total without evicting other
    /// queries. If other queries wait to start, the query gets no additional bytes. Only a long
    /// query may then still grow to [`LONG_QUERY_BYTES_MAX`] if the bytes are free: with smaller
    /// slices it would read its data more often.
    fn available_bytes(&self) -> usize {
        let has = self.permit.borrow().bytes() + self.spare.borrow().bytes();
        let free = self.shared.reservations.free_bytes();
        let may_have = match (self.shared.has_waiting_query(), self.is_long.get()) {
            (false, _) => has + free,
            (true, true) => has.max(LONG_QUERY_BYTES_MAX.min(has + free)),
            (true, false) => has,
        };
        may_have.saturating_sub(self.pages_bytes.get())
    }

    fn release_spare(&self) {
        let mut spare = self.spare.borrow_mut();
        self.shared.spare_bytes.update(|bytes| bytes - spare.bytes());
        spare.shrink_to(0);
    }

    /// Releases the bytes that neither buffers nor pages in transit use, except the initial bytes.
    fn release_unused(&self) {
        let (mut permit, mut spare) = (self.permit.borrow_mut(), self.spare.borrow_mut());
        let needed = self.used_bytes.get() + self.pages_bytes.get();
        let before = spare.bytes();
        spare.shrink_to(needed.saturating_sub(permit.bytes()));
        self.shared.spare_bytes.update(|bytes| bytes + spare.bytes() - before);
        permit.shrink_to(needed.max(QUERY_START_BYTES));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release_spare();
    }
}

/// The bytes of one buffer of a query, such as a slice of a result or the values of a window.
/// Dropping the value returns the bytes to the query's reservation.
#[derive(Debug)]
pub struct BufferMemory {
    reservation: QueryReservation,
    bytes: usize,
}

impl BufferMemory {
    /// Sets the number of bytes that the buffer uses.
    ///
    /// # Errors
    /// [`OutOfMemory`] if the bytes are not available, but never for a buffer of at most half of a
    /// query's initial bytes. After an error, the buffer keeps its previous size.
    pub fn set(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let reservation = &self.reservation.0;
        let used = (reservation.used_bytes.get() + bytes).saturating_sub(self.bytes);
        if bytes > self.bytes && bytes > HALF_BYTES {
            reservation.ensure_bytes(used)?;
        }
        reservation.used_bytes.set(used);
        if bytes < self.bytes {
            reservation.release_unused();
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Returns the number of used bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of bytes, at most `wish`, that the buffer may use without taking bytes
    /// from other queries. The result is at least half of a query's initial bytes, unless `wish` is
    /// less.
    pub fn affordable(&self, wish: usize) -> usize {
        let others = self.reservation.0.used_bytes.get().saturating_sub(self.bytes);
        let available = self.reservation.0.available_bytes().saturating_sub(others);
        wish.min(available.max(HALF_BYTES))
    }
}

impl Drop for BufferMemory {
    fn drop(&mut self) {
        let reservation = &self.reservation.0;
        reservation.used_bytes.set(reservation.used_bytes.get().saturating_sub(self.bytes));
        reservation.release_unused();
    }
}

/// A response that waits for its client.
pub struct SlowReader {
    reservation: QueryReservation,
    is_gone: Rc<Cell<bool>>,
    _entry: Rc<Evictable>,
}

impl SlowReader {
    /// Whether the response was evicted.
    pub fn is_gone(&self) -> bool {
        self.is_gone.get()
    }
}

impl Drop for SlowReader {
    fn drop(&mut self) {
        self.reservation.0.has_reader.set(true);
    }
}

#[cfg(test)]
mod tests;
