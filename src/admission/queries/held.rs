//! What one part of a query holds.

use super::{HALF_BYTES, NoRoom, QueryRoom};

/// What one part of a query holds, which is given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    room: QueryRoom,
    bytes: usize,
}

impl Held {
    /// A part of the query with this room, which holds nothing yet.
    pub(super) fn new(room: QueryRoom) -> Self {
        Self { room, bytes: 0 }
    }

    /// The part holds `bytes` now.
    ///
    /// # Errors
    /// [`NoRoom`] when they cannot be had and are more than half of what a query begins with; it
    /// counts as holding what it held before.
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

    /// What it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much of `wish` it may hold without taking what others hold; half of what a query begins
    /// with, always.
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
