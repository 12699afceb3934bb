//! Defines jobs. A job is a change of a database that sends messages to other objects, for example
//! to open a policy, to split a group or to drop data.
//!
//! The Database stores a job, sends the change to every affected shard, publishes the change and
//! acknowledges it (PROTOCOL.md rule 2). Every message may be repeated.
//!
//! This file defines the stored form of jobs. [`super::job_messages`] creates the messages of a
//! job, and [`super::job_completion`] makes the final changes of a job.

use serde::{Deserialize, Serialize};

use super::groups::shards;
use super::policies::Settings;
use crate::model::ids::{MeasurementId, ObjectId};
use crate::model::limits::{JOB_FAILURES_MAX, JOB_RETRY_NS, REVOKE_RETRY_NS_MAX, WIPE_DELAY_NS};
use crate::model::shard_map::{Policy, ShardGroup};
use crate::model::time::S_NS;
use crate::protocol::backup::RestoredRest;
use crate::protocol::database::QuotaChange;
use crate::protocol::recovery::RecoveredDatabase;
use crate::scan::request::Resume;

/// A `job` row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The kind of change.
    pub kind: JobKind,
    /// The time of the alarm's next attempt, in nanoseconds.
    pub due_ns: i64,
    /// The number of attempts by the alarm.
    pub failures: u32,
    /// The number of the job's messages that have a reply. This number is stored only when an event
    /// ends before the job's last message. The order of the messages does not change until the job
    /// ends.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub answered: u64,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference; only 64-bit targets warn"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The kind of change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    /// Open the shards of a new policy, and then publish the policy.
    CreatePolicy {
        /// The key of the policy's row.
        number: u64,
        /// The new policy, with its first group.
        policy: Policy,
        /// Whether the policy becomes the default.
        make_default: bool,
        /// The generation of the database after publication.
        generation: u64,
    },
    /// Send new settings to the shards, and then publish the settings.
    AlterPolicy {
        /// The key of the policy's row.
        number: u64,
        /// The complete settings of the policy, including unchanged settings.
        settings: Settings,
        /// Whether the policy becomes the default.
        make_default: bool,
        /// The generation of the database after publication.
        generation: u64,
    },
    /// Close the shards of a policy, and then remove the policy.
    DropPolicy {
        /// The key of the policy's row.
        number: u64,
        /// The generation of the database after publication.
        generation: u64,
    },
    /// Retire the measurement's ids on every shard, and then remove the measurement from the
    /// schemas.
    DropMeasurement {
        /// The key of each policy that contains the measurement, and the measurement's id in that
        /// policy.
        ids: Vec<(u64, MeasurementId)>,
        /// The generation of the database after publication.
        generation: u64,
    },
    /// Close every shard.
    DropDatabase {
        /// The last generation of the database.
        generation: u64,
    },
    /// Check the size of every group, and drop expired groups. This job never ends.
    Tend,
    /// Split a group if necessary (see [`super::split`]).
    Split(Split),
    /// Send the new ranges to both groups of a split, and then publish the new group.
    PublishSplit {
        /// The split.
        split: Split,
        /// The generation of the database after publication.
        generation: u64,
    },
    /// Remove the fence of a failed split, and close the new shards.
    AbandonSplit {
        /// The split.
        split: Split,
    },
    /// Close the shards of a policy's first groups, whose points have all expired. The next group
    /// takes over their time range.
    DropGroups {
        /// The key of the policy's row.
        number: u64,
        /// The number of groups to drop, starting with the first group.
        groups: usize,
        /// The generation of the database after publication.
        generation: u64,
    },
    /// Wipe closed shards.
    WipeShards {
        /// The closed shards.
        shards: Vec<ObjectId>,
    },
    /// Wipe every shard, including shards that wait for a wipe, and then wipe this object with all
    /// its jobs.
    WipeDatabase,
    /// Send the access number to every shard, because a token or user loses a permission.
    Access,
    /// Raise the generation on every shard, and then publish new limits. Senders with the old
    /// limits become stale.
    SetQuota {
        /// The new limits.
        change: QuotaChange,
        /// The generation of the database after publication.
        generation: u64,
    },
    /// Open the new shards for a restore.
    OpenRestore(Filling),
    /// Wait while the edge fills the new shards, which no other object knows yet. When the job
    /// becomes due, the restore is undone.
    Restore(Filling),
    /// Close the shards of all other policies, and then publish the restored policies.
    PublishRestore {
        /// The filled policies.
        filling: Filling,
        /// The default policy, continuous queries and quotas, published with the policies.
        rest: RestoredRest,
        /// The generation of the database after publication.
        generation: u64,
    },
    /// Send all settings to every shard after a point-in-time recovery, and then open the database.
    Recover(Box<RecoveredDatabase>),
}

/// The stored state of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filling {
    /// The name of the backup.
    pub backup: String,
    /// The row key of the first policy. The other policies have the following keys.
    pub first: u64,
    /// The policies with new shards.
    pub policies: Vec<Policy>,
    /// The number of stored pages of measurements.
    pub pages: u32,
}

/// The stored state of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The key of the policy's row.
    pub number: u64,
    /// The group to split.
    pub group: u64,
    /// The size of the group's largest shard in bytes, or the largest size known so far.
    pub bytes: u64,
    /// The progress of the copying; `None` until the time of the split is determined.
    pub copy: Option<Copying>,
}

/// The progress of the copying.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copying {
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
    pub fn started(kind: JobKind, now_ns: i64) -> Self {
        let wait_ns = if kind == JobKind::Access { S_NS } else { JOB_RETRY_NS };
        Self { kind, due_ns: now_ns.saturating_add(wait_ns), failures: 0, answered: 0 }
    }

    /// Returns whether the alarm skips the job after too many attempts. The alarm never skips a job
    /// that revokes permissions.
    pub fn is_skipped(&self) -> bool {
        self.failures >= JOB_FAILURES_MAX && self.kind != JobKind::Access
    }

    /// Creates a job that waits until earlier messages have expired.
    pub fn delayed(kind: JobKind, now_ns: i64) -> Self {
        Self { kind, due_ns: now_ns.saturating_add(WIPE_DELAY_NS), failures: 0, answered: 0 }
    }

    /// Creates a job that the alarm executes at a time.
    pub fn due(kind: JobKind, now_ns: i64) -> Self {
        Self { kind, due_ns: now_ns, failures: 0, answered: 0 }
    }

    /// Counts an attempt of the alarm, and schedules the next attempt with a doubled delay.
    pub fn count_attempt(&self, now_ns: i64) -> Self {
        let failures = self.failures.saturating_add(1);
        let wait_ns = match self.kind {
            JobKind::Access => (S_NS << failures.min(10)).min(REVOKE_RETRY_NS_MAX),
            _ => JOB_RETRY_NS.saturating_mul(1 << failures.min(10)),
        };
        Self { failures, due_ns: now_ns.saturating_add(wait_ns), ..self.clone() }
    }

    /// Returns the job after an event that ended early, with the number of messages that have a
    /// reply. The alarm continues the job immediately.
    pub fn continued(&self, answered: u64, now_ns: i64) -> Self {
        let answered = answered.max(self.answered);
        Self { due_ns: now_ns, failures: 0, answered, ..self.clone() }
    }

    /// Returns a description of a job that the alarm skips.
    pub fn problem(&self) -> String {
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
            JobKind::Tend => "checking the shard groups",
            JobKind::Split(_) | JobKind::PublishSplit { .. } => "splitting a shard group",
            JobKind::AbandonSplit { .. } => "undoing the split of a shard group",
            JobKind::DropGroups { .. } => "dropping expired shard groups",
            JobKind::Recover(_) => "opening the recovered database",
        };
        format!("{what} failed {} times", self.failures)
    }

    /// Returns whether the job is a statement. Only one statement is executed at a time.
    pub fn is_statement(&self) -> bool {
        !matches!(
            self.kind,
            JobKind::WipeShards { .. }
                | JobKind::WipeDatabase
                | JobKind::Tend
                | JobKind::Split(_)
                | JobKind::Restore(_)
        )
    }

    /// Returns whether the job belongs to a restore.
    pub fn is_of_restore(&self) -> bool {
        matches!(
            self.kind,
            JobKind::OpenRestore(_) | JobKind::Restore(_) | JobKind::PublishRestore { .. }
        )
    }

    /// Returns the objects that the job has created and that no edge knows.
    pub fn fresh(&self) -> Vec<ObjectId> {
        match &self.kind {
            JobKind::CreatePolicy { policy, .. } => shards(policy).cloned().collect(),
            JobKind::OpenRestore(filling)
            | JobKind::Restore(filling)
            | JobKind::PublishRestore { filling, .. } => {
                filling.policies.iter().flat_map(shards).cloned().collect()
            }
            JobKind::Split(split)
            | JobKind::PublishSplit { split, .. }
            | JobKind::AbandonSplit { split } => {
                split.target().map_or_else(Vec::new, |group| group.shards.clone())
            }
            _ => Vec::new(),
        }
    }
}

impl Split {
    /// Creates the split of a group whose size is not known yet.
    pub fn of_unknown_size(number: u64, group: u64, bytes: u64) -> Self {
        Self { number, group, bytes, copy: None }
    }

    /// Returns the new group.
    pub fn target(&self) -> Option<&ShardGroup> {
        self.copy.as_ref().map(|copy| &copy.target)
    }
}

impl Copying {
    /// Creates the progress of a copy that has copied no rows yet.
    pub fn begin(target: ShardGroup, generation: u64) -> Self {
        Self { target, generation, shard: 0, measurement: 0, resume: Resume::default(), bytes: 0 }
    }
}
