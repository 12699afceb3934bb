//! Who reads next: pages of queries take turns, and writes get through between any two of them.
//!
//! A page is not made at once when much was read just now anywhere in the isolate: its thread has
//! to look after what came in meanwhile, and the local runtime does so only while nothing is ready
//! to run. Such a page pauses first, and again if others were made during its pause. Small pages
//! in a row, as of a client that sends one query after the other, go on without a pause until
//! together they are [`WORK_MAX`].
//!
//! First pages go in the order in which they came: a small query has no others. Pages that are not
//! the first let those of other shards pass by, too. Of the queries that
//! go on, [`QUERIES_READING_MAX`] are read for at a time, those that go before the others by
//! [`Precedence`]: less was read for them so far, or they began earlier. Pages carry it, so it is
//! one order on all shards: the same queries are read for everywhere, and none holds what it has of
//! one shard while it waits behind others at the next. Each second of waiting counts as half as
//! much read. A query that goes before the others and asks for no page keeps them waiting for
//! `TURN_IDLE_MS`, no longer.

use std::cell::Cell;
use std::rc::Rc;

use crate::model::limits::{PAGES_WAITING_MAX, QUERIES_READING_MAX};
use crate::protocol::host::{Ticket, Unavailable};
use crate::protocol::live_queries::Precedence;

/// How long a turn lasts without a page, milliseconds of pauses of whoever waits for it. The edge
/// merges a page and sends for the next one in a fraction of it.
const TURN_IDLE_MS: u32 = 400;
/// Rows looked at plus bytes decoded without a pause between: a millisecond or two.
const WORK_MAX: u64 = 200_000;
/// What a row or byte of it takes, about, nanoseconds. The clock of Workers stands still meanwhile.
const WORK_NS: u64 = 10;
/// Without a page for so long the thread has looked after everything else.
const QUIET_NS: u64 = 1_000_000;
/// The pause of who goes first: as long as it takes to look after the sockets.
const FIRST_PAUSE_MS: u32 = 0;
/// That of a query that goes on beside others, milliseconds. Pages take some five: the thread is
/// free for most of the time then, and few of the others wait for one.
const BESIDE_OTHERS_PAUSE_MS: u32 = 15;
/// So long such pauses are together for one page: others that come one after the other would keep
/// it out for ever.
const BESIDE_OTHERS_MS_MAX: u32 = 3 * BESIDE_OTHERS_PAUSE_MS;
/// So long others are there after two writes or first pages, nanoseconds,
const OTHERS_NS: u64 = 40_000_000;
/// of which those of one query, of several shards, count once.
const SAME_NS: u64 = 5_000_000;
/// The shortest other pause, and the longest, milliseconds.
const PAUSE_MS: u32 = 1;
const PAUSE_MS_MAX: u32 = 100;
/// What the pause grows by with each one that waits before, milliseconds.
const PAUSE_STEP_MS: u32 = 2;
/// How often a page lets first pages of other shards pass by.
const YIELDS_MAX: u32 = 8;
/// Pauses that count as half as much read, milliseconds.
const CLASS_MS: u32 = 1_000;

/// Pages made by all shards of one isolate.
#[derive(Debug, Default)]
pub struct Pages {
    made: Cell<u64>,
    last_ns: Cell<i64>,
    /// What they looked at since the last pause.
    work: Cell<u64>,
    /// First pages that pause, of all of them.
    first_pages: Cell<usize>,
    /// When the last but one write or first page came, and the last one.
    others_ns: Cell<[i64; 2]>,
}

impl Pages {
    /// Forgets the work that is so long ago that everything else was looked after.
    fn rest(&self, now_ns: i64) {
        let worked_ns = self.work.get().saturating_mul(WORK_NS);
        if self.last_ns.get().abs_diff(now_ns) > worked_ns.saturating_add(QUIET_NS) {
            self.work.set(0);
        }
    }

    /// A write or a first page came.
    fn note(&self, now_ns: i64) {
        let [_, last_ns] = self.others_ns.get();
        if last_ns.abs_diff(now_ns) > SAME_NS {
            self.others_ns.set([last_ns, now_ns]);
        }
    }

    /// Whether others than one query are there.
    fn has_others(&self, now_ns: i64) -> bool {
        let [before_ns, _] = self.others_ns.get();
        before_ns.abs_diff(now_ns) < OTHERS_NS
    }
}

/// The queue of one shard.
#[derive(Debug)]
pub(super) struct Turns {
    pages: Rc<Pages>,
    waiting: Vec<Waiting>,
    /// Queries that were read for last, the longest unused first.
    readers: Vec<Precedence>,
    /// Pages made for them.
    made: u64,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    /// Whose turn it takes; `None` of a first page.
    query: Option<Precedence>,
    /// [`Pages::made`] when it looked last.
    pages_seen: u64,
    /// [`Turns::made`] when it looked last.
    made_seen: u64,
    idle_ms: u32,
    waited_ms: u32,
    /// How often it let first pages pass by.
    yielded: u32,
}

impl Waiting {
    /// The query's place in the order, if the page is not its first.
    fn precedence(&self) -> Option<Precedence> {
        let waited = u8::try_from(self.waited_ms / CLASS_MS).unwrap_or(u8::MAX);
        self.query.map(|of| Precedence { class: of.class.saturating_sub(waited), ..of })
    }
}

impl Turns {
    pub(super) fn new(pages: Rc<Pages>) -> Self {
        Self { pages, waiting: Vec::new(), readers: Vec::new(), made: 0 }
    }

    /// Takes in a page, of a query that goes on (`None`: of another). Answers how long to pause
    /// before [`Turns::look`], milliseconds; `None` to make it now.
    ///
    /// # Errors
    /// [`Unavailable::Busy`]
    pub(super) fn arrive(
        &mut self,
        ticket: Ticket,
        query: Option<Precedence>,
        now_ns: i64,
    ) -> Result<Option<u32>, Unavailable> {
        let waiting = self.waiting.len();
        if waiting >= PAGES_WAITING_MAX {
            return Err(Unavailable::Busy { waiting: waiting as u64 });
        }
        self.pages.rest(now_ns);
        if query.is_none() {
            self.pages.note(now_ns);
        }
        let (pages_seen, made_seen) = (self.pages.made.get(), self.made);
        let page =
            Waiting { ticket, query, pages_seen, made_seen, idle_ms: 0, waited_ms: 0, yielded: 0 };
        self.waiting.push(page);
        let first = self.first();
        if waiting == 0 && self.pages.work.get() < WORK_MAX && self.may_read(0, &first) {
            self.waiting.clear();
            self.take_turn(query);
            return Ok(None);
        }
        self.count_first(query, 1);
        let pause_ms = self.pause_ms(waiting, self.ahead(waiting, &first), &first, now_ns);
        if let Some(page) = self.waiting.last_mut() {
            page.waited_ms = pause_ms;
        }
        Ok(Some(pause_ms))
    }

    /// A message came that asks for no page: a write most likely.
    pub(super) fn wrote(&self, now_ns: i64) {
        self.pages.note(now_ns);
    }

    /// After a pause: as [`Turns::arrive`].
    pub(super) fn look(&mut self, ticket: Ticket, now_ns: i64) -> Option<u32> {
        let at = self.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        let waiting = self.waiting.get(at)?;
        let (query, is_alone) = (waiting.query, waiting.pages_seen == self.pages.made.get());
        let first = self.first();
        let ahead = self.ahead(at, &first);
        let may_go = ahead == 0 && is_alone && self.may_read(at, &first);
        if may_go && !self.yields(at) {
            self.waiting.remove(at);
            self.count_first(query, -1);
            self.pages.work.set(0);
            self.take_turn(query);
            return None;
        }
        let (pages_seen, made_seen) = (self.pages.made.get(), self.made);
        let pause_ms = self.pause_ms(at, ahead, &first, now_ns);
        let waiting = self.waiting.get_mut(at)?;
        let is_idle = waiting.made_seen == made_seen;
        waiting.idle_ms = if is_idle { waiting.idle_ms.saturating_add(pause_ms) } else { 0 };
        waiting.waited_ms = waiting.waited_ms.saturating_add(pause_ms);
        (waiting.pages_seen, waiting.made_seen) = (pages_seen, made_seen);
        Some(pause_ms)
    }

    /// A page was made, at `now_ns`, from `work` rows and bytes; of its query the last one or not.
    pub(super) fn made(
        &mut self,
        query: Option<Precedence>,
        is_last: bool,
        work: u64,
        now_ns: i64,
    ) {
        self.pages.made.set(self.pages.made.get().wrapping_add(1));
        self.pages.last_ns.set(now_ns);
        self.pages.work.set(self.pages.work.get().saturating_add(work));
        if let Some(Precedence { id, .. }) = query {
            self.made = self.made.wrapping_add(1);
            let is_its = |waiting: &Waiting| waiting.query.is_some_and(|query| query.id == id);
            if is_last && !self.waiting.iter().any(is_its) {
                self.readers.retain(|reader| reader.id != id);
            }
        }
    }

    /// Whoever waited is gone.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        let Some(at) = self.waiting.iter().position(|waiting| waiting.ticket == ticket) else {
            return;
        };
        let Waiting { query, .. } = self.waiting.remove(at);
        self.count_first(query, -1);
    }

    /// Whether a page that could be made lets first pages of other shards pass by, which find no
    /// pause without a page while others make one after the other.
    fn yields(&mut self, at: usize) -> bool {
        let are_there = self.pages.first_pages.get() > 0;
        let Some(page) = self.waiting.get_mut(at) else { return false };
        let yields = are_there && page.query.is_some() && page.yielded < YIELDS_MAX;
        page.yielded += u32::from(yields);
        yields
    }

    /// A page pauses, or does so no more.
    fn count_first(&self, query: Option<Precedence>, change: isize) {
        if query.is_none() {
            let first_pages = &self.pages.first_pages;
            first_pages.set(first_pages.get().saturating_add_signed(change));
        }
    }

    /// The queries that go before all others, of those that wait or were read for last.
    fn first(&self) -> Vec<Precedence> {
        let waiting = self.waiting.iter().filter_map(Waiting::precedence);
        // A query that waits stands where its waiting has brought it.
        let reading = self.readers.iter().filter(|reader| {
            !self.waiting.iter().any(|waiting| waiting.query.is_some_and(|of| of.id == reader.id))
        });
        let mut first: Vec<Precedence> = Vec::with_capacity(QUERIES_READING_MAX + 1);
        for query in waiting.chain(reading.copied()) {
            if first.iter().any(|known| known.id == query.id) {
                continue;
            }
            let at = first.partition_point(|known| known.is_before(query));
            first.insert(at, query);
            first.truncate(QUERIES_READING_MAX);
        }
        first
    }

    /// How many go before the one at `at`; if it has no turn, everybody who came earlier. First
    /// pages wait only for each other, so whoever comes before whom is no circle.
    fn ahead(&self, at: usize, first: &[Precedence]) -> usize {
        let is_first = |at: usize| self.waiting.get(at).is_some_and(|page| page.query.is_none());
        let Some(rank) = self.rank(at, first) else { return at };
        let goes_before = |&other: &usize| match self.rank(other, first) {
            None => false,
            Some(_) if is_first(other) => other < at,
            Some(other_rank) => !is_first(at) && (other_rank, other) < (rank, at),
        };
        (0..self.waiting.len()).filter(goes_before).count()
    }

    fn may_read(&self, at: usize, first: &[Precedence]) -> bool {
        self.rank(at, first).is_some()
    }

    /// The place of the query of the page at `at` among the `first`; `None` if it has to wait until
    /// one of them has ended. A first page has the first place.
    fn rank(&self, at: usize, first: &[Precedence]) -> Option<usize> {
        let page = self.waiting.get(at)?;
        let Some(query) = page.query else { return Some(0) };
        let rank = first.iter().position(|of| of.id == query.id);
        rank.or_else(|| (page.idle_ms >= TURN_IDLE_MS).then_some(first.len()))
    }

    /// How long the page at `at` pauses, before which so many go. One without a turn lets time go
    /// by: that ends others'.
    fn pause_ms(&self, at: usize, ahead: usize, first: &[Precedence], now_ns: i64) -> u32 {
        let Some(page) = self.waiting.get(at) else { return FIRST_PAUSE_MS };
        let leaves_room = page.query.is_some()
            && page.waited_ms < BESIDE_OTHERS_MS_MAX
            && self.pages.has_others(now_ns);
        match ahead {
            0 if leaves_room => BESIDE_OTHERS_PAUSE_MS,
            0 if self.may_read(at, first) => FIRST_PAUSE_MS,
            ahead => pause(ahead),
        }
    }

    fn take_turn(&mut self, query: Option<Precedence>) {
        let Some(query) = query else { return };
        self.readers.retain(|reader| reader.id != query.id);
        if self.readers.len() >= QUERIES_READING_MAX {
            self.readers.remove(0);
        }
        self.readers.push(query);
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        for page in &self.waiting {
            self.count_first(page.query, -1);
        }
    }
}

fn pause(ahead: usize) -> u32 {
    let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
    PAUSE_MS.saturating_add(PAUSE_STEP_MS.saturating_mul(ahead)).min(PAUSE_MS_MAX)
}

#[cfg(test)]
mod tests;
