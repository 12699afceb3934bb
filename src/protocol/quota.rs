//! Describes what a request counts as on a shard, and what a shard says once a limit is reached.
//! Why it is so: `docs/design/quotas.md`.

use serde::{Deserialize, Serialize};

use crate::model::quota::{Rate, Rates};

/// What a request counts as on one shard, and within which limits. All numbers are those of the
/// whole database: a shard multiplies what it counts by the number of shards of its group, which is
/// the same as giving each an equal share of the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// Of all callers together.
    pub database: Rates,
    /// Number and limits of a caller who has some of its own.
    pub caller: Option<(u64, Rates)>,
    /// Bytes that the shards of the group may use.
    pub stored_bytes: Option<u64>,
    /// Shards of the group.
    pub shards: u32,
    /// Of a write: points of the request, as if it had gone to every shard of the group alike.
    pub points: u64,
    /// Thousandths of a request; 1,000 where it goes to every shard of the group.
    pub request_milli: u64,
    /// Series that the shards of the group may have.
    #[serde(default)]
    pub series: Option<u64>,
}

/// A minute's limit is reached: nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{} in this minute: {current}, allowed: {allowed}", .rate.name())]
pub struct OverRate {
    /// Which.
    pub rate: Rate,
    /// It is the caller's own, else the database's.
    pub of_caller: bool,
    /// What was counted in this minute.
    pub current: u64,
    /// The limit.
    pub allowed: u64,
    /// When the same request may be taken, seconds.
    pub retry_after_s: u32,
}

/// A limit of what is stored is reached: nothing was kept, and a repeat will not be either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("stored_bytes: {current}, allowed: {allowed}")]
pub struct OverStored {
    /// What is stored.
    pub current: u64,
    /// The limit.
    pub allowed: u64,
}

/// Series that a write brought are not kept, for there are as many as there may be. A repeat will
/// not keep them either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverSeries {
    /// About how many there are in the group.
    pub current: u64,
    /// The limit.
    pub allowed: u64,
    /// Of the hashes that name the series ([`crate::model::series::id_hash`]).
    pub seed: u64,
}

/// What was counted in this minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The number of the caller who did it; 0 is all of them.
    pub caller: u64,
    /// Points written.
    pub points: u64,
    /// Requests.
    pub requests: u64,
    /// Values decoded.
    pub cells: u64,
}

impl Used {
    /// One of them.
    pub fn of(&self, rate: Rate) -> u64 {
        match rate {
            Rate::Points => self.points,
            Rate::Requests => self.requests,
            Rate::Cells => self.cells,
        }
    }
}
