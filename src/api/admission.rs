//! Bytes of request bodies in flight: one budget per isolate, taken before a body is read.
//!
//! Everything in an isolate shares 128 MB, so a body is only read once its bytes have been
//! reserved. A permit gives its bytes back when dropped, however the request ends.
//!
//! Columns of the shortest lines take two and a half times their text. A body that is alone may
//! therefore take more than the budget; while it does, no other is admitted.

use std::cell::Cell;
use std::rc::Rc;

use crate::model::limits::{BODIES_IN_FLIGHT_BYTES_MAX, LONE_BODY_BYTES_MAX};

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission {
    free_bytes: Rc<Cell<usize>>,
    total_bytes: usize,
    /// What one permit may hold while it is the only one.
    alone_bytes: usize,
}

/// The budget is spent: the client should come back in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many request bodies in flight: {wanted} bytes wanted, {free} of {total} free; {}",
    if *.never { "send smaller batches" } else { "retry in a second" }
)]
pub struct Overloaded {
    /// Bytes asked for.
    pub wanted: usize,
    /// Bytes free.
    pub free: usize,
    /// The whole budget.
    pub total: usize,
    /// One request alone wants more than that.
    pub never: bool,
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(BODIES_IN_FLIGHT_BYTES_MAX, LONE_BODY_BYTES_MAX)
    }
}

impl Admission {
    /// A budget of `total_bytes`, of `alone_bytes` for a request that is alone.
    pub fn new(total_bytes: usize, alone_bytes: usize) -> Self {
        Self { free_bytes: Rc::new(Cell::new(total_bytes)), total_bytes, alone_bytes }
    }

    /// Reserves `bytes`.
    ///
    /// # Errors
    /// [`Overloaded`] when fewer are free.
    pub fn reserve(&self, bytes: usize) -> Result<Permit, Overloaded> {
        let mut permit = Permit { admission: self.clone(), bytes: 0, beyond_bytes: 0 };
        permit.grow_to(bytes)?;
        Ok(permit)
    }
}

/// Reserved bytes, given back on drop.
#[derive(Debug)]
pub struct Permit {
    admission: Admission,
    /// Of the budget.
    bytes: usize,
    /// Beyond the budget; then all of it is held.
    beyond_bytes: usize,
}

impl Permit {
    /// Makes sure that at least `bytes` are reserved.
    ///
    /// # Errors
    /// [`Overloaded`] when the difference is not free; what was reserved stays so.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Overloaded> {
        let Admission { free_bytes, total_bytes: total, alone_bytes } = &self.admission;
        let (free, total) = (free_bytes.get(), *total);
        let wanted = bytes.saturating_sub(self.bytes + self.beyond_bytes);
        let is_alone = self.bytes + free == total;
        let most = if is_alone { *alone_bytes } else { self.bytes + free };
        if wanted > 0 && bytes > most {
            return Err(Overloaded { wanted, free, total, never: bytes > *alone_bytes });
        }
        let inside = wanted.min(free);
        free_bytes.set(free - inside);
        self.bytes += inside;
        self.beyond_bytes += wanted - inside;
        Ok(())
    }

    /// Gives back what is reserved beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.beyond_bytes = self.beyond_bytes.min(bytes.saturating_sub(self.bytes));
        let more = self.bytes.saturating_sub(bytes);
        self.admission.free_bytes.set(self.admission.free_bytes.get() + more);
        self.bytes -= more;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.free_bytes.set(self.admission.free_bytes.get() + self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_when_a_permit_goes() {
        let admission = Admission::new(10, 10);
        let mut first = admission.reserve(4).unwrap();
        first.grow_to(8).unwrap();
        assert_eq!(
            admission.reserve(3).map(|_| ()),
            Err(Overloaded { wanted: 3, free: 2, total: 10, never: false })
        );
        let never = first.grow_to(11).unwrap_err();
        assert_eq!(never, Overloaded { wanted: 3, free: 2, total: 10, never: true });
        first.shrink_to(6);
        first.shrink_to(7);
        assert!(admission.reserve(4).is_ok() && admission.reserve(5).is_err());
        drop(first);
        assert!(admission.reserve(10).is_ok());
    }

    #[test]
    fn who_is_alone_may_have_more_and_stays_alone() {
        let admission = Admission::new(10, 15);
        let other = admission.reserve(1).unwrap();
        let mut large = admission.reserve(9).unwrap();
        let waits = Overloaded { wanted: 1, free: 0, total: 10, never: false };
        assert_eq!(large.grow_to(10), Err(waits));
        drop(other);
        assert_eq!((large.grow_to(12), large.grow_to(15)), (Ok(()), Ok(())));
        let never = Overloaded { wanted: 1, free: 0, total: 10, never: true };
        assert_eq!(large.grow_to(16), Err(never));
        assert!(admission.reserve(1).is_err());
        large.shrink_to(11);
        assert_eq!((large.bytes, large.beyond_bytes), (10, 1));
        large.shrink_to(8);
        assert_eq!((large.bytes, large.beyond_bytes), (8, 0));
        assert_eq!(admission.reserve(2).map(drop), Ok(()));
        drop(large);
        assert!(admission.reserve(10).is_ok());
    }
}
