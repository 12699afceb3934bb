//! Counts the bytes that a part of a query uses.

use super::{HALF_BYTES, OutOfMemory, QueryReservation};

/// The bytes that a part of a query uses. Dropping the value returns the bytes to the query's
/// reservation.
#[derive(Debug)]
pub struct HeldBytes {
    reservation: QueryReservation,
    bytes: usize,
}

impl HeldBytes {
    pub(super) fn new(reservation: QueryReservation) -> Self {
        Self { reservation, bytes: 0 }
    }

    /// Sets the number of bytes that the part uses.
    ///
    /// # Errors
    /// [`OutOfMemory`] if the bytes are not available. A part can always use half of a query's
    /// initial bytes. After an error, the part keeps its previous size.
    pub fn set(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let reservation = &self.reservation.0;
        let used = (reservation.used_bytes.get() + bytes).saturating_sub(self.bytes);
        if bytes > self.bytes && bytes > HALF_BYTES {
            reservation.hold(used)?;
        }
        reservation.used_bytes.set(used);
        if bytes < self.bytes {
            reservation.settle();
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Returns the number of used bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the part of `wish` that is available without taking bytes from other queries. The
    /// result is at least the minimum of `wish` and half of a query's initial bytes.
    pub fn affordable(&self, wish: usize) -> usize {
        let others = self.reservation.0.used_bytes.get().saturating_sub(self.bytes);
        let available = self.reservation.0.available_bytes().saturating_sub(others);
        wish.min(available.max(HALF_BYTES))
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        let reservation = &self.reservation.0;
        reservation.used_bytes.set(reservation.used_bytes.get().saturating_sub(self.bytes));
        reservation.settle();
    }
}
