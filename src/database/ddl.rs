//! Jobs: what changes a database in more than one object. Intent stored, pushed to every affected
//! shard, published, acknowledged (PROTOCOL.md rule 2). Every push may be repeated.

use serde::{Deserialize, Serialize};

use super::groups::{group_settings, shard_settings, shards};
use super::policies::Settings;
use super::rows::{Change, Rows, Stage, State};
use super::split::Split;
use crate::model::ids::{MeasurementId, ObjectId};
use crate::model::limits::{JOB_RETRY_NS, WIPE_DELAY_NS};
use crate::model::shard_map::Policy;
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::round::Request;
use crate::protocol::shard::{ShardSettings, ToShard};

/// Shards that one wipe job names; bounds its row.
const SHARDS_PER_WIPE: usize = 1_000;

/// A `job` row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What is to be done.
    pub kind: JobKind,
    /// When the alarm takes it up, nanoseconds.
    pub due_ns: i64,
    /// Times that the alarm tried.
    pub failures: u32,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    /// Open the shards of a new policy, then publish it.
    CreatePolicy {
        /// Key of its row.
        number: u64,
        /// Whole, with its first group.
        policy: Policy,
        /// It becomes the default.
        make_default: bool,
        /// To be published.
        generation: u64,
    },
    /// Push new settings, then publish them.
    AlterPolicy {
        /// Key of its row.
        number: u64,
        /// Complete.
        settings: Settings,
        /// It becomes the default.
        make_default: bool,
        /// To be published.
        generation: u64,
    },
    /// Close the shards of a policy, then remove it.
    DropPolicy {
        /// Key of its row.
        number: u64,
        /// To be published.
        generation: u64,
    },
    /// Retire the measurement's ids on every shard, then take it out of the schemas.
    DropMeasurement {
        /// Per policy that has it, the key of the policy's row and the id.
        ids: Vec<(u64, MeasurementId)>,
        /// To be published.
        generation: u64,
    },
    /// Close every shard.
    DropDatabase {
        /// The last one.
        generation: u64,
    },
    /// Look at the size of every group, drop those past their retention; comes back for ever.
    Tend,
    /// A group that may have to split: see [`super::split`].
    Split(Split),
    /// Push the ranges that a split leaves and makes, then publish the new group.
    PublishSplit {
        /// Which group, and what was made.
        split: Split,
        /// To be published.
        generation: u64,
    },
    /// Lift the fence of a split that failed, and close what it made.
    AbandonSplit {
        /// Which group, and what was made.
        split: Split,
    },
    /// Close the shards of the first groups of a policy, whose points are all too old; the group
    /// after them takes over their range.
    DropGroups {
        /// Key of the policy's row.
        number: u64,
        /// How many.
        groups: usize,
        /// To be published.
        generation: u64,
    },
    /// Wipe closed shards.
    WipeShards {
        /// Which.
        shards: Vec<ObjectId>,
    },
    /// Wipe every shard, those that wait for it included, then this object with all its jobs.
    WipeDatabase,
}

impl Job {
    /// A job that somebody is about to do: the alarm waits before it helps.
    pub fn started(kind: JobKind, now_ns: i64) -> Self {
        Self { kind, due_ns: now_ns.saturating_add(JOB_RETRY_NS), failures: 0 }
    }

    /// A job that waits until messages sent before the drop are gone.
    pub fn delayed(kind: JobKind, now_ns: i64) -> Self {
        Self { kind, due_ns: now_ns.saturating_add(WIPE_DELAY_NS), failures: 0 }
    }

    /// A job for the alarm, at once.
    pub fn due(kind: JobKind, now_ns: i64) -> Self {
        Self { kind, due_ns: now_ns, failures: 0 }
    }

    /// The alarm tries it: it comes back later, and later each time.
    pub fn tried(&self, now_ns: i64) -> Self {
        let failures = self.failures.saturating_add(1);
        let wait_ns = JOB_RETRY_NS.saturating_mul(1 << failures.min(10));
        Self { kind: self.kind.clone(), due_ns: now_ns.saturating_add(wait_ns), failures }
    }

    /// Says that it is set aside.
    pub fn trouble(&self) -> String {
        let what = match &self.kind {
            JobKind::CreatePolicy { .. } => "opening a retention policy",
            JobKind::AlterPolicy { .. } => "changing a retention policy",
            JobKind::DropMeasurement { .. } => "dropping a measurement",
            JobKind::DropPolicy { .. } => "dropping a retention policy",
            JobKind::DropDatabase { .. } => "dropping the database",
            JobKind::WipeShards { .. } | JobKind::WipeDatabase => "wiping dropped shards",
            JobKind::Tend => "looking at the shard groups",
            JobKind::Split(_) | JobKind::PublishSplit { .. } => "splitting a shard group",
            JobKind::AbandonSplit { .. } => "undoing the split of a shard group",
            JobKind::DropGroups { .. } => "dropping expired shard groups",
        };
        format!("{what} failed {} times", self.failures)
    }

    /// Whether it stands in the queue of statements, which is done one at a time.
    pub fn is_statement(&self) -> bool {
        !matches!(
            self.kind,
            JobKind::WipeShards { .. } | JobKind::WipeDatabase | JobKind::Tend | JobKind::Split(_)
        )
    }

    /// Objects that it has made and that nobody was told of.
    fn fresh(&self) -> &[ObjectId] {
        match &self.kind {
            JobKind::CreatePolicy { policy, .. } => {
                policy.groups.first().map_or(&[], |group| &group.shards)
            }
            JobKind::Split(split)
            | JobKind::PublishSplit { split, .. }
            | JobKind::AbandonSplit { split } => split.target().map_or(&[], |group| &group.shards),
            _ => &[],
        }
    }
}

/// The messages of a job, in an order that stays the same while it lasts.
pub fn requests(rows: &Rows, database: &ObjectId, kind: &JobKind) -> Vec<Request> {
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
fn group_messages(rows: &Rows, database: &ObjectId, kind: &JobKind) -> Vec<(ObjectId, ToShard)> {
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

/// What a job changes once every message was answered; `None` wipes this object.
pub fn publish(rows: &Rows, key: u64, now_ns: i64) -> Option<Change> {
    let mut change = Change { removed_jobs: vec![key], ..Change::default() };
    let mut state = rows.state.clone();
    match rows.jobs.get(&key).map(|job| &job.kind)? {
        JobKind::CreatePolicy { number, policy, make_default, generation } => {
            state.generation = *generation;
            state.stage = Stage::Open;
            if *make_default || state.dropped_default.as_ref() == Some(&policy.name) {
                state.default_policy = Some(policy.id);
                state.dropped_default = None;
            }
            change.policy = Some((*number, policy.clone()));
        }
        JobKind::AlterPolicy { number, settings, make_default, generation } => {
            state.generation = *generation;
            let policy = altered(rows, *number, settings);
            if let Some(policy) = &policy
                && *make_default
            {
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
                    gone.extend_from_slice(job.fresh());
                    change.removed_jobs.push(key);
                }
            }
            wipe_later(&mut change, &mut state, &gone, now_ns);
            change.removed_policy = Some(*number);
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
        JobKind::Tend | JobKind::Split(_) | JobKind::WipeShards { .. } => return Some(change),
        JobKind::WipeDatabase => return None,
    }
    change.state = Some(state);
    Some(change)
}

/// [`publish`] for a job that changes the groups of a policy.
fn publish_groups(
    rows: &Rows,
    kind: &JobKind,
    change: &mut Change,
    state: &mut State,
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

/// The change that starts dropping the database. It takes the place of an unfinished statement,
/// whose fresh shards nobody will ever be told of.
pub fn start_drop(rows: &Rows, now_ns: i64) -> Change {
    let mut change = Change::default();
    let mut state = rows.state.clone();
    state.stage = Stage::Dropping;
    for (&key, job) in &rows.jobs {
        if job.is_statement() || matches!(job.kind, JobKind::Tend | JobKind::Split(_)) {
            change.removed_jobs.push(key);
            wipe_later(&mut change, &mut state, job.fresh(), now_ns);
        }
    }
    // Above every generation that a shard may have been told.
    let kind = JobKind::DropDatabase { generation: state.generation + 2 };
    change.jobs.push((state.next_job, Job::started(kind, now_ns)));
    state.next_job += 1;
    change.state = Some(state);
    change
}

/// Jobs that wipe these objects once messages sent before now are gone.
fn wipe_later(change: &mut Change, state: &mut State, gone: &[ObjectId], now_ns: i64) {
    for shards in gone.chunks(SHARDS_PER_WIPE) {
        let kind = JobKind::WipeShards { shards: shards.to_vec() };
        change.jobs.push((state.next_job, Job::delayed(kind, now_ns)));
        state.next_job += 1;
    }
}

/// A policy without its first groups, and their shards.
fn without_first(rows: &Rows, number: u64, groups: usize) -> Option<(Vec<ObjectId>, Policy)> {
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

/// The policy as the job will publish it.
fn altered(rows: &Rows, number: u64, settings: &Settings) -> Option<Policy> {
    let row = rows.policies.rows.iter().find(|row| row.number == number)?;
    Some(Policy {
        name: settings.name.clone(),
        duration_ns: settings.duration_ns,
        replica_n: settings.replica_n,
        shard_group_duration_ns: settings.shard_group_duration_ns,
        ..row.policy.clone()
    })
}

/// Ids of the policy's dropped measurements, those that the job drops included.
fn retired(rows: &Rows, policy: &Policy, kind: &JobKind) -> Vec<MeasurementId> {
    let Some(row) = rows.policies.by_id(policy.id) else { return Vec::new() };
    let mut retired = row.schema.retired();
    if let JobKind::DropMeasurement { ids, .. } = kind {
        let here = ids.iter().filter(|(number, _)| *number == row.number);
        retired.extend(here.map(|(_, id)| *id));
    }
    retired
}

fn all_shards(rows: &Rows) -> impl Iterator<Item = &ObjectId> {
    rows.policies.rows.iter().flat_map(|row| shards(&row.policy))
}
