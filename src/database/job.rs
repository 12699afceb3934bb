//! A job is work on a database that takes messages to other objects: opening a policy, splitting a
//! group, dropping what is gone. It is stored, pushed to every shard that it concerns, published
//! and acknowledged (PROTOCOL.md rule 2), and every push may be repeated.
//!
//! This file has the jobs as their rows keep them; [`super::job_messages`] has the messages of
//! each, [`super::job_completion`] what it changes at its end.

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
        /// Key of the policy's row.
        number: u64,
        /// The new policy, with its first group.
        policy: Policy,
        /// It becomes the default.
        make_default: bool,
        /// The generation that the database has once this is published.
        generation: u64,
    },
    /// Push new settings, then publish them.
    AlterPolicy {
        /// Key of the policy's row.
        number: u64,
        /// All settings of the policy, changed or not.
        settings: Settings,
        /// It becomes the default.
        make_default: bool,
        /// The generation that the database has once this is published.
        generation: u64,
    },
    /// Close the shards of a policy, then remove it.
    DropPolicy {
        /// Key of the policy's row.
        number: u64,
        /// The generation that the database has once this is published.
        generation: u64,
    },
    /// Retire the measurement's ids on every shard, then take it out of the schemas.
    DropMeasurement {
        /// Per policy that has it, the key of the policy's row and the id.
        ids: Vec<(u64, MeasurementId)>,
        /// The generation that the database has once this is published.
        generation: u64,
    },
    /// Close every shard.
    DropDatabase {
        /// The last generation of the database.
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
        /// The generation that the database has once this is published.
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
        /// How many groups are dropped, counted from the first.
        groups: usize,
        /// The generation that the database has once this is published.
        generation: u64,
    },
    /// Wipe closed shards.
    WipeShards {
        /// The shards that are closed.
        shards: Vec<ObjectId>,
    },
    /// Wipe every shard, those that wait for it included, then this object with all its jobs.
    WipeDatabase,
    /// Tell every shard the number of the grants: somebody may do less than before.
    Access,
    /// Raise the generation everywhere, then publish other limits: who knows the old ones is stale.
    SetQuota {
        /// Which limits.
        change: QuotaChange,
        /// The generation that the database has once this is published.
        generation: u64,
    },
    /// Open the shards that a backup is to be restored into.
    OpenRestore(Filling),
    /// They are open, and nobody is told of them: filled by whoever restores. When this is due they
    /// go.
    Restore(Filling),
    /// Close the shards of all other policies, then publish these instead.
    PublishRestore {
        /// What was filled.
        filling: Filling,
        /// What is published with it.
        rest: RestoredRest,
        /// The generation that the database has once this is published.
        generation: u64,
    },
    /// Push every setting to every shard after all of them went back in time, then open.
    Recover(Box<RecoveredDatabase>),
}

/// A restore as the job's row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filling {
    /// Which backup.
    pub backup: String,
    /// Key of the row that the first policy gets; those of the others follow.
    pub first: u64,
    /// The policies with shards of their own.
    pub policies: Vec<Policy>,
    /// Pages of measurements that were taken in.
    pub pages: u32,
}

/// A split as the job's row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Key of the policy's row.
    pub number: u64,
    /// The group that is to become smaller.
    pub group: u64,
    /// Bytes of its fullest shard, as far as known.
    pub bytes: u64,
    /// `None` until a time was chosen.
    pub copy: Option<Copying>,
}

/// How far the copying is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copying {
    /// The new group: from the chosen time to the end of the old one.
    pub target: ShardGroup,
    /// The generation of its shards until they are published.
    pub generation: u64,
    /// Position of the old shard that is being copied.
    pub shard: u32,
    /// The measurement that is next, or a later one.
    pub measurement: u32,
    /// Where its next piece starts.
    pub resume: Resume,
    /// Encoded bytes written so far.
    pub bytes: u64,
}

impl Job {
    /// A job that somebody is about to do: the alarm waits before it helps, hardly so where a right
    /// is to end.
    pub fn started(kind: JobKind, now_ns: i64) -> Self {
        let wait_ns = if kind == JobKind::Access { S_NS } else { JOB_RETRY_NS };
        Self { kind, due_ns: now_ns.saturating_add(wait_ns), failures: 0 }
    }

    /// Whether the alarm leaves it alone. A right that is to end is never left.
    pub fn is_aside(&self) -> bool {
        self.failures >= JOB_FAILURES_MAX && self.kind != JobKind::Access
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
        let wait_ns = match self.kind {
            JobKind::Access => (S_NS << failures.min(10)).min(REVOKE_RETRY_NS_MAX),
            _ => JOB_RETRY_NS.saturating_mul(1 << failures.min(10)),
        };
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
            JobKind::Access => "revoking a right",
            JobKind::SetQuota { .. } => "setting a quota",
            JobKind::OpenRestore(_) | JobKind::PublishRestore { .. } => "restoring a backup",
            JobKind::Restore(_) => "undoing a restore",
            JobKind::Tend => "looking at the shard groups",
            JobKind::Split(_) | JobKind::PublishSplit { .. } => "splitting a shard group",
            JobKind::AbandonSplit { .. } => "undoing the split of a shard group",
            JobKind::DropGroups { .. } => "dropping expired shard groups",
            JobKind::Recover(_) => "opening a database that went back in time",
        };
        format!("{what} failed {} times", self.failures)
    }

    /// Whether it stands in the queue of statements, which is done one at a time.
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

    /// Whether it takes a backup in, or undoes that.
    pub fn is_of_restore(&self) -> bool {
        matches!(
            self.kind,
            JobKind::OpenRestore(_) | JobKind::Restore(_) | JobKind::PublishRestore { .. }
        )
    }

    /// Objects that it has made and that nobody was told of.
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
    /// A group whose size is to be asked.
    pub fn to_weigh(number: u64, group: u64, bytes: u64) -> Self {
        Self { number, group, bytes, copy: None }
    }

    /// The group that is being made.
    pub fn target(&self) -> Option<&ShardGroup> {
        self.copy.as_ref().map(|copy| &copy.target)
    }
}

impl Copying {
    /// Nothing is copied yet.
    pub fn begin(target: ShardGroup, generation: u64) -> Self {
        Self { target, generation, shard: 0, measurement: 0, resume: Resume::default(), bytes: 0 }
    }
}
