//! Defines the boundary between two slices of a result.

use std::cmp::Ordering;

use crate::scan::request::ResultPosition;

/// A position in the merged result of all shards. Rows with equal groups and times are ordered by
/// shard, so a cut can separate such rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The group that the cut divides. All earlier groups precede the cut.
    pub(super) group: Vec<String>,
    /// All rows of the group with earlier times precede the cut.
    pub(super) time_ns: i64,
    /// Rows with the time `time_ns` from shards with smaller numbers precede the cut.
    pub(super) shard: u32,
    /// The number of the shard's rows with this time that precede the cut.
    pub(super) rows: usize,
}

impl Cut {
    pub(super) fn of(place: ResultPosition) -> Self {
        let ResultPosition { group, time_ns } = place;
        Self { group, time_ns, shard: 0, rows: 0 }
    }

    pub(super) fn after_group(group: Vec<String>, descending: bool) -> Self {
        let time_ns = if descending { i64::MIN } else { i64::MAX };
        Self { group, time_ns, shard: 0, rows: 0 }
    }

    pub(super) fn is_behind_group(&self, descending: bool) -> bool {
        self.time_ns == if descending { i64::MIN } else { i64::MAX }
    }

    pub(super) fn order(&self, other: &Self, descending: bool) -> Ordering {
        let turned = |order: Ordering| if descending { order.reverse() } else { order };
        turned(self.group.cmp(&other.group))
            .then(turned(self.time_ns.cmp(&other.time_ns)))
            .then(self.shard.cmp(&other.shard))
            .then(self.rows.cmp(&other.rows))
    }

    /// Returns a position for a shard: after the rows with the cut's time if `with_time` is true,
    /// otherwise before these rows.
    fn position(&self, with_time: bool, descending: bool) -> ResultPosition {
        let time_ns = match (with_time, descending) {
            (false, _) => self.time_ns,
            (true, false) => self.time_ns.saturating_add(1),
            (true, true) => self.time_ns.saturating_sub(1),
        };
        ResultPosition { group: self.group.clone(), time_ns }
    }

    pub(super) fn begin_of(&self, shard: u32, descending: bool) -> ResultPosition {
        self.position(shard < self.shard, descending)
    }

    pub(super) fn end_of(&self, shard: u32, descending: bool) -> ResultPosition {
        self.position(shard < self.shard || (shard == self.shard && self.rows > 0), descending)
    }
}
