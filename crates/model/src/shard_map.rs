//! Retention policies and the shards that store their points.

use serde::{Deserialize, Serialize};

use super::ids::{ObjectId, PolicyId};
use super::limits::POLICY_DURATION_MIN_NS;
use super::time::{D_NS, H_NS, TimeRange, W_NS};

/// The shards of a half-open time range. The number of shards is fixed at creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardGroup {
    /// The group's id, unique within the database and never reused.
    pub id: u64,
    /// The time range. The groups of a policy do not overlap and leave no gap.
    pub range: TimeRange,
    /// The shards in routing order, at least one.
    pub shards: Vec<ObjectId>,
    /// The size in bytes at which this group may be split, or 0 for `SHARD_SPLIT_BYTES`. A group
    /// that could not be split has a larger size.
    #[serde(default)]
    pub split_bytes: u64,
}

impl ShardGroup {
    /// Returns the position in `shards` for a series with this [`super::series::series_hash`].
    pub fn shard_of(&self, series_hash: u64) -> usize {
        // A group never has more than u32::MAX shards, so the cast is lossless.
        (series_hash % self.shards.len().max(1) as u64) as usize
    }
}

/// A retention policy, in the form that the edges and the Database use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The v2 bucket id, which is never reused.
    pub id: PolicyId,
    /// The case-sensitive name.
    pub name: String,
    /// The retention duration, in nanoseconds. 0 keeps points permanently.
    pub duration_ns: i64,
    /// The shard group duration of 1.x, and the minimum time slot of a part, in nanoseconds.
    pub shard_group_duration_ns: i64,
    /// The replication factor, which only SHOW RETENTION POLICIES uses.
    pub replica_n: u32,
    /// FUTURE LIMIT: the maximum time of a written point after the current time, in nanoseconds.
    /// 0 means no limit.
    #[serde(default)]
    pub future_limit_ns: i64,
    /// PAST LIMIT: the maximum age of a written point, in nanoseconds. 0 means no limit.
    #[serde(default)]
    pub past_limit_ns: i64,
    /// The shard groups, ascending by range.
    pub groups: Vec<ShardGroup>,
}

impl Policy {
    /// Returns the earliest time that is kept at `now_ns`, or `i64::MIN`.
    pub fn oldest_kept_ns(&self, now_ns: i64) -> i64 {
        if self.duration_ns == 0 { i64::MIN } else { now_ns.saturating_sub(self.duration_ns) }
    }

    /// Whether the policy has a FUTURE LIMIT or a PAST LIMIT.
    pub fn limits_writes(&self) -> bool {
        self.future_limit_ns > 0 || self.past_limit_ns > 0
    }

    /// Returns the group that contains `time_ns`.
    pub fn group_at(&self, time_ns: i64) -> Option<&ShardGroup> {
        self.groups.iter().find(|group| group.range.contains(time_ns))
    }
}

/// Returns the policy that `name` selects (docs/design/write-path.md). An absent or empty name
/// selects the policy with the id `default`. Any other name selects the policy with exactly that
/// name. If no such policy exists, the name `default` selects `autogen`.
pub fn find_policy<'a>(
    policies: impl Iterator<Item = &'a Policy> + Clone,
    default: Option<PolicyId>,
    name: Option<&str>,
) -> Option<&'a Policy> {
    let named = |name: &str| policies.clone().find(|policy| policy.name == name);
    match name {
        None | Some("") => policies.clone().find(|policy| Some(policy.id) == default),
        Some("default") => named("default").or_else(|| named("autogen")),
        Some(name) => named(name),
    }
}

/// Returns the shard group duration in nanoseconds (1.x `normalisedShardDuration`). `shard_ns` is
/// SHARD DURATION. 0 selects the default, and the minimum is one hour.
pub fn shard_group_duration_ns(shard_ns: i64, duration_ns: i64) -> i64 {
    match shard_ns {
        0 => default_shard_group_duration_ns(duration_ns),
        _ => shard_ns.max(POLICY_DURATION_MIN_NS),
    }
}

/// Returns the default shard group duration of 1.x for a retention duration, in nanoseconds. A
/// duration of 0 keeps points permanently.
pub(crate) const fn default_shard_group_duration_ns(duration_ns: i64) -> i64 {
    // 1.x `shardGroupDuration` defines 6 months as 180 days.
    if duration_ns == 0 || duration_ns >= 180 * D_NS {
        W_NS
    } else if duration_ns >= 2 * D_NS {
        D_NS
    } else {
        H_NS
    }
}
