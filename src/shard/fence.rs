//! The time from which a shard refuses writes and deletes while a split copies its rows away.

use serde::{Deserialize, Serialize};

/// What writes and deletes must stay below while a split copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fence {
    /// The highest split heard of.
    split: u64,
    /// First time that is refused, nanoseconds; `None` once it is lifted.
    from_ns: Option<i64>,
}

impl Fence {
    /// Whether a write or delete that reaches `time_ns` must wait.
    pub(super) fn refuses(&self, time_ns: i64) -> bool {
        self.from_ns.is_some_and(|from_ns| time_ns >= from_ns)
    }

    /// The fence after a message; `None` when it changes nothing. A lifted fence stays lifted,
    /// however late the message that raised it comes.
    pub(super) fn after(self, split: u64, from_ns: Option<i64>) -> Option<Self> {
        let is_news = split > self.split || (split == self.split && from_ns.is_none());
        let next = Self { split, from_ns };
        (is_news && next != self).then_some(next)
    }
}
