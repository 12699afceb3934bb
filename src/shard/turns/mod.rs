//! Who reads next: pages of queries take turns, and writes get through between any two of them.
//!
//! A page is not made at once when much was read just now anywhere in the isolate: its thread has
//! to look after what came in meanwhile, and the local runtime does so only while nothing is ready
//! to run. Such a page pauses first, and again if others were made during its pause. Small pages
//! in a row, as of a client that sends one query after the other, go on without a pause until
//! together they are [`WORK_MAX`]: a pause takes two milliseconds.
//!
//! First pages go in the order in which they came: a small query has no others. Of the queries that
//! go on, [`QUERIES_READING_MAX`] have a turn, until their last page or until somebody who waits
//! has seen no page of them for `TURN_IDLE_MS`. So a hundred heavy queries end one after the
//! other, holding little memory at the edge, and whoever holds a turn here while it waits for one
//! of another shard cannot keep others waiting for ever.

use std::cell::Cell;
use std::rc::Rc;

use crate::model::limits::{PAGES_WAITING_MAX, QUERIES_READING_MAX};
use crate::protocol::host::{Ticket, Unavailable};

/// How long a turn lasts without a page, milliseconds of pauses of whoever waits for it. The edge
/// merges a page and sends for the next one in a fraction of it.
const TURN_IDLE_MS: u32 = 400;
/// Rows looked at plus bytes decoded without a pause between: a millisecond or two.
const WORK_MAX: u64 = 200_000;
/// The shortest pause, and the longest, milliseconds.
const PAUSE_MS: u32 = 1;
const PAUSE_MS_MAX: u32 = 100;
/// What the pause grows by with each one that waits before, milliseconds.
const PAUSE_STEP_MS: u32 = 2;

/// Pages made by all shards of one isolate.
#[derive(Debug, Default)]
pub struct Pages {
    made: Cell<u64>,
    last_ns: Cell<i64>,
    /// What they looked at since the last pause.
    work: Cell<u64>,
}

/// The queue of one shard.
#[derive(Debug)]
pub(super) struct Turns {
    pages: Rc<Pages>,
    waiting: Vec<Waiting>,
    /// Queries with a turn, the longest unused first.
    readers: Vec<u64>,
    /// Pages made for them.
    made: u64,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    /// Whose turn it takes; 0 for none.
    query: u64,
    /// [`Pages::made`] when it looked last.
    pages_seen: u64,
    /// [`Turns::made`] when it looked last.
    made_seen: u64,
    idle_ms: u32,
}

impl Turns {
    pub(super) fn new(pages: Rc<Pages>) -> Self {
        Self { pages, waiting: Vec::new(), readers: Vec::new(), made: 0 }
    }

    /// Takes in a page, of a query that goes on (0: of another). Answers how long to pause before
    /// [`Turns::look`], milliseconds; `None` to make it now.
    ///
    /// # Errors
    /// [`Unavailable::Busy`]
    pub(super) fn arrive(
        &mut self,
        ticket: Ticket,
        query: u64,
        now_ns: i64,
    ) -> Result<Option<u32>, Unavailable> {
        let waiting = self.waiting.len();
        if waiting >= PAGES_WAITING_MAX {
            return Err(Unavailable::Busy { waiting: waiting as u64 });
        }
        let is_quiet = self.pages.last_ns.get().abs_diff(now_ns) > u64::from(PAUSE_MS) * 1_000_000;
        if is_quiet {
            self.pages.work.set(0);
        }
        let (pages_seen, made_seen) = (self.pages.made.get(), self.made);
        let page = Waiting { ticket, query, pages_seen, made_seen, idle_ms: 0 };
        if waiting == 0 && self.pages.work.get() < WORK_MAX && self.may_read(&page) {
            self.take_turn(query);
            return Ok(None);
        }
        self.waiting.push(page);
        Ok(Some(pause(self.ahead(waiting))))
    }

    /// After a pause: as [`Turns::arrive`].
    pub(super) fn look(&mut self, ticket: Ticket) -> Option<u32> {
        let at = self.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        let waiting = self.waiting.get(at)?;
        let (query, is_alone) = (waiting.query, waiting.pages_seen == self.pages.made.get());
        let ahead = self.ahead(at);
        if ahead == 0 && is_alone && self.may_read(waiting) {
            self.waiting.remove(at);
            self.pages.work.set(0);
            self.take_turn(query);
            return None;
        }
        let (pages_seen, made_seen) = (self.pages.made.get(), self.made);
        let pause_ms = pause(ahead);
        let waiting = self.waiting.get_mut(at)?;
        let is_idle = waiting.made_seen == made_seen;
        waiting.idle_ms = if is_idle { waiting.idle_ms.saturating_add(pause_ms) } else { 0 };
        (waiting.pages_seen, waiting.made_seen) = (pages_seen, made_seen);
        Some(pause_ms)
    }

    /// A page was made, at `now_ns`, from `work` rows and bytes; of its query the last one or not.
    pub(super) fn made(&mut self, query: u64, is_last: bool, work: u64, now_ns: i64) {
        self.pages.made.set(self.pages.made.get().wrapping_add(1));
        self.pages.last_ns.set(now_ns);
        self.pages.work.set(self.pages.work.get().saturating_add(work));
        if query != 0 {
            self.made = self.made.wrapping_add(1);
            if is_last && !self.waiting.iter().any(|waiting| waiting.query == query) {
                self.readers.retain(|&reader| reader != query);
            }
        }
    }

    /// Whoever waited is gone.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.waiting.retain(|waiting| waiting.ticket != ticket);
    }

    /// How many go before the one at `at`: without a turn, everybody who came earlier.
    fn ahead(&self, at: usize) -> usize {
        let may_read = |waiting: &&Waiting| self.may_read(waiting);
        if self.waiting.get(at).is_some_and(|waiting| !self.may_read(waiting)) {
            return at;
        }
        self.waiting.iter().take(at).filter(may_read).count()
    }

    fn may_read(&self, waiting: &Waiting) -> bool {
        waiting.query == 0
            || self.readers.len() < QUERIES_READING_MAX
            || waiting.idle_ms >= TURN_IDLE_MS
            || self.readers.contains(&waiting.query)
    }

    fn take_turn(&mut self, query: u64) {
        if query == 0 {
            return;
        }
        self.readers.retain(|&reader| reader != query);
        if self.readers.len() >= QUERIES_READING_MAX {
            self.readers.remove(0);
        }
        self.readers.push(query);
    }
}

fn pause(ahead: usize) -> u32 {
    let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
    PAUSE_MS.saturating_add(PAUSE_STEP_MS.saturating_mul(ahead)).min(PAUSE_MS_MAX)
}

#[cfg(test)]
mod tests;
