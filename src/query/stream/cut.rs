//! Where one slice of an answer ends and the next one begins.

use std::cmp::Ordering;

use crate::scan::request::Place;

/// A place in the order of the answer of all shards. Rows of one group and time come shard after
/// shard, so that a cut may lie between those too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// All groups before it lie before the cut,
    pub(super) group: Vec<String>,
    /// of it the times before this one,
    pub(super) time_ns: i64,
    /// of that time the rows of the shards before this one,
    pub(super) shard: u32,
    /// and of that shard's the first so many.
    pub(super) rows: usize,
}

impl Cut {
    /// A shard's own.
    pub(super) fn of(place: Place) -> Self {
        let Place { group, time_ns } = place;
        Self { group, time_ns, shard: 0, rows: 0 }
    }

    /// Behind all of a group.
    pub(super) fn behind(group: Vec<String>, descending: bool) -> Self {
        let time_ns = if descending { i64::MIN } else { i64::MAX };
        Self { group, time_ns, shard: 0, rows: 0 }
    }

    /// Whether it lies behind all of its group.
    pub(super) fn is_behind_group(&self, descending: bool) -> bool {
        self.time_ns == if descending { i64::MIN } else { i64::MAX }
    }

    /// How two cuts follow each other.
    pub(super) fn order(&self, other: &Self, descending: bool) -> Ordering {
        let turned = |order: Ordering| if descending { order.reverse() } else { order };
        turned(self.group.cmp(&other.group))
            .then(turned(self.time_ns.cmp(&other.time_ns)))
            .then(self.shard.cmp(&other.shard))
            .then(self.rows.cmp(&other.rows))
    }

    /// What a shard is told, with or without its rows of the time itself.
    fn place(&self, with_time: bool, descending: bool) -> Place {
        let time_ns = match (with_time, descending) {
            (false, _) => self.time_ns,
            (true, false) => self.time_ns.saturating_add(1),
            (true, true) => self.time_ns.saturating_sub(1),
        };
        Place { group: self.group.clone(), time_ns }
    }

    /// Where a slice begins that begins here, as a shard is told.
    pub(super) fn begin_of(&self, shard: u32, descending: bool) -> Place {
        self.place(shard < self.shard, descending)
    }

    /// Where a slice ends that ends here, as a shard is told.
    pub(super) fn end_of(&self, shard: u32, descending: bool) -> Place {
        self.place(shard < self.shard || (shard == self.shard && self.rows > 0), descending)
    }
}
