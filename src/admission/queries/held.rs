//! The bytes that a part of a query holds.

use super::{HALF_BYTES, NoRoom, QueryRoom};

/// The bytes that a part of a query holds. Returns them to the query's room on drop.
#[derive(Debug)]
pub struct Held {
    room: QueryRoom,
    bytes: usize,
}

impl Held {
    pub(super) fn new(room: QueryRoom) -> Self {
        Self { room, bytes: 0 }
    }

    /// Sets the number of bytes that the part holds.
    ///
    /// # Errors
    /// [`NoRoom`] if the bytes are not available and exceed half of a query's initial bytes. The
    /// part then keeps its previous number of bytes.
    pub fn set(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let room = &self.room.0;
        let used = (room.used_bytes.get() + bytes).saturating_sub(self.bytes);
        if bytes > self.bytes && bytes > HALF_BYTES {
            room.hold(used)?;
        }
        room.used_bytes.set(used);
        if bytes < self.bytes {
            room.settle();
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Returns the number of held bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the part of `wish` that is available without taking bytes from others. Returns at
    /// least half of a query's initial bytes, or `wish` if smaller.
    pub fn affordable(&self, wish: usize) -> usize {
        let others = self.room.0.used_bytes.get().saturating_sub(self.bytes);
        let available = self.room.0.available_bytes().saturating_sub(others);
        wish.min(available.max(HALF_BYTES))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let room = &self.room.0;
        room.used_bytes.set(room.used_bytes.get().saturating_sub(self.bytes));
        room.settle();
    }
}
