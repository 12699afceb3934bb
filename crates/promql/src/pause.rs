//! Pauses of long computations.

use std::cell::Cell;

/// Counts the work of an evaluation and pauses the evaluation.
pub trait Pause {
    /// Adds `units` of work, and waits if other requests must run first. One unit is about one
    /// value that a loop reads or computes.
    fn work(&self, units: u64) -> impl Future<Output = ()>;
}

/// The work between two calls of [`Pause::work`].
const UNITS_PER_CALL: u64 = 1000;

/// Collects small amounts of work for a [`Pause`].
pub(crate) struct Work<'a, P> {
    pause: &'a P,
    units: Cell<u64>,
}

impl<'a, P: Pause> Work<'a, P> {
    pub(crate) fn new(pause: &'a P) -> Self {
        Self { pause, units: Cell::new(0) }
    }

    /// Adds `units` of work, and may pause.
    pub(crate) async fn add(&self, units: usize) {
        self.units.set(self.units.get().saturating_add(units as u64));
        if self.units.get() >= UNITS_PER_CALL {
            self.pause.work(self.units.take()).await;
        }
    }
}
