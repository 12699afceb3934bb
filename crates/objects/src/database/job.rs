//! Defines jobs. A job is a change of a database that sends messages to other objects, for example
//! to open a policy, to split a group or to drop data.
//!
//! The Database stores a job, sends the change to every affected shard, publishes the change and
//! acknowledges it (PROTOCOL.md rule 2). Every message may be repeated.
//!
//! This file defines the stored form of jobs. [`messages`] creates the messages of a job, and
//! [`publish`] makes the final changes of a job.

use serde::{Deserialize, Serialize};

use super::groups::{policy_settings, settings_messages, shards};
use super::policies::{PolicyRow, Settings};
use super::rows::{DatabaseRows, DatabaseStage, RowsChange};
use tidemark_engine::protocol::backup::RestoredRest;
use tidemark_engine::protocol::database::QuotaChange;
use tidemark_engine::protocol::recovery::{Counters, RecoveredDatabase};
use tidemark_engine::protocol::shard::{ShardSettings, ToShard};
use tidemark_engine::scan::request::Resume;
use tidemark_model::ids::{MeasurementId, ObjectId};
use tidemark_model::limits::{
    JOB_FAILURES_MAX, JOB_RETRY_NS, RESTORE_NS_MAX, REVOKE_RETRY_NS_MAX, WIPE_DELAY_NS,
};
use tidemark_model::quota::Quotas;
use tidemark_model::shard_map::{Policy, ShardGroup, find_policy};
use tidemark_model::time::S_NS;

/// A `job` row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    pub kind: JobKind,
    /// The time of the alarm's next attempt, in nanoseconds.
    pub due_ns: i64,
    /// The number of attempts by the alarm.
    pub failures: u32,
    /// The number of the job's messages that have a reply. This number is stored only when an event
    /// ends before the job's last message. The order of the messages does not change until the job
    /// ends.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replied: u64,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference; only 64-bit targets warn"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The kind of change. `number` is the key of the policy's row. `generation` is the generation of
/// the database after publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum JobKind {
    /// Open the shards of a new policy, and then publish the policy.
    CreatePolicy {
        number: u64,
        /// The new policy, with its first group.
        policy: Policy,
        make_default: bool,
        generation: u64,
    },
    /// Send new settings to the shards, and then publish the settings.
    AlterPolicy {
        number: u64,
        /// The complete settings of the policy, including unchanged settings.
        settings: Settings,
        make_default: bool,
        generation: u64,
    },
    /// Close the shards of a policy, and then remove the policy.
    DropPolicy { number: u64, generation: u64 },
    /// Retire the measurement's ids on every shard, and then remove the measurement from the
    /// schemas.
    DropMeasurement {
        /// The key of each policy that contains the measurement, and the measurement's id in that
        /// policy.
        ids: Vec<(u64, MeasurementId)>,
        generation: u64,
    },
    /// Close every shard.
    DropDatabase {
        /// The last generation of the database.
        generation: u64,
    },
    /// Check the size of every group, and drop expired groups. This job is never removed; it
    /// becomes due again after a day at the latest.
    Maintain,
    /// Split a group if necessary (see [`super::split`]).
    Split(Split),
    /// Send the new ranges to both groups of a split, and then publish the new group.
    PublishSplit { split: Split, generation: u64 },
    /// Remove the fence of a failed split, and close the new shards.
    AbandonSplit { split: Split },
    /// Close the shards of a policy's first groups, whose points have all expired. The next group
    /// takes over their time range.
    DropGroups {
        number: u64,
        /// The number of groups to drop, starting with the first group.
        groups: usize,
        generation: u64,
    },
    /// Wipe closed shards.
    WipeShards { shards: Vec<ObjectId> },
    /// Wipe every shard, including shards that wait for a wipe, and then wipe this object with all
    /// its jobs.
    WipeDatabase,
    /// Send the access number to every shard, because a token or user loses a permission.
    Access,
    /// Raise the generation on every shard, and then publish new limits. Senders with the old
    /// limits become stale.
    SetQuota { change: QuotaChange, generation: u64 },
    /// Open the new shards for a restore.
    OpenRestore(Filling),
    /// Wait while the edge fills the new shards, which no other object knows yet. When the job
    /// becomes due, the restore is undone.
    Restore(Filling),
    /// Close the shards of all other policies, and then publish the restored policies.
    PublishRestore {
        filling: Filling,
        /// The default policy, continuous queries and quotas, published with the policies.
        rest: RestoredRest,
        generation: u64,
    },
    /// Send all settings to every shard after a point-in-time recovery, and then open the database.
    Recover(Box<RecoveredDatabase>),
}

/// The stored state of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filling {
    pub backup: String,
    /// The row key of the first policy. The other policies have the following keys.
    pub first: u64,
    pub policies: Vec<Policy>,
    /// The number of stored pages of measurements.
    pub pages: u32,
}

/// The stored state of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Split {
    pub number: u64,
    pub group: u64,
    /// The size of the group's largest shard in bytes, or the largest size known so far.
    pub bytes: u64,
    /// The progress of the copying; `None` until the time of the split is determined.
    pub copy: Option<Copying>,
}

/// The progress of the copying.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copying {
    /// The new group, from the time of the split to the end of the old group.
    pub target: ShardGroup,
    /// The generation of the new shards until they are published.
    pub generation: u64,
    /// The position of the old shard whose rows are being copied.
    pub shard: u32,
    /// The lowest id of the next measurement to copy.
    pub measurement: u32,
    /// The start of the measurement's next page.
    pub resume: Resume,
    /// The encoded bytes written so far.
    pub bytes: u64,
}

impl Job {
    /// Creates a job that a request executes immediately. The alarm retries the job after a delay.
    /// The delay is short if the job revokes a permission.
    pub(super) fn started(kind: JobKind, now_ns: i64) -> Self {
        let wait_ns = if kind == JobKind::Access { S_NS } else { JOB_RETRY_NS };
        Self::due(kind, now_ns.saturating_add(wait_ns))
    }

    /// Returns whether the alarm skips the job after too many attempts. The alarm never skips a job
    /// that revokes permissions.
    pub(super) fn is_skipped(&self) -> bool {
        self.failures >= JOB_FAILURES_MAX && self.kind != JobKind::Access
    }

    /// Creates a job that waits until messages that were sent earlier can no longer arrive.
    pub(super) fn delayed(kind: JobKind, now_ns: i64) -> Self {
        Self::due(kind, now_ns.saturating_add(WIPE_DELAY_NS))
    }

    /// Creates a job that the alarm executes at `due_ns`.
    pub(super) fn due(kind: JobKind, due_ns: i64) -> Self {
        Self { kind, due_ns, failures: 0, replied: 0 }
    }

    /// Counts an attempt of the alarm, and schedules the next attempt with a doubled delay.
    pub(super) fn count_attempt(&self, now_ns: i64) -> Self {
        let failures = self.failures.saturating_add(1);
        let wait_ns = match self.kind {
            JobKind::Access => (S_NS << failures.min(10)).min(REVOKE_RETRY_NS_MAX),
            _ => JOB_RETRY_NS.saturating_mul(1 << failures.min(10)),
        };
        Self { failures, due_ns: now_ns.saturating_add(wait_ns), ..self.clone() }
    }

    /// Returns the job after an event that ended early, with the number of messages that have a
    /// reply. The alarm continues the job immediately.
    pub(super) fn continued(&self, replied: u64, now_ns: i64) -> Self {
        let replied = replied.max(self.replied);
        Self { due_ns: now_ns, failures: 0, replied, ..self.clone() }
    }

    /// Returns a description of a job that the alarm skips.
    pub(super) fn problem(&self) -> String {
        let what = match &self.kind {
            JobKind::CreatePolicy { .. } => "creating a retention policy",
            JobKind::AlterPolicy { .. } => "changing a retention policy",
            JobKind::DropMeasurement { .. } => "dropping a measurement",
            JobKind::DropPolicy { .. } => "dropping a retention policy",
            JobKind::DropDatabase { .. } => "dropping the database",
            JobKind::WipeShards { .. } | JobKind::WipeDatabase => {
                "deleting the data of dropped shards"
            }
            JobKind::Access => "revoking a permission",
            JobKind::SetQuota { .. } => "setting a quota",
            JobKind::OpenRestore(_) | JobKind::PublishRestore { .. } => "restoring a backup",
            JobKind::Restore(_) => "undoing a restore",
            JobKind::Maintain => "checking the shard groups",
            JobKind::Split(_) | JobKind::PublishSplit { .. } => "splitting a shard group",
            JobKind::AbandonSplit { .. } => "undoing the split of a shard group",
            JobKind::DropGroups { .. } => "dropping expired shard groups",
            JobKind::Recover(_) => "opening the recovered database",
        };
        format!("{what} failed {} times", self.failures)
    }

    /// Returns whether the job is a statement. Only one statement is executed at a time.
    pub(super) fn is_statement(&self) -> bool {
        !matches!(
            self.kind,
            JobKind::WipeShards { .. }
                | JobKind::WipeDatabase
                | JobKind::Maintain
                | JobKind::Split(_)
                | JobKind::Restore(_)
        )
    }

    /// Returns the objects that the job has created and that no edge knows.
    pub(super) fn fresh(&self) -> Vec<ObjectId> {
        match &self.kind {
            JobKind::CreatePolicy { policy, .. } => shards(policy).cloned().collect(),
            JobKind::OpenRestore(filling)
            | JobKind::Restore(filling)
            | JobKind::PublishRestore { filling, .. } => filling.shards().cloned().collect(),
            JobKind::Split(split)
            | JobKind::PublishSplit { split, .. }
            | JobKind::AbandonSplit { split } => {
                split.target().map_or_else(Vec::new, |group| group.shards.clone())
            }
            _ => Vec::new(),
        }
    }
}

impl Filling {
    pub(super) fn shards(&self) -> impl Iterator<Item = &ObjectId> {
        self.policies.iter().flat_map(shards)
    }
}

impl Split {
    pub(super) fn target(&self) -> Option<&ShardGroup> {
        self.copy.as_ref().map(|copy| &copy.target)
    }
}

impl Copying {
    /// Creates the progress of a copy that has copied no rows yet.
    pub(super) fn begin(target: ShardGroup, generation: u64) -> Self {
        Self { target, generation, shard: 0, measurement: 0, resume: Resume::default(), bytes: 0 }
    }
}

/// Messages to shards.
pub(super) type Messages = Vec<(ObjectId, ToShard)>;

/// Returns the messages of a job. The order of the messages does not change until the job ends, and
/// each message may be repeated. The caller encodes only the messages of the current round, because
/// a policy may have 10,000 shards.
pub(super) fn messages(rows: &DatabaseRows, database: &ObjectId, kind: &JobKind) -> Messages {
    let push = |policy: &Policy, generation, message: fn(ShardSettings) -> ToShard| {
        let retired = newly_retired(rows, policy, kind);
        let common = policy_settings(database, policy, generation, rows.state.access);
        settings_messages(&ShardSettings { retired, ..common }, &policy.groups, message)
    };
    let push_filled = |filling: &Filling, generation, message: fn(ShardSettings) -> ToShard| {
        let policies = filling.policies.iter();
        policies.flat_map(|policy| push(policy, generation, message)).collect::<Messages>()
    };
    let old_default = |make_default: &bool, generation| match rows.state.default_policy {
        Some(id) if *make_default => {
            let row = rows.policies.by_id(id);
            row.map(|row| push(&row.policy, generation, ToShard::Configure)).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    match kind {
        JobKind::CreatePolicy { policy, make_default, generation, .. } => {
            let mut messages = push(policy, *generation, ToShard::Open);
            for (old, groups) in superseded(rows, &policy.name, *make_default) {
                let common = policy_settings(database, old, *generation, rows.state.access);
                messages.extend(settings_messages(&common, groups, ToShard::Configure));
            }
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
            let row = rows.policies.numbered(*number).into_iter();
            close(row.flat_map(|row| shards(&row.policy)), *generation)
        }
        JobKind::DropDatabase { generation } => close(rows.shards(), *generation),
        JobKind::PublishSplit { split, generation } => {
            split.publication(rows, database, *generation)
        }
        JobKind::AbandonSplit { split } => {
            let (Some((_, group)), Some(target)) = (split.find(rows), split.target()) else {
                return Vec::new();
            };
            let lift = ToShard::Fence { split: target.id, from_ns: None };
            let mut messages = to_all(&group.shards, &lift);
            messages.extend(close(&target.shards, rows.state.generation));
            messages
        }
        JobKind::DropGroups { number, groups, generation } => {
            let Some((gone, policy)) = without_first(rows, *number, *groups) else {
                return Vec::new();
            };
            let common = policy_settings(database, &policy, *generation, rows.state.access);
            let heir = policy.groups.first();
            let mut messages = settings_messages(&common, heir, ToShard::Configure);
            messages.extend(close(&gone, *generation));
            messages
        }
        JobKind::WipeShards { shards } => to_all(shards, &ToShard::Wipe),
        // Separate jobs wipe the shards that already wait for a wipe, and this job executes these
        // jobs after its own messages. Their shards are not listed here: a separate job may end at
        // any time, which would change the list.
        JobKind::WipeDatabase => to_all(rows.shards(), &ToShard::Wipe),
        JobKind::OpenRestore(filling) => push_filled(filling, rows.state.generation, ToShard::Open),
        JobKind::Restore(filling) => close(filling.shards(), rows.state.generation),
        JobKind::PublishRestore { filling, generation, .. } => {
            let mut messages = close(rows.shards(), *generation);
            messages.extend(push_filled(filling, *generation, ToShard::Configure));
            messages
        }
        JobKind::Recover(recovered) => recovery_messages(rows, database, &recovered.counters),
        JobKind::Maintain | JobKind::Split(_) | JobKind::Access => Vec::new(),
    }
}

pub(super) fn to_all<'a>(
    shards: impl IntoIterator<Item = &'a ObjectId>,
    message: &ToShard,
) -> Messages {
    shards.into_iter().map(|shard| (shard.clone(), message.clone())).collect()
}

fn close<'a>(shards: impl IntoIterator<Item = &'a ObjectId>, generation: u64) -> Messages {
    to_all(shards, &ToShard::Close { generation })
}

/// Returns the messages to the shards of a recovered database. The messages contain the complete
/// settings, because the state of each shard may be slightly older or newer than the Database's
/// state.
fn recovery_messages(rows: &DatabaseRows, database: &ObjectId, counters: &Counters) -> Messages {
    let access = counters.access.max(rows.state.access);
    let of_policy = |row: &PolicyRow| {
        let mut retired = row.schema.retired();
        let (first, _) = row.schema.next_ids();
        retired.extend((first..counters.next_measurement(row.number)).map(MeasurementId));
        let common = policy_settings(database, &row.policy, counters.generation, access);
        let common = ShardSettings { retired, ..common };
        settings_messages(&common, &row.policy.groups, ToShard::Open)
    };
    rows.policies.rows.iter().flat_map(of_policy).collect()
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

/// Returns the groups whose shards must reject edges that do not know the new policy `name`.
/// Otherwise such an edge would succeed with other policies:
///
/// - The name may already select another policy, or the new policy may become the default policy.
/// - A SHOW statement reads every policy that the edge knows. Unless its plan is confirmed, it
///   reads the last group of each policy, so one such group suffices.
fn superseded<'a>(
    rows: &'a DatabaseRows,
    name: &str,
    make_default: bool,
) -> Vec<(&'a Policy, &'a [ShardGroup])> {
    let policies = rows.policies.rows.iter().map(|row| &row.policy);
    let select = |name| find_policy(policies.clone(), rows.state.default_policy, name);
    let (named, shown) = (select(Some(name)), select(None).or_else(|| policies.clone().next()));
    let is_named = |policy: &Policy| named.is_some_and(|named| named.id == policy.id);
    let shown = shown.map(|shown| match make_default || is_named(shown) {
        true => (shown, &*shown.groups),
        false => (shown, shown.groups.last().map_or(&[][..], std::slice::from_ref)),
    });
    let named = named.filter(|named| shown.is_none_or(|(shown, _)| shown.id != named.id));
    shown.into_iter().chain(named.map(|named| (named, &*named.groups))).collect()
}

/// Returns the changes of a job whose messages all have a reply. `None` means that this object must
/// be wiped.
pub(super) fn publish(rows: &DatabaseRows, key: u64, now_ns: i64) -> Option<RowsChange> {
    let mut change = RowsChange { removed_jobs: vec![key], ..RowsChange::default() };
    let mut state = rows.state.clone();
    match rows.jobs.get(&key).map(|job| &job.kind)? {
        JobKind::CreatePolicy { number, policy, make_default, generation } => {
            state.generation = *generation;
            // A frozen database opens only at the end of its recovery.
            if state.stage == DatabaseStage::Opening {
                state.stage = DatabaseStage::Open;
            }
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
                let row = rows.policies.numbered(*number);
                let marker = row.and_then(|row| row.schema.marker(*id));
                change.dropped.extend(marker.map(|marker| (*number, marker)));
            }
        }
        JobKind::DropPolicy { number, generation } => {
            state.generation = *generation;
            let row = rows.policies.numbered(*number);
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
            change.wipe_later(&mut state, &gone, now_ns);
            change.removed_policy = Some(*number);
        }
        JobKind::SetQuota { change: quota, generation } => {
            state.generation = *generation;
            change.quotas = Some(changed_quotas(&rows.quotas, quota));
        }
        JobKind::DropDatabase { generation } => {
            state.generation = *generation;
            change.add_job(&mut state, Job::delayed(JobKind::WipeDatabase, now_ns));
        }
        JobKind::PublishSplit { split, generation } => {
            state.generation = *generation;
            change.policy = split.published(rows);
        }
        JobKind::AbandonSplit { split } => {
            let fresh = split.target().map_or(&[][..], |group| &group.shards);
            change.wipe_later(&mut state, fresh, now_ns);
            change.policy = split.marked(rows, split.bytes.saturating_mul(2));
        }
        JobKind::DropGroups { number, groups, generation } => {
            state.generation = *generation;
            if let Some((gone, policy)) = without_first(rows, *number, *groups) {
                change.wipe_later(&mut state, &gone, now_ns);
                change.policy = Some((*number, policy));
            }
        }
        JobKind::OpenRestore(filling) => {
            let due_ns = now_ns.saturating_add(RESTORE_NS_MAX);
            change.add_job(&mut state, Job::due(JobKind::Restore(filling.clone()), due_ns));
        }
        JobKind::WipeDatabase => return None,
        // `Database::drive` ends the other jobs that change rows.
        _ => return Some(change),
    }
    change.state = Some(state);
    Some(change)
}

/// Returns the change that starts to drop the database. The drop replaces an unfinished statement;
/// the shards that this statement created are known only to the Database.
pub(super) fn start_drop(rows: &DatabaseRows, now_ns: i64) -> RowsChange {
    let mut change = RowsChange::default();
    let mut state = rows.state.clone();
    state.stage = DatabaseStage::Dropping;
    for (&key, job) in &rows.jobs {
        if job.is_statement()
            || matches!(job.kind, JobKind::Maintain | JobKind::Split(_) | JobKind::Restore(_))
        {
            change.removed_jobs.push(key);
            change.wipe_later(&mut state, &job.fresh(), now_ns);
        }
    }
    // This generation is higher than any generation that a shard may have received.
    let kind = JobKind::DropDatabase { generation: state.generation + 2 };
    change.add_job(&mut state, Job::started(kind, now_ns));
    change.state = Some(state);
    change
}

/// Returns the shards of the policy's first groups, and the policy without these groups.
fn without_first(
    rows: &DatabaseRows,
    number: u64,
    groups: usize,
) -> Option<(Vec<ObjectId>, Policy)> {
    let mut policy = rows.policies.numbered(number)?.policy.clone();
    if groups >= policy.groups.len() {
        return None;
    }
    let gone = policy.groups.drain(..groups).flat_map(|group| group.shards).collect();
    if let Some(heir) = policy.groups.first_mut() {
        heir.range.start_ns = i64::MIN;
    }
    Some((gone, policy))
}

fn altered(rows: &DatabaseRows, number: u64, settings: &Settings) -> Option<Policy> {
    let settings = settings.clone();
    let policy = rows.policies.numbered(number)?.policy.clone();
    Some(Policy {
        name: settings.name,
        duration_ns: settings.duration_ns,
        replica_n: settings.replica_n,
        shard_group_duration_ns: settings.shard_group_duration_ns,
        future_limit_ns: settings.future_limit_ns,
        past_limit_ns: settings.past_limit_ns,
        ..policy
    })
}

pub(super) fn changed_quotas(quotas: &Quotas, change: &QuotaChange) -> Quotas {
    let mut quotas = quotas.clone();
    match change {
        QuotaChange::Database { rates, stored_bytes, series } => {
            (quotas.rates, quotas.stored_bytes) = (*rates, *stored_bytes);
            quotas.series = *series;
        }
        QuotaChange::Caller(quota) => quotas.set_caller(quota.clone()),
    }
    quotas
}
