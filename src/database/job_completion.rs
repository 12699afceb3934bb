//! Changes a Database's rows after every shard has accepted a job, and starts to drop a database.

use super::groups::shards;
use super::job::{Job, JobKind};
use super::policies::Settings;
use super::quotas;
use super::rows::{DatabaseRows, DatabaseStage, DatabaseState, RowsChange};
use crate::model::ids::ObjectId;
use crate::model::limits::SHARDS_PER_WIPE_MAX;
use crate::model::shard_map::Policy;

/// Returns the changes of a job whose messages all have a reply. `None` means that this object must
/// be wiped.
pub(super) fn publish(rows: &DatabaseRows, key: u64, now_ns: i64) -> Option<RowsChange> {
    let mut change = RowsChange { removed_jobs: vec![key], ..RowsChange::default() };
    let mut state = rows.state.clone();
    match rows.jobs.get(&key).map(|job| &job.kind)? {
        JobKind::CreatePolicy { number, policy, make_default, generation } => {
            state.generation = *generation;
            state.stage = opened(state.stage);
            if *make_default || state.dropped_default.as_ref() == Some(&policy.name) {
                state.default_policy = Some(policy.id);
                state.dropped_default = None;
            }
            change.policy = Some((*number, policy.clone()));
        }
        JobKind::AlterPolicy { number, settings, make_default, generation } => {
            state.generation = *generation;
            let policy = altered(rows, *number, settings);
            if let (Some(policy), true) = (&policy, *make_default) {
                state.default_policy = Some(policy.id);
                state.dropped_default = None;
            }
            change.policy = policy.map(|policy| (*number, policy));
        }
        JobKind::DropMeasurement { ids, generation } => {
            state.generation = *generation;
            for (number, id) in ids {
                let row = rows.policies.rows.iter().find(|row| row.number == *number);
                let marker = row.and_then(|row| row.schema.marker(*id));
                change.dropped.extend(marker.map(|marker| (*number, marker)));
            }
        }
        JobKind::DropPolicy { number, generation } => {
            state.generation = *generation;
            let row = rows.policies.rows.iter().find(|row| row.number == *number);
            if state.default_policy == row.map(|row| row.policy.id) {
                state.default_policy = None;
                state.dropped_default = row.map(|row| row.policy.name.clone());
            }
            let mut gone: Vec<ObjectId> =
                row.into_iter().flat_map(|row| shards(&row.policy)).cloned().collect();
            for (&key, job) in &rows.jobs {
                if matches!(&job.kind, JobKind::Split(split) if split.number == *number) {
                    gone.extend(job.fresh());
                    change.removed_jobs.push(key);
                }
            }
            wipe_later(&mut change, &mut state, &gone, now_ns);
            change.removed_policy = Some(*number);
        }
        JobKind::SetQuota { change: quota, generation } => {
            state.generation = *generation;
            change.quotas = Some(quotas::changed(&rows.quotas, quota));
        }
        JobKind::DropDatabase { generation } => {
            state.generation = *generation;
            change.jobs.push((state.next_job, Job::delayed(JobKind::WipeDatabase, now_ns)));
            state.next_job += 1;
        }
        kind @ (JobKind::PublishSplit { .. }
        | JobKind::AbandonSplit { .. }
        | JobKind::DropGroups { .. }) => {
            publish_groups(rows, kind, &mut change, &mut state, now_ns);
        }
        JobKind::WipeDatabase => return None,
        // The remaining jobs change no rows here. `end_restore_job` ends a restore job.
        _ => return Some(change),
    }
    change.state = Some(state);
    Some(change)
}

/// Returns the stage of the database after its first policy was created. A frozen database opens
/// only at the end of its recovery.
fn opened(stage: DatabaseStage) -> DatabaseStage {
    if stage == DatabaseStage::Opening { DatabaseStage::Open } else { stage }
}

fn publish_groups(
    rows: &DatabaseRows,
    kind: &JobKind,
    change: &mut RowsChange,
    state: &mut DatabaseState,
    now_ns: i64,
) {
    match kind {
        JobKind::PublishSplit { split, generation } => {
            state.generation = *generation;
            change.policy = split.published(rows);
        }
        JobKind::AbandonSplit { split } => {
            let fresh = split.target().map_or(&[][..], |group| &group.shards);
            wipe_later(change, state, fresh, now_ns);
            change.policy = split.marked(rows, split.bytes.saturating_mul(2));
        }
        JobKind::DropGroups { number, groups, generation } => {
            state.generation = *generation;
            if let Some((gone, policy)) = without_first(rows, *number, *groups) {
                wipe_later(change, state, &gone, now_ns);
                change.policy = Some((*number, policy));
            }
        }
        _ => {}
    }
}

/// Returns the change that starts to drop the database. The change also replaces an unfinished
/// statement, whose new shards no other object knows.
pub(super) fn start_drop(rows: &DatabaseRows, now_ns: i64) -> RowsChange {
    let mut change = RowsChange::default();
    let mut state = rows.state.clone();
    state.stage = DatabaseStage::Dropping;
    for (&key, job) in &rows.jobs {
        if job.is_statement()
            || matches!(job.kind, JobKind::Tend | JobKind::Split(_) | JobKind::Restore(_))
        {
            change.removed_jobs.push(key);
            wipe_later(&mut change, &mut state, &job.fresh(), now_ns);
        }
    }
    // The new generation is higher than all generations that a shard may know.
    let kind = JobKind::DropDatabase { generation: state.generation + 2 };
    change.jobs.push((state.next_job, Job::started(kind, now_ns)));
    state.next_job += 1;
    change.state = Some(state);
    change
}

pub(super) fn wipe_later(
    change: &mut RowsChange,
    state: &mut DatabaseState,
    gone: &[ObjectId],
    now_ns: i64,
) {
    for shards in gone.chunks(SHARDS_PER_WIPE_MAX) {
        let kind = JobKind::WipeShards { shards: shards.to_vec() };
        change.jobs.push((state.next_job, Job::delayed(kind, now_ns)));
        state.next_job += 1;
    }
}

pub(super) fn without_first(
    rows: &DatabaseRows,
    number: u64,
    groups: usize,
) -> Option<(Vec<ObjectId>, Policy)> {
    let row = rows.policies.rows.iter().find(|row| row.number == number)?;
    let mut policy = row.policy.clone();
    if groups >= policy.groups.len() {
        return None;
    }
    let gone = policy.groups.drain(..groups).flat_map(|group| group.shards).collect();
    if let Some(heir) = policy.groups.first_mut() {
        heir.range.start_ns = i64::MIN;
    }
    Some((gone, policy))
}

pub(super) fn altered(rows: &DatabaseRows, number: u64, settings: &Settings) -> Option<Policy> {
    let row = rows.policies.rows.iter().find(|row| row.number == number)?;
    Some(Policy {
        name: settings.name.clone(),
        duration_ns: settings.duration_ns,
        replica_n: settings.replica_n,
        shard_group_duration_ns: settings.shard_group_duration_ns,
        ..row.policy.clone()
    })
}
