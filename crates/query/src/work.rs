//! Counts the work of statements. A statement pauses after some milliseconds of work, and fails
//! when it reaches its limit of work.
//!
//! One unit is one value that a loop reads or computes. Counting is deterministic, and also works
//! on Workers, where the clock does not advance during a computation.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::error::{QueryError, Result};
use tidemark_model::configurable_limits::{Limit, Limits};
use tidemark_model::limits::{WORK_PER_MS, WORK_PER_TURN};

/// The number of bytes of a page that are decoded and sorted in one unit of work.
pub(super) const PAGE_BYTES_PER_UNIT: usize = 16;
/// The work of parsing one byte of a text.
const PARSING_PER_BYTE: usize = 5;

/// The work counter of a statement. Clones share the same counter.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// The units of work since the request last paused. All statements of a request share this
    /// counter.
    turn: Rc<Cell<u64>>,
    units: Rc<Cell<u64>>,
    limits: Rc<Cell<Limits>>,
}

impl Work {
    /// Creates the counter of the request's next statement.
    pub fn next_statement(&self) -> Self {
        let limits = Rc::new(Cell::new(self.limits.get()));
        Self { turn: Rc::clone(&self.turn), units: Rc::default(), limits }
    }

    /// Sets the limits of the statement.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
    }

    /// Adds `units` of work.
    pub fn add(&self, units: usize) {
        let add = |counter: &Cell<u64>| counter.set(counter.get().saturating_add(units as u64));
        add(&self.turn);
        add(&self.units);
    }

    /// Adds the work of parsing a text, which has no pause. A long text leaves less work for the
    /// rest of the turn.
    pub fn add_parsing(&self, text: &str) {
        self.add(text.len().saturating_mul(PARSING_PER_BYTE));
    }

    /// Whether the statement must pause before it continues.
    pub fn is_due(&self) -> bool {
        self.left() == 0
    }

    /// Returns the units of work that the request may do before it pauses.
    pub(crate) fn left(&self) -> usize {
        // A turn has far fewer than 2^32 units.
        WORK_PER_TURN.saturating_sub(self.turn.get()) as usize
    }

    /// Adds `units` of work. A [`Computation`] that awaits this function pauses if the turn's work
    /// is done.
    pub async fn spend(&self, units: usize) {
        self.add(units);
        poll_fn(|_| if self.is_due() { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Resets the work of the turn. Call this when the request pauses or waits for a call.
    pub fn rest(&self) {
        self.turn.set(0);
    }

    /// Whether the statement must pause now. If so, also starts the next turn.
    ///
    /// # Errors
    /// [`QueryError::Exceeded`] after `QUERY_CPU_MS_MAX`.
    pub fn pauses(&self) -> Result<bool> {
        let ms = usize::try_from(self.units.get() / WORK_PER_MS).unwrap_or(usize::MAX);
        let limits = self.limits.get();
        limits.check(Limit::QueryCpuMs, 0, ms).map_err(|error| QueryError::Exceeded {
            error,
            advice: "narrow the time range, select fewer series or fields, or raise the limit",
        })?;
        let is_due = self.is_due();
        if is_due {
            self.rest();
        }
        Ok(is_due)
    }
}

/// A running async function that awaits only [`Work::spend`].
pub(crate) struct Computation<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Computation<T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(future))
    }

    /// Continues the computation. Returns `None` if the statement must pause first. Must not be
    /// called after the result.
    pub(crate) fn proceed(&mut self) -> Option<T> {
        proceed(self.0.as_mut())
    }
}

/// Continues an async function that awaits only [`Work::spend`]. Returns `None` if the statement
/// must pause first. Must not be called after the result.
pub fn proceed<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// Returns the result of an async function that awaits only [`Work::spend`], without a pause.
pub fn complete<T>(future: impl Future<Output = T>, work: &Work) -> T {
    let mut future = pin!(future);
    loop {
        match proceed(future.as_mut()) {
            Some(result) => return result,
            None => work.rest(),
        }
    }
}

/// Returns the result of an async function and the number of its pauses. For tests.
///
/// # Panics
/// If a turn exceeds its work by more than `excess` units, or the statement exceeds its limit.
#[expect(clippy::panic, reason = "only tests call this function")]
pub fn run_measured<T>(work: &Work, excess: usize, future: impl Future<Output = T>) -> (T, usize) {
    let mut future = pin!(future);
    let mut pauses = 0;
    work.rest();
    loop {
        let proceeded = proceed(future.as_mut());
        assert!(work.turn.get() <= WORK_PER_TURN + excess as u64, "{work:?}");
        if let Some(result) = proceeded {
            return (result, pauses);
        }
        match work.pauses() {
            Ok(is_due) => pauses += usize::from(is_due),
            Err(error) => panic!("{error}"),
        }
    }
}

impl<T> fmt::Debug for Computation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_pauses_and_ends_at_limit() {
        let first = Work::default();
        first.set_limits(
            Limits::read(|row| Ok::<_, ()>((row.name == "QUERY_CPU_MS_MAX").then_some(25)))
                .unwrap(),
        );
        let second = first.next_statement();
        let mut pauses = 0;
        let error = loop {
            first.add(WORK_PER_MS as usize);
            match first.pauses() {
                Ok(pause) => pauses += usize::from(pause),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(pauses, 5);
        assert_eq!(
            error,
            "the statement needs too much computing time: current 0, requested 26, limit 25 \
             (QUERY_CPU_MS_MAX): narrow the time range, select fewer series or fields, or raise \
             the limit"
        );
        // The next statement has its own limit, but shares the turn.
        second.add(WORK_PER_TURN as usize);
        assert!(first.is_due());
        assert_eq!(second.pauses(), Ok(true));
        assert!(!first.is_due());
    }
}
