//! Makes a backup: points of all shards, then the map over them, then the values that are not
//! there yet, and last of all the manifest, without which nothing is a backup.

mod access;
mod map;

use std::collections::BTreeMap;

use super::error::BackupError;
use super::place::{self, BackupId, Listing, Mark, ObjectsLeft};
use crate::coordinator::error::Error;
use crate::coordinator::load_schemas::{Load, Want};
use crate::coordinator::{Context, RoundMachine, Turn};
use crate::model::ids::ObjectId;
use crate::model::limits::{BACKUP_HOLD_NS, BACKUPS_PER_DATABASE_MAX};
use crate::model::time::{H_NS, TimeRange};
use crate::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, FromShardBackup, ObjectKind, ShardBackup,
    checksum, open_metadata, open_point, seal_metadata,
};
use crate::protocol::call::Address;
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::{CallResult, Next, Replies, Round};
use crate::protocol::shard::{FromShard, ToShard};

/// How far a backup is after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackUpProgress {
    /// Which.
    pub id: BackupId,
    /// Shards of the database.
    pub shards: u64,
    /// Shards that are not wholly copied; 0: the backup is whole.
    pub remaining: u64,
    /// Objects that this request has put.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A request for a backup in progress.
#[derive(Debug)]
pub struct BackUp {
    stage: Stage,
    load: Load,
    object: ObjectId,
    id: BackupId,
    /// Whether this request has begun the backup.
    is_new: bool,
    /// Whether it has its mark still when the manifest is there.
    is_marked: bool,
    listing: Listing,
    /// Names of the points that there are, and of the pages of measurements.
    points: Vec<String>,
    pages: Vec<String>,
    /// Names of the pages of tokens and users that there are, and after which number the next one
    /// begins.
    access: (Vec<String>, u64),
    /// Shards whose points are to be taken, and for which times.
    missing: Vec<(ObjectId, TimeRange)>,
    /// The map, as far as it is known; and its checksum.
    map: BackedUpMap,
    map_crc: u32,
    /// Position of the policy whose measurements are asked for, and after which version.
    schema: (usize, u64),
    /// Names of indexes.
    indexes: Vec<String>,
    /// The shard that is copied: its position, its numbers, which of them is next, the names of the
    /// values that there are.
    shard: usize,
    numbers: Vec<u64>,
    at: usize,
    values: BTreeMap<u64, String>,
    objects_left: ObjectsLeft,
    progress: BackUpProgress,
    round: Round,
}

/// Whose reply is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Load,
    Begun,
    Done,
    Begin,
    Going,
    Unbegin,
    Map,
    Points,
    Pages,
    Describe,
    Hold,
    PutPoint(String),
    Continuous,
    Schema,
    PutSchema { name: String, last: u64 },
    AccessPages,
    Access,
    PutAccess { name: String, last: u64 },
    PutMap,
    Indexes,
    Point,
    Values,
    Read,
    PutValue(String),
    PutIndex(String),
    Release,
    PutManifest,
    CheckBegun,
    CheckGoing,
    CheckMap,
    Undo,
    End,
}

impl BackUp {
    /// Begins a backup of a database, or goes on with the one that is unfinished.
    pub fn new(database: &str) -> Self {
        let id = BackupId::begin(database, 0);
        let (shards, remaining, objects, bytes) = (0, 0, 0, 0);
        Self {
            stage: Stage::Load,
            load: Load::from_owner(database, Want::Nothing),
            object: ObjectId(String::new()),
            id: id.clone(),
            is_new: false,
            is_marked: false,
            listing: Listing::default(),
            points: Vec::new(),
            pages: Vec::new(),
            access: (Vec::new(), 0),
            missing: Vec::new(),
            map: BackedUpMap::default(),
            map_crc: 0,
            schema: (0, 0),
            indexes: Vec::new(),
            shard: 0,
            numbers: Vec::new(),
            at: 0,
            values: BTreeMap::new(),
            objects_left: ObjectsLeft::default(),
            progress: BackUpProgress { id, shards, remaining, objects, bytes },
            round: Round::default(),
        }
    }

    fn list(&mut self, stage: Stage, folder: String) -> Turn<BackUpProgress> {
        self.stage = stage;
        self.listing = Listing::of(folder);
        Ok(self.listing.ask())
    }

    fn get(&mut self, stage: Stage, key: String) -> Turn<BackUpProgress> {
        self.stage = stage;
        Ok(place::get(key))
    }

    fn put(&mut self, stage: Stage, key: String, object: Vec<u8>) -> Turn<BackUpProgress> {
        self.stage = stage;
        self.progress.objects += 1;
        self.progress.bytes += object.len() as u64;
        Ok(place::put(key, object))
    }

    fn ask_database(&mut self, stage: Stage, message: &ToDatabase) -> Turn<BackUpProgress> {
        self.stage = stage;
        Ok(Next::call(Address::Database(self.object.clone()), message))
    }

    fn ask_shard(
        &mut self,
        stage: Stage,
        shard: &ObjectId,
        step: ShardBackup,
    ) -> Turn<BackUpProgress> {
        self.stage = stage;
        Ok(Next::call(Address::Shard(shard.clone()), &ToShard::Backup(step)))
    }

    /// The request has done its share.
    fn pause(&mut self) -> Turn<BackUpProgress> {
        Ok(Next::Reply(self.progress.clone()))
    }

    /// The number under which shards hold for this backup.
    fn hold(&self) -> u64 {
        self.id.begun_s
    }

    fn learn_names(&mut self, context: &Context<'_>, names: Vec<String>) -> Turn<BackUpProgress> {
        let database = self.id.database.clone();
        match self.stage {
            Stage::Begun => match names.first().and_then(|name| BackupId::named(&database, name)) {
                Some(id) => {
                    self.id = id;
                    self.progress.id = self.id.clone();
                    self.list(Stage::Going, place::marks(&database, Mark::Going))
                }
                None => self.list(Stage::Done, place::marks(&database, Mark::Done)),
            },
            Stage::Done => {
                if names.len() >= BACKUPS_PER_DATABASE_MAX {
                    return Err(BackupError::TooMany { limit: BACKUPS_PER_DATABASE_MAX }.into());
                }
                let last = names.last().and_then(|name| BackupId::named(&database, name));
                self.id = BackupId::begin(&database, context.platform.now_ns());
                self.id.begun_s = self.id.begun_s.max(last.map_or(0, |last| last.begun_s + 1));
                (self.progress.id, self.is_new) = (self.id.clone(), true);
                self.put(Stage::Begin, self.id.mark(Mark::Begun), Vec::new())
            }
            Stage::Going if names.is_empty() => self.get(Stage::Map, self.id.map()),
            Stage::Going if self.is_new => {
                self.stage = Stage::Unbegin;
                Ok(place::delete(vec![self.id.mark(Mark::Begun)]))
            }
            Stage::Points => {
                self.points = names;
                self.list(Stage::Pages, self.id.pages())
            }
            Stage::Pages => {
                self.pages = names;
                self.list(Stage::AccessPages, self.id.access())
            }
            Stage::AccessPages => {
                self.access.0 = names;
                self.ask_database(Stage::Describe, &ToDatabase::Describe)
            }
            Stage::Indexes => {
                self.indexes = names;
                self.next_shard(context)
            }
            Stage::Values => {
                let number = |name: String| Some((place::value_number(&name)?, name));
                self.values = names.into_iter().filter_map(number).collect();
                self.next_value()
            }
            Stage::CheckBegun => {
                self.is_marked = names.contains(&self.id.name());
                self.list(Stage::CheckGoing, place::marks(&database, Mark::Going))
            }
            Stage::CheckGoing if names.iter().any(|name| name.starts_with(&self.id.name())) => {
                self.undo()
            }
            Stage::CheckGoing if self.is_marked => {
                self.stage = Stage::End;
                Ok(place::delete(vec![self.id.mark(Mark::Begun)]))
            }
            // Somebody else has finished it, or has deleted it: then its map is gone too.
            Stage::CheckGoing => self.get(Stage::CheckMap, self.id.map()),
            _ => Err(self.is_going()),
        }
    }

    /// Somebody deletes it while it is made: then it is no backup.
    fn undo(&mut self) -> Turn<BackUpProgress> {
        self.stage = Stage::Undo;
        Ok(place::delete(vec![self.id.mark(Mark::Done)]))
    }

    /// It is whole.
    fn end(&mut self) -> Turn<BackUpProgress> {
        self.progress.remaining = 0;
        Ok(Next::Reply(self.progress.clone()))
    }

    fn is_going(&self) -> Error {
        let why = format!(
            "a backup of database \"{}\" is being deleted: repeat its DELETE until nothing remains",
            self.id.database
        );
        BackupError::Conflict(why).into()
    }

    /// What a Database says that does not answer.
    fn refused(&self, reply: FromDatabase) -> Error {
        match reply {
            FromDatabase::NotOpen => Error::DatabaseNotFound(self.id.database.clone()),
            FromDatabase::Unavailable(why) => why.into(),
            _ => Error::unexpected_reply(),
        }
    }

    /// What a shard says that gives nothing.
    fn shard_refused(&self, shard: &ObjectId, reply: FromShard) -> Error {
        match reply {
            FromShard::Backup(FromShardBackup::Gone) | FromShard::Stale => {
                let (id, hours) = (self.id.to_string(), BACKUP_HOLD_NS / H_NS);
                let why = format!(
                    "shard {shard} was dropped, or its values were held for {hours} hours and that \
                     is over"
                );
                BackupError::Unfinishable { id, why }.into()
            }
            FromShard::Refused(refusal) => Error::Shard(refusal.to_string()),
            FromShard::Unavailable(why) => why.into(),
            _ => Error::unexpected_reply(),
        }
    }

    fn learn_map(&mut self, reply: CallResult) -> Turn<BackUpProgress> {
        let Some(object) = place::object(reply)? else {
            self.schema = (0, 0);
            return self.list(Stage::Points, self.id.points());
        };
        self.map_crc = checksum(&object);
        let map = open_metadata(ObjectKind::Map, &object);
        self.map = map.map_err(|why| BackupError::damaged(&self.id.map(), why))?;
        self.progress.shards = self.map.points.len() as u64;
        self.list(Stage::Indexes, self.id.indexes())
    }

    fn index_of(&self, shard: &ObjectId) -> Option<&String> {
        let prefix = place::index_prefix(shard);
        self.indexes.iter().find(|name| name.starts_with(&prefix))
    }

    /// Goes to the first shard that is not wholly copied, or to the end.
    fn next_shard(&mut self, context: &Context<'_>) -> Turn<BackUpProgress> {
        let mut left = self.map.points.iter().enumerate();
        let next = left.find(|(_, (shard, _))| self.index_of(shard).is_none());
        let is_left = |(shard, _): &&(ObjectId, String)| self.index_of(shard).is_none();
        self.progress.remaining = self.map.points.iter().filter(is_left).count() as u64;
        let Some((at, (_, name))) = next.map(|(at, point)| (at, point.clone())) else {
            let indexes = self.map.points.iter().filter_map(|(shard, _)| self.index_of(shard));
            let (map, indexes) = (self.map_crc, indexes.cloned().collect());
            let finished_ns = context.platform.now_ns();
            let manifest = BackupManifest { map, indexes, finished_ns };
            let object = seal_metadata(ObjectKind::Manifest, &manifest);
            let object = object.map_err(|why| BackupError::damaged("manifest", why))?;
            return self.put(Stage::PutManifest, self.id.mark(Mark::Done), object);
        };
        if !self.objects_left.take() {
            return self.pause();
        }
        self.shard = at;
        self.get(Stage::Point, self.id.point(&name))
    }

    fn shard(&self) -> ObjectId {
        let point = self.map.points.get(self.shard);
        point.map_or_else(|| ObjectId(String::new()), |(shard, _)| shard.clone())
    }

    fn point_name(&self) -> String {
        self.map.points.get(self.shard).map(|(_, name)| name.clone()).unwrap_or_default()
    }

    fn learn_numbers(&mut self, reply: CallResult) -> Turn<BackUpProgress> {
        let name = self.point_name();
        let object = place::object(reply)?.ok_or_else(|| BackupError::missing_object(&name))?;
        place::check_name(&name, &object)?;
        let (numbers, _) = open_point(&object).map_err(|why| BackupError::damaged(&name, why))?;
        (self.numbers, self.at) = (numbers, 0);
        self.list(Stage::Values, self.id.values(&self.shard()))
    }

    /// Copies the next value that is not there; with the last one the shard's index goes out.
    fn next_value(&mut self) -> Turn<BackUpProgress> {
        let missing = |number: &&u64| !self.values.contains_key(*number);
        let rest = self.numbers.get(self.at..).unwrap_or_default();
        let shard = self.shard();
        if let Some(&number) = rest.iter().find(missing) {
            self.at += rest.iter().position(|known| *known == number).unwrap_or_default();
            if !self.objects_left.take() {
                return self.pause();
            }
            return self.ask_shard(Stage::Read, &shard, ShardBackup::Read { number });
        }
        let names = self.numbers.iter().filter_map(|number| self.values.get(number));
        let values = names.cloned().collect();
        let index = BackedUpValues { point: self.point_name(), values };
        let object = seal_metadata(ObjectKind::Index, &index);
        let object = object.map_err(|why| BackupError::damaged("index", why))?;
        let name = place::sealed_name(&place::index_prefix(&shard), &object);
        let key = self.id.index(&name);
        self.put(Stage::PutIndex(name), key, object)
    }

    fn learn_value(&mut self, reply: CallResult) -> Turn<BackUpProgress> {
        let shard = self.shard();
        match envelope::decode_reply::<FromShard>(reply)? {
            FromShard::Backup(FromShardBackup::Value { value }) => {
                let number = self.numbers.get(self.at).copied().unwrap_or_default();
                let name = place::sealed_name(&place::value_prefix(number), &value);
                let key = self.id.value(&shard, &name);
                self.put(Stage::PutValue(name), key, value)
            }
            other => Err(self.shard_refused(&shard, other)),
        }
    }

    /// After something was put, or deleted.
    fn learn_done(&mut self, reply: CallResult) -> Turn<BackUpProgress> {
        place::done(reply)?;
        let database = self.id.database.clone();
        match std::mem::replace(&mut self.stage, Stage::End) {
            Stage::Begin => self.list(Stage::Going, place::marks(&database, Mark::Going)),
            Stage::PutPoint(name) => {
                self.points.push(name);
                self.next_hold()
            }
            Stage::PutSchema { name, last } => {
                self.take_page(name, last);
                self.next_page()
            }
            Stage::PutAccess { name, last } => {
                self.take_access(name, last);
                self.next_access()
            }
            Stage::PutMap => self.get(Stage::Map, self.id.map()),
            Stage::PutValue(name) => {
                if let Some(number) = place::value_number(&name) {
                    self.values.insert(number, name);
                }
                self.next_value()
            }
            Stage::PutIndex(name) => {
                self.indexes.push(name);
                let (backup, shard) = (self.hold(), self.shard());
                self.ask_shard(Stage::Release, &shard, ShardBackup::Release { backup })
            }
            Stage::PutManifest => {
                self.list(Stage::CheckBegun, place::marks(&database, Mark::Begun))
            }
            Stage::End => self.end(),
            _ => Err(self.is_going()),
        }
    }
}

impl RoundMachine for BackUp {
    type Reply = BackUpProgress;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<BackUpProgress> {
        if self.stage == Stage::Load {
            return match self.load.go_on(context, replies)? {
                Next::Calls(requests) => Ok(Next::Calls(requests)),
                Next::Reply(loaded) => {
                    self.object = loaded.object;
                    let folder = place::marks(&self.id.database, Mark::Begun);
                    self.list(Stage::Begun, folder)
                }
            };
        }
        let Some(reply) = replies.pop() else { return Err(Error::unexpected_reply()) };
        match &self.stage {
            Stage::Begun
            | Stage::Done
            | Stage::Going
            | Stage::Points
            | Stage::Pages
            | Stage::AccessPages
            | Stage::Indexes
            | Stage::Values
            | Stage::CheckBegun
            | Stage::CheckGoing => match self.listing.learn(reply)? {
                None => Ok(self.listing.ask()),
                Some(names) => self.learn_names(context, names),
            },
            Stage::Map => self.learn_map(reply),
            Stage::CheckMap => match place::object(reply)? {
                Some(_) => self.end(),
                None => self.undo(),
            },
            Stage::Describe => self.learn_description(reply),
            Stage::Hold => self.learn_point(reply),
            Stage::Continuous => match envelope::decode_reply::<FromDatabase>(reply)? {
                FromDatabase::BackedUp(queries) => {
                    (self.map.continuous, self.schema) = (queries, (0, 0));
                    self.next_page()
                }
                other => Err(self.refused(other)),
            },
            Stage::Schema => self.learn_page(reply),
            Stage::Access => self.learn_access(reply),
            Stage::Point => self.learn_numbers(reply),
            Stage::Read => self.learn_value(reply),
            // Whoever has lost its reply lets the hold run out.
            Stage::Release => self.next_shard(context),
            _ => self.learn_done(reply),
        }
    }
}
