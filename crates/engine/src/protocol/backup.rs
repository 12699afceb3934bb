//! Messages for backups and restores, and the encoding of backup objects.
//!
//! A backup object is a file in the backup store, not a Durable Object. A *value* is a row of a
//! shard's table `value`, and a *hold* prevents the shard from deleting the values of a snapshot.
//! `docs/design/backups.md` describes the objects of a backup and the order of the messages.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::continuous::ContinuousQuery;
use super::envelope::wire;
use crate::codec::crc::{CRC_BYTES, append_crc, verify_crc};
use crate::codec::metadata;
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::quota::Quotas;
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::shard_map::Policy;
use tidemark_model::time::TimeRange;

const OBJECT_VERSION: u8 = 1;
const HEAD_BYTES: usize = 2;
const LENGTH_BYTES: usize = 4;

/// The kind of a backup object, which is the first byte of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectKind {
    /// A row of a shard's table `value`.
    Value = b'V',
    /// A shard's snapshot: its state at one moment, without its values.
    Snapshot = b'P',
    /// The names of the objects that contain a snapshot's values.
    Index = b'I',
    /// A page of a policy's measurements.
    Schema = b'S',
    /// A database without its measurements and points.
    Map = b'M',
    /// The list of all objects of a backup, written last and missing in an incomplete backup.
    Manifest = b'B',
}

/// The reason why bytes are not a valid backup object of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The checksum is wrong, or the bytes are truncated.
    #[error("checksum mismatch")]
    Checksum,
    /// The bytes are an object of another kind, or a newer release wrote them.
    #[error("the object has another kind, or was written by a newer release")]
    Kind,
    /// The content cannot be decoded.
    #[error("unreadable content")]
    Content,
}

/// Encodes a backup object: the kind, the version, the concatenated parts of `content`, and a
/// checksum.
pub fn seal(kind: ObjectKind, content: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = content.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + bytes + CRC_BYTES);
    out.extend([kind as u8, OBJECT_VERSION]);
    content.iter().for_each(|part| out.extend_from_slice(part));
    append_crc(&mut out, 0);
    out
}

/// Checks the kind, version and checksum of an object, and returns its content.
pub fn open(kind: ObjectKind, bytes: &[u8]) -> Result<&[u8], ObjectError> {
    match verify_crc(bytes).map_err(|_| ObjectError::Checksum)? {
        [found, OBJECT_VERSION, content @ ..] if *found == kind as u8 => Ok(content),
        _ => Err(ObjectError::Kind),
    }
}

/// Encodes an object whose content is metadata. Fails if `value` has no metadata encoding.
pub fn seal_metadata<T: Serialize>(kind: ObjectKind, value: &T) -> Result<Vec<u8>, ObjectError> {
    let content = metadata::encode(value).map_err(|_| ObjectError::Content)?;
    Ok(seal(kind, &[&content]))
}

/// Decodes the value of [`seal_metadata`].
pub fn open_metadata<T: DeserializeOwned>(
    kind: ObjectKind,
    bytes: &[u8],
) -> Result<T, ObjectError> {
    metadata::decode(open(kind, bytes)?).map_err(|_| ObjectError::Content)
}

/// Returns the checksum at the end of an object, or 0 if the bytes are too short.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.last_chunk::<CRC_BYTES>().map_or(0, |crc| u32::from_le_bytes(*crc))
}

pub(crate) fn seal_value(head: &[u8], body: &[u8]) -> Vec<u8> {
    // A row is smaller than 2 MB, so its length fits in 32 bits.
    let length = (head.len() as u32).to_le_bytes();
    seal(ObjectKind::Value, &[&length, head, body])
}

/// Decodes the head and body of [`seal_value`].
pub fn open_value(bytes: &[u8]) -> Result<(&[u8], &[u8]), ObjectError> {
    split(open(ObjectKind::Value, bytes)?)
}

/// Encodes a snapshot. `numbers` are the value numbers as pairs of first number and count,
/// ascending.
pub(crate) fn seal_snapshot(numbers: &[(u64, u64)], rows: &[u8]) -> Result<Vec<u8>, ObjectError> {
    let numbers = metadata::encode(&numbers).map_err(|_| ObjectError::Content)?;
    let length = (numbers.len() as u32).to_le_bytes();
    Ok(seal(ObjectKind::Snapshot, &[&length, &numbers, rows]))
}

/// Decodes the value numbers and the rows of a snapshot.
pub fn open_snapshot(bytes: &[u8]) -> Result<(Vec<u64>, &[u8]), ObjectError> {
    let (numbers, rows) = split(open(ObjectKind::Snapshot, bytes)?)?;
    let runs: Vec<(u64, u64)> = metadata::decode(numbers).map_err(|_| ObjectError::Content)?;
    let count = runs.iter().try_fold(0_u64, |sum, (_, count)| sum.checked_add(*count));
    if count.is_none_or(|count| count > VALUES_PER_SHARD_MAX) {
        return Err(ObjectError::Content);
    }
    let run = |(first, count): (u64, u64)| first..first.saturating_add(count);
    Ok((runs.into_iter().flat_map(run).collect(), rows))
}

/// The maximum number of values in a snapshot. A shard of 10 GB contains about 5,300 full values,
/// and few values are not full.
const VALUES_PER_SHARD_MAX: u64 = 1 << 20;

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), ObjectError> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or(ObjectError::Content)?;
    let length = u32::from_le_bytes(*length) as usize;
    rest.split_at_checked(length).ok_or(ObjectError::Content)
}

/// A backup request to a shard. Only the edge sends this message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShardBackup {
    /// Flushes, returns a snapshot, and keeps its values for `BACKUP_HOLD_NS`.
    Hold {
        /// The number of the backup. All holds of the backup have the same number.
        backup: u64,
    },
    /// Reads the value with this number, which at least one hold must contain.
    Read {
        /// The number of the value in a snapshot.
        number: u64,
    },
    /// Ends a backup's holds. If the backup has no hold, the request has no effect.
    Release {
        /// The number of the backup, as in `Hold`.
        backup: u64,
    },
    /// Returns the progress of a new shard that is being filled.
    Progress,
    /// Stores a value in a new shard. The caller sends the values in the order of the snapshot.
    Put {
        /// The position in the snapshot's list of numbers.
        position: u64,
        /// The encoded object, which is sent as the message body.
        #[serde(skip)]
        value: Vec<u8>,
    },
    /// Installs the snapshot in a new shard that has all values. A repeated request has no effect.
    Install {
        /// The encoded snapshot, which is sent as the message body.
        #[serde(skip)]
        snapshot: Vec<u8>,
    },
}

/// A shard's reply to a backup request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum FromShardBackup {
    /// Release, Put, Install: the request succeeded.
    Done,
    Held {
        /// The time range of the shard, which differs from the group's range during a split.
        range: TimeRange,
        /// The encoded snapshot, which is sent as the message body.
        #[serde(skip)]
        snapshot: Vec<u8>,
    },
    Value {
        /// The encoded object, which is sent as the message body.
        #[serde(skip)]
        value: Vec<u8>,
    },
    /// The value no longer exists, because the hold has ended.
    Gone,
    /// The progress of a new shard.
    Filled {
        /// The number of stored values.
        values: u64,
        is_installed: bool,
    },
}

/// A restore request to a Database. Only the edge sends this message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum RestoreStep {
    /// Creates and opens new shards for these policies. A repeated request returns the same shards.
    /// The Database rejects the request if it has a measurement.
    Begin {
        backup: String,
        /// The policies of the backup, with the backup's ids and shards.
        policies: Vec<Policy>,
    },
    /// Stores a page of measurements. A page that is already stored has no effect.
    Schema {
        backup: String,
        /// The number of the page, starting with 0.
        page: u32,
        /// The position of the measurements' policy in `Begin`.
        policy: u32,
        /// The measurements, in the order in which they were read.
        measurements: Vec<MeasurementSchema>,
    },
    /// Replaces the existing policies and shards with the new policies and shards.
    Finish {
        backup: String,
        rest: RestoredRest,
        /// The ids of the policies whose shards the caller has filled. If the Database has created
        /// other policies for the restore, it rejects the request. The list is empty in a request
        /// of an older release.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        policies: Vec<PolicyId>,
    },
}

impl RestoreStep {
    /// Returns the name of the backup.
    pub fn backup(&self) -> &str {
        match self {
            Self::Begin { backup, .. }
            | Self::Schema { backup, .. }
            | Self::Finish { backup, .. } => backup,
        }
    }
}

/// The contents of a database other than policies and measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredRest {
    /// The position of the default policy in [`RestoreStep::Begin`].
    pub default_policy: Option<u32>,
    /// The name of the default policy if it was dropped.
    pub dropped_default: Option<String>,
    /// The continuous queries, with their watermarks.
    pub continuous: Vec<ContinuousQuery>,
    /// The quotas of the database. The quotas of tokens and users belong to the deployment, and
    /// not to the backup.
    pub quotas: Quotas,
}

/// The progress of a restore in a Database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restoring {
    /// The Database waits for filled shards and for measurements.
    Filling {
        /// The new policies, in the order of the request.
        policies: Vec<Policy>,
        /// The number of stored pages of measurements.
        pages: u32,
    },
    /// The restore is complete.
    Finished,
}

/// A database in a backup, without its measurements and points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpMap {
    /// The policies and shards.
    pub policies: Vec<Policy>,
    /// The default policy.
    pub default_policy: Option<PolicyId>,
    /// The name of the default policy if it was dropped.
    pub dropped_default: Option<String>,
    /// The continuous queries, with their watermarks.
    pub continuous: Vec<ContinuousQuery>,
    /// The quotas of the database and of callers.
    pub quotas: Quotas,
    /// The policy's position and the object name of each page of measurements, in order.
    pub schema: Vec<(u32, String)>,
    /// The object name of each shard's snapshot.
    #[serde(rename = "points")]
    pub snapshots: Vec<(ObjectId, String)>,
}

/// The object names of a snapshot's values, in the order of the value numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpValues {
    /// The object name of the snapshot.
    #[serde(rename = "point")]
    pub snapshot: String,
    /// The object names of the values.
    pub values: Vec<String>,
}

/// The contents of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// The checksum of the map.
    pub map: u32,
    /// The object name of each shard's index, in the order of the map's snapshots.
    pub indexes: Vec<String>,
    /// The completion time, in nanoseconds.
    pub finished_ns: i64,
}

/// A request to the backup store.
///
/// A key consists of names separated by `/`. A name contains only letters, digits, `-`, `_`, `.`
/// and `=`, and does not begin with `.`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum ToBackups {
    /// Stores an object atomically. An existing object remains unchanged.
    Put {
        key: String,
        /// The object, which is sent as the message body.
        #[serde(skip)]
        object: Vec<u8>,
    },
    Get {
        key: String,
    },
    /// Lists the names of the objects directly in a folder, in ascending order.
    List {
        folder: String,
        /// The listing contains only names after this name.
        after: Option<String>,
    },
    /// Deletes objects. Objects that do not exist are ignored.
    Delete {
        /// The keys, at most `BACKUP_DELETES_MAX`.
        keys: Vec<String>,
    },
}

/// A reply of the backup store. A failed request has no reply: the call itself fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum FromBackups {
    /// Put, Delete: the request succeeded.
    Done,
    Object {
        /// The object, which is sent as the message body.
        #[serde(skip)]
        object: Vec<u8>,
    },
    /// No object has this key.
    Missing,
    Names {
        /// The names, at most `BACKUP_NAMES_MAX`.
        names: Vec<String>,
        more: bool,
    },
}

wire!(ToBackups, body in Self::Put { object: body, .. });
wire!(FromBackups, body in Self::Object { object: body });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_objects_round_trip_and_verify() {
        let value = seal_value(b"head", b"body");
        assert_eq!(open_value(&value), Ok((&b"head"[..], &b"body"[..])));
        let snapshot = seal_snapshot(&[(7, 2), (20, 1)], b"rows").unwrap();
        assert_eq!(open_snapshot(&snapshot), Ok((vec![7, 8, 20], &b"rows"[..])));
        assert_eq!(open(ObjectKind::Snapshot, &value), Err(ObjectError::Kind));
        for bit in 0..snapshot.len() * 8 {
            let mut bad = snapshot.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_snapshot(&bad), Err(ObjectError::Checksum), "bit {bit}");
        }
        assert_eq!(checksum(&value).to_le_bytes(), value[value.len() - 4..]);
    }

    #[test]
    fn backup_point_with_huge_range_fails() {
        let snapshot = seal_snapshot(&[(0, u64::MAX)], b"").unwrap();
        assert_eq!(open_snapshot(&snapshot), Err(ObjectError::Content));
    }
}
