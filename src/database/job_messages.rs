//! Creates the messages of a job to the shards. The order of a job's messages does not change, and
//! each message may be repeated.

use super::groups::{group_settings, shard_settings, shards};
use super::job::{Filling, JobKind};
use super::job_completion::{altered, without_first};
use super::policies::PolicyRow;
use super::rows::DatabaseRows;
use crate::model::ids::{MeasurementId, ObjectId};
use crate::model::shard_map::Policy;
use crate::protocol::recovery::Counters;
use crate::protocol::shard::{ShardSettings, ToShard};

/// Returns the messages of a job. The order of the messages does not change until the job ends. The
/// caller encodes only the messages of the current round, because a policy may have 10,000 shards.
pub(super) fn messages(
    rows: &DatabaseRows,
    database: &ObjectId,
    kind: &JobKind,
) -> Vec<(ObjectId, ToShard)> {
    let push = |policy: &Policy, generation, message: fn(ShardSettings) -> ToShard| {
        let retired = newly_retired(rows, policy, kind);
        let settings = shard_settings(database, policy, generation, rows.state.access).into_iter();
        let settings = settings.map(|(shard, settings)| {
            (shard, message(ShardSettings { retired: retired.clone(), ..settings }))
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
    let to_all = |shards: &mut dyn Iterator<Item = &ObjectId>, message: ToShard| {
        shards.map(|shard| (shard.clone(), message.clone())).collect::<Vec<_>>()
    };
    match kind {
        JobKind::CreatePolicy { policy, make_default, generation, .. } => {
            let mut messages = push(policy, *generation, ToShard::Open);
            messages.extend(old_default(make_default, *generation));
            messages
        }
        JobKind::AlterPolicy { number, settings, make_default, generation } => {
            let mut messages = old_default(make_default, *generation);
            if let Some(policy) = altered(rows, *number, settings) {
                messages.extend(push(&policy, *generation, ToShard::Configure));
            }
            messages
        }
        JobKind::DropMeasurement { ids, generation } => {
            let has = |number: u64| ids.iter().any(|(policy, _)| *policy == number);
            let affected = rows.policies.rows.iter().filter(|row| has(row.number));
            affected.flat_map(|row| push(&row.policy, *generation, ToShard::Configure)).collect()
        }
        JobKind::SetQuota { generation, .. } => {
            let policies = rows.policies.rows.iter();
            policies.flat_map(|row| push(&row.policy, *generation, ToShard::Configure)).collect()
        }
        JobKind::DropPolicy { number, generation } => {
            let row = rows.policies.rows.iter().find(|row| row.number == *number);
            let mut shards = row.into_iter().flat_map(|row| shards(&row.policy));
            to_all(&mut shards, ToShard::Close { generation: *generation })
        }
        JobKind::DropDatabase { generation } => {
            to_all(&mut all_shards(rows), ToShard::Close { generation: *generation })
        }
        JobKind::PublishSplit { .. }
        | JobKind::AbandonSplit { .. }
        | JobKind::DropGroups { .. } => group_messages(rows, database, kind),
        JobKind::WipeShards { shards } => to_all(&mut shards.iter(), ToShard::Wipe),
        // Separate jobs wipe the shards that wait for a wipe. These separate jobs may end at any
        // time.
        JobKind::WipeDatabase => to_all(&mut all_shards(rows), ToShard::Wipe),
        _ => restore_messages(rows, database, kind),
    }
}

fn restore_messages(
    rows: &DatabaseRows,
    database: &ObjectId,
    kind: &JobKind,
) -> Vec<(ObjectId, ToShard)> {
    let (generation, access) = (rows.state.generation, rows.state.access);
    let push = |filling: &Filling, generation, message: fn(ShardSettings) -> ToShard| {
        let policies = filling.policies.iter();
        let settings =
            policies.flat_map(|policy| shard_settings(database, policy, generation, access));
        settings.map(|(shard, settings)| (shard, message(settings))).collect::<Vec<_>>()
    };
    let close = |shard: &ObjectId, generation| (shard.clone(), ToShard::Close { generation });
    match kind {
        JobKind::OpenRestore(filling) => push(filling, generation, ToShard::Open),
        JobKind::Recover(recovered) => recovery_messages(rows, database, &recovered.counters),
        JobKind::Restore(filling) => {
            let fresh = filling.policies.iter().flat_map(shards);
            fresh.map(|shard| close(shard, generation)).collect()
        }
        JobKind::PublishRestore { filling, generation, .. } => {
            let closed = all_shards(rows).map(|shard| close(shard, *generation));
            closed.chain(push(filling, *generation, ToShard::Configure)).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the messages to the shards of a recovered database. The messages contain the complete
/// settings, because the state of each shard may be slightly older or newer than the Database's
/// state.
fn recovery_messages(
    rows: &DatabaseRows,
    database: &ObjectId,
    counters: &Counters,
) -> Vec<(ObjectId, ToShard)> {
    let access = counters.access.max(rows.state.access);
    let of_policy = |row: &PolicyRow| {
        let mut retired = row.schema.retired();
        let (first, _) = row.schema.next_ids();
        retired.extend((first..counters.next_measurement(row.number)).map(MeasurementId));
        let settings = shard_settings(database, &row.policy, counters.generation, access);
        let open = settings.into_iter().map(move |(shard, settings)| {
            (shard, ToShard::Open(ShardSettings { retired: retired.clone(), ..settings }))
        });
        open.collect::<Vec<_>>()
    };
    rows.policies.rows.iter().flat_map(of_policy).collect()
}

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
            let heir = policy.groups.first().into_iter();
            let access = rows.state.access;
            let settings = |group| group_settings(database, &policy, group, *generation, access);
            let heir = heir.flat_map(settings);
            heir.map(configure).chain(close(&gone, *generation)).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the ids of those measurements of the policy that the job drops. The shards already know
/// the measurements that were dropped before this job.
fn newly_retired(rows: &DatabaseRows, policy: &Policy, kind: &JobKind) -> Vec<MeasurementId> {
    let (JobKind::DropMeasurement { ids, .. }, Some(row)) = (kind, rows.policies.by_id(policy.id))
    else {
        return Vec::new();
    };
    ids.iter().filter(|(number, _)| *number == row.number).map(|(_, id)| *id).collect()
}

pub(super) fn all_shards(rows: &DatabaseRows) -> impl Iterator<Item = &ObjectId> {
    rows.policies.rows.iter().flat_map(|row| shards(&row.policy))
}
