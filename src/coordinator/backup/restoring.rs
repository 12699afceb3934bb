//! Takes a backup in: fresh shards, which are filled one after the other while nobody is told of
//! them, then the measurements, then all of it becomes the database at once.

use super::error::BackupError;
use super::place::{self, BackupId, Mark, ObjectsLeft};
use crate::coordinator::error::Error;
use crate::coordinator::{Context, RoundMachine, Turn};
use crate::model::ids::ObjectId;
use crate::model::quota::Quotas;
use crate::model::schema::MeasurementSchema;
use crate::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, FromShardBackup, ObjectKind, RestoreStep,
    RestoredRest, Restoring, ShardBackup, open_metadata, open_value,
};
use crate::protocol::call::Address;
use crate::protocol::catalog::{CreateDatabase, FromCatalog, ToCatalog};
use crate::protocol::continuous::ContinuousQuery;
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::{CallResult, Next, Replies, Round};
use crate::protocol::shard::{FromShard, ToShard};

/// How far a restore is after a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreProgress {
    /// Shards of the backup.
    pub shards: u64,
    /// Shards that are not filled, and 1 for what comes after them; 0: it is done.
    pub remaining: u64,
    /// Values that this request has put into shards.
    pub values: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A request for a restore in progress.
#[derive(Debug)]
pub struct Restore {
    stage: Stage,
    from: BackupId,
    create: CreateDatabase,
    object: ObjectId,
    manifest: Option<BackupManifest>,
    map: BackedUpMap,
    /// Shards of the new policies, in the order of the map's points.
    shards: Vec<ObjectId>,
    /// Shards before the first are filled, those from the second on are not; between them nobody
    /// has asked.
    filled: (usize, usize),
    /// The shard that is filled: its position, its point and where its values are.
    shard: usize,
    point: Vec<u8>,
    index: Option<BackedUpValues>,
    /// The value that is next.
    at: usize,
    /// The page of measurements that is next.
    page: usize,
    objects_left: ObjectsLeft,
    progress: RestoreProgress,
    round: Round,
}

/// Whose reply is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Manifest,
    Map,
    Resolve,
    Create,
    Begin,
    Probe,
    Index,
    Point,
    Progress,
    Value,
    Put,
    Install,
    Page,
    Schema,
    Finish,
}

impl Restore {
    /// Restores `from` into a database, which is made as `create` says where there is none.
    pub fn new(from: BackupId, create: CreateDatabase) -> Self {
        Self {
            stage: Stage::Start,
            from,
            create,
            object: ObjectId(String::new()),
            manifest: None,
            map: BackedUpMap::default(),
            shards: Vec::new(),
            filled: (0, 0),
            shard: 0,
            point: Vec::new(),
            index: None,
            at: 0,
            page: 0,
            objects_left: ObjectsLeft::default(),
            progress: RestoreProgress::default(),
            round: Round::default(),
        }
    }

    fn get(&mut self, stage: Stage, key: String) -> Turn<RestoreProgress> {
        self.stage = stage;
        Ok(place::get(key))
    }

    fn ask_catalog(&mut self, stage: Stage, message: &ToCatalog) -> Turn<RestoreProgress> {
        self.stage = stage;
        Ok(Next::call(Address::Catalog, message))
    }

    fn ask_database(&mut self, stage: Stage, step: RestoreStep) -> Turn<RestoreProgress> {
        self.stage = stage;
        let message = ToDatabase::Restore(Box::new(step));
        Ok(Next::call(Address::Database(self.object.clone()), &message))
    }

    fn ask_shard(&mut self, stage: Stage, at: usize, step: ShardBackup) -> Turn<RestoreProgress> {
        self.stage = stage;
        let shard = self.shards.get(at).cloned().ok_or_else(Error::unexpected_reply)?;
        Ok(Next::call(Address::Shard(shard), &ToShard::Backup(step)))
    }

    fn pause(&mut self) -> Turn<RestoreProgress> {
        Ok(Next::Reply(self.progress))
    }

    fn damaged(&self, what: &str, why: impl std::fmt::Display) -> Error {
        BackupError::damaged(&self.from.key(what), why).into()
    }

    fn learn_manifest(&mut self, reply: CallResult) -> Turn<RestoreProgress> {
        self.manifest = Some(place::open_manifest(&self.from, reply)?);
        self.get(Stage::Map, self.from.map())
    }

    fn learn_map(&mut self, reply: CallResult) -> Turn<RestoreProgress> {
        self.map = place::open_map(&self.from, self.manifest.as_ref(), reply)?;
        let name = self.create.name.clone();
        self.ask_catalog(Stage::Resolve, &ToCatalog::Resolve { name })
    }

    fn learn_catalog(&mut self, context: &Context<'_>, reply: CallResult) -> Turn<RestoreProgress> {
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Resolved { object: Some(object) } => {
                self.object = object;
                let backup = self.from.to_string();
                let policies = self.map.policies.clone();
                self.ask_database(Stage::Begin, RestoreStep::Begin { backup, policies })
            }
            FromCatalog::Resolved { object: None } if self.stage == Stage::Resolve => {
                let create = self.create.clone().near(context.platform.location());
                self.ask_catalog(Stage::Create, &ToCatalog::Create(create))
            }
            FromCatalog::Created { .. } => {
                let name = self.create.name.clone();
                self.ask_catalog(Stage::Resolve, &ToCatalog::Resolve { name })
            }
            FromCatalog::Refused(refusal) => Err(Error::Catalog(refusal)),
            FromCatalog::Unavailable(why) => Err(why.into()),
            _ => Err(Error::unexpected_reply()),
        }
    }

    fn learn_database(&mut self, reply: CallResult) -> Turn<RestoreProgress> {
        let restoring = match envelope::decode_reply::<FromDatabase>(reply)? {
            FromDatabase::Restoring(restoring) => restoring,
            FromDatabase::Refused(refusal) => return Err(Error::Database(refusal)),
            FromDatabase::NotOpen => return Err(Error::DatabaseNotFound(self.create.name.clone())),
            FromDatabase::Unavailable(why) => return Err(why.into()),
            _ => return Err(Error::unexpected_reply()),
        };
        let Restoring::Filling { policies, pages } = restoring else {
            self.progress.shards = self.map.points.len() as u64;
            self.progress.remaining = 0;
            return self.pause();
        };
        if self.stage == Stage::Finish {
            return Err(Error::unexpected_reply());
        }
        self.page = pages as usize;
        if self.stage == Stage::Schema {
            return self.next_page();
        }
        let groups = policies.into_iter().flat_map(|policy| policy.groups);
        self.shards = groups.flat_map(|group| group.shards).collect();
        if self.shards.len() != self.map.points.len() {
            return Err(self.damaged("map", "it has other shards than points"));
        }
        self.filled = (0, self.shards.len());
        self.progress.shards = self.shards.len() as u64;
        self.progress.remaining = self.progress.shards + 1;
        self.probe()
    }

    /// Looks for the first shard that is not filled: they are filled in order.
    fn probe(&mut self) -> Turn<RestoreProgress> {
        let (filled, empty) = self.filled;
        if filled < empty {
            self.shard = filled + (empty - filled) / 2;
            return self.ask_shard(Stage::Probe, self.shard, ShardBackup::Progress);
        }
        self.next_shard(filled)
    }

    /// Fills a shard; behind the last one come the measurements.
    fn next_shard(&mut self, at: usize) -> Turn<RestoreProgress> {
        self.shard = at;
        self.progress.remaining = (self.shards.len() - at.min(self.shards.len())) as u64 + 1;
        if at >= self.shards.len() {
            return self.next_page();
        }
        if !self.objects_left.take() {
            return self.pause();
        }
        let name = self.manifest.as_ref().and_then(|manifest| manifest.indexes.get(at)).cloned();
        let key = self.from.mark(Mark::Done);
        let name = name.ok_or_else(|| BackupError::damaged(&key, "it lacks a shard"))?;
        self.get(Stage::Index, self.from.index(&name))
    }

    /// The object that was asked for, checked against its name.
    fn named_object(&self, reply: CallResult, key: &str) -> Result<Vec<u8>, Error> {
        let object = place::object(reply)?.ok_or_else(|| BackupError::missing_object(key))?;
        place::check_name(key, &object)?;
        Ok(object)
    }

    fn index_key(&self) -> String {
        let indexes = self.manifest.as_ref().map(|manifest| &manifest.indexes);
        let name = indexes.and_then(|indexes| indexes.get(self.shard)).cloned();
        self.from.index(&name.unwrap_or_default())
    }

    fn point_key(&self) -> String {
        let point = self.index.as_ref().map(|index| index.point.clone());
        self.from.point(&point.unwrap_or_default())
    }

    /// The key of the value that is next.
    fn value_key(&self) -> Option<String> {
        let name = self.index.as_ref()?.values.get(self.at)?;
        let (shard, _) = self.map.points.get(self.shard)?;
        Some(self.from.value(shard, name))
    }

    fn next_value(&mut self) -> Turn<RestoreProgress> {
        let Some(key) = self.value_key() else {
            let point = std::mem::take(&mut self.point);
            return self.ask_shard(Stage::Install, self.shard, ShardBackup::Install { point });
        };
        if !self.objects_left.take() {
            return self.pause();
        }
        self.get(Stage::Value, key)
    }

    fn learn_value(&mut self, reply: CallResult) -> Turn<RestoreProgress> {
        let key = self.value_key().unwrap_or_default();
        let value = self.named_object(reply, &key)?;
        open_value(&value).map_err(|why| BackupError::damaged(&key, why))?;
        self.progress.values += 1;
        self.progress.bytes += value.len() as u64;
        let position = self.at as u64;
        self.ask_shard(Stage::Put, self.shard, ShardBackup::Put { position, value })
    }

    fn learn_shard(&mut self, reply: CallResult) -> Turn<RestoreProgress> {
        let reply = match envelope::decode_reply::<FromShard>(reply)? {
            FromShard::Backup(reply) => reply,
            FromShard::Stale => return Err(crate::protocol::host::Unavailable::Changing.into()),
            FromShard::Refused(refusal) => return Err(Error::Shard(refusal.to_string())),
            FromShard::Unavailable(why) => return Err(why.into()),
            _ => return Err(Error::unexpected_reply()),
        };
        match (self.stage, reply) {
            (Stage::Probe, FromShardBackup::Filled { is_installed, .. }) => {
                match is_installed {
                    true => self.filled.0 = self.shard + 1,
                    false => self.filled.1 = self.shard,
                }
                self.probe()
            }
            (Stage::Progress, FromShardBackup::Filled { is_installed: true, .. }) => {
                self.next_shard(self.shard + 1)
            }
            (Stage::Progress, FromShardBackup::Filled { values, .. }) => {
                self.at = usize::try_from(values).unwrap_or(usize::MAX);
                self.next_value()
            }
            (Stage::Put, FromShardBackup::Done) => {
                self.at += 1;
                self.next_value()
            }
            (Stage::Install, FromShardBackup::Done) => self.next_shard(self.shard + 1),
            _ => Err(Error::unexpected_reply()),
        }
    }

    fn page_key(&self) -> Option<String> {
        let (_, name) = self.map.schema.get(self.page)?;
        Some(self.from.page(name))
    }

    /// Hands the next page of measurements over; behind the last one the database is finished.
    fn next_page(&mut self) -> Turn<RestoreProgress> {
        if !self.objects_left.take() {
            return self.pause();
        }
        if let Some(key) = self.page_key() {
            return self.get(Stage::Page, key);
        }
        let map = &self.map;
        let is_default =
            |policy: &crate::model::shard_map::Policy| Some(policy.id) == map.default_policy;
        // Positions of policies fit: a database has some hundreds.
        let default_policy = map.policies.iter().position(is_default).map(|at| at as u32);
        let rest = RestoredRest {
            default_policy,
            dropped_default: map.dropped_default.clone(),
            continuous: self.queries(),
            // Numbers of callers are of the deployment that the backup is of.
            quotas: Quotas { callers: Vec::new(), ..map.quotas.clone() },
        };
        let backup = self.from.to_string();
        self.ask_database(Stage::Finish, RestoreStep::Finish { backup, rest })
    }

    /// The continuous queries, if the database has the name that their texts have: under another
    /// one they would go on with the database that they were made for.
    fn queries(&self) -> Vec<ContinuousQuery> {
        let is_same = self.create.name == self.from.database;
        if is_same { self.map.continuous.clone() } else { Vec::new() }
    }

    fn learn_page(&mut self, reply: CallResult) -> Turn<RestoreProgress> {
        let key = self.page_key().unwrap_or_default();
        let object = self.named_object(reply, &key)?;
        let measurements: Result<Vec<MeasurementSchema>, _> =
            open_metadata(ObjectKind::Schema, &object);
        let measurements = measurements.map_err(|why| BackupError::damaged(&key, why))?;
        let policy = self.map.schema.get(self.page).map_or(0, |(policy, _)| *policy);
        let (backup, page) = (self.from.to_string(), u32::try_from(self.page).unwrap_or(u32::MAX));
        let step = RestoreStep::Schema { backup, page, policy, measurements };
        self.ask_database(Stage::Schema, step)
    }
}

impl RoundMachine for Restore {
    type Reply = RestoreProgress;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<RestoreProgress> {
        let Some(reply) = replies.pop() else {
            return self.get(Stage::Manifest, self.from.mark(Mark::Done));
        };
        match self.stage {
            Stage::Start | Stage::Manifest => self.learn_manifest(reply),
            Stage::Map => self.learn_map(reply),
            Stage::Resolve | Stage::Create => self.learn_catalog(context, reply),
            Stage::Begin | Stage::Schema | Stage::Finish => self.learn_database(reply),
            Stage::Index => {
                let key = self.index_key();
                let object = self.named_object(reply, &key)?;
                let index = open_metadata(ObjectKind::Index, &object);
                self.index = Some(index.map_err(|why| BackupError::damaged(&key, why))?);
                self.get(Stage::Point, self.point_key())
            }
            Stage::Point => {
                let key = self.point_key();
                self.point = self.named_object(reply, &key)?;
                self.ask_shard(Stage::Progress, self.shard, ShardBackup::Progress)
            }
            Stage::Value => self.learn_value(reply),
            Stage::Page => self.learn_page(reply),
            Stage::Probe | Stage::Progress | Stage::Put | Stage::Install => self.learn_shard(reply),
        }
    }
}
