//! Where the streams of a plan wait for their pages, and whoever has them hands them in.
//!
//! A stream that finds no page says that it is hungry and leaves its waker; a stream that is
//! dropped before its end is a cancelled scan.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{Fault, QueryError};
use crate::messages::{Page, ScanRequest, Wanted};

/// The scans of one plan.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    scans: BTreeMap<u64, Scan>,
    cancelled: Vec<u64>,
    /// No page will come any more.
    failure: Option<QueryError>,
}

#[derive(Debug, Default)]
struct Scan {
    /// What it reads, until that was said.
    request: Option<ScanRequest>,
    pages: VecDeque<Page>,
    has_ended: bool,
    hunger: Hunger,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hunger {
    /// It has what it needs, or does not look.
    #[default]
    None,
    /// It waits, and nobody was told.
    New,
    /// Whoever has the pages knows.
    Told,
}

/// A scan's place at the desk. Dropping it ends the scan.
#[derive(Debug)]
pub(crate) struct Seat {
    desk: Arc<Desk>,
    scan: u64,
}

impl Desk {
    /// A seat for a scan, which gets its number from here.
    pub(crate) fn sit(self: &Arc<Self>, request: ScanRequest) -> Seat {
        let mut state = self.lock();
        let scan = state.next;
        state.next += 1;
        let request = Some(ScanRequest { scan, ..request });
        state.scans.insert(scan, Scan { request, ..Scan::default() });
        Seat { desk: Arc::clone(self), scan }
    }

    /// Takes in a page. One of a scan that has gone is dropped.
    pub(crate) fn put(&self, page: Page) {
        let waker = {
            let mut state = self.lock();
            let Some(scan) = state.scans.get_mut(&page.scan) else { return };
            scan.has_ended |= page.is_last;
            scan.pages.push_back(page);
            scan.hunger = Hunger::None;
            scan.waker.take()
        };
        // Outside of the lock: what wakes may run at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// From now on every stream that looks for a page finds this.
    pub(crate) fn fail(&self, error: QueryError) {
        let wakers: Vec<Waker> = {
            let mut state = self.lock();
            state.failure.get_or_insert(error);
            state.scans.values_mut().filter_map(|scan| scan.waker.take()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What is wanted since this was asked last.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let mut state = self.lock();
        let new = state.scans.iter_mut().filter(|(_, scan)| scan.hunger == Hunger::New);
        new.map(|(&number, scan)| {
            scan.hunger = Hunger::Told;
            scan.request.take().map_or(Wanted::Page(number), Wanted::Scan)
        })
        .collect()
    }

    /// Scans that ended before their last page since this was asked last, of those that were begun.
    pub(crate) fn cancelled(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().cancelled)
    }

    /// Whether a stream waits for a page.
    pub(crate) fn is_hungry(&self) -> bool {
        self.lock().scans.values().any(|scan| scan.hunger != Hunger::None)
    }

    /// Scans that have a seat.
    pub(crate) fn seats(&self) -> usize {
        self.lock().scans.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The next page; `None` behind the last one.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Option<Result<Page, QueryError>>> {
        let mut state = self.desk.lock();
        if let Some(error) = &state.failure {
            return Poll::Ready(Some(Err(error.clone())));
        }
        let Some(scan) = state.scans.get_mut(&self.scan) else { return Poll::Ready(None) };
        if let Some(page) = scan.pages.pop_front() {
            return Poll::Ready(Some(Ok(page)));
        }
        if scan.has_ended {
            return Poll::Ready(None);
        }
        if scan.hunger == Hunger::None {
            scan.hunger = Hunger::New;
        }
        scan.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.desk.lock();
        let was_begun = |scan: &Scan| scan.request.is_none() && !scan.has_ended;
        if state.scans.remove(&self.scan).as_ref().is_some_and(was_begun) {
            state.cancelled.push(self.scan);
        }
    }
}

/// A failure of whoever has the data.
pub(crate) fn source_failure(status: u16, message: String) -> QueryError {
    QueryError { fault: Fault::Source(status), message }
}
