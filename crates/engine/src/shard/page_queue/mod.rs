//! Schedules the pages of queries, so that queries alternate and writes run between pages.
//!
//! A page pauses before it runs if other pages of the shard are waiting, or if the isolate's work
//! since the last pause has reached [`WORK_MAX`]. If other pages were read during the pause, the
//! page pauses again. The thread handles arriving requests during the pauses, because the local
//! runtime handles requests only while no task is ready.
//!
//! A small query has only one page on each shard, its *first page*. First pages run in the order of
//! their arrival. A *long query* requests further pages. These pages also yield to first pages of
//! other shards.
//!
//! At most [`QUERIES_READING_MAX`] long queries read at the same time. [`Precedence`] selects the
//! queries that have read the least data so far, and among these the oldest. Each message contains
//! the precedence, so all shards use the same order. If the order differed, a query could keep
//! pages of one shard in memory while it waits at another shard. Each second of waiting halves the
//! amount that counts as read by the query.

use std::cell::Cell;
use std::rc::Rc;

use crate::protocol::event::{EventId, Unavailable};
use crate::protocol::live_queries::Precedence;
use tidemark_model::limits::{PAGES_WAITING_MAX, QUERIES_READING_MAX};

/// The time without a page request after which a long query counts as idle, so that another query
/// may read. Usually, the edge merges a page and requests the next page in a fraction of this time.
const READER_IDLE_MS: u32 = 400;
/// The maximum work (`ReadStats::work`) without a pause: one or two milliseconds.
const WORK_MAX: u64 = 200_000;
/// The approximate time for a unit of work. The clock of Workers does not advance during the work.
const WORK_NS: u64 = 10;
/// The time without a page after which the thread has certainly handled all other requests.
const QUIET_NS: u64 = 1_000_000;
/// The pause of the first page in the queue. A pause of zero is enough for the thread to handle its
/// sockets.
const FIRST_PAUSE_MS: u32 = 0;
/// The pause of a long query while other requests are arriving. A page takes about 5 ms, so the
/// thread is mostly free.
const OTHERS_PRESENT_PAUSE_MS: u32 = 15;
/// The waiting time, in milliseconds, after which a page no longer pauses for
/// `OTHERS_PRESENT_PAUSE_MS`. Without this limit, a constant stream of requests would delay the
/// page permanently.
const OTHERS_PRESENT_MS_MAX: u32 = 3 * OTHERS_PRESENT_PAUSE_MS;
/// Other requests are present if the second-last write or first page arrived within this time. The
/// last write or first page may belong to the waiting query.
const OTHERS_NS: u64 = 40_000_000;
/// The time within which several writes and first pages count as one, because one query may send
/// first pages to several shards.
const SAME_NS: u64 = 5_000_000;
/// The minimum pause of all other pages: pages that are not first in the queue.
const PAUSE_MS: u32 = 1;
const PAUSE_MS_MAX: u32 = 100;
/// The additional pause for each page that precedes the waiting page.
const PAUSE_STEP_MS: u32 = 2;
/// The maximum number of times that a page yields to first pages of other shards.
const YIELDS_MAX: u32 = 8;
/// The waiting time, in milliseconds, after which a query's class is lowered by one, as if the
/// query had read half as many rows.
const CLASS_MS: u32 = 1_000;

/// The page counters of an isolate.
#[derive(Debug, Default)]
pub struct Pages {
    /// The number of pages that were read.
    read: Cell<u64>,
    /// The time at which the last page was read.
    last_ns: Cell<i64>,
    /// The work since the last pause.
    work: Cell<u64>,
    /// The number of waiting first pages on all shards.
    first_pages: Cell<usize>,
    /// The times of the second-last and the last write or first page.
    others_ns: Cell<[i64; 2]>,
}

impl Pages {
    /// Resets the work if the thread has since had time to handle all other requests.
    fn rest(&self, now_ns: i64) {
        let worked_ns = self.work.get().saturating_mul(WORK_NS);
        if self.last_ns.get().abs_diff(now_ns) > worked_ns.saturating_add(QUIET_NS) {
            self.work.set(0);
        }
    }

    fn note(&self, now_ns: i64) {
        let [_, last_ns] = self.others_ns.get();
        if last_ns.abs_diff(now_ns) > SAME_NS {
            self.others_ns.set([last_ns, now_ns]);
        }
    }

    fn count_first(&self, query: Option<Precedence>, change: isize) {
        if query.is_none() {
            self.first_pages.set(self.first_pages.get().saturating_add_signed(change));
        }
    }

    /// Whether other requests arrived recently, in addition to the requests of a single query.
    fn has_others(&self, now_ns: i64) -> bool {
        let [before_ns, _] = self.others_ns.get();
        before_ns.abs_diff(now_ns) < OTHERS_NS
    }
}

/// The waiting pages of one shard.
#[derive(Debug)]
pub(super) struct PageQueue {
    pages: Rc<Pages>,
    /// The waiting pages, in the order of their arrival.
    waiting: Vec<WaitingPage>,
    /// The long queries that have read a page recently.
    readers: Vec<Precedence>,
    /// The number of pages that the queries in `readers` have read. If the number stays the same,
    /// these queries are idle.
    reader_pages: u64,
}

#[derive(Debug)]
struct WaitingPage {
    event_id: EventId,
    /// `None` for a first page.
    query: Option<Precedence>,
    /// The value of [`Pages::read`] at the last check.
    pages_seen: u64,
    /// The value of [`PageQueue::reader_pages`] at the last check.
    reader_pages_seen: u64,
    /// The time for which the queries in `readers` have been idle.
    idle_ms: u32,
    /// The time for which the page has waited.
    waited_ms: u32,
    /// The number of times that the page has yielded to first pages of other shards.
    yielded: u32,
}

impl WaitingPage {
    fn precedence(&self) -> Option<Precedence> {
        let waited = u8::try_from(self.waited_ms / CLASS_MS).unwrap_or(u8::MAX);
        self.query.map(|of| Precedence { class: of.class.saturating_sub(waited), ..of })
    }
}

impl PageQueue {
    pub(super) fn new(pages: Rc<Pages>) -> Self {
        Self { pages, waiting: Vec::new(), readers: Vec::new(), reader_pages: 0 }
    }

    /// Adds a page request to the queue. `query` is the long query, or `None` for a first page.
    /// Returns the pause before [`PageQueue::check_again`], in milliseconds, or `None` if the page
    /// can run now.
    pub(super) fn enqueue(
        &mut self,
        event_id: EventId,
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
        let (pages_seen, reader_pages_seen) = (self.pages.read.get(), self.reader_pages);
        let page = WaitingPage {
            event_id,
            query,
            pages_seen,
            reader_pages_seen,
            idle_ms: 0,
            waited_ms: 0,
            yielded: 0,
        };
        self.waiting.push(page);
        let selected = self.selected_queries();
        if waiting == 0 && self.pages.work.get() < WORK_MAX && self.may_read(0, &selected) {
            self.waiting.clear();
            self.start_reading(query);
            return Ok(None);
        }
        self.pages.count_first(query, 1);
        let pause_ms = self.pause_ms(waiting, self.ahead(waiting, &selected), &selected, now_ns);
        if let Some(page) = self.waiting.last_mut() {
            page.waited_ms = pause_ms;
        }
        Ok(Some(pause_ms))
    }

    /// Records a message that requests no page, usually a write.
    pub(super) fn on_write(&self, now_ns: i64) {
        self.pages.note(now_ns);
    }

    /// Checks after a pause whether the page can run. Returns the same values as
    /// [`PageQueue::enqueue`].
    pub(super) fn check_again(&mut self, event_id: EventId, now_ns: i64) -> Option<u32> {
        let at = self.waiting.iter().position(|waiting| waiting.event_id == event_id)?;
        let waiting = self.waiting.get(at)?;
        let (query, is_alone) = (waiting.query, waiting.pages_seen == self.pages.read.get());
        let selected = self.selected_queries();
        let ahead = self.ahead(at, &selected);
        let may_go = ahead == 0 && is_alone && self.may_read(at, &selected);
        if may_go && !self.yields(at) {
            self.waiting.remove(at);
            self.pages.count_first(query, -1);
            self.pages.work.set(0);
            self.start_reading(query);
            return None;
        }
        let (pages_seen, reader_pages_seen) = (self.pages.read.get(), self.reader_pages);
        let pause_ms = self.pause_ms(at, ahead, &selected, now_ns);
        let waiting = self.waiting.get_mut(at)?;
        let is_idle = waiting.reader_pages_seen == reader_pages_seen;
        waiting.idle_ms = if is_idle { waiting.idle_ms.saturating_add(pause_ms) } else { 0 };
        waiting.waited_ms = waiting.waited_ms.saturating_add(pause_ms);
        (waiting.pages_seen, waiting.reader_pages_seen) = (pages_seen, reader_pages_seen);
        Some(pause_ms)
    }

    /// Records that a page was computed. `work` is the number of rows and bytes. `is_last` is true
    /// for the last page of a query.
    pub(super) fn on_page(
        &mut self,
        query: Option<Precedence>,
        is_last: bool,
        work: u64,
        now_ns: i64,
    ) {
        self.pages.read.set(self.pages.read.get().wrapping_add(1));
        self.pages.last_ns.set(now_ns);
        self.pages.work.set(self.pages.work.get().saturating_add(work));
        if let Some(Precedence { id, .. }) = query {
            self.reader_pages = self.reader_pages.wrapping_add(1);
            let is_of_query =
                |waiting: &WaitingPage| waiting.query.is_some_and(|query| query.id == id);
            if is_last && !self.waiting.iter().any(is_of_query) {
                self.readers.retain(|reader| reader.id != id);
            }
        }
    }

    pub(super) fn leave(&mut self, event_id: EventId) {
        if let Some(page) = self.waiting.extract_if(.., |page| page.event_id == event_id).next() {
            self.pages.count_first(page.query, -1);
        }
    }

    /// Whether the page must pause again, so that first pages of other shards can run first. Counts
    /// these pauses up to [`YIELDS_MAX`].
    fn yields(&mut self, at: usize) -> bool {
        let first_pages_wait = self.pages.first_pages.get() > 0;
        let Some(page) = self.waiting.get_mut(at) else { return false };
        let yields = first_pages_wait && page.query.is_some() && page.yielded < YIELDS_MAX;
        page.yielded += u32::from(yields);
        yields
    }

    /// Returns the queries that may read now, in the order of their precedence: at most
    /// [`QUERIES_READING_MAX`] of the queries that wait or have read recently.
    fn selected_queries(&self) -> Vec<Precedence> {
        let waiting = self.waiting.iter().filter_map(WaitingPage::precedence);
        // A query that waits is omitted here, because its entry in `waiting` includes the waiting
        // time.
        let reading = self.readers.iter().filter(|reader| {
            !self.waiting.iter().any(|waiting| waiting.query.is_some_and(|of| of.id == reader.id))
        });
        let mut selected: Vec<Precedence> = Vec::with_capacity(QUERIES_READING_MAX + 1);
        for query in waiting.chain(reading.copied()) {
            if selected.iter().any(|known| known.id == query.id) {
                continue;
            }
            let at = selected.partition_point(|known| known.is_before(query));
            selected.insert(at, query);
            selected.truncate(QUERIES_READING_MAX);
        }
        selected
    }

    /// Returns the number of pages that must run first: all earlier pages if the page's query is
    /// not selected. First pages wait only for other first pages, so pages never wait for each
    /// other in a cycle.
    fn ahead(&self, at: usize, selected: &[Precedence]) -> usize {
        let is_first = |at: usize| self.waiting.get(at).is_some_and(|page| page.query.is_none());
        let Some(rank) = self.rank(at, selected) else { return at };
        let goes_before = |&other: &usize| match self.rank(other, selected) {
            None => false,
            Some(_) if is_first(other) => other < at,
            Some(other_rank) => !is_first(at) && (other_rank, other) < (rank, at),
        };
        (0..self.waiting.len()).filter(goes_before).count()
    }

    fn may_read(&self, at: usize, selected: &[Precedence]) -> bool {
        self.rank(at, selected).is_some()
    }

    /// Returns the position of the page's query in `selected`, or `None` if the query must wait
    /// until one of these queries ends. A first page has position 0. If the selected queries have
    /// read no page for `READER_IDLE_MS`, the query follows them.
    fn rank(&self, at: usize, selected: &[Precedence]) -> Option<usize> {
        let page = self.waiting.get(at)?;
        let Some(query) = page.query else { return Some(0) };
        let rank = selected.iter().position(|of| of.id == query.id);
        rank.or_else(|| (page.idle_ms >= READER_IDLE_MS).then_some(selected.len()))
    }

    /// Returns the pause before the next check of a waiting page, in milliseconds. A page whose
    /// query may not read yet also pauses, so that the idle time of the reading queries is counted.
    fn pause_ms(&self, at: usize, ahead: usize, selected: &[Precedence], now_ns: i64) -> u32 {
        let Some(page) = self.waiting.get(at) else { return FIRST_PAUSE_MS };
        let leaves_room = page.query.is_some()
            && page.waited_ms < OTHERS_PRESENT_MS_MAX
            && self.pages.has_others(now_ns);
        match ahead {
            0 if leaves_room => OTHERS_PRESENT_PAUSE_MS,
            0 if self.may_read(at, selected) => FIRST_PAUSE_MS,
            ahead => pause(ahead),
        }
    }

    fn start_reading(&mut self, query: Option<Precedence>) {
        let Some(query) = query else { return };
        self.readers.retain(|reader| reader.id != query.id);
        if self.readers.len() >= QUERIES_READING_MAX {
            self.readers.remove(0);
        }
        self.readers.push(query);
    }
}

impl Drop for PageQueue {
    fn drop(&mut self) {
        for page in &self.waiting {
            self.pages.count_first(page.query, -1);
        }
    }
}

fn pause(ahead: usize) -> u32 {
    let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
    PAUSE_MS.saturating_add(PAUSE_STEP_MS.saturating_mul(ahead)).min(PAUSE_MS_MAX)
}

#[cfg(test)]
mod tests;
