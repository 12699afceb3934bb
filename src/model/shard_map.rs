//! Describes retention policies and the shards that hold their points.

use serde::{Deserialize, Serialize};

use super::ids::{ObjectId, PolicyId};
use super::limits::POLICY_DURATION_MIN_NS;
use super::time::{D_NS, H_NS, TimeRange, W_NS};

/// Shards of one half-open time range. Their number is fixed at creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardGroup {
    /// Never reused inside the database.
    pub id: u64,
    /// Groups of a policy never overlap and leave no gap.
    pub range: TimeRange,
    /// At least one, in routing order.
    pub shards: Vec<ObjectId>,
    /// Its own mark above `SHARD_SPLIT_BYTES`, bytes: what was full before and could not become
    /// smaller is left alone until it has grown. 0 is none.
    #[serde(default)]
    pub split_bytes: u64,
}

impl ShardGroup {
    /// Position in `shards` of the series with this [`super::series::series_hash`].
    pub fn shard_of(&self, series_hash: u64) -> usize {
        // A group never has more shards than fit a u32, so the cast back loses nothing.
        (series_hash % self.shards.len().max(1) as u64) as usize
    }
}

/// A retention policy as edges and Database see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The v2 bucket id; never reused.
    pub id: PolicyId,
    /// Case is kept.
    pub name: String,
    /// How long points are kept, nanoseconds; 0 is for ever.
    pub duration_ns: i64,
    /// 1.x's shard group duration, nanoseconds: the least width of the slots of time that parts of
    /// a shard are cut by.
    pub shard_group_duration_ns: i64,
    /// Kept for SHOW RETENTION POLICIES only; the platform replicates.
    pub replica_n: u32,
    /// Ascending by range.
    pub groups: Vec<ShardGroup>,
}

impl Policy {
    /// The earliest time still kept at `now_ns`; `i64::MIN` when points are kept for ever.
    pub fn oldest_kept_ns(&self, now_ns: i64) -> i64 {
        if self.duration_ns == 0 { i64::MIN } else { now_ns.saturating_sub(self.duration_ns) }
    }

    /// The group that holds `time_ns`.
    pub fn group_at(&self, time_ns: i64) -> Option<&ShardGroup> {
        self.groups.iter().find(|group| group.range.contains(time_ns))
    }
}

/// The shard group duration of a policy whose statement gives `shard_ns` (1.x
/// `normalisedShardDuration`), nanoseconds: 0 is the default, and an hour is the minimum.
pub fn shard_group_duration_ns(shard_ns: i64, duration_ns: i64) -> i64 {
    match shard_ns {
        0 => default_shard_group_duration_ns(duration_ns),
        _ => shard_ns.max(POLICY_DURATION_MIN_NS),
    }
}

/// 1.x's default shard group duration for a retention duration (0 is for ever), nanoseconds.
pub const fn default_shard_group_duration_ns(duration_ns: i64) -> i64 {
    // 1.x `shardGroupDuration`: 6 months are 180 days there.
    if duration_ns == 0 || duration_ns >= 180 * D_NS {
        W_NS
    } else if duration_ns >= 2 * D_NS {
        D_NS
    } else {
        H_NS
    }
}
