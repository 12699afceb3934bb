//! Predicts the end of a slice before its first page arrives.
//!
//! Without a predicted end, a slice would collect all groups and times and then drop the excess.
//! The shards would read each row of a long result two to four times. At the predicted end, the
//! slice is nearly full if the following data is similar to the previous data.

use std::collections::BTreeSet;

use super::cut::Cut;

/// The maximum number of remembered groups after the slice.
const FOLLOWING_GROUPS_MAX: usize = 1_000;
/// The maximum size of the remembered groups' keys, in bytes.
const FOLLOWING_BYTES_MAX: usize = 100_000;
/// The maximum ratio of the next slice's size to the last slice's size.
const GROWTH_MAX: usize = 4;

#[derive(Clone, Copy, Debug)]
pub(super) struct SliceMemory {
    pub(super) bytes: usize,
    pub(super) bytes_max: usize,
}

impl SliceMemory {
    /// Returns the size of the next slice if this slice had size `size`. The target is three
    /// quarters of the maximum memory, so that slightly denser data also fits. Returns `None` if
    /// this slice contained too little data for a prediction.
    fn scale(self, size: u64) -> Option<u64> {
        let wanted = self.bytes_max / 4 * 3;
        let is_telling = self.bytes > wanted / (2 * GROWTH_MAX);
        let scaled = u128::from(size) * wanted as u128 / self.bytes.max(1) as u128;
        let scaled = u64::try_from(scaled).unwrap_or(u64::MAX);
        is_telling.then(|| scaled.min(size.saturating_mul(GROWTH_MAX as u64)).max(1))
    }

    /// Predicts the number of groups in the next slice if this slice had `groups` groups.
    pub(super) fn next_groups(self, groups: usize) -> Option<usize> {
        self.scale(groups as u64).map(|groups| usize::try_from(groups).unwrap_or(usize::MAX))
    }

    /// Predicts the end time of a slice within one group. The last slice started at `began_ns` and
    /// ended at `from_ns`.
    pub(super) fn next_time_ns(self, began_ns: i64, from_ns: i64) -> Option<i64> {
        let span_ns = began_ns.abs_diff(from_ns);
        let next_ns = self.scale(span_ns).filter(|_| span_ns > 0)?;
        Some(match began_ns < from_ns {
            true => from_ns.saturating_add_unsigned(next_ns),
            false => from_ns.saturating_sub_unsigned(next_ns),
        })
    }
}

/// The first groups after the slice. The shards returned rows of these groups, and the slice
/// dropped the rows.
#[derive(Debug, Default)]
pub(super) struct NextGroups {
    keys: BTreeSet<Vec<String>>,
    bytes: usize,
}

impl NextGroups {
    pub(super) fn add(&mut self, key: &[String], descending: bool) {
        if self.keys.contains(key) {
            return;
        }
        self.bytes += bytes(key);
        self.keys.insert(key.to_vec());
        while self.keys.len() > FOLLOWING_GROUPS_MAX || self.bytes > FOLLOWING_BYTES_MAX {
            let farthest = if descending { self.keys.pop_first() } else { self.keys.pop_last() };
            let Some(farthest) = farthest else { return };
            self.bytes = self.bytes.saturating_sub(bytes(&farthest));
        }
    }

    pub(super) fn end(&mut self, groups: usize, from: &Cut, descending: bool) -> Option<Cut> {
        self.keys.retain(|key| match descending {
            true => *key < from.group,
            false => *key > from.group,
        });
        self.bytes = self.keys.iter().map(|key| bytes(key)).sum();
        let at = groups.min(self.keys.len()).checked_sub(1).filter(|at| *at >= groups / 2)?;
        let key = if descending { self.keys.iter().nth_back(at) } else { self.keys.iter().nth(at) };
        key.map(|key| Cut::after_group(key.clone(), descending))
    }
}

fn bytes(key: &[String]) -> usize {
    key.iter().map(|value| value.len() + size_of::<String>()).sum()
}
