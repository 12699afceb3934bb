//! Defines the boundary between two slices of a result.

use std::cmp::Ordering;

use crate::scan::request::ResultPosition;

/// A position in the merged result of all shards. Rows with equal groups and times are ordered by
/// shard, so a cut can separate rows with equal times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The key of the group that the cut divides. All earlier groups precede the cut.
    pub(super) group: Vec<String>,
    /// The time at which the cut divides the group. All rows of the group with earlier times
    /// precede the cut.
    pub(super) time_ns: i64,
    /// The number of the shard. Rows with the time `time_ns` from shards with smaller numbers
    /// precede the cut.
    pub(super) shard: u32,
    /// Of the shard's rows with this time, the number that precede the cut.
    pub(super) rows: usize,
}

impl Cut {
    /// Converts a position that a shard reported.
    pub(super) fn of(place: ResultPosition) -> Self {
        let ResultPosition { group, time_ns } = place;
        Self { group, time_ns, shard: 0, rows: 0 }
    }

    /// Returns the cut after all rows of a group.
    pub(super) fn after_group(group: Vec<String>, descending: bool) -> Self {
        let time_ns = if descending { i64::MIN } else { i64::MAX };
        Self { group, time_ns, shard: 0, rows: 0 }
    }

    /// Whether the cut is after all rows of its group.
    pub(super) fn is_behind_group(&self, descending: bool) -> bool {
        self.time_ns == if descending { i64::MIN } else { i64::MAX }
    }

    /// Compares two cuts by their order in the result.
    pub(super) fn order(&self, other: &Self, descending: bool) -> Ordering {
        let turned = |order: Ordering| if descending { order.reverse() } else { order };
        turned(self.group.cmp(&other.group))
            .then(turned(self.time_ns.cmp(&other.time_ns)))
            .then(self.shard.cmp(&other.shard))
            .then(self.rows.cmp(&other.rows))
    }

    /// Returns the cut as a position for a shard. The position is after the shard's rows with the
    /// cut's time if `with_time` is true. If `with_time` is false, the position is before these
    /// rows.
    fn position(&self, with_time: bool, descending: bool) -> ResultPosition {
        let time_ns = match (with_time, descending) {
            (false, _) => self.time_ns,
            (true, false) => self.time_ns.saturating_add(1),
            (true, true) => self.time_ns.saturating_sub(1),
        };
        ResultPosition { group: self.group.clone(), time_ns }
    }

    /// Converts the cut to the start of a slice, as a position for `shard`.
    pub(super) fn begin_of(&self, shard: u32, descending: bool) -> ResultPosition {
        self.position(shard < self.shard, descending)
    }

    /// Converts the cut to the end of a slice, as a position for `shard`.
    pub(super) fn end_of(&self, shard: u32, descending: bool) -> ResultPosition {
        self.position(shard < self.shard || (shard == self.shard && self.rows > 0), descending)
    }
}
