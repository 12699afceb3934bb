//! Waits for a query's initial memory.

use super::Context;
use super::error::{Error, Result};
use crate::admission::{QueryReservation, ReservationSlot};
use crate::model::limits::{QUERY_WAIT_NS_MAX, QUERY_WAIT_PAUSE_MS};
use crate::model::time::MS_NS;
use crate::protocol::host::Unavailable;
use crate::protocol::round::Request;

#[derive(Debug, Default)]
pub(super) struct QueryWait {
    waited_ns: i64,
}

impl QueryWait {
    /// Returns the pause before the next check; `None` if the query may begin. Returns an error if
    /// other queries use the memory for too long, or if too many queries wait.
    pub(super) fn wait(
        &mut self,
        context: &Context<'_>,
        reservation: &QueryReservation,
    ) -> Result<Option<Request>> {
        if reservation.start(context.platform.now_ns()) {
            return Ok(None);
        }
        if self.waited_ns >= QUERY_WAIT_NS_MAX || context.queries.is_crowded() {
            return Err(Unavailable::Crowded.into());
        }
        self.waited_ns += i64::from(QUERY_WAIT_PAUSE_MS) * MS_NS;
        Ok(Some(Request::pause(QUERY_WAIT_PAUSE_MS)))
    }
}

/// Whether a query that failed for lack of memory restarts when enough memory is free. In this case
/// the query has already released its own memory.
pub(super) fn may_restart<T>(result: &Result<T>, reservation: &ReservationSlot) -> bool {
    let is_refused = matches!(result, Err(Error::Unavailable(Unavailable::Crowded)));
    is_refused && reservation.get().is_some_and(QueryReservation::restart)
}
