//! Defines the keys of a backup's objects in the backup store, reads and writes these objects, and
//! lists the backups.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Io;
use crate::error::{Error, Result};
use tidemark_engine::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, FromBackups, ObjectKind, ToBackups, checksum,
    open_metadata, seal_metadata,
};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::envelope;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::BACKUP_OBJECTS_PER_REQUEST;
use tidemark_model::time::{S_NS, TimeRange};

/// A failure of a backup request. A failure never loses data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// No complete backup has this name.
    #[error("backup {0} does not exist or is incomplete: GET /api/v3/backup?db= lists the backups")]
    Missing(String),
    /// Another request for the same database must finish before this request can begin.
    #[error("{0}")]
    Conflict(String),
    /// The backup can never be completed.
    #[error("backup {id} cannot be completed: {reason}; delete the backup and make a new one")]
    Unfinishable {
        /// The backup's name.
        id: String,
        /// The missing or changed data.
        reason: String,
    },
    /// The database has
    /// [`BACKUPS_PER_DATABASE_MAX`](tidemark_model::limits::BACKUPS_PER_DATABASE_MAX) backups.
    #[error(
        "the database already has {limit} backups, and no more are allowed: delete a backup first"
    )]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A stored object differs from its checksum, is missing, or cannot be decoded.
    #[error("damaged object {key}: {reason}")]
    Damaged {
        /// The object's key.
        key: String,
        /// The kind of damage.
        reason: String,
    },
}

impl BackupError {
    pub(super) fn damaged(key: &str, reason: impl std::fmt::Display) -> Self {
        Self::Damaged { key: key.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn missing_object(key: &str) -> Self {
        Self::damaged(key, "the object is missing")
    }
}

/// The id of a backup. The text form consists of the database's name and the time, separated by a
/// dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupId {
    /// The database's name.
    pub database: String,
    /// The time at which the backup was begun, in seconds since 1970.
    pub begun_s: u64,
}

impl BackupId {
    /// Returns the id of a backup that begins now.
    pub fn begin(database: &str, now_ns: i64) -> Self {
        let begun_s = u64::try_from(now_ns / S_NS).unwrap_or_default();
        Self { database: database.to_owned(), begun_s }
    }

    /// Parses the text form of an id; `None` if `text` is not an id.
    pub fn parse(text: &str) -> Option<Self> {
        let (database, begun_s) = text.rsplit_once('.')?;
        let is_plain = !database.is_empty() && begun_s.bytes().all(|byte| byte.is_ascii_digit());
        let begun_s = begun_s.parse().ok().filter(|_| is_plain)?;
        Some(Self { database: database.to_owned(), begun_s })
    }

    /// Parses a name that [`BackupId::name`] returned.
    pub(super) fn named(database: &str, name: &str) -> Option<Self> {
        Self::parse(&format!("{database}.{}", name.trim_start_matches('0')))
    }

    /// Returns the backup's name within its database. The order of the names is the order of the
    /// backups.
    pub(super) fn name(&self) -> String {
        format!("{:012}", self.begun_s)
    }

    pub(super) fn key(&self, rest: &str) -> String {
        format!("{}/{}/{rest}", folder(&self.database), self.name())
    }

    pub(super) fn map(&self) -> String {
        self.key("map")
    }

    pub(super) fn pages(&self) -> String {
        self.key("schema")
    }

    pub(super) fn page(&self, name: &str) -> String {
        format!("{}/{name}", self.pages())
    }

    /// Returns the name of the folder with the snapshots. Existing backups contain this name, so it
    /// must not change.
    pub(super) fn snapshots(&self) -> String {
        self.key("points")
    }

    pub(super) fn snapshot(&self, name: &str) -> String {
        format!("{}/{name}", self.snapshots())
    }

    pub(super) fn indexes(&self) -> String {
        self.key("values")
    }

    pub(super) fn index(&self, name: &str) -> String {
        format!("{}/{name}", self.indexes())
    }

    /// Returns the folder with a shard's values, which all backups of the database share.
    pub(super) fn values(&self, shard: &ObjectId) -> String {
        format!("{}/value/{shard}", folder(&self.database))
    }

    pub(super) fn value(&self, shard: &ObjectId, name: &str) -> String {
        format!("{}/{name}", self.values(shard))
    }

    pub(super) fn mark(&self, mark: Mark) -> String {
        format!("{}/{}", marks(&self.database, mark), self.name())
    }
}

impl std::fmt::Display for BackupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.begun_s)
    }
}

/// A state of a backup, which a mark object in the backup store records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Begun,
    /// The backup is complete. This mark is the backup's manifest.
    Done,
    Deleting,
}

/// Writes bytes that a key must not contain as `=` and two hexadecimal digits.
fn folder(database: &str) -> String {
    let mut out = String::from("db-");
    for byte in database.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => out.push_str(&format!("={byte:02x}")),
        }
    }
    out
}

pub(super) fn marks(database: &str, mark: Mark) -> String {
    let mark = match mark {
        Mark::Begun => "begun",
        Mark::Done => "done",
        Mark::Deleting => "deleting",
    };
    format!("{}/{mark}", folder(database))
}

pub(super) fn snapshot_prefix(shard: &ObjectId, range: &TimeRange) -> String {
    format!("{shard}.{}.{}-", range.start_ns, range.end_ns)
}

pub(super) fn index_prefix(shard: &ObjectId) -> String {
    format!("{shard}-")
}

pub(super) fn sealed_name(prefix: &str, object: &[u8]) -> String {
    format!("{prefix}{:08x}", checksum(object))
}

pub(super) fn value_prefix(number: u64) -> String {
    format!("{number:016x}-")
}

pub(super) fn value_number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.split_once('-')?.0, 16).ok()
}

/// Parses the name of a snapshot. The id of the shard's object contains no dot.
pub(super) fn shard_of_snapshot(name: &str) -> Option<ObjectId> {
    Some(ObjectId(name.split_once('.')?.0.to_owned()))
}

pub(super) fn check_name(key: &str, object: &[u8]) -> Result<()> {
    let expected = key.rsplit_once('-').and_then(|(_, crc)| u32::from_str_radix(crc, 16).ok());
    if expected == Some(checksum(object)) {
        return Ok(());
    }
    Err(BackupError::damaged(key, "its checksum differs from the checksum in its name").into())
}

pub(super) async fn put(io: &Io, key: String, object: Vec<u8>) -> Result<()> {
    done(io, &ToBackups::Put { key, object }).await
}

pub(super) async fn delete(io: &Io, keys: Vec<String>) -> Result<()> {
    done(io, &ToBackups::Delete { keys }).await
}

async fn done(io: &Io, message: &ToBackups) -> Result<()> {
    match call(io, message).await? {
        FromBackups::Done => Ok(()),
        _ => Err(Error::unexpected_reply()),
    }
}

pub(super) async fn get(io: &Io, key: String) -> Result<Option<Vec<u8>>> {
    match call(io, &ToBackups::Get { key }).await? {
        FromBackups::Object { object } => Ok(Some(object)),
        FromBackups::Missing => Ok(None),
        _ => Err(Error::unexpected_reply()),
    }
}

pub(super) async fn get_sealed(io: &Io, key: &str) -> Result<Vec<u8>> {
    let object = get(io, key.to_owned()).await?;
    let object = object.ok_or_else(|| BackupError::missing_object(key))?;
    check_name(key, &object)?;
    Ok(object)
}

/// Decodes the object with this key.
pub(super) fn open<T: DeserializeOwned>(kind: ObjectKind, key: &str, object: &[u8]) -> Result<T> {
    Ok(open_metadata(kind, object).map_err(|reason| BackupError::damaged(key, reason))?)
}

pub(super) async fn get_index(io: &Io, key: &str) -> Result<BackedUpValues> {
    open(ObjectKind::Index, key, &get_sealed(io, key).await?)
}

pub(super) async fn list(io: &Io, folder: String) -> Result<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let after = all.last().cloned();
        match call(io, &ToBackups::List { folder: folder.clone(), after }).await? {
            // The next page begins after the last name, so an empty page cannot have a next page.
            FromBackups::Names { names, more } if !more || !names.is_empty() => {
                all.extend(names);
                if !more {
                    return Ok(all);
                }
            }
            _ => return Err(Error::unexpected_reply()),
        }
    }
}

async fn call(io: &Io, message: &ToBackups) -> Result<FromBackups> {
    Ok(envelope::decode_reply(io.call(Address::Backups, message).await)?)
}

pub(super) async fn get_manifest(io: &Io, id: &BackupId) -> Result<BackupManifest> {
    let object = get(io, id.mark(Mark::Done)).await?;
    let object = object.ok_or_else(|| BackupError::Missing(id.to_string()))?;
    open(ObjectKind::Manifest, &id.mark(Mark::Done), &object)
}

pub(super) async fn get_map(
    io: &Io,
    id: &BackupId,
    manifest: &BackupManifest,
) -> Result<BackedUpMap> {
    let key = id.map();
    let object = get(io, key.clone()).await?;
    let object = object.ok_or_else(|| BackupError::missing_object(&key))?;
    if manifest.map != checksum(&object) {
        let reason = "its checksum differs from the manifest";
        return Err(BackupError::damaged(&key, reason).into());
    }
    open(ObjectKind::Map, &key, &object)
}

pub(super) fn seal(kind: ObjectKind, metadata: &impl Serialize, what: &str) -> Result<Vec<u8>> {
    Ok(seal_metadata(kind, metadata).map_err(|reason| BackupError::damaged(what, reason))?)
}

/// The number of objects that a request may still read or write.
#[derive(Debug)]
pub(super) struct ObjectBudget(u32);

impl Default for ObjectBudget {
    fn default() -> Self {
        Self(BACKUP_OBJECTS_PER_REQUEST)
    }
}

impl ObjectBudget {
    /// Returns `false` if the request has used up its share of objects.
    pub(super) fn take(&mut self) -> bool {
        let may = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        may
    }
}

/// A backup and its marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedBackup {
    /// The id of the backup.
    pub id: BackupId,
    /// Whether all objects of the backup are stored.
    pub is_whole: bool,
    /// Whether the mark of an unfinished backup still exists. The mark prevents deletions.
    pub is_begun: bool,
    /// Whether the backup is being deleted.
    pub is_deleting: bool,
}

/// Lists the backups of a database in the order of their creation.
pub async fn list_backups(io: &Io, database: &str) -> Result<Vec<ListedBackup>> {
    let mut found: Vec<ListedBackup> = Vec::new();
    for mark in [Mark::Done, Mark::Begun, Mark::Deleting] {
        let names = list(io, marks(database, mark)).await?;
        for id in names.iter().filter_map(|name| BackupId::named(database, name)) {
            let [is_whole, is_begun, is_deleting] =
                [Mark::Done, Mark::Begun, Mark::Deleting].map(|known| known == mark);
            match found.iter_mut().find(|known| known.id == id) {
                Some(known) => {
                    known.is_begun |= is_begun;
                    known.is_deleting |= is_deleting;
                }
                None => found.push(ListedBackup { id, is_whole, is_begun, is_deleting }),
            }
        }
    }
    found.sort_by_key(|backup| backup.id.begun_s);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_names_round_trip_safely() {
        let id = BackupId { database: "sensors.öst/1".to_owned(), begun_s: 1_700_000_000 };
        assert_eq!(BackupId::parse(&id.to_string()), Some(id.clone()));
        assert_eq!(BackupId::named(&id.database, &id.name()), Some(id.clone()));
        assert_eq!(id.mark(Mark::Done), "db-sensors=2e=c3=b6st=2f1/done/001700000000");
        for bad in ["", "a", "a.", ".5", "a.-5", "a.x", "a.99999999999999999999"] {
            assert_eq!(BackupId::parse(bad), None, "{bad}");
        }
        let name = sealed_name(&value_prefix(255), b"12345678");
        assert_eq!((name.as_str(), value_number(&name)), ("00000000000000ff-38373635", Some(255)));
        assert!(check_name(&name, b"12345678").is_ok() && check_name(&name, b"12345679").is_err());
    }
}
