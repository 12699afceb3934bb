//! The requests to a Database, and its replies.

use serde::{Deserialize, Serialize};

use super::backup::{RestoreStep, Restoring};
use super::backup_schedule::{BackupSchedule, ScheduleSettings};
use super::call::{PlacementError, Platform};
use super::continuous::ContinuousQuery;
use super::daily_usage::DailyUsage;
use super::envelope::wire;
use super::event::Unavailable;
use super::grants::{Grantee, GranteeKey, GrantsPush};
use super::recovery::{FrozenDatabase, RecoveredDatabase};
use super::shard::{FromShard, ToShard, VerifyPage};
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::{
    CONTINUOUS_QUERIES_BYTES_MAX, MEASUREMENT_SCHEMA_BYTES_MAX, POLICY_DURATION_MIN_NS,
};
use tidemark_model::name::{self, InvalidName};
use tidemark_model::quota::{CallerQuota, Quotas, Rates};
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::shard_map::{Policy, shard_group_duration_ns};
use tidemark_model::value::FieldType;

/// A request to a Database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum ToDatabase {
    /// Initialises this object as the database, or finishes an interrupted initialisation.
    Initialise(CreateDatabase),
    /// Returns the policies, the shard map and the versions.
    Describe,
    /// Returns the measurements that changed after a version, in order of their changes.
    Schema {
        policy: PolicyId,
        /// The version that the caller has, or 0 for all measurements.
        after_version: u64,
    },
    /// Registers sets of columns. The Database registers or rejects each set as a whole.
    Register {
        policy: PolicyId,
        /// Distinct sets.
        sets: Vec<ColumnSet>,
        /// The sender's generation. An older generation than the Database's may have selected
        /// another policy, so the reply is [`FromDatabase::UnknownPolicy`].
        #[serde(default = "current_generation")]
        generation: u64,
    },
    CreatePolicy {
        /// The new policy, which must have a name.
        spec: PolicySpec,
        make_default: bool,
    },
    AlterPolicy {
        /// The policy's name and its new settings. Settings that are missing here do not change.
        spec: PolicyChange,
        make_default: bool,
    },
    DropPolicy {
        name: String,
    },
    /// DROP MEASUREMENT, in every policy: retires the measurement's ids and frees its name.
    DropMeasurement {
        name: String,
    },
    /// CREATE CONTINUOUS QUERY. An existing query with the same name and text is not an error.
    CreateContinuousQuery {
        /// The complete query, without a watermark.
        query: ContinuousQuery,
    },
    /// DROP CONTINUOUS QUERY. A missing query is not an error.
    DropContinuousQuery {
        name: String,
    },
    ContinuousQueries,
    /// Returns the object's billed rows and the jobs that failed.
    Stats,
    /// Changes the default policy's duration and the settings of later shard groups. If the number
    /// of shards changes, the current group ends shortly after the current time.
    Configure {
        /// The number of shards of each new group.
        #[serde(default)]
        shards: Option<u32>,
        /// The duration in nanoseconds. 0 keeps points permanently.
        #[serde(default)]
        duration_ns: Option<i64>,
    },
    /// Reports a shard that is larger than its split size, or a shard that rejected a write because
    /// of a split ([`ToShard::Fence`]).
    Grown {
        policy: PolicyId,
        /// The id of the shard group ([`tidemark_model::shard_map::ShardGroup::id`]).
        group: u64,
        /// The size that the shard reported, in bytes, or 0 after a rejected write.
        bytes: u64,
    },
    /// Drops the database. Every shard rejects requests before the Database replies.
    Drop,
    /// Checks the checksums of all rows of the object.
    Verify,
    /// Sends tokens and users with permissions on this database. If one of them loses a permission,
    /// the Database replies after every shard has received the new access number.
    Grants(Box<GrantsPush>),
    /// Looks up the tokens and users with permissions on this database.
    Identify {
        keys: Vec<GranteeKey>,
    },
    /// Replaces the quotas of the database, or of one token or user. Every shard applies the new
    /// quotas before the Database replies.
    SetQuota(QuotaChange),
    /// Returns the continuous queries with their watermarks, for a backup.
    BackUp,
    Restore(Box<RestoreStep>),
    BackupSchedule,
    /// Replaces or removes the backup schedule.
    SetBackupSchedule(Option<ScheduleSettings>),
    /// Freezes the database for a point-in-time recovery. The database then changes no state and
    /// rejects all requests except the Catalog's.
    Freeze {
        /// The number of the recovery. A finished recovery no longer freezes the database.
        recovery: u64,
    },
    /// Opens a recovered database. The Database adopts the counters of [`RecoveredDatabase`] and
    /// notifies its shards.
    Recover(Box<RecoveredDatabase>),
    /// Sends messages without a binary body to shards, and returns their replies. A statement over
    /// many shards uses this message if its own HTTP request may not make enough calls.
    Relay(Vec<(ObjectId, ToShard)>),
}

/// A change of limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaChange {
    /// Replaces the quotas of the database. The quotas of callers do not change.
    Database {
        /// The limits for all callers together.
        rates: Rates,
        /// The maximum stored size of the shards, in bytes.
        stored_bytes: Option<u64>,
        /// The maximum number of series in the shards.
        #[serde(default)]
        series: Option<u64>,
    },
    /// Replaces one caller's limits. A caller without any limits is removed from the list.
    Caller(CallerQuota),
}

/// The columns of some lines, all with the same measurement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnSet {
    /// The measurement's name.
    pub measurement: String,
    /// Tag keys.
    pub tags: Vec<String>,
    /// Field keys and their types.
    pub fields: Vec<(String, FieldType)>,
}

/// The settings of a new database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateDatabase {
    /// The name, which the Catalog checks.
    pub name: String,
    /// The default policy. If it is `None`, a new database gets the policy `autogen`, and an
    /// existing database is never a conflict.
    #[serde(default)]
    pub policy: Option<PolicySpec>,
    /// The number of shards in each new shard group. The default is `DEFAULT_SHARDS`.
    pub shards: u32,
    /// The location hint for the database's objects.
    #[serde(default)]
    pub location: Option<String>,
    /// The mandatory jurisdiction of the database's objects.
    #[serde(default)]
    pub jurisdiction: Option<String>,
}

impl CreateDatabase {
    /// Sets a missing jurisdiction to the platform's default. Sets a missing location hint to the
    /// hint of this request, if the hint is inside the jurisdiction.
    #[must_use]
    pub fn placed(mut self, platform: &dyn Platform) -> Self {
        if self.jurisdiction.is_none() {
            self.jurisdiction = platform.jurisdiction().map(str::to_owned);
        }
        if self.location.is_none() {
            let jurisdiction = self.jurisdiction.as_deref();
            let hint = platform.location().filter(|hint| is_inside(hint, jurisdiction));
            self.location = hint.map(str::to_owned);
        }
        self
    }
}

/// Whether a location hint is inside a jurisdiction. The platform documents no other hints.
pub fn is_inside(location: &str, jurisdiction: Option<&str>) -> bool {
    match jurisdiction {
        Some("eu") => matches!(location, "weur" | "eeur"),
        Some("us" | "fedramp" | "fedramp-high") => matches!(location, "wnam" | "enam"),
        _ => true,
    }
}

/// The settings of a policy in a CREATE statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySpec {
    /// The name, or `None` for `autogen`.
    pub name: Option<String>,
    /// The duration in nanoseconds. 0 keeps points permanently.
    pub duration_ns: Option<i64>,
    /// The replication factor, which only SHOW uses.
    pub replica_n: Option<u32>,
    /// The shard group duration in nanoseconds. 0 selects 1.x's default for the policy duration.
    pub shard_group_duration_ns: i64,
    /// FUTURE LIMIT in nanoseconds. 0 means no limit.
    #[serde(default)]
    pub future_limit_ns: Option<i64>,
    /// PAST LIMIT in nanoseconds. 0 means no limit.
    #[serde(default)]
    pub past_limit_ns: Option<i64>,
}

impl PolicySpec {
    /// Checks name, duration, replication and shard duration, in the order of 1.x.
    pub fn check(&self) -> Result<(), PolicyRefusal> {
        if let Some(name) = &self.name {
            name::check(name).map_err(PolicyRefusal::InvalidName)?;
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

/// The changes to a policy in an ALTER statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// The name of the policy.
    pub name: String,
    /// The duration in nanoseconds. 0 keeps points permanently.
    pub duration_ns: Option<i64>,
    /// The replication factor, which only SHOW uses.
    pub replica_n: Option<u32>,
    /// The shard group duration in nanoseconds. 0 selects 1.x's default for the policy duration.
    pub shard_group_duration_ns: Option<i64>,
    /// FUTURE LIMIT in nanoseconds. 0 removes the limit.
    #[serde(default)]
    pub future_limit_ns: Option<i64>,
    /// PAST LIMIT in nanoseconds. 0 removes the limit.
    #[serde(default)]
    pub past_limit_ns: Option<i64>,
}

/// A reply of a Database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum FromDatabase {
    /// The reply to initialise, to policy statements and to drop: the request succeeded.
    Done,
    Description(Description),
    Schema {
        /// The measurements, in ascending order of their unique [`MeasurementSchema::version`].
        measurements: Vec<MeasurementSchema>,
        /// The policy's schema version at the time of reading.
        version: u64,
        /// Whether more measurements follow after the last measurement's version.
        more: bool,
    },
    /// The results of a `Register` request.
    Registered {
        /// The result of each set, in the order of the request. `None` means success.
        refusals: Vec<Option<RegisterRefusal>>,
        /// The policy's schema version after the registration.
        version: u64,
    },
    /// The name and text of each continuous query, in order of creation.
    ContinuousQueries(Vec<(String, String)>),
    Stats(ObjectStats),
    /// The object has no database. The caller should resolve the name with the Catalog.
    NotOpen,
    /// No policy has this id. The caller should request the description again.
    UnknownPolicy,
    /// The request is rejected permanently.
    Refused(DatabaseRefusal),
    /// The request failed temporarily and may be repeated.
    Unavailable(Unavailable),
    Verified(VerifyPage),
    /// The reply to `Identify`.
    Identified {
        /// The access number: the version of the database's permissions, which increases when a
        /// token or user loses a permission. Frames and queries of these tokens and users contain
        /// this number.
        access: u64,
        /// The tokens and users that have, or had, permissions on this database.
        found: Vec<Grantee>,
    },
    /// The Database ignored the grants, because it has received a later version from the Catalog.
    Late,
    /// The reply to `BackUp`.
    BackedUp(Vec<ContinuousQuery>),
    Restoring(Restoring),
    /// The backup schedule, if one is set.
    BackupSchedule(Option<Box<BackupSchedule>>),
    Frozen(Box<FrozenDatabase>),
    /// The replies of the shards, in the order of the messages in `Relay`.
    Relayed(Vec<FromShard>),
}

/// A database's description, which edges cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The published generation.
    pub generation: u64,
    /// The policies, in order of creation.
    pub policies: Vec<Policy>,
    /// The default policy, or `None` after it was dropped.
    pub default_policy: Option<PolicyId>,
    /// The schema version of each policy in `policies`.
    pub schema_versions: Vec<u64>,
    /// The name of the dropped default policy, until another policy becomes the default.
    #[serde(default)]
    pub dropped_default: Option<String>,
    /// The size, in bytes, above which the edge reports a shard (`SHARD_SPLIT_BYTES`), or 0.
    #[serde(default)]
    pub split_bytes: u64,
    /// The quotas of the database and its callers.
    #[serde(default)]
    pub quotas: Quotas,
}

/// The costs and problems of the object. The counts may lack reads after the last stored change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectStats {
    /// The size of the object's storage, in bytes.
    pub bytes_stored: u64,
    /// The number of storage rows billed as read.
    pub rows_read: u64,
    /// The number of storage rows billed as written.
    pub rows_written: u64,
    /// The number of measurements in all policies.
    pub measurements: u64,
    /// Descriptions of jobs that failed three times.
    pub troubles: Vec<String>,
    /// The completion time of the last scheduled backup, in nanoseconds, or 0 before the first.
    #[serde(default)]
    pub last_backup_ns: Option<i64>,
    /// The object's software release ([`super::release`]).
    #[serde(default)]
    pub release: String,
    /// The usage of the last days.
    #[serde(default)]
    pub usage: DailyUsage,
}

/// The reason why a set of columns was rejected. The Database registered no column of the set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the error texts describe the fields")]
pub enum RegisterRefusal {
    /// The field already has another type.
    #[error(
        "field type conflict: input field \"{field}\" on measurement \"{measurement}\" is type \
         {}, already exists as type {}",
        .requested.name(), .existing.name()
    )]
    TypeConflict { measurement: String, field: String, existing: FieldType, requested: FieldType },
    /// The measurement would have more than `FIELDS_PER_MEASUREMENT_MAX` fields.
    #[error(
        "fields limit exceeded on measurement \"{measurement}\": it has {current} fields, this \
         line would make {requested}, and the limit is {limit} (FIELDS_PER_MEASUREMENT_MAX)"
    )]
    TooManyFields { measurement: String, limit: u64, current: u64, requested: u64 },
    /// The tag keys and field keys together exceed the maximum size of the row that describes the
    /// measurement.
    #[error(
        "the column names of measurement \"{measurement}\" have more than \
         {MEASUREMENT_SCHEMA_BYTES_MAX} bytes together (MEASUREMENT_SCHEMA_BYTES_MAX): use fewer \
         or shorter names"
    )]
    TooLarge { measurement: String },
    /// The policy would have more than `MEASUREMENTS_PER_POLICY_MAX` measurements.
    #[error(
        "measurements limit exceeded: cannot create measurement \"{measurement}\" because the \
         policy has {current} measurements, this line would make {requested}, and the limit is \
         {limit} (MEASUREMENTS_PER_POLICY_MAX)"
    )]
    TooManyMeasurements { measurement: String, limit: u64, current: u64, requested: u64 },
    /// The measurement would have more than `TAG_KEYS_PER_MEASUREMENT_MAX` tag keys.
    #[error(
        "tag keys limit exceeded on measurement \"{measurement}\": it has {current} tag keys, this \
         line would make {requested}, and the limit is {limit} (TAG_KEYS_PER_MEASUREMENT_MAX)"
    )]
    TooManyTagKeys { measurement: String, limit: u64, current: u64, requested: u64 },
    /// The columns of the database would exceed `DATABASE_SCHEMA_BYTES_MAX`.
    #[error(
        "columns limit exceeded: cannot add columns to measurement \"{measurement}\" because the \
         columns of the database have {current} bytes, this line would make {requested}, and the \
         limit is {limit} (DATABASE_SCHEMA_BYTES_MAX)"
    )]
    TooManyColumns { measurement: String, limit: u64, current: u64, requested: u64 },
}

/// The reason why a policy statement was rejected, with the text of 1.x.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the error texts describe the fields")]
pub enum PolicyRefusal {
    /// The name is invalid or too long.
    #[error(transparent)]
    InvalidName(InvalidName),
    /// A policy with this name exists with other settings.
    #[error("retention policy already exists")]
    Exists,
    /// CREATE DATABASE, or CREATE … DEFAULT, conflicts with existing settings.
    #[error("retention policy conflicts with an existing policy")]
    Conflict,
    /// The duration is less than one hour. A duration of 0 means that points never expire.
    #[error("retention policy duration must be at least 1h0m0s")]
    DurationTooLow,
    /// The duration is less than the shard group duration.
    #[error("retention policy duration must be greater than the shard duration")]
    IncompatibleDurations,
    /// The statement contains `REPLICATION 0`.
    #[error("replication factor must be greater than 0")]
    ReplicationTooLow,
    /// ALTER RETENTION POLICY names a policy that does not exist.
    #[error("retention policy not found: {0}")]
    NotFound(String),
    /// A continuous query with this name exists with another text.
    #[error("continuous query already exists")]
    ContinuousQueryExists,
    /// The continuous queries would exceed `CONTINUOUS_QUERIES_MAX`, `CONTINUOUS_QUERY_BYTES_MAX`
    /// or `CONTINUOUS_QUERIES_BYTES_MAX`.
    #[error(
        "a database can have at most {limit} continuous queries of at most {bytes} bytes each and \
         {CONTINUOUS_QUERIES_BYTES_MAX} bytes together: drop or shorten a continuous query"
    )]
    TooManyContinuousQueries { limit: u64, bytes: u64 },
    /// The database already has `POLICIES_PER_DATABASE_MAX` policies.
    #[error(
        "retention policies limit exceeded: the database has {current}, this request would make \
         {requested}, and the limit is {limit}; drop a policy that is no longer needed"
    )]
    TooMany { limit: u64, current: u64, requested: u64 },
    /// The policy already has `DROPPED_MEASUREMENTS_MAX` dropped measurements.
    #[error(
        "{limit} measurements were dropped in this retention policy, and no more can be dropped: \
         drop the policy, or delete the rows instead"
    )]
    TooManyDropped { limit: u64 },
    /// The number of shards is 0 or above `SHARDS_PER_GROUP_MAX`.
    #[error("shards must be between 1 and {limit}, not {requested}")]
    ShardCount { limit: u32, requested: u32 },
    /// `QUOTAS_PER_DATABASE_MAX` tokens and users already have a quota on the database.
    #[error(
        "quotas limit exceeded: {limit} tokens and users already have a quota on this database, \
         and no more are allowed (QUOTAS_PER_DATABASE_MAX); remove a quota that is no longer needed"
    )]
    TooManyQuotas { limit: u64 },
}

/// The reason why a Database rejected a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum DatabaseRefusal {
    /// The policy rules reject the request.
    #[error(transparent)]
    Policy(PolicyRefusal),
    /// The runtime cannot create objects in this location.
    #[error(transparent)]
    Placement(PlacementError),
    /// The database of a restore must not have measurements.
    #[error("the database is not empty: restore under a new name, or drop the database first")]
    NotEmpty,
    /// The restore of another backup is running.
    #[error(
        "the restore of backup {0} is incomplete: repeat that restore, or drop the database first"
    )]
    Restoring(String),
}

wire!(ToDatabase);
wire!(FromDatabase);

/// Returns the generation of senders of the previous version, which send none.
fn current_generation() -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::call::ObjectKind;

    #[test]
    fn database_location_defaults_to_creator() {
        struct At(Option<&'static str>, Option<&'static str>);
        impl Platform for At {
            fn now_ns(&self) -> i64 {
                0
            }
            fn random_u64(&self) -> u64 {
                0
            }
            fn location(&self) -> Option<&'static str> {
                self.0
            }
            fn jurisdiction(&self) -> Option<&'static str> {
                self.1
            }
            fn new_object_id(
                &self,
                _: ObjectKind,
                _: Option<&str>,
            ) -> Result<ObjectId, PlacementError> {
                Ok(ObjectId(String::new()))
            }
        }
        let create = |location: Option<&str>, jurisdiction: Option<&str>| CreateDatabase {
            name: "d".into(),
            policy: None,
            shards: 1,
            location: location.map(str::to_owned),
            jurisdiction: jurisdiction.map(str::to_owned),
        };
        let (near, eu) = (At(Some("weur"), None), At(Some("weur"), Some("eu")));
        for (given, platform, placed) in [
            ((None, None), &near, (Some("weur"), None)),
            ((Some("oc"), None), &near, (Some("oc"), None)),
            ((None, Some("us")), &near, (None, Some("us"))),
            ((None, None), &eu, (Some("weur"), Some("eu"))),
            ((None, None), &At(Some("enam"), Some("eu")), (None, Some("eu"))),
            ((None, None), &At(Some("enam"), Some("fedramp")), (Some("enam"), Some("fedramp"))),
            ((Some("oc"), None), &eu, (Some("oc"), Some("eu"))),
            ((None, Some("us")), &eu, (None, Some("us"))),
            ((None, None), &At(None, None), (None, None)),
        ] {
            assert_eq!(create(given.0, given.1).placed(platform), create(placed.0, placed.1));
        }
    }
}
