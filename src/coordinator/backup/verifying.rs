//! Checks that every object of a backup is there and is what it was, without restoring it.

use super::error::BackupError;
use super::place::{self, BackupId, Mark, ObjectsLeft};
use crate::coordinator::error::Error;
use crate::coordinator::{Context, RoundMachine, Turn};
use crate::model::schema::MeasurementSchema;
use crate::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, ObjectError, ObjectKind, checksum, open_metadata,
    open_point, open_value,
};
use crate::protocol::grants::Grantee;
use crate::protocol::round::{CallResult, Next, Replies, Round};

/// Where the next request goes on: 0 and a page of measurements, or one more than the position of
/// a shard and the position of its value.
pub type VerifyPosition = (u64, u64);

/// What a request has checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Objects read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Keys of those that are missing or damaged, and why.
    pub damaged: Vec<String>,
    /// Where to go on; `None` at the end.
    pub resume: Option<VerifyPosition>,
}

/// A check in progress.
#[derive(Debug)]
pub struct VerifyBackup {
    stage: Stage,
    id: BackupId,
    manifest: Option<BackupManifest>,
    map: BackedUpMap,
    index: Option<BackedUpValues>,
    position: VerifyPosition,
    objects_left: ObjectsLeft,
    progress: VerifyProgress,
    round: Round,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Manifest,
    Map,
    Page,
    Index,
    Point,
    Value,
}

impl VerifyBackup {
    /// Checks a backup from `resume` on.
    pub fn new(id: BackupId, resume: Option<VerifyPosition>) -> Self {
        Self {
            stage: Stage::Start,
            id,
            manifest: None,
            map: BackedUpMap::default(),
            index: None,
            position: resume.unwrap_or_default(),
            objects_left: ObjectsLeft::default(),
            progress: VerifyProgress::default(),
            round: Round::default(),
        }
    }

    fn get(&mut self, stage: Stage, key: String) -> Turn<VerifyProgress> {
        self.stage = stage;
        Ok(place::get(key))
    }

    /// Notes what is wrong with an object.
    fn note(&mut self, error: &Error) {
        self.progress.damaged.push(error.to_string());
    }

    /// Takes an object in: what `check` makes of it, or what is wrong with it is noted.
    fn check<T>(
        &mut self,
        reply: CallResult,
        key: &str,
        check: impl FnOnce(&[u8]) -> Result<T, ObjectError>,
    ) -> Result<Option<T>, Error> {
        let Some(object) = place::object(reply)? else {
            self.note(&BackupError::missing_object(key).into());
            return Ok(None);
        };
        self.progress.objects += 1;
        self.progress.bytes += object.len() as u64;
        let named = place::check_name(key, &object);
        match named
            .and_then(|()| check(&object).map_err(|why| BackupError::damaged(key, why).into()))
        {
            Ok(content) => Ok(Some(content)),
            Err(error) => {
                self.note(&error);
                Ok(None)
            }
        }
    }

    fn end(&mut self, resume: Option<VerifyPosition>) -> Turn<VerifyProgress> {
        self.progress.resume = resume;
        Ok(Next::Reply(std::mem::take(&mut self.progress)))
    }

    /// Asks for what stands at the position.
    fn ask(&mut self) -> Turn<VerifyProgress> {
        if self.position.0 == 0 {
            return match self.page_key() {
                Some(_) if !self.objects_left.take() => self.end(Some(self.position)),
                Some(key) => self.get(Stage::Page, key),
                None => {
                    self.position = (1, 0);
                    self.ask()
                }
            };
        }
        let Some(key) = self.index_key() else { return self.end(None) };
        if !self.objects_left.take() {
            return self.end(Some(self.position));
        }
        self.get(Stage::Index, key)
    }

    /// The page of measurements, or behind them that of tokens and users.
    fn page_key(&self) -> Option<String> {
        let at = usize::try_from(self.position.1).ok()?;
        match at.checked_sub(self.map.schema.len()) {
            None => self.map.schema.get(at).map(|(_, name)| self.id.page(name)),
            Some(at) => self.map.access.get(at).map(|name| self.id.access_page(name)),
        }
    }

    fn learn_page(&mut self, reply: CallResult) -> Turn<VerifyProgress> {
        let key = self.page_key().unwrap_or_default();
        if self.position.1 < self.map.schema.len() as u64 {
            let read =
                |object: &[u8]| open_metadata::<Vec<MeasurementSchema>>(ObjectKind::Schema, object);
            self.check(reply, &key, read)?;
        } else {
            let read = |object: &[u8]| open_metadata::<Vec<Grantee>>(ObjectKind::Access, object);
            self.check(reply, &key, read)?;
        }
        self.position.1 += 1;
        self.ask()
    }

    fn shard(&self) -> Option<usize> {
        usize::try_from(self.position.0.checked_sub(1)?).ok()
    }

    fn index_key(&self) -> Option<String> {
        let name = self.manifest.as_ref()?.indexes.get(self.shard()?)?;
        Some(self.id.index(name))
    }

    fn point_key(&self) -> Option<String> {
        Some(self.id.point(&self.index.as_ref()?.point))
    }

    fn value_key(&self) -> Option<String> {
        let name = self.index.as_ref()?.values.get(usize::try_from(self.position.1).ok()?)?;
        let (shard, _) = self.map.points.get(self.shard()?)?;
        Some(self.id.value(shard, name))
    }

    fn next_shard(&mut self) -> Turn<VerifyProgress> {
        self.position = (self.position.0 + 1, 0);
        self.ask()
    }

    fn next_value(&mut self) -> Turn<VerifyProgress> {
        let Some(key) = self.value_key() else { return self.next_shard() };
        if !self.objects_left.take() {
            return self.end(Some(self.position));
        }
        self.get(Stage::Value, key)
    }

    fn learn_index(&mut self, reply: CallResult) -> Turn<VerifyProgress> {
        let key = self.index_key().unwrap_or_default();
        self.index = self.check(reply, &key, |object| open_metadata(ObjectKind::Index, object))?;
        match self.point_key() {
            Some(key) if self.position.1 == 0 => self.get(Stage::Point, key),
            Some(_) => self.next_value(),
            None => self.next_shard(),
        }
    }

    fn learn_point(&mut self, reply: CallResult) -> Turn<VerifyProgress> {
        let key = self.point_key().unwrap_or_default();
        let numbers =
            self.check(reply, &key, |object| open_point(object).map(|(numbers, _)| numbers))?;
        let names = self.index.as_ref().map_or(&[][..], |index| &index.values);
        let named = names.iter().map(|name| place::value_number(name));
        if let Some(numbers) = numbers
            && !named.eq(numbers.into_iter().map(Some))
        {
            self.note(&BackupError::damaged(&key, "its index names other values").into());
        }
        self.next_value()
    }

    fn learn_start(&mut self, reply: CallResult) -> Turn<VerifyProgress> {
        let missing = || BackupError::Missing(self.id.to_string());
        if self.stage == Stage::Map {
            let key = self.id.map();
            let Some(object) = place::object(reply)? else {
                self.note(&BackupError::missing_object(&key).into());
                return self.end(None);
            };
            let of_manifest = self.manifest.as_ref().map(|manifest| manifest.map);
            let map = open_metadata(ObjectKind::Map, &object);
            return match map.ok().filter(|_| of_manifest == Some(checksum(&object))) {
                Some(map) => {
                    self.map = map;
                    self.ask()
                }
                None => {
                    self.note(&BackupError::damaged(&key, "checksum mismatch").into());
                    self.end(None)
                }
            };
        }
        let object = place::object(reply)?.ok_or_else(missing)?;
        match open_metadata(ObjectKind::Manifest, &object) {
            Ok(manifest) => {
                self.manifest = Some(manifest);
                self.get(Stage::Map, self.id.map())
            }
            Err(why) => {
                self.note(&BackupError::damaged(&self.id.mark(Mark::Done), why).into());
                self.end(None)
            }
        }
    }
}

impl RoundMachine for VerifyBackup {
    type Reply = VerifyProgress;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, _: &mut Context<'_>, mut replies: Replies) -> Turn<VerifyProgress> {
        let Some(reply) = replies.pop() else {
            return self.get(Stage::Manifest, self.id.mark(Mark::Done));
        };
        match self.stage {
            Stage::Start | Stage::Manifest | Stage::Map => self.learn_start(reply),
            Stage::Page => self.learn_page(reply),
            Stage::Index => self.learn_index(reply),
            Stage::Point => self.learn_point(reply),
            Stage::Value => {
                let key = self.value_key().unwrap_or_default();
                self.check(reply, &key, |object| open_value(object).map(|_| ()))?;
                self.position.1 += 1;
                self.next_value()
            }
        }
    }
}
