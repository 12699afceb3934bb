//! Lists what a Database can be asked, and what it answers.

use serde::{Deserialize, Serialize};

use super::backup::{RestoreStep, Restoring};
use super::backup_schedule::{BackupSchedule, ScheduleSettings};
use super::call::PlacementError;
use super::catalog::CreateDatabase;
use super::continuous::ContinuousQuery;
use super::envelope::{Direction, Wire};
use super::grants::{Grantee, GranteeKey, GrantsPush};
use super::host::Unavailable;
use super::recovery::{FrozenDatabase, RecoveredDatabase};
use super::shard::VerifyPage;
use crate::model::ids::PolicyId;
use crate::model::limits::{MEASUREMENT_SCHEMA_BYTES_MAX, POLICY_DURATION_MIN_NS};
use crate::model::name;
use crate::model::quota::{CallerQuota, Quotas, Rates};
use crate::model::schema::MeasurementSchema;
use crate::model::shard_map::{Policy, shard_group_duration_ns};
use crate::model::value::FieldType;

/// A request to a Database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDatabase {
    /// Catalog only: makes this object the database; a repeat finishes what was begun.
    Initialise(CreateDatabase),
    /// Policies, shard map and versions.
    Describe,
    /// Measurements changed after a version, oldest change first.
    Schema {
        /// The policy whose measurements are asked for.
        policy: PolicyId,
        /// The version already known; 0 for all. Also the resume key.
        after_version: u64,
    },
    /// Registers column sets, each taken whole or refused.
    Register {
        /// The policy that they belong to.
        policy: PolicyId,
        /// Distinct sets.
        sets: Vec<ColumnSet>,
    },
    /// CREATE RETENTION POLICY
    CreatePolicy {
        /// With a name.
        spec: PolicySpec,
        /// It becomes the default.
        make_default: bool,
    },
    /// ALTER RETENTION POLICY
    AlterPolicy {
        /// What is given changes; the name says which policy.
        spec: PolicyChange,
        /// It becomes the default.
        make_default: bool,
    },
    /// DROP RETENTION POLICY
    DropPolicy {
        /// The policy's name.
        name: String,
    },
    /// DROP MEASUREMENT, in every policy: its ids are retired and its name is free.
    DropMeasurement {
        /// The measurement's name.
        name: String,
    },
    /// CREATE CONTINUOUS QUERY; one of the same name and text is no error.
    CreateContinuousQuery {
        /// The whole query, never run.
        query: ContinuousQuery,
    },
    /// DROP CONTINUOUS QUERY; a missing one is no error.
    DropContinuousQuery {
        /// The query's name.
        name: String,
    },
    /// SHOW CONTINUOUS QUERIES
    ContinuousQueries,
    /// What the object itself costs and which of its jobs are set aside.
    Stats,
    /// What later shard groups have, and the default policy's duration. A group with another number
    /// of shards ends just after now.
    Configure {
        /// Shards of each new group.
        #[serde(default)]
        shards: Option<u32>,
        /// Nanoseconds; 0 is for ever.
        #[serde(default)]
        duration_ns: Option<i64>,
    },
    /// A write found a shard above its mark, or behind a split's fence: whatever the group needs is
    /// done later, by the alarm.
    Grown {
        /// Whose group.
        policy: PolicyId,
        /// [`crate::model::shard_map::ShardGroup::id`]
        group: u64,
        /// What the shard said; 0 for a fence.
        bytes: u64,
    },
    /// Catalog only: every shard refuses from the reply on; storage goes later, by alarm.
    Drop,
    /// Every checksum of its own rows.
    Verify,
    /// Catalog only: tokens and users that concern this database. Answered when every shard knows
    /// that somebody may do less.
    Grants(Box<GrantsPush>),
    /// Which of these tokens and users have a right here.
    Identify {
        /// What they are found by.
        keys: Vec<GranteeKey>,
    },
    /// Other limits in the place of those of the database, or of one token or user on it. Every
    /// shard takes them from the reply on.
    SetQuota(QuotaChange),
    /// The continuous queries with their watermarks, for a backup.
    BackUp,
    /// A step of taking a backup in.
    Restore(Box<RestoreStep>),
    /// The schedule of backups.
    BackupSchedule,
    /// Another schedule of backups, or none, in the place of the one that there is. Answered as
    /// `BackupSchedule` is.
    SetBackupSchedule(Option<ScheduleSettings>),
    /// Catalog only, before the object goes back in time and after it: it changes nothing from the
    /// reply on, and answers nobody but the Catalog.
    Freeze {
        /// Which recovery. One that is over freezes nothing any more.
        recovery: u64,
    },
    /// Catalog only: a frozen database that went back takes its numbers over, tells its shards and
    /// opens.
    Recover(Box<RecoveredDatabase>),
}

/// Which limits take the place of which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaChange {
    /// Those of the database; the callers keep theirs.
    Database {
        /// Of all callers together.
        rates: Rates,
        /// Bytes that the shards may use.
        stored_bytes: Option<u64>,
        /// Series that the shards may have.
        #[serde(default)]
        series: Option<u64>,
    },
    /// Those of one caller; none at all take it off the list.
    Caller(CallerQuota),
}

/// The columns of some lines of one measurement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnSet {
    /// The measurement's name.
    pub measurement: String,
    /// Tag keys.
    pub tags: Vec<String>,
    /// Field keys and their types.
    pub fields: Vec<(String, FieldType)>,
}

/// A policy as CREATE describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySpec {
    /// `None` is `autogen`.
    pub name: Option<String>,
    /// Nanoseconds; 0 is for ever.
    pub duration_ns: Option<i64>,
    /// Kept for SHOW only.
    pub replica_n: Option<u32>,
    /// Nanoseconds; 0 is 1.x's default for the duration.
    pub shard_group_duration_ns: i64,
}

impl PolicySpec {
    /// Checks name, duration, replication and shard duration, in the order of 1.x.
    ///
    /// # Errors
    /// [`PolicyRefusal`]
    pub fn check(&self) -> Result<(), PolicyRefusal> {
        if let Some(name) = &self.name {
            name::check(name).map_err(|_| PolicyRefusal::InvalidName)?;
        }
        let duration_ns = self.duration_ns.unwrap_or(0);
        if duration_ns != 0 && duration_ns < POLICY_DURATION_MIN_NS {
            return Err(PolicyRefusal::DurationTooLow);
        }
        if self.replica_n == Some(0) {
            return Err(PolicyRefusal::ReplicationTooLow);
        }
        let shard_ns = shard_group_duration_ns(self.shard_group_duration_ns, duration_ns);
        if duration_ns > 0 && duration_ns < shard_ns {
            return Err(PolicyRefusal::IncompatibleDurations);
        }
        Ok(())
    }
}

/// A policy's changes as ALTER describes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// Which policy.
    pub name: String,
    /// Nanoseconds; 0 is for ever.
    pub duration_ns: Option<i64>,
    /// Kept for SHOW only.
    pub replica_n: Option<u32>,
    /// Nanoseconds; 0 is 1.x's default for the duration.
    pub shard_group_duration_ns: Option<i64>,
}

/// A reply of a Database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromDatabase {
    /// Initialise, policy statements, drop: it is so.
    Done,
    /// What Describe asked for.
    Description(Description),
    /// A page of measurements.
    Schema {
        /// Ascending by [`MeasurementSchema::version`], each version once.
        measurements: Vec<MeasurementSchema>,
        /// The policy's version when this was read.
        version: u64,
        /// More follow: ask again after the last measurement's version.
        more: bool,
    },
    /// Per set of the request, in its order, whether it was taken.
    Registered {
        /// `None` is taken.
        refusals: Vec<Option<RegisterRefusal>>,
        /// The policy's version afterwards.
        version: u64,
    },
    /// Name and text of each continuous query, in order of creation.
    ContinuousQueries(Vec<(String, String)>),
    /// What Stats asked for.
    Stats(ObjectStats),
    /// The object holds no database: dropped, or never was one. Ask the Catalog.
    NotOpen,
    /// The policy with this id is gone: describe again.
    UnknownPolicy,
    /// The request cannot be granted; repeating it changes nothing.
    Refused(DatabaseRefusal),
    /// The request may be repeated.
    Unavailable(Unavailable),
    /// All of its own rows.
    Verified(VerifyPage),
    /// What Identify asked for.
    Identified {
        /// The number of the grants: frames and questions of who was found carry it.
        access: u64,
        /// Those that have a right here, or had one that was taken away.
        found: Vec<Grantee>,
    },
    /// Grants: a later version of the Catalog's has been heard of. Nothing was changed.
    Late,
    /// What BackUp asked for.
    BackedUp(Vec<ContinuousQuery>),
    /// Restore: how far it is.
    Restoring(Restoring),
    /// The schedule of backups, if there is one.
    BackupSchedule(Option<Box<BackupSchedule>>),
    /// Freeze: it is so.
    Frozen(Box<FrozenDatabase>),
}

/// A database as an edge caches it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The published generation.
    pub generation: u64,
    /// In order of creation.
    pub policies: Vec<Policy>,
    /// The default policy; `None` after it was dropped.
    pub default_policy: Option<PolicyId>,
    /// For each of `policies` its schema's version.
    pub schema_versions: Vec<u64>,
    /// The name of the default policy that was dropped, as long as no other was made the default.
    #[serde(default)]
    pub dropped_default: Option<String>,
    /// `SHARD_SPLIT_BYTES`: above this, and above the group's own mark, the Database wants to hear
    /// of a shard's size. 0 is never.
    #[serde(default)]
    pub split_bytes: u64,
    /// What callers may use.
    #[serde(default)]
    pub quotas: Quotas,
}

/// What a Database costs, since it was last loaded, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectStats {
    /// Bytes of storage.
    pub bytes_stored: u64,
    /// Storage rows billed as read.
    pub rows_read: u64,
    /// Storage rows billed as written.
    pub rows_written: u64,
    /// Measurements of all policies.
    pub measurements: u64,
    /// Jobs that failed three times, in words.
    pub troubles: Vec<String>,
    /// When the last backup of the schedule was whole, nanoseconds; 0: there was none yet. `None`
    /// without a schedule.
    #[serde(default)]
    pub last_backup_ns: Option<i64>,
    /// What the object runs, as [`super::release`] names it.
    #[serde(default)]
    pub release: String,
}

/// Why a column set was refused. Nothing of the set was registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RegisterRefusal {
    /// The field has another type already.
    #[error(
        "field type conflict: input field \"{field}\" on measurement \"{measurement}\" is type \
         {}, already exists as type {}",
        .requested.name(), .existing.name()
    )]
    TypeConflict {
        /// The measurement.
        measurement: String,
        /// The field.
        field: String,
        /// Its type.
        existing: FieldType,
        /// The line's type.
        requested: FieldType,
    },
    /// `FIELDS_PER_MEASUREMENT_MAX`
    #[error(
        "fields limit exceeded on measurement \"{measurement}\": it has {current} fields, this \
         line would make {requested}, the limit is {limit} (FIELDS_PER_MEASUREMENT_MAX)"
    )]
    TooManyFields {
        /// The measurement.
        measurement: String,
        /// `FIELDS_PER_MEASUREMENT_MAX`
        limit: u64,
        /// Fields it has.
        current: u64,
        /// Fields it would have.
        requested: u64,
    },
    /// Tag keys and field keys together do not fit the measurement's row.
    #[error(
        "measurement \"{measurement}\" has too many or too long column names to keep: limit \
         {MEASUREMENT_SCHEMA_BYTES_MAX} bytes (MEASUREMENT_SCHEMA_BYTES_MAX)"
    )]
    TooLarge {
        /// The measurement.
        measurement: String,
    },
    /// `MEASUREMENTS_PER_POLICY_MAX`
    #[error(
        "measurements limit exceeded: cannot create measurement \"{measurement}\", the policy has \
         {current} measurements, this line would make {requested}, the limit is {limit} \
         (MEASUREMENTS_PER_POLICY_MAX)"
    )]
    TooManyMeasurements {
        /// The new measurement.
        measurement: String,
        /// `MEASUREMENTS_PER_POLICY_MAX`
        limit: u64,
        /// Measurements there are.
        current: u64,
        /// Measurements there would be.
        requested: u64,
    },
}

/// Why a policy statement was refused, in 1.x's words (`services/meta/errors.go`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PolicyRefusal {
    /// See [`crate::model::name::check`].
    #[error("invalid name")]
    InvalidName,
    /// CREATE of a name that exists with other settings.
    #[error("retention policy already exists")]
    Exists,
    /// CREATE DATABASE or CREATE … DEFAULT against what exists.
    #[error("retention policy conflicts with an existing policy")]
    Conflict,
    /// Not 0 and below an hour.
    #[error("retention policy duration must be at least 1h0m0s")]
    DurationTooLow,
    /// Duration below the shard group duration.
    #[error("retention policy duration must be greater than the shard duration")]
    IncompatibleDurations,
    /// `REPLICATION 0`
    #[error("replication factor must be greater than 0")]
    ReplicationTooLow,
    /// ALTER of a policy that does not exist.
    #[error("retention policy not found: {0}")]
    NotFound(String),
    /// CREATE CONTINUOUS QUERY of a name that exists with another text.
    #[error("continuous query already exists")]
    ContinuousQueryExists,
    /// `CONTINUOUS_QUERIES_MAX`, `CONTINUOUS_QUERY_BYTES_MAX`
    #[error("a database has at most {limit} continuous queries of at most {bytes} bytes each")]
    TooManyContinuousQueries {
        /// `CONTINUOUS_QUERIES_MAX`
        limit: u64,
        /// `CONTINUOUS_QUERY_BYTES_MAX`
        bytes: u64,
    },
    /// `POLICIES_PER_DATABASE_MAX`
    #[error(
        "retention policies limit exceeded: there are {current}, this request would make \
         {requested}, the limit is {limit}"
    )]
    TooMany {
        /// `POLICIES_PER_DATABASE_MAX`
        limit: u64,
        /// Policies there are.
        current: u64,
        /// Policies there would be.
        requested: u64,
    },
    /// `DROPPED_MEASUREMENTS_MAX`
    #[error(
        "measurements were dropped {limit} times in this retention policy, which is the limit: \
         drop the policy, or delete the rows instead"
    )]
    TooManyDropped {
        /// `DROPPED_MEASUREMENTS_MAX`
        limit: u64,
    },
    /// `SHARDS_PER_GROUP_MAX`, or none at all.
    #[error("shards must be between 1 and {limit}, not {requested}")]
    ShardCount {
        /// `SHARDS_PER_GROUP_MAX`
        limit: u32,
        /// How many shards the request asked for.
        requested: u32,
    },
    /// `QUOTAS_PER_DATABASE_MAX`
    #[error(
        "quotas limit exceeded: {limit} tokens and users have one on this database, which is the \
         limit (QUOTAS_PER_DATABASE_MAX); take away one that is not needed any more"
    )]
    TooManyQuotas {
        /// `QUOTAS_PER_DATABASE_MAX`
        limit: u64,
    },
}

/// Why a Database refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum DatabaseRefusal {
    /// By the rules of policies.
    #[error(transparent)]
    Policy(PolicyRefusal),
    /// The runtime cannot place objects there.
    #[error(transparent)]
    Placement(PlacementError),
    /// A backup is taken in by a database without measurements, and by no other.
    #[error("the database is not empty: restore into a new name, or drop it first")]
    NotEmpty,
    /// Another backup is being taken in.
    #[error("the restore of backup {0} is under way: repeat that one, or drop the database first")]
    Restoring(String),
}

impl Wire for ToDatabase {
    const DIRECTION: Direction = Direction::ToDatabase;
}

impl Wire for FromDatabase {
    const DIRECTION: Direction = Direction::FromDatabase;
}
