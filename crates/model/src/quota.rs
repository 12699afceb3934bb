//! The quotas of a database and of its tokens and users. By default there is no limit.

use serde::{Deserialize, Serialize};

use super::time::S_NS;

/// The length of a window in which usage is counted, in nanoseconds. A window is a whole minute.
pub const QUOTA_WINDOW_NS: i64 = 60 * S_NS;

/// The highest limit that can be set. A JavaScript number represents this limit exactly.
pub const QUOTA_VALUE_MAX: u64 = (1 << 53) - 1;

/// The quotas per minute. `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// The number of points written.
    pub points: Option<u64>,
    /// The number of writes and of queries to a shard group.
    pub requests: Option<u64>,
    /// The number of values that queries decode, including times.
    pub cells: Option<u64>,
}

impl Rates {
    /// Returns the limit of `rate`.
    pub fn of(&self, rate: Rate) -> Option<u64> {
        match rate {
            Rate::Points => self.points,
            Rate::Requests => self.requests,
            Rate::Cells => self.cells,
        }
    }
}

/// A kind of usage that [`Rates`] limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rate {
    /// The points written.
    Points,
    /// The writes and the queries to a shard group.
    Requests,
    /// The values that queries decode.
    Cells,
}

impl Rate {
    /// All kinds of usage.
    pub const ALL: [Self; 3] = [Self::Points, Self::Requests, Self::Cells];

    /// Returns the name of the setting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Points => "points_per_minute",
            Self::Requests => "requests_per_minute",
            Self::Cells => "cells_per_minute",
        }
    }
}

/// The quotas of a database and of each token or user on it. The default is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// The quotas per minute for all callers together.
    pub rates: Rates,
    /// The maximum total number of bytes in the shards of one group. `None` means unlimited.
    pub stored_bytes: Option<u64>,
    /// The quotas of single callers, in the order in which they were first set.
    pub callers: Vec<CallerQuota>,
    /// The maximum total number of series in the shards of one group. `None` means unlimited.
    #[serde(default)]
    pub series: Option<u64>,
}

/// The quotas per minute of a token or user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerQuota {
    /// The id of the token or user.
    pub id: u64,
    /// Whether the caller is a user, not a token.
    pub user: bool,
    /// The caller's name when the quota was set.
    pub name: String,
    /// The quotas per minute.
    pub rates: Rates,
}

impl Quotas {
    /// Whether no quota is set.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Replaces the quotas of the caller with the same id or name. Empty quotas remove the caller.
    pub fn set_caller(&mut self, quota: CallerQuota) {
        let is_same = |known: &CallerQuota| {
            known.id == quota.id || (known.user == quota.user && known.name == quota.name)
        };
        let at = self.callers.iter().position(is_same);
        self.callers.retain(|known| !is_same(known));
        if quota.rates != Rates::default() {
            let at = at.unwrap_or(self.callers.len()).min(self.callers.len());
            self.callers.insert(at, quota);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_has_at_most_one_quota() {
        let rates = |points| Rates { points, ..Rates::default() };
        let caller = |id, name: &str, points| CallerQuota {
            id,
            user: false,
            name: name.to_owned(),
            rates: rates(points),
        };
        let mut quotas = Quotas::default();
        assert!(quotas.are_none());
        quotas.set_caller(caller(1, "a", Some(10)));
        quotas.set_caller(caller(2, "b", Some(20)));
        quotas.set_caller(caller(1, "a", Some(30)));
        assert_eq!(quotas.callers, [caller(1, "a", Some(30)), caller(2, "b", Some(20))]);
        // A new token replaces the quota of an earlier token with the same name.
        quotas.set_caller(caller(3, "a", Some(40)));
        assert_eq!(quotas.callers, [caller(3, "a", Some(40)), caller(2, "b", Some(20))]);
        quotas.set_caller(caller(3, "a", None));
        quotas.set_caller(caller(2, "b", None));
        assert!(quotas.are_none());
    }
}
