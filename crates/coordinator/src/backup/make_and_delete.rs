//! Makes and deletes backups. A backup is made in this order: the snapshots of all shards, the map,
//! the values that the backup store lacks, and finally the manifest. A backup without a manifest is
//! incomplete.

use std::collections::{BTreeMap, BTreeSet};

use super::store::{self, BackupError, BackupId, Mark, ObjectBudget};
use crate::Io;
use crate::error::{Error, Result};
use crate::load_schemas::{Load, SchemaSelection};
use tidemark_engine::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, FromShardBackup, ObjectKind, ShardBackup,
    checksum, open_snapshot,
};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::database::{Description, FromDatabase, ToDatabase};
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::{BACKUP_DELETES_MAX, BACKUP_HOLD_NS, BACKUPS_PER_DATABASE_MAX};
use tidemark_model::shard_map::Policy;
use tidemark_model::time::{H_NS, TimeRange};

/// The progress of a backup after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// The id of the backup.
    pub id: BackupId,
    /// The number of shards of the database.
    pub shards: u64,
    /// The number of shards that are not copied yet. The backup is complete when the number is 0.
    pub remaining: u64,
    /// The number of objects that this request has stored.
    pub objects: u64,
    /// The size of the objects that this request has stored, in bytes.
    pub bytes: u64,
}

/// Begins a backup of a database, or continues its unfinished backup.
pub async fn back_up(io: &Io, database: &str) -> Result<BackupProgress> {
    let object = Load::from_owner(database, SchemaSelection::Nothing).run(io).await?.object;
    let id = begin(io, database).await?;
    let progress = BackupProgress { id: id.clone(), shards: 0, remaining: 0, objects: 0, bytes: 0 };
    let left = ObjectBudget::default();
    let mut backup = BackupTask { io, id, database: object, left, progress };
    let stored = match backup.stored_map().await? {
        None if !backup.make_map().await? => None,
        None => backup.stored_map().await?,
        stored => stored,
    };
    if let Some((map, map_crc)) = stored
        && let Some(indexes) = backup.copy_shards(&map).await?
    {
        backup.finish(map_crc, indexes).await?;
    }
    Ok(backup.progress)
}

/// Returns the unfinished backup of a database, or marks a new backup as begun.
async fn begin(io: &Io, database: &str) -> Result<BackupId> {
    let list_marks = async |mark| store::list(io, store::marks(database, mark)).await;
    let begun = list_marks(Mark::Begun).await?;
    if let Some(id) = begun.first().and_then(|name| BackupId::named(database, name)) {
        let is_kept = list_marks(Mark::Deleting).await?.is_empty();
        return if is_kept { Ok(id) } else { Err(is_being_deleted(database)) };
    }
    let done = list_marks(Mark::Done).await?;
    if done.len() >= BACKUPS_PER_DATABASE_MAX {
        return Err(BackupError::TooMany { limit: BACKUPS_PER_DATABASE_MAX }.into());
    }
    let last = done.last().and_then(|name| BackupId::named(database, name));
    let mut id = BackupId::begin(database, io.now_ns()?);
    id.begun_s = id.begun_s.max(last.map_or(0, |last| last.begun_s + 1));
    store::put(io, id.mark(Mark::Begun), Vec::new()).await?;
    if !list_marks(Mark::Deleting).await?.is_empty() {
        store::delete(io, vec![id.mark(Mark::Begun)]).await?;
        return Err(is_being_deleted(database));
    }
    Ok(id)
}

fn is_being_deleted(database: &str) -> Error {
    let reason = format!(
        "a backup of database \"{database}\" is being deleted: repeat the DELETE request until it \
         completes"
    );
    BackupError::Conflict(reason).into()
}

struct BackupTask<'a> {
    io: &'a Io,
    id: BackupId,
    database: ObjectId,
    left: ObjectBudget,
    progress: BackupProgress,
}

// Each method returns `false` or `None` if the request has used up its share of objects.
impl BackupTask<'_> {
    async fn stored_map(&mut self) -> Result<Option<(BackedUpMap, u32)>> {
        let Some(object) = store::get(self.io, self.id.map()).await? else { return Ok(None) };
        let map: BackedUpMap = store::open(ObjectKind::Map, &self.id.map(), &object)?;
        self.progress.shards = map.snapshots.len() as u64;
        Ok(Some((map, checksum(&object))))
    }

    async fn make_map(&mut self) -> Result<bool> {
        let mut snapshots = store::list(self.io, self.id.snapshots()).await?;
        let pages = store::list(self.io, self.id.pages()).await?;
        // A policy may be dropped while the backup reads the schema. In this case the map is made
        // again.
        loop {
            let Some(mut map) = self.put_snapshots(&mut snapshots).await? else { return Ok(false) };
            match self.io.call_database(&self.database, &ToDatabase::BackUp).await? {
                FromDatabase::BackedUp(queries) => map.continuous = queries,
                other => return Err(self.refused(other)),
            }
            let policies: Vec<PolicyId> = map.policies.iter().map(|policy| policy.id).collect();
            let mut is_current = true;
            for (at, policy) in policies.into_iter().enumerate() {
                match self.put_schema(policy, &pages).await? {
                    // A database has at most a few hundred policies.
                    SchemaPages::Put(names) => {
                        map.schema.extend(names.into_iter().map(|name| (at as u32, name)));
                    }
                    SchemaPages::Paused => return Ok(false),
                    SchemaPages::UnknownPolicy => {
                        is_current = false;
                        break;
                    }
                }
            }
            if !is_current {
                continue;
            }
            let object = store::seal(ObjectKind::Map, &map, "map")?;
            self.put(self.id.map(), object).await?;
            return Ok(true);
        }
    }

    /// Stores the missing snapshots, and adds their names to `stored`. Returns the map without
    /// measurements.
    async fn put_snapshots(&mut self, stored: &mut Vec<String>) -> Result<Option<BackedUpMap>> {
        loop {
            let description =
                match self.io.call_database(&self.database, &ToDatabase::Describe).await? {
                    FromDatabase::Description(description) => description,
                    other => return Err(self.refused(other)),
                };
            let groups = description.policies.iter().flat_map(|policy: &Policy| &policy.groups);
            let shards: Vec<(ObjectId, TimeRange)> = groups
                .flat_map(|group| group.shards.iter().map(|shard| (shard.clone(), group.range)))
                .collect();
            self.progress.shards = shards.len() as u64;
            self.progress.remaining = self.progress.shards;
            let (mut snapshots, mut missing) = (Vec::new(), Vec::new());
            for (shard, range) in shards {
                let prefix = store::snapshot_prefix(&shard, &range);
                match stored.iter().find(|name| name.starts_with(&prefix)) {
                    Some(name) => snapshots.push((shard, name.clone())),
                    None => missing.push(shard),
                }
            }
            if missing.is_empty() {
                let Description { policies, default_policy, dropped_default, quotas, .. } =
                    description;
                return Ok(Some(BackedUpMap {
                    policies,
                    default_policy,
                    dropped_default,
                    quotas,
                    snapshots,
                    ..BackedUpMap::default()
                }));
            }
            for shard in missing.iter().rev() {
                if !self.left.take() {
                    return Ok(None);
                }
                let hold = ShardBackup::Hold { backup: self.id.begun_s };
                match self.io.call_shard(shard, &ToShard::Backup(hold)).await? {
                    FromShard::Backup(FromShardBackup::Held { range, snapshot }) => {
                        let prefix = store::snapshot_prefix(shard, &range);
                        let name = store::sealed_name(&prefix, &snapshot);
                        self.put(self.id.snapshot(&name), snapshot).await?;
                        stored.push(name);
                    }
                    // The shard's group was dropped or split after the map was read.
                    FromShard::Stale => {}
                    other => return Err(self.shard_refused(shard, other)),
                }
            }
        }
    }

    async fn put_schema(&mut self, policy: PolicyId, stored: &[String]) -> Result<SchemaPages> {
        let (mut names, mut after_version) = (Vec::new(), 0);
        loop {
            let prefix = format!("{policy}.{after_version:016x}.");
            if let Some((name, last)) = stored_page(stored, &prefix) {
                names.push(name);
                after_version = last;
                continue;
            }
            let message = ToDatabase::Schema { policy, after_version };
            let measurements = match self.io.call_database(&self.database, &message).await? {
                FromDatabase::Schema { measurements, .. } => measurements,
                // The policy was dropped after the map was read.
                FromDatabase::UnknownPolicy => return Ok(SchemaPages::UnknownPolicy),
                other => return Err(self.refused(other)),
            };
            let Some(last) = measurements.last().map(|measurement| measurement.version) else {
                return Ok(SchemaPages::Put(names));
            };
            if !self.left.take() {
                return Ok(SchemaPages::Paused);
            }
            let object = store::seal(ObjectKind::Schema, &measurements, "schema")?;
            let name = store::sealed_name(&format!("{prefix}{last:016x}-"), &object);
            self.put(self.id.page(&name), object).await?;
            names.push(name);
            after_version = last;
        }
    }

    /// Returns the names of the shards' indexes.
    async fn copy_shards(&mut self, map: &BackedUpMap) -> Result<Option<Vec<String>>> {
        let stored = store::list(self.io, self.id.indexes()).await?;
        let index_of = |shard: &ObjectId| {
            let prefix = store::index_prefix(shard);
            stored.iter().find(|name| name.starts_with(&prefix)).cloned()
        };
        let mut indexes: Vec<Option<String>> =
            map.snapshots.iter().map(|(shard, _)| index_of(shard)).collect();
        self.progress.remaining = indexes.iter().filter(|index| index.is_none()).count() as u64;
        for (index, (shard, snapshot)) in indexes.iter_mut().zip(&map.snapshots) {
            if index.is_some() {
                continue;
            }
            if !self.left.take() {
                return Ok(None);
            }
            let Some(name) = self.copy_shard(shard, snapshot).await? else { return Ok(None) };
            *index = Some(name);
            self.progress.remaining -= 1;
        }
        Ok(Some(indexes.into_iter().flatten().collect()))
    }

    /// Copies the values that the backup store lacks, and then the shard's index. Returns the
    /// index's name.
    async fn copy_shard(&mut self, shard: &ObjectId, snapshot: &str) -> Result<Option<String>> {
        let key = self.id.snapshot(snapshot);
        let object = store::get_sealed(self.io, &key).await?;
        let (numbers, _) =
            open_snapshot(&object).map_err(|reason| BackupError::damaged(&key, reason))?;
        let names = store::list(self.io, self.id.values(shard)).await?;
        let numbered = |name: String| Some((store::value_number(&name)?, name));
        let stored: BTreeMap<u64, String> = names.into_iter().filter_map(numbered).collect();
        let mut values = Vec::new();
        for number in numbers {
            if let Some(name) = stored.get(&number) {
                values.push(name.clone());
                continue;
            }
            if !self.left.take() {
                return Ok(None);
            }
            let read = ToShard::Backup(ShardBackup::Read { number });
            let value = match self.io.call_shard(shard, &read).await? {
                FromShard::Backup(FromShardBackup::Value { value }) => value,
                other => return Err(self.shard_refused(shard, other)),
            };
            let name = store::sealed_name(&store::value_prefix(number), &value);
            self.put(self.id.value(shard, &name), value).await?;
            values.push(name);
        }
        let index = BackedUpValues { snapshot: snapshot.to_owned(), values };
        let object = store::seal(ObjectKind::Index, &index, "index")?;
        let name = store::sealed_name(&store::index_prefix(shard), &object);
        self.put(self.id.index(&name), object).await?;
        release(self.io, shard, &self.id).await;
        Ok(Some(name))
    }

    /// Stores the manifest. If another request is deleting the backup, removes the manifest again.
    async fn finish(&mut self, map: u32, indexes: Vec<String>) -> Result<()> {
        let finished_ns = self.io.now_ns()?;
        let manifest = BackupManifest { map, indexes, finished_ns };
        let object = store::seal(ObjectKind::Manifest, &manifest, "manifest")?;
        self.put(self.id.mark(Mark::Done), object).await?;
        let (io, own, database) = (self.io, self.id.name(), &self.id.database);
        let begun = store::list(io, store::marks(database, Mark::Begun)).await?;
        let deleting = store::list(io, store::marks(database, Mark::Deleting)).await?;
        let is_kept = if deleting.iter().any(|name| name.starts_with(&own)) {
            false
        } else if begun.contains(&own) {
            store::delete(io, vec![self.id.mark(Mark::Begun)]).await?;
            true
        } else {
            // Another request has finished the backup, or has deleted the backup and its map.
            store::get(io, self.id.map()).await?.is_some()
        };
        if !is_kept {
            store::delete(io, vec![self.id.mark(Mark::Done)]).await?;
            return Err(is_being_deleted(database));
        }
        Ok(())
    }

    async fn put(&mut self, key: String, object: Vec<u8>) -> Result<()> {
        self.progress.objects += 1;
        self.progress.bytes += object.len() as u64;
        store::put(self.io, key, object).await
    }

    fn refused(&self, reply: FromDatabase) -> Error {
        match reply {
            FromDatabase::NotOpen => Error::DatabaseNotFound(self.id.database.clone()),
            reply => reply.into(),
        }
    }

    fn shard_refused(&self, shard: &ObjectId, reply: FromShard) -> Error {
        match reply {
            FromShard::Backup(FromShardBackup::Gone) | FromShard::Stale => {
                let (id, hours) = (self.id.to_string(), BACKUP_HOLD_NS / H_NS);
                let reason = format!(
                    "shard {shard} was dropped, or the backup took longer than the {hours} hours \
                     for which the shard holds its values"
                );
                BackupError::Unfinishable { id, reason }.into()
            }
            reply => reply.into(),
        }
    }
}

/// Permits the shard to delete values that only this backup needs. If the call fails, the shard may
/// delete them when the backup's hold expires.
async fn release(io: &Io, shard: &ObjectId, id: &BackupId) {
    let release = ToShard::Backup(ShardBackup::Release { backup: id.begun_s });
    let _ = io.call(Address::Shard(shard.clone()), &release).await;
}

enum SchemaPages {
    Put(Vec<String>),
    Paused,
    UnknownPolicy,
}

/// Returns the stored page whose name begins with `prefix`, and the last version in the page, which
/// the name contains as 16 hexadecimal digits.
fn stored_page(stored: &[String], prefix: &str) -> Option<(String, u64)> {
    let name = stored.iter().find(|name| name.starts_with(prefix))?;
    let last = name.get(prefix.len()..prefix.len() + 16);
    let last = last.and_then(|last| u64::from_str_radix(last, 16).ok());
    Some((name.clone(), last.unwrap_or(u64::MAX)))
}

/// The suffix of a second deletion mark. It is stored after the check that no backup of the
/// database is being made, so that a repeated request does not repeat the check.
const CHECKED_SUFFIX: &str = ".sure";

/// Deletes a complete or incomplete backup, and the values that no other backup of the database
/// uses. Returns the number of shards whose objects remain, plus 1 for the map and the marks. The
/// backup is deleted when the result is 0.
pub async fn delete_backup(io: &Io, id: &BackupId) -> Result<u64> {
    mark_deleting(io, id).await?;
    let others = other_indexes(io, id).await?;
    let indexes = store::list(io, id.indexes()).await?;
    let mut snapshots = store::list(io, id.snapshots()).await?;
    let mut objects_left = ObjectBudget::default();
    while let Some(snapshot) = snapshots.first() {
        let shard = store::shard_of_snapshot(snapshot).ok_or_else(|| {
            BackupError::damaged(&id.snapshots(), "the key does not contain the name of a shard")
        })?;
        let prefix = store::index_prefix(&shard);
        let of_shard =
            |key: &&String| key.rsplit('/').next().is_some_and(|name| name.starts_with(&prefix));
        let mut wanted = BTreeSet::new();
        for key in others.iter().filter_map(|keys| keys.iter().find(of_shard)) {
            wanted.extend(store::get_index(io, key).await?.values);
        }
        let mut values = store::list(io, id.values(&shard)).await?;
        values.retain(|name| !wanted.contains(name));
        let values = values.iter().map(|name| id.value(&shard, name)).collect();
        // A backup releases a shard's values when it stores the shard's index. Without an
        // index, the shard still holds the values.
        if !indexes.iter().any(|name| name.starts_with(&prefix)) {
            release(io, &shard, id).await;
        }
        let own_indexes = indexes.iter().filter(|name| name.starts_with(&prefix));
        let (own_snapshots, rest): (Vec<String>, Vec<String>) = snapshots
            .iter()
            .cloned()
            .partition(|name| store::shard_of_snapshot(name).as_ref() == Some(&shard));
        let own = own_indexes
            .map(|name| id.index(name))
            .chain(own_snapshots.iter().map(|name| id.snapshot(name)))
            .collect();
        // The backup's own objects for the shard are deleted last, because a later request
        // needs them to find the shard.
        if !delete_all(io, &mut objects_left, [values, own]).await? {
            return Ok(remaining(&snapshots));
        }
        snapshots = rest;
    }
    let pages = store::list(io, id.pages()).await?;
    let mut rest: Vec<String> = pages.iter().map(|name| id.page(name)).collect();
    rest.push(id.map());
    let mark = id.mark(Mark::Deleting);
    let marks = vec![format!("{mark}{CHECKED_SUFFIX}"), mark];
    Ok(u64::from(!delete_all(io, &mut objects_left, [rest, marks]).await?))
}

/// Marks the backup as being deleted, and removes its other marks.
///
/// A backup cannot be made while another backup of the same database is being deleted. Otherwise
/// the new backup could refer to a value that is about to be deleted. The request that makes a
/// backup and the request that deletes one each store a mark before they look for the other
/// request's mark.
async fn mark_deleting(io: &Io, id: &BackupId) -> Result<()> {
    let list_marks = async |mark| store::list(io, store::marks(&id.database, mark)).await;
    let (own, deleting) = (id.name(), id.mark(Mark::Deleting));
    let marks = list_marks(Mark::Deleting).await?;
    if !marks.contains(&format!("{own}{CHECKED_SUFFIX}")) {
        let mut is_known = marks.contains(&own);
        for mark in [Mark::Done, Mark::Begun] {
            is_known |= list_marks(mark).await?.contains(&own);
        }
        if !is_known {
            return Err(BackupError::Missing(id.to_string()).into());
        }
        store::put(io, deleting.clone(), Vec::new()).await?;
        if list_marks(Mark::Begun).await?.iter().any(|name| *name != own) {
            store::delete(io, vec![deleting]).await?;
            let reason = format!(
                "a backup of database \"{}\" is incomplete: complete or delete that backup first",
                id.database
            );
            return Err(BackupError::Conflict(reason).into());
        }
        store::put(io, format!("{deleting}{CHECKED_SUFFIX}"), Vec::new()).await?;
    }
    store::delete(io, vec![id.mark(Mark::Done), id.mark(Mark::Begun)]).await
}

async fn other_indexes(io: &Io, id: &BackupId) -> Result<Vec<Vec<String>>> {
    let names = store::list(io, store::marks(&id.database, Mark::Done)).await?;
    let mut others = Vec::new();
    for name in names.iter().filter(|name| **name != id.name()) {
        let Some(other) = BackupId::named(&id.database, name) else { continue };
        let indexes = store::list(io, other.indexes()).await?;
        others.push(indexes.iter().map(|name| other.index(name)).collect());
    }
    Ok(others)
}

async fn delete_all(
    io: &Io,
    objects_left: &mut ObjectBudget,
    lists: [Vec<String>; 2],
) -> Result<bool> {
    for keys in lists.iter().flat_map(|keys| keys.chunks(BACKUP_DELETES_MAX)) {
        if !objects_left.take() {
            return Ok(false);
        }
        store::delete(io, keys.to_vec()).await?;
    }
    Ok(true)
}

fn remaining(snapshots: &[String]) -> u64 {
    let shards: BTreeSet<ObjectId> =
        snapshots.iter().filter_map(|name| store::shard_of_snapshot(name)).collect();
    shards.len() as u64 + 1
}
