//! Where a slice is asked to end before anything of it has come.
//!
//! Without an end a slice gathers all groups and all times, and drops what turns out to be too
//! much: rows of a long answer were read two to four times. So the next one ends where it will be
//! about full if what follows is like what came.

use std::collections::BTreeSet;

use super::cut::Cut;

/// Groups that are known to follow.
const FOLLOWING_GROUPS_MAX: usize = 1_000;
/// What their keys take, bytes.
const FOLLOWING_BYTES_MAX: usize = 100_000;
/// How many times as large as the last slice the next one is made at most.
const GROWTH_MAX: usize = 4;

/// How full a slice was at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fullness {
    /// What it held.
    pub(super) bytes: usize,
    /// What it may hold.
    pub(super) bytes_max: usize,
}

impl Fullness {
    /// How large the next slice is, if this one was so large: three quarters full, so that one
    /// that is a little denser needs no second try. `None` if this one held too little to tell.
    fn scale(self, size: u64) -> Option<u64> {
        let wanted = self.bytes_max / 4 * 3;
        let is_telling = self.bytes > wanted / (2 * GROWTH_MAX);
        let scaled = u128::from(size) * wanted as u128 / self.bytes.max(1) as u128;
        let scaled = u64::try_from(scaled).unwrap_or(u64::MAX);
        is_telling.then(|| scaled.min(size.saturating_mul(GROWTH_MAX as u64)).max(1))
    }

    /// How many groups the next slice holds, if this one held so many; `None` if that is unknown.
    pub(super) fn next_groups(self, groups: usize) -> Option<usize> {
        self.scale(groups as u64).map(|groups| usize::try_from(groups).unwrap_or(usize::MAX))
    }

    /// The time at which a slice ends that begins at `from_ns`, where this one ended, which began
    /// at `began_ns`: times of one group. `None` if that is unknown.
    pub(super) fn next_time_ns(self, (began_ns, from_ns): (i64, i64)) -> Option<i64> {
        let span_ns = began_ns.abs_diff(from_ns);
        let next_ns = self.scale(span_ns).filter(|_| span_ns > 0)?;
        Some(match began_ns < from_ns {
            true => from_ns.saturating_add_unsigned(next_ns),
            false => from_ns.saturating_sub_unsigned(next_ns),
        })
    }
}

/// Groups that were dropped, since they lie behind the end of the slice: the next of them.
#[derive(Debug, Default)]
pub(super) struct Following {
    keys: BTreeSet<Vec<String>>,
    bytes: usize,
}

impl Following {
    /// Remembers one.
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

    /// Where a slice of so many groups ends that begins at `from`, or one of half as many;
    /// `None` if so few are not known.
    pub(super) fn end(&mut self, groups: usize, from: &Cut, descending: bool) -> Option<Cut> {
        self.keys.retain(|key| match descending {
            true => *key < from.group,
            false => *key > from.group,
        });
        self.bytes = self.keys.iter().map(|key| bytes(key)).sum();
        let at = groups.min(self.keys.len()).checked_sub(1).filter(|at| *at >= groups / 2)?;
        let key = if descending { self.keys.iter().nth_back(at) } else { self.keys.iter().nth(at) };
        key.map(|key| Cut::behind(key.clone(), descending))
    }
}

fn bytes(key: &[String]) -> usize {
    key.iter().map(|value| value.len() + size_of::<String>()).sum()
}
