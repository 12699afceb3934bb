//! Counts how often newer state of an object has sent a request back to its start.

use crate::model::limits::STALE_RETRIES_MAX;
use crate::protocol::host::Unavailable;

/// The times that a request was started again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retries(u32);

impl Retries {
    /// Counts one more.
    ///
    /// # Errors
    /// [`Unavailable::Changing`] when there were [`STALE_RETRIES_MAX`]: something changes faster
    /// than the request can follow, and its client is told to come back.
    pub(super) fn count(&mut self) -> Result<(), Unavailable> {
        if self.0 >= STALE_RETRIES_MAX {
            return Err(Unavailable::Changing);
        }
        self.0 += 1;
        Ok(())
    }
}
