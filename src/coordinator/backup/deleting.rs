//! Deletes a backup, and of the values that backups share those that no other one names.
//!
//! While one is deleted none is made, so that nobody finds a value there that is about to go: each
//! leaves its mark before it looks for the other's.

use std::collections::BTreeSet;

use super::error::BackupError;
use super::place::{self, BackupId, Listing, Mark, ObjectsLeft};
use crate::coordinator::error::Error;
use crate::coordinator::{Context, RoundMachine, Turn};
use crate::model::ids::ObjectId;
use crate::model::limits::BACKUP_DELETES_MAX;
use crate::protocol::backup::{BackedUpValues, ObjectKind, open_metadata};
use crate::protocol::round::{CallResult, Next, Replies, Round};

/// Behind the mark of a backup that nobody has a backup under way with.
const SURE: &str = ".sure";

/// A deletion in progress. Its reply is how much remains; 0: the backup is gone.
#[derive(Debug)]
pub struct DeleteBackup {
    stage: Stage,
    id: BackupId,
    /// It has a mark of some kind.
    is_known: bool,
    listing: Listing,
    /// The whole backups beside it, and the names of their indexes.
    others: Vec<(BackupId, Vec<String>)>,
    /// Names of its own points, and of its own indexes.
    points: Vec<String>,
    indexes: Vec<String>,
    /// Which of the others is asked for what it has of the shard.
    other: usize,
    /// Names of the shard's values that others have.
    wanted: BTreeSet<String>,
    /// Keys that are deleted next, and those that are deleted once these are gone, so that whoever
    /// goes on finds out what is left.
    keys: Vec<String>,
    behind: Vec<String>,
    objects_left: ObjectsLeft,
    round: Round,
}

/// Whose reply is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Going,
    Known,
    Unfinished,
    Mark,
    CheckBegun,
    Unmark,
    Sure,
    Marks,
    Others,
    OthersIndexes,
    Indexes,
    Points,
    Wanted,
    Values,
    Delete,
    Pages,
    Access,
    End,
}

impl DeleteBackup {
    /// Deletes a backup, whole or not.
    pub fn new(id: BackupId) -> Self {
        Self {
            stage: Stage::Start,
            id,
            is_known: false,
            listing: Listing::default(),
            others: Vec::new(),
            points: Vec::new(),
            indexes: Vec::new(),
            other: 0,
            wanted: BTreeSet::new(),
            keys: Vec::new(),
            behind: Vec::new(),
            objects_left: ObjectsLeft::default(),
            round: Round::default(),
        }
    }

    /// Which one it deletes.
    pub fn id(&self) -> &BackupId {
        &self.id
    }

    fn list(&mut self, stage: Stage, folder: String) -> Turn<u64> {
        self.stage = stage;
        self.listing = Listing::of(folder);
        Ok(self.listing.ask())
    }

    fn list_marks(&mut self, stage: Stage, mark: Mark) -> Turn<u64> {
        let folder = place::marks(&self.id.database, mark);
        self.list(stage, folder)
    }

    fn delete(&mut self, stage: Stage, keys: Vec<String>) -> Turn<u64> {
        self.stage = stage;
        Ok(place::delete(keys))
    }

    fn put_mark(&mut self, stage: Stage, behind: &str) -> Turn<u64> {
        self.stage = stage;
        Ok(place::put(format!("{}{behind}", self.id.mark(Mark::Going)), Vec::new()))
    }

    fn sure(&self) -> String {
        format!("{}{SURE}", self.id.name())
    }

    fn drop_marks(&mut self) -> Turn<u64> {
        let keys = vec![self.id.mark(Mark::Done), self.id.mark(Mark::Begun)];
        self.delete(Stage::Marks, keys)
    }

    /// What is left: shards, and what comes after them.
    fn remaining(&self) -> u64 {
        let shards: BTreeSet<ObjectId> =
            self.points.iter().filter_map(|name| place::shard_of_point(name)).collect();
        shards.len() as u64 + 1
    }

    fn learn_names(&mut self, names: Vec<String>) -> Turn<u64> {
        let own = self.id.name();
        match self.stage {
            Stage::Going if names.contains(&self.sure()) => self.drop_marks(),
            Stage::Going => {
                self.is_known = names.contains(&own);
                self.list_marks(Stage::Known, Mark::Done)
            }
            Stage::Known => {
                self.is_known |= names.contains(&own);
                self.list_marks(Stage::Unfinished, Mark::Begun)
            }
            Stage::Unfinished => {
                self.is_known |= names.contains(&own);
                match self.is_known {
                    true => self.put_mark(Stage::Mark, ""),
                    false => Err(BackupError::Missing(self.id.to_string()).into()),
                }
            }
            Stage::CheckBegun if names.iter().any(|name| *name != own) => {
                self.delete(Stage::Unmark, vec![self.id.mark(Mark::Going)])
            }
            Stage::CheckBegun => self.put_mark(Stage::Sure, SURE),
            Stage::Others => {
                let others = names.iter().filter(|name| **name != own);
                let others = others.filter_map(|name| BackupId::named(&self.id.database, name));
                self.others = others.map(|id| (id, Vec::new())).collect();
                self.other = 0;
                self.list_other()
            }
            Stage::OthersIndexes => {
                if let Some((_, indexes)) = self.others.get_mut(self.other) {
                    *indexes = names;
                }
                self.other += 1;
                self.list_other()
            }
            Stage::Indexes => {
                self.indexes = names;
                self.list(Stage::Points, self.id.points())
            }
            Stage::Points => {
                self.points = names;
                self.next_shard()
            }
            Stage::Values => {
                let folder = self.shard().map(|shard| self.id.values(&shard));
                let folder = folder.unwrap_or_default();
                let unwanted = names.iter().filter(|name| !self.wanted.contains(*name));
                self.keys = unwanted.map(|name| format!("{folder}/{name}")).collect();
                self.behind = self.own_keys();
                self.next_delete()
            }
            Stage::Pages => {
                self.keys = names.iter().map(|name| self.id.page(name)).collect();
                self.list(Stage::Access, self.id.access())
            }
            _ => {
                self.keys.extend(names.iter().map(|name| self.id.access_page(name)));
                self.keys.push(self.id.map());
                let mark = self.id.mark(Mark::Going);
                self.behind = vec![format!("{mark}{SURE}"), mark];
                self.next_delete()
            }
        }
    }

    fn list_other(&mut self) -> Turn<u64> {
        let folder = self.others.get(self.other).map(|(id, _)| id.indexes());
        match folder {
            Some(folder) => self.list(Stage::OthersIndexes, folder),
            None => self.list(Stage::Indexes, self.id.indexes()),
        }
    }

    /// The shard whose values are looked at.
    fn shard(&self) -> Option<ObjectId> {
        self.points.first().and_then(|name| place::shard_of_point(name))
    }

    /// Keys of what the backup itself has of the shard.
    fn own_keys(&self) -> Vec<String> {
        let Some(shard) = self.shard() else { return Vec::new() };
        let prefix = place::index_prefix(&shard);
        let indexes = self.indexes.iter().filter(|name| name.starts_with(&prefix));
        let indexes = indexes.map(|name| self.id.index(name));
        let is_its = |name: &&String| place::shard_of_point(name).as_ref() == Some(&shard);
        let points = self.points.iter().filter(is_its);
        indexes.chain(points.map(|name| self.id.point(name))).collect()
    }

    fn next_shard(&mut self) -> Turn<u64> {
        if self.points.is_empty() {
            return self.list(Stage::Pages, self.id.pages());
        }
        (self.other, self.wanted) = (0, BTreeSet::new());
        self.next_wanted()
    }

    /// The key of what the next other backup has of the shard.
    fn wanted_key(&self) -> Option<String> {
        let prefix = place::index_prefix(&self.shard()?);
        let (id, indexes) = self.others.get(self.other)?;
        let name = indexes.iter().find(|name| name.starts_with(&prefix))?;
        Some(id.index(name))
    }

    fn next_wanted(&mut self) -> Turn<u64> {
        while self.other < self.others.len() {
            if let Some(key) = self.wanted_key() {
                self.stage = Stage::Wanted;
                return Ok(place::get(key));
            }
            self.other += 1;
        }
        match self.shard() {
            Some(shard) => self.list(Stage::Values, self.id.values(&shard)),
            None => Err(BackupError::damaged(&self.id.points(), "a name of no shard").into()),
        }
    }

    fn learn_wanted(&mut self, reply: CallResult) -> Turn<u64> {
        let key = self.wanted_key().unwrap_or_default();
        let object = place::object(reply)?.ok_or_else(|| BackupError::missing_object(&key))?;
        place::check_name(&key, &object)?;
        let index: Result<BackedUpValues, _> = open_metadata(ObjectKind::Index, &object);
        let index = index.map_err(|why| BackupError::damaged(&key, why))?;
        index.values.into_iter().for_each(|name| {
            self.wanted.insert(name);
        });
        self.other += 1;
        self.next_wanted()
    }

    /// Deletes some keys, in their order; then goes to the next shard, or to the end.
    fn next_delete(&mut self) -> Turn<u64> {
        if self.keys.is_empty() {
            self.keys = std::mem::take(&mut self.behind);
        }
        if self.keys.is_empty() {
            let Some(shard) = self.shard() else {
                self.stage = Stage::End;
                return Ok(Next::Reply(0));
            };
            self.points.retain(|name| place::shard_of_point(name).as_ref() != Some(&shard));
            return self.next_shard();
        }
        if !self.objects_left.take() {
            return Ok(Next::Reply(self.remaining()));
        }
        let rest = self.keys.split_off(self.keys.len().min(BACKUP_DELETES_MAX));
        let now = std::mem::replace(&mut self.keys, rest);
        self.delete(Stage::Delete, now)
    }

    fn learn_done(&mut self, reply: CallResult) -> Turn<u64> {
        place::done(reply)?;
        match self.stage {
            Stage::Mark => self.list_marks(Stage::CheckBegun, Mark::Begun),
            Stage::Unmark => {
                let database = &self.id.database;
                let why = format!(
                    "a backup of database \"{database}\" is under way: finish it or delete it first"
                );
                Err(BackupError::Conflict(why).into())
            }
            Stage::Sure => self.drop_marks(),
            Stage::Marks => self.list_marks(Stage::Others, Mark::Done),
            Stage::Delete => self.next_delete(),
            _ => Err(Error::unexpected_reply()),
        }
    }
}

impl RoundMachine for DeleteBackup {
    type Reply = u64;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, _: &mut Context<'_>, mut replies: Replies) -> Turn<u64> {
        let Some(reply) = replies.pop() else {
            return self.list_marks(Stage::Going, Mark::Going);
        };
        match self.stage {
            Stage::Going
            | Stage::Known
            | Stage::Unfinished
            | Stage::CheckBegun
            | Stage::Others
            | Stage::OthersIndexes
            | Stage::Indexes
            | Stage::Points
            | Stage::Values
            | Stage::Pages
            | Stage::Access => match self.listing.learn(reply)? {
                None => Ok(self.listing.ask()),
                Some(names) => self.learn_names(names),
            },
            Stage::Wanted => self.learn_wanted(reply),
            _ => self.learn_done(reply),
        }
    }
}
