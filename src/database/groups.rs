//! Creates shard groups, and builds the settings of their shards.
//!
//! A new group has `create.shards` shards. This number is `DEFAULT_SHARDS`, or the number in the
//! request that created or reconfigured the database.

use crate::model::ids::ObjectId;
use crate::model::limits::SHARDS_PER_GROUP_MAX;
use crate::model::shard_map::{Policy, ShardGroup};
use crate::model::time::TimeRange;
use crate::protocol::call::{ObjectKind, PlacementError, Platform};
use crate::protocol::database::{DatabaseRefusal, PolicyRefusal};
use crate::protocol::shard::ShardSettings;

/// Creates a group of `shards` new objects for `range`.
///
/// # Errors
/// [`DatabaseRefusal`] if the number of shards or the jurisdiction is not supported.
pub fn new_group(
    platform: &dyn Platform,
    id: u64,
    range: TimeRange,
    shards: u32,
    jurisdiction: Option<&str>,
) -> Result<ShardGroup, DatabaseRefusal> {
    check_count(shards)?;
    let fresh = |_| platform.new_object_id(ObjectKind::Shard, jurisdiction);
    let shards: Result<Vec<ObjectId>, PlacementError> = (0..shards).map(fresh).collect();
    let shards = shards.map_err(DatabaseRefusal::Placement)?;
    Ok(ShardGroup { id, range, shards, split_bytes: 0 })
}

/// Checks the number of shards of a group.
///
/// # Errors
/// [`PolicyRefusal::ShardCount`]
pub fn check_count(shards: u32) -> Result<(), DatabaseRefusal> {
    if (1..=SHARDS_PER_GROUP_MAX).contains(&shards) {
        return Ok(());
    }
    let refusal = PolicyRefusal::ShardCount { limit: SHARDS_PER_GROUP_MAX, requested: shards };
    Err(DatabaseRefusal::Policy(refusal))
}

/// Returns every shard of a policy with its settings for this generation and access number.
pub fn shard_settings(
    database: &ObjectId,
    policy: &Policy,
    generation: u64,
    access: u64,
) -> Vec<(ObjectId, ShardSettings)> {
    let of_group = |group: &ShardGroup| group_settings(database, policy, group, generation, access);
    policy.groups.iter().flat_map(of_group).collect()
}

/// Returns every shard of a group with its settings for this generation and access number. The
/// policy does not have to contain the group.
pub fn group_settings(
    database: &ObjectId,
    policy: &Policy,
    group: &ShardGroup,
    generation: u64,
    access: u64,
) -> Vec<(ObjectId, ShardSettings)> {
    let settings = |(shard, object): (u32, &ObjectId)| {
        let settings = ShardSettings {
            database: database.clone(),
            policy: policy.id,
            group: group.id,
            shard,
            range: group.range,
            duration_ns: policy.duration_ns,
            retired: Vec::new(),
            window_ns: policy.shard_group_duration_ns,
            generation,
            access,
        };
        (object.clone(), settings)
    };
    (0..).zip(&group.shards).map(settings).collect()
}

/// Returns every shard of a policy.
pub fn shards(policy: &Policy) -> impl Iterator<Item = &ObjectId> {
    policy.groups.iter().flat_map(|group| &group.shards)
}
