//! Messages of backups: what a shard is asked for a copy of itself and for the opposite, and what
//! the place is asked that copies are kept in. `docs/design/backups.md` draws the objects.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::continuous::ContinuousQuery;
use super::envelope::{Direction, Wire};
use crate::codec::crc::{CRC_BYTES, append_crc, verify_crc};
use crate::codec::metadata;
use crate::model::ids::{ObjectId, PolicyId};
use crate::model::quota::Quotas;
use crate::model::schema::MeasurementSchema;
use crate::model::shard_map::Policy;
use crate::model::time::TimeRange;

/// The version of every object that this build writes.
const OBJECT_VERSION: u8 = 1;
/// Bytes before an object's content: kind and version.
const HEAD_BYTES: usize = 2;
/// Bytes of a length inside of an object.
const LENGTH_BYTES: usize = 4;

/// What an object is: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectKind {
    /// A row of `value` of a shard.
    Value = b'V',
    /// A shard at one moment, its values apart.
    Point = b'P',
    /// Under which names the values of a point are kept.
    Index = b'I',
    /// Some measurements of a policy.
    Schema = b'S',
    /// A database without its measurements and points.
    Map = b'M',
    /// Some tokens and users: what they may do on the database.
    Access = b'A',
    /// All that belongs to a backup: there is none before all of it is kept.
    Manifest = b'B',
}

/// Why bytes are not the object that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Their checksum is another one, or they are cut short.
    #[error("checksum mismatch")]
    Checksum,
    /// They are another kind of object, or a newer release wrote them.
    #[error("it is of another kind, or of a newer release")]
    Kind,
    /// What they hold cannot be read.
    #[error("unreadable content")]
    Content,
}

/// An object's bytes: kind, version, the parts of its content, checksum.
pub fn seal(kind: ObjectKind, content: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = content.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + bytes + CRC_BYTES);
    out.extend([kind as u8, OBJECT_VERSION]);
    content.iter().for_each(|part| out.extend_from_slice(part));
    append_crc(&mut out, 0);
    out
}

/// The content of an object.
///
/// # Errors
/// [`ObjectError::Checksum`], [`ObjectError::Kind`]
pub fn open(kind: ObjectKind, bytes: &[u8]) -> Result<&[u8], ObjectError> {
    match verify_crc(bytes).map_err(|_| ObjectError::Checksum)? {
        [found, OBJECT_VERSION, content @ ..] if *found == kind as u8 => Ok(content),
        _ => Err(ObjectError::Kind),
    }
}

/// An object whose content is metadata.
///
/// # Errors
/// [`ObjectError::Content`] for what has no such form.
pub fn seal_metadata<T: Serialize>(kind: ObjectKind, value: &T) -> Result<Vec<u8>, ObjectError> {
    let content = metadata::encode(value).map_err(|_| ObjectError::Content)?;
    Ok(seal(kind, &[&content]))
}

/// What [`seal_metadata`] was given.
///
/// # Errors
/// [`ObjectError`]
pub fn open_metadata<T: DeserializeOwned>(
    kind: ObjectKind,
    bytes: &[u8],
) -> Result<T, ObjectError> {
    metadata::decode(open(kind, bytes)?).map_err(|_| ObjectError::Content)
}

/// The checksum that an object ends with; 0 of bytes that are none.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.last_chunk::<CRC_BYTES>().map_or(0, |crc| u32::from_le_bytes(*crc))
}

/// The object of a row of `value`.
pub fn seal_value(head: &[u8], body: &[u8]) -> Vec<u8> {
    // A row has less than 2 MB.
    let length = (head.len() as u32).to_le_bytes();
    seal(ObjectKind::Value, &[&length, head, body])
}

/// Head and body of the row that [`seal_value`] was given.
///
/// # Errors
/// [`ObjectError`]
pub fn open_value(bytes: &[u8]) -> Result<(&[u8], &[u8]), ObjectError> {
    split(open(ObjectKind::Value, bytes)?)
}

/// The object of a shard's point: the numbers of its values, ascending (first, and how many follow
/// each other), and rows that only a shard reads.
///
/// # Errors
/// [`ObjectError::Content`], which no such list is.
pub fn seal_point(numbers: &[(u64, u64)], rows: &[u8]) -> Result<Vec<u8>, ObjectError> {
    let numbers = metadata::encode(&numbers).map_err(|_| ObjectError::Content)?;
    let length = (numbers.len() as u32).to_le_bytes();
    Ok(seal(ObjectKind::Point, &[&length, &numbers, rows]))
}

/// The numbers, one by one, and the rows of a point.
///
/// # Errors
/// [`ObjectError`]
pub fn open_point(bytes: &[u8]) -> Result<(Vec<u64>, &[u8]), ObjectError> {
    let (numbers, rows) = split(open(ObjectKind::Point, bytes)?)?;
    let runs: Vec<(u64, u64)> = metadata::decode(numbers).map_err(|_| ObjectError::Content)?;
    let count = runs.iter().try_fold(0_u64, |sum, (_, count)| sum.checked_add(*count));
    if count.is_none_or(|count| count > VALUES_PER_SHARD_MAX) {
        return Err(ObjectError::Content);
    }
    let run = |(first, count): (u64, u64)| first..first.saturating_add(count);
    Ok((runs.into_iter().flat_map(run).collect(), rows))
}

/// Values of one shard: 10 GB of them hold 5,300 full ones, and parts have few that are not.
const VALUES_PER_SHARD_MAX: u64 = 1 << 20;

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), ObjectError> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or(ObjectError::Content)?;
    let length = u32::from_le_bytes(*length) as usize;
    rest.split_at_checked(length).ok_or(ObjectError::Content)
}

/// What a shard is asked. Edge only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShardBackup {
    /// Flushes, and names the shard's point as of now. Its values are held for `BACKUP_HOLD_NS`; a
    /// repeat holds those of both points.
    Hold {
        /// Which backup: the same number for all of its holds.
        backup: u64,
    },
    /// The value of this number, whoever holds it.
    Read {
        /// Of a point.
        number: u64,
    },
    /// The values are held no longer. Without such a hold it changes nothing.
    Release {
        /// As in `Hold`.
        backup: u64,
    },
    /// How far a fresh shard is filled.
    Progress,
    /// Puts a value into a fresh shard. They come in order: each behind those that are there.
    Put {
        /// Its position among the numbers of the point.
        position: u64,
        /// Its object; travels as the body.
        #[serde(skip)]
        value: Vec<u8>,
    },
    /// Makes a fresh shard that has all values what the point says. A repeat changes nothing.
    Install {
        /// The object of the point; travels as the body.
        #[serde(skip)]
        point: Vec<u8>,
    },
}

/// What a shard answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromShardBackup {
    /// Release, Put, Install: it is so.
    Done,
    /// The point.
    Held {
        /// The times that the shard keeps: those of its group, unless a split is under way.
        range: TimeRange,
        /// Its object; travels as the body.
        #[serde(skip)]
        point: Vec<u8>,
    },
    /// The value.
    Value {
        /// Its object; travels as the body.
        #[serde(skip)]
        value: Vec<u8>,
    },
    /// There is no such value any more: the hold is over.
    Gone,
    /// How far it is.
    Filled {
        /// Values that are there.
        values: u64,
        /// The point is there too.
        is_installed: bool,
    },
}

impl ShardBackup {
    /// The binary part.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Put { value: body, .. } | Self::Install { point: body } => body,
            _ => &[],
        }
    }

    /// Puts the binary part back.
    pub fn set_body(&mut self, bytes: &[u8]) {
        if let Self::Put { value: body, .. } | Self::Install { point: body } = self {
            *body = bytes.to_vec();
        }
    }
}

impl FromShardBackup {
    /// The binary part.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Held { point: body, .. } | Self::Value { value: body } => body,
            _ => &[],
        }
    }

    /// Puts the binary part back.
    pub fn set_body(&mut self, bytes: &[u8]) {
        if let Self::Held { point: body, .. } | Self::Value { value: body } = self {
            *body = bytes.to_vec();
        }
    }
}

/// What a Database is asked that takes a backup in. Edge only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreStep {
    /// Makes fresh shards for these policies and opens them; nobody else is told of them. A repeat
    /// answers with the same ones. Refused unless the database has no measurement.
    Begin {
        /// Which backup.
        backup: String,
        /// As they were, with ids and shards of their own.
        policies: Vec<Policy>,
    },
    /// Takes in a page of measurements; a page before the one that is wanted changes nothing.
    Schema {
        /// Which backup.
        backup: String,
        /// Which page, from 0 on.
        page: u32,
        /// Position of their policy.
        policy: u32,
        /// In the order in which they were read.
        measurements: Vec<MeasurementSchema>,
    },
    /// The new policies take the place of those that are there, shards included.
    Finish {
        /// Which backup.
        backup: String,
        /// The rest of the database.
        rest: RestoredRest,
    },
}

impl RestoreStep {
    /// Which backup it is of.
    pub fn backup(&self) -> &str {
        match self {
            Self::Begin { backup, .. }
            | Self::Schema { backup, .. }
            | Self::Finish { backup, .. } => backup,
        }
    }
}

/// What a database has beside policies and measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredRest {
    /// Position of the default policy.
    pub default_policy: Option<u32>,
    /// Its name if it was dropped.
    pub dropped_default: Option<String>,
    /// With their watermarks.
    pub continuous: Vec<ContinuousQuery>,
    /// Those of the database; tokens and users are of the deployment.
    pub quotas: Quotas,
}

/// How far a Database is with a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restoring {
    /// It waits for shards to be filled and for measurements.
    Filling {
        /// The policies as they will be, in the order of the request.
        policies: Vec<Policy>,
        /// Pages of measurements that it has.
        pages: u32,
    },
    /// The backup was taken in.
    Finished,
}

/// A database in a backup, its measurements and points apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpMap {
    /// Policies and shards.
    pub policies: Vec<Policy>,
    /// The default one.
    pub default_policy: Option<PolicyId>,
    /// Its name if it was dropped.
    pub dropped_default: Option<String>,
    /// With their watermarks.
    pub continuous: Vec<ContinuousQuery>,
    /// Limits of the database and of callers.
    pub quotas: Quotas,
    /// Position of the policy and name of each page of measurements, in order.
    pub schema: Vec<(u32, String)>,
    /// Name of the point of each shard.
    pub points: Vec<(ObjectId, String)>,
    /// Name of each page of tokens and users that have rights on it, in order.
    #[serde(default)]
    pub access: Vec<String>,
}

/// Under which names the values of a point are kept, in the order of its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpValues {
    /// The point's name.
    pub point: String,
    /// The values' names.
    pub values: Vec<String>,
}

/// What belongs to a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// Checksum of the map.
    pub map: u32,
    /// Name of the index of each shard, in the order of the map's points.
    pub indexes: Vec<String>,
    /// When it was finished, nanoseconds.
    pub finished_ns: i64,
}

/// What the place is asked that backups are kept in. A key is names with `/` between them; a name
/// has only letters, digits, `-`, `_`, `.` and `=`, and does not begin with `.`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToBackups {
    /// Keeps an object as a whole or not at all; one that is there stays as it is.
    Put {
        /// Its key.
        key: String,
        /// It; travels as the body.
        #[serde(skip)]
        object: Vec<u8>,
    },
    /// An object.
    Get {
        /// Its key.
        key: String,
    },
    /// Names of the objects right in a folder, ascending.
    List {
        /// The key before their names.
        folder: String,
        /// Names above this one.
        after: Option<String>,
    },
    /// Objects go; one that is not there is no error.
    Delete {
        /// Their keys, at most `BACKUP_DELETES_MAX`.
        keys: Vec<String>,
    },
}

/// What it answers. Whatever fails is a failed call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromBackups {
    /// Put, Delete: it is so.
    Done,
    /// The object.
    Object {
        /// It; travels as the body.
        #[serde(skip)]
        object: Vec<u8>,
    },
    /// There is no such object.
    Missing,
    /// Some names.
    Names {
        /// At most `BACKUP_NAMES_MAX`.
        names: Vec<String>,
        /// There are more behind the last.
        more: bool,
    },
}

impl Wire for ToBackups {
    const DIRECTION: Direction = Direction::ToBackups;

    fn body(&self) -> &[u8] {
        match self {
            Self::Put { object, .. } => object,
            _ => &[],
        }
    }

    fn set_body(&mut self, body: &[u8]) {
        if let Self::Put { object, .. } = self {
            *object = body.to_vec();
        }
    }
}

impl Wire for FromBackups {
    const DIRECTION: Direction = Direction::FromBackups;

    fn body(&self) -> &[u8] {
        match self {
            Self::Object { object } => object,
            _ => &[],
        }
    }

    fn set_body(&mut self, body: &[u8]) {
        if let Self::Object { object } = self {
            *object = body.to_vec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_back_and_no_flipped_bit_is_taken() {
        let value = seal_value(b"head", b"body");
        assert_eq!(open_value(&value), Ok((&b"head"[..], &b"body"[..])));
        let point = seal_point(&[(7, 2), (20, 1)], b"rows").unwrap();
        assert_eq!(open_point(&point), Ok((vec![7, 8, 20], &b"rows"[..])));
        assert_eq!(open(ObjectKind::Point, &value), Err(ObjectError::Kind));
        for bit in 0..point.len() * 8 {
            let mut bad = point.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_point(&bad), Err(ObjectError::Checksum), "bit {bit}");
        }
        assert_eq!(checksum(&value).to_le_bytes(), value[value.len() - 4..]);
    }

    #[test]
    fn a_list_of_too_many_numbers_is_not_unrolled() {
        let point = seal_point(&[(0, u64::MAX)], b"").unwrap();
        assert_eq!(open_point(&point), Err(ObjectError::Content));
    }
}
