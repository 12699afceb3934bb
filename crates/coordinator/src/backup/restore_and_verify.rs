//! Restores and verifies backups. A restore fills the shards in order, then restores the
//! measurements, and finally publishes the database. Other requests cannot use the database before
//! this publication.

use super::store::{self, BackupError, BackupId, Mark, ObjectBudget};
use crate::Io;
use crate::error::{Error, Result};
use tidemark_engine::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, FromShardBackup, ObjectError, ObjectKind,
    RestoreStep, RestoredRest, Restoring, ShardBackup, open_metadata, open_snapshot, open_value,
};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{CreateDatabase, FromDatabase, ToDatabase};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::quota::Quotas;
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::shard_map::Policy;

/// The progress of a restore after a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreProgress {
    /// The number of shards in the backup.
    pub shards: u64,
    /// The number of shards that have no values yet, plus 1 for the measurements and the
    /// publication; 0 at the end.
    pub remaining: u64,
    /// The number of values that this request has stored in shards.
    pub values: u64,
    /// The size, in bytes, of the values that this request has stored in shards.
    pub bytes: u64,
    /// Whether an earlier request has completed the restore. This request then changed nothing.
    pub already_restored: bool,
}

/// Restores `from`. Creates the database with the definition `create` if the database does not
/// exist.
pub async fn restore(io: &Io, from: BackupId, create: CreateDatabase) -> Result<RestoreProgress> {
    let manifest = store::get_manifest(io, &from).await?;
    let map = store::get_map(io, &from, &manifest).await?;
    let database = find_or_create(io, &create).await?;
    let (left, progress) = (ObjectBudget::default(), RestoreProgress::default());
    let filled = Vec::new();
    let mut restore = Restore { io, from, create, database, manifest, map, filled, left, progress };
    restore.run().await?;
    Ok(restore.progress)
}

async fn find_or_create(io: &Io, create: &CreateDatabase) -> Result<ObjectId> {
    let resolve = ToCatalog::Resolve { name: create.name.clone() };
    let mut is_created = false;
    loop {
        match io.call_catalog(&resolve).await? {
            FromCatalog::Resolved { object: Some(object) } => return Ok(object),
            FromCatalog::Resolved { object: None } if !is_created => {}
            _ => return Err(Error::unexpected_reply()),
        }
        let placed = create.clone();
        let placed = io.with(|context| placed.placed(context.platform))?;
        match io.call_catalog(&ToCatalog::Create(placed)).await? {
            FromCatalog::Created { .. } => is_created = true,
            _ => return Err(Error::unexpected_reply()),
        }
    }
}

struct Restore<'a> {
    io: &'a Io,
    from: BackupId,
    create: CreateDatabase,
    database: ObjectId,
    manifest: BackupManifest,
    map: BackedUpMap,
    /// The ids of the new policies, which the request fills.
    filled: Vec<PolicyId>,
    left: ObjectBudget,
    progress: RestoreProgress,
}

impl Restore<'_> {
    async fn run(&mut self) -> Result<()> {
        self.progress.shards = self.map.snapshots.len() as u64;
        let (backup, policies) = (self.from.to_string(), self.map.policies.clone());
        let Restoring::Filling { policies, pages } =
            self.call_database(RestoreStep::Begin { backup, policies }).await?
        else {
            self.progress.already_restored = true;
            return Ok(());
        };
        self.filled = policies.iter().map(|policy| policy.id).collect();
        let groups = policies.into_iter().flat_map(|policy| policy.groups);
        let shards: Vec<ObjectId> = groups.flat_map(|group| group.shards).collect();
        if shards.len() != self.map.snapshots.len() {
            let reason = "the number of shards differs from the number of checkpoints";
            return Err(BackupError::damaged(&self.from.key("map"), reason).into());
        }
        self.progress.remaining = self.progress.shards + 1;
        let filled = self.count_filled(&shards).await?;
        for (at, shard) in shards.iter().enumerate().skip(filled) {
            self.progress.remaining = (shards.len() - at) as u64 + 1;
            if !self.left.take() || !self.fill(at, shard).await? {
                return Ok(());
            }
        }
        self.progress.remaining = 1;
        self.restore_schema(pages).await
    }

    /// Returns the number of filled shards. Shards are filled in order, so that a binary search
    /// finds the first empty shard.
    async fn count_filled(&self, shards: &[ObjectId]) -> Result<usize> {
        let (mut filled, mut empty) = (0, shards.len());
        while filled < empty {
            let middle = filled + (empty - filled) / 2;
            let shard = shards.get(middle).ok_or_else(Error::unexpected_reply)?;
            match self.values_in(shard).await? {
                None => filled = middle + 1,
                Some(_) => empty = middle,
            }
        }
        Ok(filled)
    }

    async fn values_in(&self, shard: &ObjectId) -> Result<Option<u64>> {
        match self.call_shard(shard, ShardBackup::Progress).await? {
            FromShardBackup::Filled { is_installed, values } => {
                Ok((!is_installed).then_some(values))
            }
            _ => Err(Error::unexpected_reply()),
        }
    }

    /// Fills the shard at position `at`. Returns whether the request may continue.
    async fn fill(&mut self, at: usize, shard: &ObjectId) -> Result<bool> {
        let done = self.from.mark(Mark::Done);
        let lacks_shard = || BackupError::damaged(&done, "the manifest does not list every shard");
        let index_key = self.from.index(self.manifest.indexes.get(at).ok_or_else(lacks_shard)?);
        let index = store::get_index(self.io, &index_key).await?;
        let (source, _) = self.map.snapshots.get(at).ok_or_else(lacks_shard)?;
        let snapshot = store::get_sealed(self.io, &self.from.snapshot(&index.snapshot)).await?;
        let Some(stored) = self.values_in(shard).await? else { return Ok(true) };
        let stored = usize::try_from(stored).unwrap_or(usize::MAX);
        for (position, name) in index.values.iter().enumerate().skip(stored) {
            if !self.left.take() {
                return Ok(false);
            }
            let key = self.from.value(source, name);
            let value = store::get_sealed(self.io, &key).await?;
            open_value(&value).map_err(|reason| BackupError::damaged(&key, reason))?;
            self.progress.values += 1;
            self.progress.bytes += value.len() as u64;
            let position = position as u64;
            self.call_shard_for_restore(shard, ShardBackup::Put { position, value }).await?;
        }
        self.call_shard_for_restore(shard, ShardBackup::Install { snapshot }).await?;
        Ok(true)
    }

    async fn restore_schema(&mut self, mut page: u32) -> Result<()> {
        loop {
            if !self.left.take() {
                return Ok(());
            }
            let Some((policy, name)) = self.map.schema.get(page as usize) else { break };
            let key = self.from.page(name);
            let object = store::get_sealed(self.io, &key).await?;
            let measurements = store::open(ObjectKind::Schema, &key, &object)?;
            let (backup, policy) = (self.from.to_string(), *policy);
            let step = RestoreStep::Schema { backup, page, policy, measurements };
            match self.call_database(step).await? {
                // Another request has begun a new restore of this backup.
                Restoring::Filling { policies, .. }
                    if !policies.iter().map(|policy| policy.id).eq(self.filled.iter().copied()) =>
                {
                    return Err(Unavailable::Changing.into());
                }
                Restoring::Filling { pages, .. } => page = pages,
                _ => return self.complete(),
            }
        }
        let is_default = |policy: &Policy| Some(policy.id) == self.map.default_policy;
        let default_policy = self.map.policies.iter().position(is_default).map(|at| at as u32);
        // A continuous query contains the name of its database. After a restore under another name,
        // the query would use the original database.
        let is_same = self.create.name == self.from.database;
        let rest = RestoredRest {
            default_policy,
            dropped_default: self.map.dropped_default.clone(),
            continuous: if is_same { self.map.continuous.clone() } else { Vec::new() },
            // The ids of callers are valid only in the deployment that made the backup.
            quotas: Quotas { callers: Vec::new(), ..self.map.quotas.clone() },
        };
        let (backup, policies) = (self.from.to_string(), self.filled.clone());
        match self.call_database(RestoreStep::Finish { backup, rest, policies }).await? {
            Restoring::Filling { .. } => Err(Error::unexpected_reply()),
            _ => self.complete(),
        }
    }

    fn complete(&mut self) -> Result<()> {
        self.progress.remaining = 0;
        Ok(())
    }

    async fn call_database(&self, step: RestoreStep) -> Result<Restoring> {
        let message = ToDatabase::Restore(Box::new(step));
        match self.io.call_database(&self.database, &message).await? {
            FromDatabase::Restoring(restoring) => Ok(restoring),
            FromDatabase::NotOpen => Err(Error::DatabaseNotFound(self.create.name.clone())),
            reply => Err(reply.into()),
        }
    }

    async fn call_shard(&self, shard: &ObjectId, step: ShardBackup) -> Result<FromShardBackup> {
        match self.io.call_shard(shard, &ToShard::Backup(step)).await? {
            FromShard::Backup(reply) => Ok(reply),
            FromShard::Stale => Err(Unavailable::Changing.into()),
            reply => Err(reply.into()),
        }
    }

    async fn call_shard_for_restore(&self, shard: &ObjectId, step: ShardBackup) -> Result<()> {
        match self.call_shard(shard, step).await? {
            FromShardBackup::Done => Ok(()),
            _ => Err(Error::unexpected_reply()),
        }
    }
}

/// The position at which the next request continues. The first number is 0 for the measurements, or
/// a shard's position plus 1. The second number is the page of measurements, or the position of the
/// shard's value.
pub type VerifyPosition = (u64, u64);

/// The progress of a verification request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The number of objects that were read.
    pub objects: u64,
    /// The size of the objects that were read, in bytes.
    pub bytes: u64,
    /// The keys of the missing and damaged objects, each with the reason.
    pub damaged: Vec<String>,
    /// The position at which the next request continues; `None` at the end.
    pub resume: Option<VerifyPosition>,
}

/// Checks that every object of a backup is present and undamaged, without a restore. Starts at
/// `resume`, or at the start of the backup.
pub async fn verify_backup(
    io: &Io,
    id: &BackupId,
    resume: Option<VerifyPosition>,
) -> Result<VerifyProgress> {
    let mut check = Check { io, id, progress: VerifyProgress::default() };
    if let Some((manifest, map)) = check.open().await? {
        check.progress.resume = check.objects(&manifest, &map, resume.unwrap_or((0, 0))).await?;
    }
    Ok(check.progress)
}

struct Check<'a> {
    io: &'a Io,
    id: &'a BackupId,
    progress: VerifyProgress,
}

impl Check<'_> {
    async fn open(&mut self) -> Result<Option<(BackupManifest, BackedUpMap)>> {
        let opened = async {
            let manifest = store::get_manifest(self.io, self.id).await?;
            let map = store::get_map(self.io, self.id, &manifest).await?;
            Ok::<_, Error>((manifest, map))
        }
        .await;
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error @ Error::Backup(BackupError::Damaged { .. })) => {
                self.note(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Checks objects from `start`. Returns the position at which the next request continues.
    async fn objects(
        &mut self,
        manifest: &BackupManifest,
        map: &BackedUpMap,
        start: VerifyPosition,
    ) -> Result<Option<VerifyPosition>> {
        let mut left = ObjectBudget::default();
        let (mut section, first) = start;
        let mut at = usize::try_from(first).unwrap_or(usize::MAX);
        if section == 0 {
            while let Some(name) = map.schema.get(at).map(|(_, name)| name) {
                if !left.take() {
                    return Ok(Some((0, at as u64)));
                }
                let read =
                    |page: &[u8]| open_metadata::<Vec<MeasurementSchema>>(ObjectKind::Schema, page);
                self.check(&self.id.page(name), read).await?;
                at += 1;
            }
            (section, at) = (1, 0);
        }
        let first_shard = usize::try_from(section - 1).unwrap_or(usize::MAX);
        let shards = manifest.indexes.iter().zip(&map.snapshots).enumerate().skip(first_shard);
        for (position, (index, (shard, _))) in shards {
            let section = position as u64 + 1;
            if !left.take() {
                return Ok(Some((section, at as u64)));
            }
            let read = |index: &[u8]| open_metadata(ObjectKind::Index, index);
            let index: Option<BackedUpValues> = self.check(&self.id.index(index), read).await?;
            let Some(index) = index else {
                at = 0;
                continue;
            };
            if at == 0 {
                self.check_snapshot(&index).await?;
            }
            while let Some(name) = index.values.get(at) {
                if !left.take() {
                    return Ok(Some((section, at as u64)));
                }
                let read = |value: &[u8]| open_value(value).map(|_| ());
                self.check(&self.id.value(shard, name), read).await?;
                at += 1;
            }
            at = 0;
        }
        Ok(None)
    }

    /// Checks that a shard's snapshot is readable and lists the same values as the shard's index.
    async fn check_snapshot(&mut self, index: &BackedUpValues) -> Result<()> {
        let key = self.id.snapshot(&index.snapshot);
        let read = |snapshot: &[u8]| open_snapshot(snapshot).map(|(numbers, _)| numbers);
        let named = index.values.iter().map(|name| store::value_number(name));
        if let Some(numbers) = self.check(&key, read).await?
            && !named.eq(numbers.into_iter().map(Some))
        {
            self.note(&BackupError::damaged(&key, "its index lists other values").into());
        }
        Ok(())
    }

    async fn check<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&[u8]) -> Result<T, ObjectError>,
    ) -> Result<Option<T>> {
        let Some(object) = store::get(self.io, key.to_owned()).await? else {
            self.note(&BackupError::missing_object(key).into());
            return Ok(None);
        };
        self.progress.objects += 1;
        self.progress.bytes += object.len() as u64;
        let content = store::check_name(key, &object)
            .and_then(|()| Ok(read(&object).map_err(|reason| BackupError::damaged(key, reason))?));
        Ok(content.inspect_err(|error| self.progress.damaged.push(error.to_string())).ok())
    }

    fn note(&mut self, error: &Error) {
        self.progress.damaged.push(error.to_string());
    }
}
