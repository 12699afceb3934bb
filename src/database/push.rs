//! Says what a job has to tell the shards. The messages of a job stay in the same order while it
//! lasts, and each of them may be repeated.

use super::groups::{group_settings, shard_settings, shards};
use super::job::JobKind;
use super::publish::{altered, without_first};
use super::rows::DatabaseRows;
use crate::model::ids::{MeasurementId, ObjectId};
use crate::model::shard_map::Policy;
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::round::Request;
use crate::protocol::shard::{ShardSettings, ToShard};

/// The messages of a job, in an order that stays the same while it lasts.
pub(super) fn requests(rows: &DatabaseRows, database: &ObjectId, kind: &JobKind) -> Vec<Request> {
    let location = rows.state.create.location.clone();
    let request = |shard: &ObjectId, message: ToShard| Request {
        to: Address::Shard(shard.clone()),
        location: location.clone(),
        message: envelope::encode(&message),
    };
    let push = |policy: &Policy, generation, message: fn(ShardSettings) -> ToShard| {
        let retired = retired(rows, policy, kind);
        let settings = shard_settings(database, policy, generation).into_iter();
        let settings = settings.map(|(shard, settings)| {
            request(&shard, message(ShardSettings { retired: retired.clone(), ..settings }))
        });
        settings.collect::<Vec<_>>()
    };
    let old_default = |make_default: &bool, generation| match rows.policies.default {
        Some(id) if *make_default => {
            let row = rows.policies.by_id(id);
            row.map(|row| push(&row.policy, generation, ToShard::Configure)).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    match kind {
        JobKind::CreatePolicy { policy, make_default, generation, .. } => {
            let mut requests = push(policy, *generation, ToShard::Open);
            requests.extend(old_default(make_default, *generation));
            requests
        }
        JobKind::AlterPolicy { number, settings, make_default, generation } => {
            let mut requests = old_default(make_default, *generation);
            if let Some(policy) = altered(rows, *number, settings) {
                requests.extend(push(&policy, *generation, ToShard::Configure));
            }
            requests
        }
        JobKind::DropMeasurement { ids, generation } => {
            let has = |number: u64| ids.iter().any(|(policy, _)| *policy == number);
            let affected = rows.policies.rows.iter().filter(|row| has(row.number));
            affected.flat_map(|row| push(&row.policy, *generation, ToShard::Configure)).collect()
        }
        JobKind::DropPolicy { number, generation } => {
            let row = rows.policies.rows.iter().find(|row| row.number == *number);
            let message = ToShard::Close { generation: *generation };
            let shards = row.into_iter().flat_map(|row| shards(&row.policy));
            shards.map(|shard| request(shard, message.clone())).collect()
        }
        JobKind::DropDatabase { generation } => {
            let message = ToShard::Close { generation: *generation };
            all_shards(rows).map(|shard| request(shard, message.clone())).collect()
        }
        JobKind::PublishSplit { .. }
        | JobKind::AbandonSplit { .. }
        | JobKind::DropGroups { .. } => {
            let messages = group_messages(rows, database, kind).into_iter();
            messages.map(|(shard, message)| request(&shard, message)).collect()
        }
        JobKind::Tend | JobKind::Split(_) => Vec::new(),
        JobKind::WipeShards { shards } => {
            shards.iter().map(|shard| request(shard, ToShard::Wipe)).collect()
        }
        JobKind::WipeDatabase => {
            let waiting = rows.jobs.values().flat_map(|job| match &job.kind {
                JobKind::WipeShards { shards } => shards.as_slice(),
                _ => &[],
            });
            let shards = all_shards(rows).chain(waiting);
            shards.map(|shard| request(shard, ToShard::Wipe)).collect()
        }
    }
}

/// The messages of a job that changes the groups of a policy.
fn group_messages(
    rows: &DatabaseRows,
    database: &ObjectId,
    kind: &JobKind,
) -> Vec<(ObjectId, ToShard)> {
    let configure = |(shard, settings)| (shard, ToShard::Configure(settings));
    let close = |shards: &[ObjectId], generation| {
        let message = ToShard::Close { generation };
        shards.iter().map(|shard| (shard.clone(), message.clone())).collect::<Vec<_>>()
    };
    match kind {
        JobKind::PublishSplit { split, generation } => {
            split.settings(rows, database, *generation).into_iter().map(configure).collect()
        }
        JobKind::AbandonSplit { split } => {
            let (Some((_, group)), Some(target)) = (split.find(rows), split.target()) else {
                return Vec::new();
            };
            let lift = ToShard::Fence { split: target.id, from_ns: None };
            let lift = group.shards.iter().map(|shard| (shard.clone(), lift.clone()));
            lift.chain(close(&target.shards, rows.state.generation)).collect()
        }
        JobKind::DropGroups { number, groups, generation } => {
            let Some((gone, policy)) = without_first(rows, *number, *groups) else {
                return Vec::new();
            };
            let row = rows.policies.rows.iter().find(|row| row.number == *number);
            let retired = row.map(|row| row.schema.retired()).unwrap_or_default();
            let heir = policy.groups.first().into_iter();
            let heir = heir.flat_map(|group| group_settings(database, &policy, group, *generation));
            let heir = heir.map(|(shard, settings)| {
                (shard, ShardSettings { retired: retired.clone(), ..settings })
            });
            heir.map(configure).chain(close(&gone, *generation)).collect()
        }
        _ => Vec::new(),
    }
}

/// Ids of the policy's dropped measurements, those that the job drops included.
fn retired(rows: &DatabaseRows, policy: &Policy, kind: &JobKind) -> Vec<MeasurementId> {
    let Some(row) = rows.policies.by_id(policy.id) else { return Vec::new() };
    let mut retired = row.schema.retired();
    if let JobKind::DropMeasurement { ids, .. } = kind {
        let here = ids.iter().filter(|(number, _)| *number == row.number);
        retired.extend(here.map(|(_, id)| *id));
    }
    retired
}

fn all_shards(rows: &DatabaseRows) -> impl Iterator<Item = &ObjectId> {
    rows.policies.rows.iter().flat_map(|row| shards(&row.policy))
}
