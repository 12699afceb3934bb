//! Defines the point-in-time recovery of one database: what its objects' storage is asked, what the
//! Database says of its numbers, and how far a recovery is.

use serde::{Deserialize, Serialize};

use super::envelope::{self, Direction, Wire};
use crate::model::ids::ObjectId;
use crate::model::limits::RECOVERY_SHARDS_MAX;
use crate::model::quota::Quotas;

/// A request to the storage of a Database or Shard. Whoever carries the object answers it, not the
/// object: it is about lives of the object, and ends one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToStorage {
    /// Whether the object could go back to a time. Changes nothing.
    Look {
        /// Nanoseconds.
        time_ns: i64,
    },
    /// The next life of the object begins with what its storage was at a time.
    Arm {
        /// The life that was looked at: in any other one nothing is done.
        life: u64,
        /// Nanoseconds.
        time_ns: i64,
    },
    /// Ends a life. Hardly ever answered.
    Restart {
        /// Which: any other goes on.
        life: u64,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromStorage {
    /// It could.
    Looked {
        /// Drawn by each life of the object.
        life: u64,
    },
    /// Arm: it will.
    Armed,
    /// Arm, Restart: this is another life.
    Another,
    /// The runtime has no such thing, in its words.
    Unsupported(String),
    /// It has, but says no: too long ago, or a failure.
    Failed(String),
    /// Look, Arm: the object's past begins later, in the runtime's words.
    Young(String),
}

/// What whoever carries objects without a past answers; `None` of a message to the object itself.
pub fn unsupported(message: &[u8], why: &str) -> Option<Vec<u8>> {
    let (version, _) = envelope::decode::<ToStorage>(message).ok()?;
    Some(envelope::encode_as(version, &FromStorage::Unsupported(why.to_owned())))
}

impl Wire for ToStorage {
    const DIRECTION: Direction = Direction::ToStorage;
}

impl Wire for FromStorage {
    const DIRECTION: Direction = Direction::FromStorage;
}

/// The numbers of a Database that only ever grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The published generation.
    pub generation: u64,
    /// The number of the grants.
    pub access: u64,
    /// Key of the next policy's row.
    pub next_policy: u64,
    /// Id of the next shard group.
    pub next_group: u64,
    /// Key of the next job's row.
    pub next_job: u64,
    /// The highest schema version of all policies.
    pub schema_version: u64,
    /// Above the columns of every measurement.
    pub next_column: u32,
    /// Of each policy the key of its row, and the id of its next measurement.
    pub next_measurements: Vec<(u64, u32)>,
}

impl Counters {
    /// The higher of each number.
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

    /// The id of the next measurement of the policy whose row has this key.
    pub fn next_measurement(&self, policy: u64) -> u32 {
        let of = self.next_measurements.iter().find(|(known, _)| *known == policy);
        of.map_or(0, |(_, next)| *next)
    }
}

/// A Database that changes nothing any more, and answers nobody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenDatabase {
    /// Its numbers.
    pub counters: Counters,
    /// When it last gave an id to a measurement or column, nanoseconds.
    pub registered_ns: i64,
    /// What callers may use.
    pub quotas: Quotas,
    /// Its shards: those of its map, those that are being made, those that wait to be wiped.
    pub shards: Vec<ObjectId>,
}

/// What a Database that went back goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveredDatabase {
    /// Which recovery. They are numbered upwards.
    pub recovery: u64,
    /// What every number that it gives from now on is above.
    pub counters: Counters,
    /// What callers may use.
    pub quotas: Quotas,
    /// Shards that it has not heard of: closed, and to be wiped.
    pub gone: Vec<ObjectId>,
}

/// Which database is to go back, and to when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRequest {
    /// Its name.
    pub name: String,
    /// Nanoseconds since the epoch.
    pub time_ns: i64,
    /// Says whether it could, and does not.
    pub dry_run: bool,
}

/// What a recovery does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryStage {
    /// Nothing: its objects were looked at, that was all.
    Looked,
    /// The Database is told to change nothing any more.
    Freezing,
    /// Its shards are closed.
    Closing,
    /// The Database goes back, once messages that were sent before are gone.
    Database,
    /// The Database is asked what it is now.
    Asking,
    /// Its shards of then go back.
    Shards,
    /// The Database is told of the tokens and users of today.
    Access,
    /// It takes its numbers over, tells its shards, and opens.
    Opening,
    /// Nothing: it is done.
    Done,
}

impl RecoveryStage {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Looked => "possible",
            Self::Freezing => "freezing the database",
            Self::Closing => "closing its shards",
            Self::Database => "taking the database back",
            Self::Asking => "asking the database",
            Self::Shards => "taking its shards back",
            Self::Access => "telling it of tokens and users",
            Self::Opening => "opening the database",
            Self::Done => "done",
        }
    }
}

/// How far a recovery is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryStatus {
    /// To when the database goes back, nanoseconds.
    pub time_ns: i64,
    /// When nothing had been changed yet, nanoseconds: to go back to that undoes it.
    pub begun_ns: i64,
    /// What is next.
    pub stage: RecoveryStage,
    /// Shards that it had when it began.
    pub shards: u64,
    /// Shards that have gone back.
    pub back: u64,
    /// Why the last try of what is next failed; empty if it did not.
    pub trouble: String,
}

/// Why a database does not go back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RecoveryRefusal {
    /// No database has the name.
    #[error("database not found: {0}")]
    NoDatabase(String),
    /// Not a time that the platform keeps.
    #[error("time must be at least two minutes and at most 30 days ago")]
    Time,
    /// Another recovery is under way.
    #[error(
        "the database is going back to another time: wait until that is done, or give it up by \
         its \"undo\""
    )]
    UnderWay,
    /// [`RECOVERY_SHARDS_MAX`]
    #[error(
        "the database has {0} shards, of which {RECOVERY_SHARDS_MAX} may go back \
         (RECOVERY_SHARDS_MAX): restore a backup"
    )]
    TooManyShards(u64),
    /// Not with this runtime.
    #[error(
        "this runtime keeps no past of its objects: here backups are the way back \
         (POST /api/v3/backup, POST /api/v3/restore). It says: {0}"
    )]
    Unsupported(String),
    /// The platform says no.
    #[error("an object cannot go back to that time: {0}")]
    Failed(String),
    /// A shard may have been of the database at the time, or is to stay once it is undone, and its
    /// past begins later.
    #[error(
        "a shard was being made at that time or just now: choose a time that is two minutes \
         earlier or later, or wait for two minutes"
    )]
    BeingMade,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_below_what_either_side_knew() {
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
