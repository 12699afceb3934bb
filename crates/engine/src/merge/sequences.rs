//! Defines the write sequences of parts, which determine the latest values and the parts that may
//! be merged.
//!
//! *Invariant S*: parts that overlap in time have disjoint write sequences. If two parts have a
//! value for the same series, time and field, the part with the higher sequences has the later
//! value. A merge of some parts does not change the visible value, as long as the merged part keeps
//! its order relative to all other parts. Slots, sizes and keys do not matter.

use tidemark_model::time::TimeRange;

/// The range of write sequences of a part's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequences {
    /// The lowest possible sequence of a row.
    pub lo: u64,
    /// The highest possible sequence of a row.
    pub hi: u64,
    /// All tombstones up to this sequence that hide rows of the part have been applied.
    pub applied: u64,
}

impl Sequences {
    /// Whether the tombstone with sequence `sequence`, which hides rows of writes below `before`,
    /// may hide rows of a part with these sequences and was not applied to the part.
    pub(crate) const fn has_yet_to_apply(&self, sequence: u64, before: u64) -> bool {
        self.hi < before && self.applied < sequence
    }

    fn join(self, other: Self) -> Self {
        Self {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
            applied: self.applied.max(other.applied),
        }
    }

    /// Returns the sequences of the part that a merge creates, or `None` without parts. `known` is
    /// the highest sequence of the tombstones that the merge applies. `parts` and `known` must be
    /// read when the merge *starts*.
    pub(crate) fn of_merge(parts: impl IntoIterator<Item = Self>, known: u64) -> Option<Self> {
        let all = parts.into_iter().reduce(Self::join)?;
        Some(Self { applied: all.applied.max(known), ..all })
    }
}

/// The write sequences and the time range of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub sequences: Sequences,
    pub time: TimeRange,
}

impl Extent {
    /// Whether two parts overlap both in time and in write sequences. The order of such parts is
    /// undefined.
    pub(crate) const fn clashes_with(&self, other: &Self) -> bool {
        self.time.overlaps(&other.time)
            && self.sequences.lo <= other.sequences.hi
            && other.sequences.lo <= self.sequences.hi
    }

    /// Returns the extent of the part that a merge of these parts creates, or `None` without parts.
    pub(crate) fn hull(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let join = |a: Self, b: Self| Self {
            sequences: a.sequences.join(b.sequences),
            time: a.time.hull(b.time),
        };
        parts.into_iter().reduce(join)
    }

    /// Whether parts may be merged if the merged part would have this extent ([`Extent::hull`]).
    /// `others` contains the extents of all parts that are not merged, and of the job's other
    /// merges.
    pub(crate) fn is_convex<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> bool {
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
    fn part_between_inputs_prevents_merge() {
        let (a, b, c) = (extent(1, 3, 0, 10), extent(4, 5, 5, 20), extent(6, 9, 0, 10));
        let merge = |parts: &[Extent]| Extent::hull(parts.iter().copied()).unwrap();
        assert!(!merge(&[a, c]).is_convex([&b]) && merge(&[a, b]).is_convex([&c]));
        // Parts outside the times of the merged parts may still overlap the hull.
        assert!(merge(&[a, c]).is_convex([&extent(4, 5, 10, 20)]));
        let apart = merge(&[extent(1, 3, 0, 5), extent(6, 9, 20, 25)]);
        assert!(!apart.is_convex([&extent(4, 5, 10, 11)]));
        assert_eq!(Extent::hull([]), None);
    }

    #[test]
    fn merge_combines_sequence_ranges() {
        let part = |lo, hi, applied| Sequences { lo, hi, applied };
        let parts = [part(4, 5, 9), part(1, 3, 2)];
        assert_eq!(Sequences::of_merge(parts, 7), Some(part(1, 5, 9)));
        assert_eq!(Sequences::of_merge(parts, 10), Some(part(1, 5, 10)));
        assert_eq!(Sequences::of_merge([], 10), None);
        assert!(part(1, 5, 9).has_yet_to_apply(10, 6) && !part(1, 5, 9).has_yet_to_apply(10, 5));
        assert!(!part(1, 5, 10).has_yet_to_apply(10, 6));
    }
}
