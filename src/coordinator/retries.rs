//! Counts how often a request restarts because an object has newer state.

use crate::model::limits::STALE_RETRIES_MAX;
use crate::protocol::host::Unavailable;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retries(u32);

impl Retries {
    /// Returns [`Unavailable::Changing`] after [`STALE_RETRIES_MAX`] restarts. The client must then
    /// retry after a delay.
    pub(super) fn count(&mut self) -> Result<(), Unavailable> {
        if self.0 >= STALE_RETRIES_MAX {
            return Err(Unavailable::Changing);
        }
        self.0 += 1;
        Ok(())
    }
}
