//! Messages for the point-in-time recovery of a database.

use serde::{Deserialize, Serialize};

use super::envelope::{self, wire};
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::RECOVERY_SHARDS_MAX;
use tidemark_model::quota::Quotas;

/// A request to the storage of a Database or Shard, which the runtime code around the object
/// handles. An instance is one run of the object between two restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToStorage {
    /// Returns whether the object can go back to a time. This request changes no state.
    #[serde(rename = "Look")]
    CheckHistory {
        /// The time, in nanoseconds.
        time_ns: i64,
    },
    /// Prepares the recovery: the next instance of the object starts with the storage of this time.
    #[serde(rename = "Arm")]
    SelectState {
        /// The instance that `CheckHistory` returned. The request has no effect on any other
        /// instance.
        #[serde(rename = "life")]
        instance: u64,
        /// The time, in nanoseconds.
        time_ns: i64,
    },
    /// Ends an instance. The instance usually ends before it can reply.
    Restart {
        /// The instance to end. Any other instance continues.
        #[serde(rename = "life")]
        instance: u64,
    },
}

/// The reply to a storage request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromStorage {
    /// The object can go back to the time.
    #[serde(rename = "Looked")]
    HasHistory {
        /// A random id of the current instance.
        #[serde(rename = "life")]
        instance: u64,
    },
    /// SelectState: the recovery is prepared.
    #[serde(rename = "Armed")]
    StateSelected,
    /// SelectState, Restart: the current instance has a different id.
    #[serde(rename = "Another")]
    OtherInstance,
    /// The runtime does not support recovery. The text is the runtime's message.
    Unsupported(String),
    /// The runtime supports recovery, but the time is too long ago or an error occurred.
    Failed(String),
    /// The object's history begins after the requested time. The text is the runtime's message.
    #[serde(rename = "Young")]
    LacksHistory(String),
}

/// Returns a storage request's reply from a runtime without history, or `None` for other requests.
pub fn unsupported(message: &[u8], reason: &str) -> Option<Vec<u8>> {
    let (version, _) = envelope::decode::<ToStorage>(message).ok()?;
    Some(envelope::encode_as(version, &FromStorage::Unsupported(reason.to_owned())))
}

wire!(ToStorage);
wire!(FromStorage);

/// The counters of a Database, which never decrease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The published generation.
    pub generation: u64,
    /// The access number.
    pub access: u64,
    /// The key of the next policy's row.
    pub next_policy: u64,
    /// The id of the next shard group.
    pub next_group: u64,
    /// The key of the next job's row.
    pub next_job: u64,
    /// The highest schema version of all policies.
    pub schema_version: u64,
    /// A column id that is higher than the column ids of every measurement.
    pub next_column: u32,
    /// The key of each policy's row, with the id of the policy's next measurement.
    pub next_measurements: Vec<(u64, u32)>,
}

impl Counters {
    /// Returns the maximum of each counter.
    #[must_use]
    pub fn or_above(&self, other: &Self) -> Self {
        let mut next_measurements = self.next_measurements.clone();
        for &(policy, next) in &other.next_measurements {
            match next_measurements.iter_mut().find(|(known, _)| *known == policy) {
                Some((_, known)) => *known = (*known).max(next),
                None => next_measurements.push((policy, next)),
            }
        }
        Self {
            generation: self.generation.max(other.generation),
            access: self.access.max(other.access),
            next_policy: self.next_policy.max(other.next_policy),
            next_group: self.next_group.max(other.next_group),
            next_job: self.next_job.max(other.next_job),
            schema_version: self.schema_version.max(other.schema_version),
            next_column: self.next_column.max(other.next_column),
            next_measurements,
        }
    }

    /// Returns the id of the next measurement in the policy with this row key.
    pub fn next_measurement(&self, policy: u64) -> u32 {
        let of = self.next_measurements.iter().find(|(known, _)| *known == policy);
        of.map_or(0, |(_, next)| *next)
    }
}

/// A frozen Database, which changes no state and rejects all requests except the Catalog's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenDatabase {
    /// The counters.
    pub counters: Counters,
    /// The time, in nanoseconds, when the Database last assigned an id to a measurement or column.
    pub registered_ns: i64,
    /// The quotas of the database and its callers.
    pub quotas: Quotas,
    /// All shards in the shard map, all shards being created, and all shards that wait to be wiped.
    pub shards: Vec<ObjectId>,
}

/// The new state of a Database after a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveredDatabase {
    /// The number of the recovery. Numbers ascend.
    pub recovery: u64,
    /// The counters. The Database assigns only higher ids and versions after the recovery.
    pub counters: Counters,
    /// The quotas of the database and its callers.
    pub quotas: Quotas,
    /// Closed shards that the recovered Database's shard map lacks, and that the Database wipes.
    pub gone: Vec<ObjectId>,
}

/// A request to recover a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRequest {
    /// The name of the database.
    pub name: String,
    /// The target time, in nanoseconds since the epoch.
    pub time_ns: i64,
    /// Whether the request only checks that the recovery is possible.
    pub dry_run: bool,
}

/// The next step of a recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryStage {
    /// No step: the request only checked the objects.
    #[serde(rename = "Looked")]
    Checked,
    /// Freeze the Database.
    #[default]
    Freezing,
    /// Close the Database's shards.
    Closing,
    /// Reset the Database, after messages that were sent before the freeze have expired.
    Database,
    /// Read the state of the recovered Database.
    #[serde(rename = "Asking")]
    Reading,
    /// Reset the shards that the Database had at the target time.
    Shards,
    /// Send the current tokens and users to the Database.
    Access,
    /// Open the Database, which then adopts the counters and notifies its shards.
    Opening,
    /// No step: the recovery is complete.
    Done,
}

impl RecoveryStage {
    /// Returns a short description of the step.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checked => "possible",
            Self::Freezing => "freezing the database",
            Self::Closing => "closing the database's shards",
            Self::Database => "recovering the database",
            Self::Reading => "reading the database's list of shards",
            Self::Shards => "recovering the shards",
            Self::Access => "restoring the permissions of tokens and users",
            Self::Opening => "opening the database",
            Self::Done => "done",
        }
    }
}

/// The progress of a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryStatus {
    /// The target time, in nanoseconds.
    pub time_ns: i64,
    /// A time before the first change, in nanoseconds. A recovery to this time undoes this
    /// recovery.
    pub begun_ns: i64,
    /// The next step.
    pub stage: RecoveryStage,
    /// The number of shards when the recovery began.
    pub shards: u64,
    /// The number of shards that have been reset.
    pub back: u64,
    /// The error of the last attempt of the next step, or "".
    pub trouble: String,
}

/// The reason why a database cannot be recovered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the error texts describe the fields")]
pub enum RecoveryRefusal {
    /// No database has the name.
    #[error("database not found: {0}")]
    NoDatabase(String),
    /// The platform keeps no history for this time.
    #[error("time must be between two minutes and 30 days ago")]
    Time,
    /// Another recovery is running.
    #[error(
        "another recovery of the database is running: wait until it ends, or cancel it with the \
         value of \"undo\" in its response"
    )]
    UnderWay,
    /// The database has more than [`RECOVERY_SHARDS_MAX`] shards.
    #[error(
        "the database has {0} shards, and recovery supports at most {RECOVERY_SHARDS_MAX} \
         (RECOVERY_SHARDS_MAX): restore a backup instead"
    )]
    TooManyShards(u64),
    /// This runtime does not support recovery.
    #[error(
        "this runtime cannot recover objects to an earlier time: use backups (POST /api/v3/backup, \
         POST /api/v3/restore). The runtime reports: {0}"
    )]
    Unsupported(String),
    /// The platform reports an error.
    #[error("an object cannot be recovered to the requested time: {0}")]
    Failed(String),
    /// A shard's history begins after the target time. Either the shard may have belonged to the
    /// database at that time, or the shard is needed to undo the recovery.
    #[error(
        "a shard was created near the requested time, or less than two minutes ago: choose a time \
         two minutes earlier or later, or retry in two minutes"
    )]
    BeingMade,
    /// The check of all objects needs more calls than one request may make.
    #[error(
        "the database has {shards} shards, and checking their history needs more than {limit} \
         calls (CALLS_PER_REQUEST_MAX): restore a backup instead, or use the paid plan"
    )]
    TooManyCalls { shards: u64, limit: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_counters_never_decrease() {
        let one = Counters {
            generation: 7,
            access: 1,
            next_measurements: vec![(0, 5), (2, 9)],
            ..Counters::default()
        };
        let other = Counters {
            generation: 3,
            access: 4,
            next_column: 8,
            next_measurements: vec![(0, 6), (1, 2), (2, 1)],
            ..Counters::default()
        };
        let both = one.or_above(&other);
        assert_eq!((both.generation, both.access, both.next_column), (7, 4, 8));
        assert_eq!([0, 1, 2, 3].map(|policy| both.next_measurement(policy)), [6, 2, 9, 0]);
    }
}
