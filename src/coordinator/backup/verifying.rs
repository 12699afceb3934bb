//! Checks that every object of a backup is present and undamaged, without a restore.

use super::error::BackupError;
use super::place::{self, BackupId, Mark, ObjectBudget};
use crate::coordinator::error::{Error, Result};
use crate::coordinator::{Io, Task};
use crate::model::schema::MeasurementSchema;
use crate::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, ObjectError, ObjectKind, checksum, open_metadata,
    open_point, open_value,
};

/// The position at which the next request continues: 0 and the page of measurements; or a shard's
/// position plus 1 and the position of the value.
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

/// Checks a backup from `resume`, or from its start.
pub fn verify_backup(id: BackupId, resume: Option<VerifyPosition>) -> Task<VerifyProgress> {
    Task::new(|io| async move {
        let mut check = Check { io, id, progress: VerifyProgress::default() };
        if let Some((manifest, map)) = check.open().await? {
            check.progress.resume =
                check.objects(&manifest, &map, resume.unwrap_or((0, 0))).await?;
        }
        Ok(check.progress)
    })
}

struct Check {
    io: Io,
    id: BackupId,
    progress: VerifyProgress,
}

impl Check {
    async fn open(&mut self) -> Result<Option<(BackupManifest, BackedUpMap)>> {
        let object = place::get(&self.io, self.id.mark(Mark::Done)).await?;
        let object = object.ok_or_else(|| BackupError::Missing(self.id.to_string()))?;
        let manifest: BackupManifest = match open_metadata(ObjectKind::Manifest, &object) {
            Ok(manifest) => manifest,
            Err(reason) => {
                self.note(&BackupError::damaged(&self.id.mark(Mark::Done), reason).into());
                return Ok(None);
            }
        };
        let key = self.id.map();
        let Some(object) = place::get(&self.io, key.clone()).await? else {
            self.note(&BackupError::missing_object(&key).into());
            return Ok(None);
        };
        let map = open_metadata(ObjectKind::Map, &object);
        match map.ok().filter(|_| manifest.map == checksum(&object)) {
            Some(map) => Ok(Some((manifest, map))),
            None => {
                self.note(&BackupError::damaged(&key, "checksum mismatch").into());
                Ok(None)
            }
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
        let shards = manifest.indexes.iter().zip(&map.points).enumerate().skip(first_shard);
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
                self.point(&index).await?;
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

    /// Checks a shard's point, which contains the same list of values as the shard's index.
    async fn point(&mut self, index: &BackedUpValues) -> Result<()> {
        let key = self.id.point(&index.point);
        let read = |point: &[u8]| open_point(point).map(|(numbers, _)| numbers);
        let named = index.values.iter().map(|name| place::value_number(name));
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
        let Some(object) = place::get(&self.io, key.to_owned()).await? else {
            self.note(&BackupError::missing_object(key).into());
            return Ok(None);
        };
        self.progress.objects += 1;
        self.progress.bytes += object.len() as u64;
        let content = place::check_name(key, &object)
            .and_then(|()| Ok(read(&object).map_err(|reason| BackupError::damaged(key, reason))?));
        Ok(content.inspect_err(|error| self.progress.damaged.push(error.to_string())).ok())
    }

    fn note(&mut self, error: &Error) {
        self.progress.damaged.push(error.to_string());
    }
}
