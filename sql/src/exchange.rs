//! Implements the exchange between the scans of a plan and the owner of the session. Scans wait for
//! pages, and the session delivers the pages.
//!
//! If a stream has no page, it registers its waker and marks its scan as waiting. If a stream is
//! dropped before its last page, the stream cancels its scan.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::QueryError;
use crate::messages::{Page, ScanRequest, SessionRequest};

/// The requests and pages of all scans of a query.
#[derive(Debug, Default)]
pub(crate) struct PageExchange {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    scans: BTreeMap<u64, Scan>,
    cancelled: Vec<u64>,
    /// The error that ends all scans. No page follows the error.
    failure: Option<QueryError>,
}

/// One scan, with the pages that its stream has not read yet.
#[derive(Debug, Default)]
struct Scan {
    /// The request of the scan, or `None` after `wanted` has returned the request.
    request: Option<ScanRequest>,
    pages: VecDeque<Page>,
    has_ended: bool,
    demand: Demand,
    waker: Option<Waker>,
}

/// Whether the stream of a scan is waiting for a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Demand {
    /// The scan has a page, or the stream is not polling.
    #[default]
    None,
    /// The scan is waiting, and `wanted` has not returned its request yet.
    New,
    /// The scan is waiting, and `wanted` has returned its request.
    Sent,
}

/// The handle of a scan. Dropping the handle ends the scan.
#[derive(Debug)]
pub(crate) struct ScanHandle {
    exchange: Arc<PageExchange>,
    scan: u64,
}

impl PageExchange {
    pub(crate) fn register_scan(self: &Arc<Self>, request: ScanRequest) -> ScanHandle {
        let mut state = self.lock();
        let scan = state.next;
        state.next += 1;
        let request = Some(ScanRequest { scan, ..request });
        state.scans.insert(scan, Scan { request, ..Scan::default() });
        ScanHandle { exchange: Arc::clone(self), scan }
    }

    /// Delivers a page to its scan. Ignores pages of dropped scans.
    pub(crate) fn put(&self, page: Page) {
        let waker = {
            let mut state = self.lock();
            let Some(scan) = state.scans.get_mut(&page.scan) else { return };
            scan.has_ended |= page.is_last;
            scan.pages.push_back(page);
            scan.demand = Demand::None;
            scan.waker.take()
        };
        // The waker is called after the lock is released, because the woken task may run
        // immediately.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Makes every current and later poll return `error`.
    pub(crate) fn fail(&self, error: QueryError) {
        let wakers: Vec<Waker> = {
            let mut state = self.lock();
            state.failure.get_or_insert(error);
            state.scans.values_mut().filter_map(|scan| scan.waker.take()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Returns the requests for scans and pages that have been added since the last call.
    pub(crate) fn wanted(&self) -> Vec<SessionRequest> {
        let mut state = self.lock();
        let new = state.scans.iter_mut().filter(|(_, scan)| scan.demand == Demand::New);
        new.map(|(&number, scan)| {
            scan.demand = Demand::Sent;
            scan.request.take().map_or(SessionRequest::Page(number), SessionRequest::Scan)
        })
        .collect()
    }

    /// Returns the requested scans that have been dropped before their last page. A scan is
    /// returned only once.
    pub(crate) fn cancelled(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().cancelled)
    }

    pub(crate) fn has_demand(&self) -> bool {
        self.lock().scans.values().any(|scan| scan.demand != Demand::None)
    }

    pub(crate) fn open_scans(&self) -> usize {
        self.lock().scans.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ScanHandle {
    /// Returns the next page, or `None` after the last page.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Option<Result<Page, QueryError>>> {
        let mut state = self.exchange.lock();
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
        if scan.demand == Demand::None {
            scan.demand = Demand::New;
        }
        scan.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for ScanHandle {
    fn drop(&mut self) {
        let mut state = self.exchange.lock();
        let was_begun = |scan: &Scan| scan.request.is_none() && !scan.has_ended;
        if state.scans.remove(&self.scan).as_ref().is_some_and(was_begun) {
            state.cancelled.push(self.scan);
        }
    }
}
