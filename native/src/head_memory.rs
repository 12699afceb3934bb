//! Limits the memory of large request heads, because there may be thousands of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::{LARGE_HEADS_BYTES_MAX, SMALL_HEAD_BYTES};

/// The number of bytes that a reservation grows by.
const STEP_BYTES: usize = 16 << 10;

/// The memory of the large heads of all connections.
#[derive(Debug, Default)]
pub struct HeadMemory {
    used: AtomicUsize,
}

/// The memory of one large head, which is free again when the value is dropped.
#[derive(Debug)]
pub struct HeadReservation {
    memory: Arc<HeadMemory>,
    bytes: usize,
}

impl HeadMemory {
    /// Reserves the memory of a head of this size. Returns false if other large heads use all
    /// memory.
    pub fn grow(
        self: &Arc<Self>,
        reservation: &mut Option<HeadReservation>,
        head_bytes: usize,
    ) -> bool {
        let needed = head_bytes.saturating_sub(SMALL_HEAD_BYTES);
        let reserved = reservation.as_ref().map_or(0, |reservation| reservation.bytes);
        if needed <= reserved {
            return true;
        }
        let more = (needed - reserved).next_multiple_of(STEP_BYTES);
        let used = self.used.fetch_add(more, Ordering::Relaxed) + more;
        let memory = Arc::clone(self);
        reservation.get_or_insert(HeadReservation { memory, bytes: 0 }).bytes += more;
        used <= LARGE_HEADS_BYTES_MAX
    }
}

impl Drop for HeadReservation {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
