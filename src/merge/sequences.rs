//! What overwrites what: write sequences of sorted parts, and which of them may be merged.
//!
//! *Invariant S*: parts that overlap in time have disjoint write sequences. So of two values for a
//! series, a time and a field the later one is in the part with the higher sequences, and the
//! answer is a maximum over a total order: merging some parts first changes nothing as long as what
//! comes of them stands to all others as they did. Slots, sizes and keys take no part in it.

use crate::model::time::TimeRange;

/// Which writes the rows of a part are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequences {
    /// No row is of a lower one.
    pub lo: u64,
    /// No row is of a higher one.
    pub hi: u64,
    /// Every tombstone up to this one that hides rows of the part has been applied to it.
    pub applied: u64,
}

impl Sequences {
    /// Whether the tombstone of this sequence, which hides rows of writes below `before`, still
    /// has to be applied to the part.
    pub const fn has_yet_to_apply(&self, sequence: u64, before: u64) -> bool {
        self.hi < before && self.applied < sequence
    }

    /// The least that both lie in.
    fn join(self, other: Self) -> Self {
        Self {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
            applied: self.applied.max(other.applied),
        }
    }

    /// Those of what comes of merging parts; `None` of no part. `known`: the highest sequence of
    /// the tombstones that the merge applies. It and the parts are those of the merge's *start*.
    pub fn of_merge(parts: impl IntoIterator<Item = Self>, known: u64) -> Option<Self> {
        let all = parts.into_iter().reduce(Self::join)?;
        Some(Self { applied: all.applied.max(known), ..all })
    }
}

/// Where the rows of a part lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Their writes.
    pub sequences: Sequences,
    /// Their times.
    pub time: TimeRange,
}

impl Extent {
    /// Whether the two share a time and a write sequence: of two parts nobody could tell then
    /// which is the later one.
    pub const fn clashes_with(&self, other: &Self) -> bool {
        self.time.overlaps(&other.time)
            && self.sequences.lo <= other.sequences.hi
            && other.sequences.lo <= self.sequences.hi
    }

    /// The least extent around all of them: that of what comes of merging them.
    pub fn hull(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let join = |a: Self, b: Self| Self {
            sequences: a.sequences.join(b.sequences),
            time: a.time.hull(b.time),
        };
        parts.into_iter().reduce(join)
    }

    /// Whether parts with this hull may be merged: none of the `others`, which are all parts that
    /// are not merged and the hulls of what is merged in the same job, comes between them.
    pub fn is_convex<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> bool {
        others.into_iter().all(|other| !self.clashes_with(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(lo: u64, hi: u64, start_ns: i64, end_ns: i64) -> Extent {
        let sequences = Sequences { lo, hi, applied: 0 };
        Extent { sequences, time: TimeRange::new(start_ns, end_ns) }
    }

    #[test]
    fn a_part_between_two_keeps_them_apart() {
        let (a, b, c) = (extent(1, 3, 0, 10), extent(4, 5, 5, 20), extent(6, 9, 0, 10));
        let merge = |parts: &[Extent]| Extent::hull(parts.iter().copied()).unwrap();
        assert!(!merge(&[a, c]).is_convex([&b]) && merge(&[a, b]).is_convex([&c]));
        // Outside of their times it does not matter, but the hull of them counts.
        assert!(merge(&[a, c]).is_convex([&extent(4, 5, 10, 20)]));
        let apart = merge(&[extent(1, 3, 0, 5), extent(6, 9, 20, 25)]);
        assert!(!apart.is_convex([&extent(4, 5, 10, 11)]));
        assert_eq!(Extent::hull([]), None);
    }

    #[test]
    fn a_merge_has_applied_what_it_knew_and_what_its_parts_had() {
        let part = |lo, hi, applied| Sequences { lo, hi, applied };
        let parts = [part(4, 5, 9), part(1, 3, 2)];
        assert_eq!(Sequences::of_merge(parts, 7), Some(part(1, 5, 9)));
        assert_eq!(Sequences::of_merge(parts, 10), Some(part(1, 5, 10)));
        assert_eq!(Sequences::of_merge([], 10), None);
        assert!(part(1, 5, 9).has_yet_to_apply(10, 6) && !part(1, 5, 9).has_yet_to_apply(10, 5));
        assert!(!part(1, 5, 10).has_yet_to_apply(10, 6));
    }
}
