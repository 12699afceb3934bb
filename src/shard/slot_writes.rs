//! Which slots of time are quiet, so that few parts of unequal size are merged there too.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::slots::Slots;
use crate::model::time::H_NS;

/// A slot that was not written to for so long is quiet.
const QUIET_NS: i64 = H_NS;

/// When slots of time were written to. Stored with every flush: an object that is loaded again and
/// again would else take all of them for quiet each time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SlotWrites {
    width_ns: i64,
    /// Slots that are not quiet, and the last write of each.
    last_ns: Vec<(i64, i64)>,
}

impl SlotWrites {
    /// Rows of these slots, of which the last was written at `now_ns`, were flushed.
    pub(super) fn flushed(&mut self, width_ns: i64, slots: &BTreeSet<i64>, now_ns: i64) {
        let (old, new) = (Slots::of(self.width_ns), Slots::of(width_ns));
        if old != new {
            self.last_ns.iter_mut().for_each(|(slot, _)| *slot = new.at(old.time(*slot).start_ns));
            self.width_ns = width_ns;
        }
        let quiet_ns = now_ns.saturating_sub(QUIET_NS);
        self.last_ns.retain(|(slot, last_ns)| *last_ns > quiet_ns && !slots.contains(slot));
        self.last_ns.extend(slots.iter().map(|&slot| (slot, now_ns)));
    }

    /// When the slot is quiet; one that is not known is.
    pub(super) fn quiet_ns(&self, slot: i64) -> i64 {
        let of_slot = self.last_ns.iter().filter(|(of, _)| *of == slot);
        let last_ns = of_slot.map(|(_, last_ns)| *last_ns).max();
        last_ns.map_or(i64::MIN, |last_ns| last_ns.saturating_add(QUIET_NS))
    }

    /// When the next of them is, after `now_ns`.
    pub(super) fn next_quiet_ns(&self, now_ns: i64) -> Option<i64> {
        let quiet = self.last_ns.iter().map(|(_, last_ns)| last_ns.saturating_add(QUIET_NS));
        quiet.filter(|&quiet_ns| quiet_ns > now_ns).min()
    }
}
