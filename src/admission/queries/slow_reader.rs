//! Tracks responses whose client does not read. These responses are evicted when other queries need
//! the bytes.

use std::cell::Cell;
use std::rc::Rc;

use super::QueryReservation;
use crate::admission::{Evictable, Tag};
use crate::model::limits::SLOW_READER_NS;

impl QueryReservation {
    /// Marks the response as waiting for its client since `now_ns`. After [`SLOW_READER_NS`], other
    /// queries may evict the response.
    pub fn waits(&self, now_ns: i64) -> SlowReader {
        let slot = Rc::new(SlowReaderState {
            reservation: self.clone(),
            tag: self.tag(),
            since_ns: now_ns,
            is_gone: Cell::new(false),
        });
        self.0.shared.reservations.register(&slot);
        self.0.has_reader.set(false);
        SlowReader(slot)
    }
}

/// A response that waits for its client.
#[derive(Debug)]
pub struct SlowReader(Rc<SlowReaderState>);

impl SlowReader {
    /// Whether the response was evicted.
    pub fn is_gone(&self) -> bool {
        self.0.is_gone.get()
    }
}

impl Drop for SlowReader {
    fn drop(&mut self) {
        self.0.reservation.0.has_reader.set(true);
    }
}

#[derive(Debug)]
struct SlowReaderState {
    reservation: QueryReservation,
    tag: Tag,
    since_ns: i64,
    is_gone: Cell<bool>,
}

impl Evictable for SlowReaderState {
    fn tag(&self) -> &Tag {
        &self.tag
    }

    fn last_active_ns(&self) -> i64 {
        self.since_ns
    }

    fn evict(&self) -> bool {
        let waited_ns = self.reservation.0.shared.now_ns.get().saturating_sub(self.since_ns);
        if waited_ns < SLOW_READER_NS || self.is_gone.replace(true) {
            return false;
        }
        self.reservation.give_up();
        true
    }
}
