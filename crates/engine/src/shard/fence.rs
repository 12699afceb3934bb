//! Defines the fence: the time from which a shard rejects writes and deletes while a split copies
//! its rows.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fence {
    split: u64,
    /// The first rejected time, or `None` after the fence was lifted.
    from_ns: Option<i64>,
}

impl Fence {
    pub(super) fn refuses(&self, time_ns: i64) -> bool {
        self.from_ns.is_some_and(|from_ns| time_ns >= from_ns)
    }

    /// Returns `None` if the message does not change the fence. A late message of a split cannot
    /// raise a fence that was lifted.
    pub(super) fn after(self, split: u64, from_ns: Option<i64>) -> Option<Self> {
        let is_news = split > self.split || (split == self.split && from_ns.is_none());
        let next = Self { split, from_ns };
        (is_news && next != self).then_some(next)
    }
}
