//! Shard groups: which objects keep which times, and what each is told it is.

use crate::model::ids::ObjectId;
use crate::model::limits::SHARDS_PER_GROUP_MAX;
use crate::model::shard_map::{Policy, ShardGroup};
use crate::model::time::TimeRange;
use crate::protocol::call::{ObjectKind, PlacementError, Platform};
use crate::protocol::database::{DatabaseRefusal, PolicyRefusal};
use crate::protocol::shard::ShardSettings;

/// The one group of a new policy: all times, `shards` fresh objects.
///
/// # Errors
/// [`DatabaseRefusal`] when that many shards, or objects in that place, cannot be had.
pub fn first_group(
    platform: &dyn Platform,
    id: u64,
    shards: u32,
    jurisdiction: Option<&str>,
) -> Result<ShardGroup, DatabaseRefusal> {
    if !(1..=SHARDS_PER_GROUP_MAX).contains(&shards) {
        let refusal = PolicyRefusal::ShardCount { limit: SHARDS_PER_GROUP_MAX, requested: shards };
        return Err(DatabaseRefusal::Policy(refusal));
    }
    let fresh = |_| platform.new_object_id(ObjectKind::Shard, jurisdiction);
    let shards: Result<Vec<ObjectId>, PlacementError> = (0..shards).map(fresh).collect();
    let shards = shards.map_err(DatabaseRefusal::Placement)?;
    Ok(ShardGroup { id, range: TimeRange::ALL, shards })
}

/// Every shard of a policy with the settings of `generation`.
pub fn shard_settings(
    database: &ObjectId,
    policy: &Policy,
    generation: u64,
) -> Vec<(ObjectId, ShardSettings)> {
    let of_group = |group: &ShardGroup| {
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
            };
            (object.clone(), settings)
        };
        (0..).zip(&group.shards).map(settings).collect::<Vec<_>>()
    };
    policy.groups.iter().flat_map(of_group).collect()
}

/// Every shard of a policy.
pub fn shards(policy: &Policy) -> impl Iterator<Item = &ObjectId> {
    policy.groups.iter().flat_map(|group| &group.shards)
}
