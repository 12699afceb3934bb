//! Makes a backup in this order: the points of all shards, the map of these points, the values that
//! the backup store lacks, and finally the manifest. A backup without a manifest is incomplete.

use std::collections::BTreeMap;

use super::error::BackupError;
use super::place::{self, BackupId, Mark, ObjectBudget};
use crate::coordinator::error::{Error, Result};
use crate::coordinator::load_schemas::{Load, Want};
use crate::coordinator::{Io, Task};
use crate::model::ids::{ObjectId, PolicyId};
use crate::model::limits::{BACKUP_HOLD_NS, BACKUPS_PER_DATABASE_MAX};
use crate::model::shard_map::Policy;
use crate::model::time::{H_NS, TimeRange};
use crate::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, FromShardBackup, ObjectKind, ShardBackup,
    checksum, open_metadata, open_point,
};
use crate::protocol::call::Address;
use crate::protocol::database::{Description, FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::shard::{FromShard, ToShard};

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
pub fn back_up(database: &str) -> Task<BackupProgress> {
    let name = database.to_owned();
    Task::new(|io| async move {
        let database = Load::from_owner(&name, Want::Nothing).run(&io).await?.object;
        let id = begin(&io, &name).await?;
        let progress =
            BackupProgress { id: id.clone(), shards: 0, remaining: 0, objects: 0, bytes: 0 };
        let mut backup = BackupTask { io, id, database, left: ObjectBudget::default(), progress };
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
    })
}

/// Returns the unfinished backup of a database, or marks a new backup as begun.
async fn begin(io: &Io, database: &str) -> Result<BackupId> {
    let list_marks = async |mark| place::list(io, place::marks(database, mark)).await;
    let begun = list_marks(Mark::Begun).await?;
    if let Some(id) = begun.first().and_then(|name| BackupId::named(database, name)) {
        return match list_marks(Mark::Going).await?.is_empty() {
            true => Ok(id),
            false => Err(is_being_deleted(database)),
        };
    }
    let done = list_marks(Mark::Done).await?;
    if done.len() >= BACKUPS_PER_DATABASE_MAX {
        return Err(BackupError::TooMany { limit: BACKUPS_PER_DATABASE_MAX }.into());
    }
    let last = done.last().and_then(|name| BackupId::named(database, name));
    let mut id = BackupId::begin(database, io.with(|context| context.platform.now_ns())?);
    id.begun_s = id.begun_s.max(last.map_or(0, |last| last.begun_s + 1));
    place::put(io, id.mark(Mark::Begun), Vec::new()).await?;
    if !list_marks(Mark::Going).await?.is_empty() {
        place::delete(io, vec![id.mark(Mark::Begun)]).await?;
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

struct BackupTask {
    io: Io,
    id: BackupId,
    database: ObjectId,
    left: ObjectBudget,
    progress: BackupProgress,
}

struct Stored {
    points: Vec<String>,
    pages: Vec<String>,
}

// Each method returns `false` or `None` if the request has used up its share of objects.
impl BackupTask {
    async fn stored_map(&mut self) -> Result<Option<(BackedUpMap, u32)>> {
        let Some(object) = place::get(&self.io, self.id.map()).await? else { return Ok(None) };
        let map: Result<BackedUpMap, _> = open_metadata(ObjectKind::Map, &object);
        let map = map.map_err(|reason| BackupError::damaged(&self.id.map(), reason))?;
        self.progress.shards = map.points.len() as u64;
        Ok(Some((map, checksum(&object))))
    }

    async fn make_map(&mut self) -> Result<bool> {
        let mut stored = Stored {
            points: place::list(&self.io, self.id.points()).await?,
            pages: place::list(&self.io, self.id.pages()).await?,
        };
        // A policy may be dropped while the backup reads the schema. In this case the map is made
        // again.
        loop {
            let Some(mut map) = self.put_points(&mut stored).await? else { return Ok(false) };
            match self.call_database(&ToDatabase::BackUp).await? {
                FromDatabase::BackedUp(queries) => map.continuous = queries,
                other => return Err(self.refused(other)),
            }
            let policies: Vec<PolicyId> = map.policies.iter().map(|policy| policy.id).collect();
            let mut is_current = true;
            for (at, policy) in policies.into_iter().enumerate() {
                match self.put_schema(policy, &stored.pages).await? {
                    // A database has at most a few hundred policies.
                    Pages::Put(names) => {
                        map.schema.extend(names.into_iter().map(|name| (at as u32, name)));
                    }
                    Pages::Paused => return Ok(false),
                    Pages::UnknownPolicy => {
                        is_current = false;
                        break;
                    }
                }
            }
            if !is_current {
                continue;
            }
            let object = place::seal(ObjectKind::Map, &map, "map")?;
            self.put(self.id.map(), object).await?;
            return Ok(true);
        }
    }

    /// Stores the missing points. Returns the map without measurements.
    async fn put_points(&mut self, stored: &mut Stored) -> Result<Option<BackedUpMap>> {
        loop {
            let description = match self.call_database(&ToDatabase::Describe).await? {
                FromDatabase::Description(description) => description,
                other => return Err(self.refused(other)),
            };
            let groups = description.policies.iter().flat_map(|policy: &Policy| &policy.groups);
            let shards: Vec<(ObjectId, TimeRange)> = groups
                .flat_map(|group| group.shards.iter().map(|shard| (shard.clone(), group.range)))
                .collect();
            self.progress.shards = shards.len() as u64;
            self.progress.remaining = self.progress.shards;
            let (mut points, mut missing) = (Vec::new(), Vec::new());
            for (shard, range) in shards {
                let prefix = place::point_prefix(&shard, &range);
                match stored.points.iter().find(|name| name.starts_with(&prefix)) {
                    Some(name) => points.push((shard, name.clone())),
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
                    points,
                    ..BackedUpMap::default()
                }));
            }
            for shard in missing.iter().rev() {
                if !self.left.take() {
                    return Ok(None);
                }
                let hold = ShardBackup::Hold { backup: self.id.begun_s };
                match self.call_shard(shard, hold).await? {
                    FromShard::Backup(FromShardBackup::Held { range, point }) => {
                        let prefix = place::point_prefix(shard, &range);
                        let name = place::sealed_name(&prefix, &point);
                        self.put(self.id.point(&name), point).await?;
                        stored.points.push(name);
                    }
                    // The shard's group was dropped or split after the map was read.
                    FromShard::Stale => {}
                    other => return Err(self.shard_refused(shard, other)),
                }
            }
        }
    }

    async fn put_schema(&mut self, policy: PolicyId, stored: &[String]) -> Result<Pages> {
        let (mut names, mut after_version) = (Vec::new(), 0);
        loop {
            let prefix = format!("{policy}.{after_version:016x}.");
            if let Some((name, last)) = stored_page(stored, &prefix) {
                names.push(name);
                after_version = last;
                continue;
            }
            let message = ToDatabase::Schema { policy, after_version };
            let measurements = match self.call_database(&message).await? {
                FromDatabase::Schema { measurements, .. } => measurements,
                // The policy was dropped after the map was read.
                FromDatabase::UnknownPolicy => return Ok(Pages::UnknownPolicy),
                other => return Err(self.refused(other)),
            };
            let Some(last) = measurements.last().map(|measurement| measurement.version) else {
                return Ok(Pages::Put(names));
            };
            if !self.left.take() {
                return Ok(Pages::Paused);
            }
            let object = place::seal(ObjectKind::Schema, &measurements, "schema")?;
            let name = place::sealed_name(&format!("{prefix}{last:016x}-"), &object);
            self.put(self.id.page(&name), object).await?;
            names.push(name);
            after_version = last;
        }
    }

    /// Returns the names of the shards' indexes.
    async fn copy_shards(&mut self, map: &BackedUpMap) -> Result<Option<Vec<String>>> {
        let stored = place::list(&self.io, self.id.indexes()).await?;
        let index_of = |shard: &ObjectId| {
            let prefix = place::index_prefix(shard);
            stored.iter().find(|name| name.starts_with(&prefix)).cloned()
        };
        let mut indexes: Vec<Option<String>> =
            map.points.iter().map(|(shard, _)| index_of(shard)).collect();
        self.progress.remaining = indexes.iter().filter(|index| index.is_none()).count() as u64;
        for (index, (shard, point)) in indexes.iter_mut().zip(&map.points) {
            if index.is_some() {
                continue;
            }
            if !self.left.take() {
                return Ok(None);
            }
            let Some(name) = self.copy_shard(shard, point).await? else { return Ok(None) };
            *index = Some(name);
            self.progress.remaining -= 1;
        }
        Ok(Some(indexes.into_iter().flatten().collect()))
    }

    /// Copies the values that the backup store lacks, and then the shard's index. Returns the
    /// index's name.
    async fn copy_shard(&mut self, shard: &ObjectId, point: &str) -> Result<Option<String>> {
        let key = self.id.point(point);
        let object = place::get_sealed(&self.io, &key).await?;
        let (numbers, _) =
            open_point(&object).map_err(|reason| BackupError::damaged(&key, reason))?;
        let names = place::list(&self.io, self.id.values(shard)).await?;
        let numbered = |name: String| Some((place::value_number(&name)?, name));
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
            let value = match self.call_shard(shard, ShardBackup::Read { number }).await? {
                FromShard::Backup(FromShardBackup::Value { value }) => value,
                other => return Err(self.shard_refused(shard, other)),
            };
            let name = place::sealed_name(&place::value_prefix(number), &value);
            self.put(self.id.value(shard, &name), value).await?;
            values.push(name);
        }
        let index = BackedUpValues { point: point.to_owned(), values };
        let object = place::seal(ObjectKind::Index, &index, "index")?;
        let name = place::sealed_name(&place::index_prefix(shard), &object);
        self.put(self.id.index(&name), object).await?;
        // If the release fails, the shard releases the backup when its time limit expires.
        let release = ToShard::Backup(ShardBackup::Release { backup: self.id.begun_s });
        let _ = self.io.call(Address::Shard(shard.clone()), &release).await;
        Ok(Some(name))
    }

    /// Stores the manifest. If another request is deleting the backup, removes the manifest again.
    async fn finish(&mut self, map: u32, indexes: Vec<String>) -> Result<()> {
        let finished_ns = self.io.with(|context| context.platform.now_ns())?;
        let manifest = BackupManifest { map, indexes, finished_ns };
        let object = place::seal(ObjectKind::Manifest, &manifest, "manifest")?;
        self.put(self.id.mark(Mark::Done), object).await?;
        let (io, own, database) = (&self.io, self.id.name(), &self.id.database);
        let begun = place::list(io, place::marks(database, Mark::Begun)).await?;
        let going = place::list(io, place::marks(database, Mark::Going)).await?;
        let is_kept = if going.iter().any(|name| name.starts_with(&own)) {
            false
        } else if begun.contains(&own) {
            place::delete(io, vec![self.id.mark(Mark::Begun)]).await?;
            true
        } else {
            // Another request has finished the backup, or has deleted the backup and its map.
            place::get(io, self.id.map()).await?.is_some()
        };
        if !is_kept {
            place::delete(io, vec![self.id.mark(Mark::Done)]).await?;
            return Err(is_being_deleted(database));
        }
        Ok(())
    }

    async fn put(&mut self, key: String, object: Vec<u8>) -> Result<()> {
        self.progress.objects += 1;
        self.progress.bytes += object.len() as u64;
        place::put(&self.io, key, object).await
    }

    async fn call_database(&self, message: &ToDatabase) -> Result<FromDatabase> {
        let to = Address::Database(self.database.clone());
        Ok(envelope::decode_reply(self.io.call(to, message).await)?)
    }

    async fn call_shard(&self, shard: &ObjectId, step: ShardBackup) -> Result<FromShard> {
        let to = Address::Shard(shard.clone());
        Ok(envelope::decode_reply(self.io.call(to, &ToShard::Backup(step)).await)?)
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

enum Pages {
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
