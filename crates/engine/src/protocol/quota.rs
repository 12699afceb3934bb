//! The cost of a request on a shard, and the errors above a limit (`docs/design/quotas.md`).

use serde::{Deserialize, Serialize};

use tidemark_model::quota::{Rate, Rates};

/// The cost of a request on one shard, and the quotas of the whole database. The cost is already
/// extrapolated to all shards of the group, as if the other shards had the same cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// The quotas per minute for all callers together.
    pub database: Rates,
    /// The id and the quotas per minute of a caller with individual quotas.
    pub caller: Option<(u64, Rates)>,
    /// The maximum stored size of all shards in the group, in bytes.
    pub stored_bytes: Option<u64>,
    /// The number of shards in the group.
    pub shards: u32,
    /// The points of a write request, divided by the number of shards that receive the request, and
    /// multiplied by `shards`.
    pub points: u64,
    /// One request, in thousandths, divided and multiplied in the same way: 1,000 if the request
    /// goes to every shard of the group.
    pub request_milli: u64,
    /// The maximum number of series in all shards of the group.
    #[serde(default)]
    pub series: Option<u64>,
}

/// A rate limit of the current minute is exceeded. The shard did not execute the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{} in this minute: {current}, quota: {allowed}", .rate.name())]
pub struct RateExceeded {
    /// The exceeded rate.
    pub rate: Rate,
    /// Whether the limit belongs to the caller, not to the database.
    pub of_caller: bool,
    /// The count of the current minute.
    pub current: u64,
    /// The limit.
    pub allowed: u64,
    /// The number of seconds until the same request may succeed.
    pub retry_after_s: u32,
}

/// The limit of stored bytes is exceeded. The shard stored no rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("stored_bytes: {current}, quota: {allowed}")]
pub struct StorageExceeded {
    /// The stored size, in bytes.
    pub current: u64,
    /// The limit, in bytes.
    pub allowed: u64,
}

/// The series limit is exceeded. The shard rejected the rows of new series above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesExceeded {
    /// The approximate number of series in the group.
    pub current: u64,
    /// The limit.
    pub allowed: u64,
    /// The seed of the hashes that identify the series ([`tidemark_model::series::id_hash`]).
    pub seed: u64,
}

/// The usage of the current minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The caller's id, or 0 for the sum of all callers.
    pub caller: u64,
    /// The number of written points.
    pub points: u64,
    /// The number of requests.
    pub requests: u64,
    /// The number of decoded values.
    pub cells: u64,
}

impl Used {
    /// Returns the count for `rate`.
    pub fn of(&self, rate: Rate) -> u64 {
        match rate {
            Rate::Points => self.points,
            Rate::Requests => self.requests,
            Rate::Cells => self.cells,
        }
    }
}
