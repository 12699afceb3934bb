//! Counts the restarts of a request because of an object's newer state.

use crate::model::limits::STALE_RETRIES_MAX;
use crate::protocol::host::Unavailable;

/// The times that a request was started again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retries(u32);

impl Retries {
    /// Counts a restart.
    ///
    /// # Errors
    /// [`Unavailable::Changing`] after [`STALE_RETRIES_MAX`] restarts: the state changes faster
    /// than the request can follow, and the client must retry later.
    pub(super) fn count(&mut self) -> Result<(), Unavailable> {
        if self.0 >= STALE_RETRIES_MAX {
            return Err(Unavailable::Changing);
        }
        self.0 += 1;
        Ok(())
    }
}
