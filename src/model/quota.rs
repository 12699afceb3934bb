//! Defines how much of a database its tenants may use. By default there is no limit.

use serde::{Deserialize, Serialize};

use super::time::S_NS;

/// How long what is counted counts, nanoseconds: whole minutes since the epoch.
pub const QUOTA_WINDOW_NS: i64 = 60 * S_NS;

/// The highest limit that can be set: as much as a JavaScript number holds exactly.
pub const QUOTA_VALUE_MAX: u64 = (1 << 53) - 1;

/// What may be done in a minute; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Points written.
    pub points: Option<u64>,
    /// Writes, and questions to a shard group.
    pub requests: Option<u64>,
    /// Values that queries decode, times among them.
    pub cells: Option<u64>,
}

impl Rates {
    /// The limit of one of them.
    pub fn of(&self, rate: Rate) -> Option<u64> {
        match rate {
            Rate::Points => self.points,
            Rate::Requests => self.requests,
            Rate::Cells => self.cells,
        }
    }
}

/// One of the [`Rates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rate {
    /// Points written.
    Points,
    /// Writes, and questions to a shard group.
    Requests,
    /// Values that queries decode.
    Cells,
}

impl Rate {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Points, Self::Requests, Self::Cells];

    /// What the limit is called where it is set.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Points => "points_per_minute",
            Self::Requests => "requests_per_minute",
            Self::Cells => "cells_per_minute",
        }
    }
}

/// What a database, and each token or user on it, may use. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Of all callers together.
    pub rates: Rates,
    /// Bytes that the shards may use; `None` is without limit.
    pub stored_bytes: Option<u64>,
    /// Of single callers, in the order in which they were first given.
    pub callers: Vec<CallerQuota>,
    /// Series that the shards may have; `None` is without limit.
    #[serde(default)]
    pub series: Option<u64>,
}

/// What one token or user may do in a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerQuota {
    /// Its number.
    pub id: u64,
    /// A user, else a token.
    pub user: bool,
    /// Its name when this was set.
    pub name: String,
    /// The limits.
    pub rates: Rates,
}

impl Quotas {
    /// Whether nobody has a limit.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Gives a caller other limits in the place of those it had under its number or its name; none
    /// at all take it off the list.
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
    fn a_caller_has_one_quota_and_none_without_limits() {
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
        // Another token of the same name: the first one is gone.
        quotas.set_caller(caller(3, "a", Some(40)));
        assert_eq!(quotas.callers, [caller(3, "a", Some(40)), caller(2, "b", Some(20))]);
        quotas.set_caller(caller(3, "a", None));
        quotas.set_caller(caller(2, "b", None));
        assert!(quotas.are_none());
    }
}
