//! Deletes a backup, and those shared values that no other backup uses.
//!
//! A backup cannot be made while another backup of the same database is being deleted. Otherwise
//! the new backup could refer to a value that is about to be deleted. The request that makes a
//! backup and the request that deletes one each store a mark before they look for the other
//! request's mark.

use std::collections::BTreeSet;

use super::error::BackupError;
use super::place::{self, BackupId, Mark, ObjectBudget};
use crate::coordinator::error::Result;
use crate::coordinator::{Io, Task};
use crate::model::ids::ObjectId;
use crate::model::limits::BACKUP_DELETES_MAX;
use crate::protocol::backup::{BackedUpValues, ObjectKind, open_metadata};

/// The suffix of the mark that records that no backup of the database was being made.
const SURE: &str = ".sure";

/// Deletes a complete or incomplete backup. Returns the remaining number of shards, plus 1 for the
/// backup's own objects. The backup is deleted when the result is 0.
pub fn delete_backup(id: BackupId) -> Task<u64> {
    Task::new(|io| async move {
        mark_deleting(&io, &id).await?;
        let others = other_indexes(&io, &id).await?;
        let indexes = place::list(&io, id.indexes()).await?;
        let mut points = place::list(&io, id.points()).await?;
        let mut objects_left = ObjectBudget::default();
        while let Some(point) = points.first() {
            let shard = place::shard_of_point(point).ok_or_else(|| {
                BackupError::damaged(&id.points(), "the key does not contain the name of a shard")
            })?;
            let prefix = place::index_prefix(&shard);
            let of_shard = |key: &&String| named_in(key).starts_with(&prefix);
            let mut wanted = BTreeSet::new();
            for key in others.iter().filter_map(|keys| keys.iter().find(of_shard)) {
                let object = place::get_sealed(&io, key).await?;
                let index: Result<BackedUpValues, _> = open_metadata(ObjectKind::Index, &object);
                wanted.extend(index.map_err(|reason| BackupError::damaged(key, reason))?.values);
            }
            let mut values = place::list(&io, id.values(&shard)).await?;
            values.retain(|name| !wanted.contains(name));
            let values = values.iter().map(|name| id.value(&shard, name)).collect();
            let own_indexes = indexes.iter().filter(|name| name.starts_with(&prefix));
            let (own_points, rest): (Vec<String>, Vec<String>) =
                points.iter().cloned().partition(|name| is_of_shard(name, &shard));
            let own = own_indexes
                .map(|name| id.index(name))
                .chain(own_points.iter().map(|name| id.point(name)))
                .collect();
            // The backup's own objects are deleted last, because a later request needs these
            // objects to find the shard.
            if !delete_all(&io, &mut objects_left, [values, own]).await? {
                return Ok(remaining(&points));
            }
            points = rest;
        }
        let pages = place::list(&io, id.pages()).await?;
        let mut rest: Vec<String> = pages.iter().map(|name| id.page(name)).collect();
        rest.push(id.map());
        let mark = id.mark(Mark::Going);
        let marks = vec![format!("{mark}{SURE}"), mark];
        Ok(u64::from(!delete_all(&io, &mut objects_left, [rest, marks]).await?))
    })
}

/// Marks the backup as being deleted, and removes its other marks.
async fn mark_deleting(io: &Io, id: &BackupId) -> Result<()> {
    let list_marks = async |mark| place::list(io, place::marks(&id.database, mark)).await;
    let (own, going) = (id.name(), id.mark(Mark::Going));
    let marks = list_marks(Mark::Going).await?;
    if !marks.contains(&format!("{own}{SURE}")) {
        let mut is_known = marks.contains(&own);
        for mark in [Mark::Done, Mark::Begun] {
            is_known |= list_marks(mark).await?.contains(&own);
        }
        if !is_known {
            return Err(BackupError::Missing(id.to_string()).into());
        }
        place::put(io, going.clone(), Vec::new()).await?;
        if list_marks(Mark::Begun).await?.iter().any(|name| *name != own) {
            place::delete(io, vec![going]).await?;
            let reason = format!(
                "a backup of database \"{}\" is incomplete: complete or delete that backup first",
                id.database
            );
            return Err(BackupError::Conflict(reason).into());
        }
        place::put(io, format!("{going}{SURE}"), Vec::new()).await?;
    }
    place::delete(io, vec![id.mark(Mark::Done), id.mark(Mark::Begun)]).await
}

async fn other_indexes(io: &Io, id: &BackupId) -> Result<Vec<Vec<String>>> {
    let names = place::list(io, place::marks(&id.database, Mark::Done)).await?;
    let mut others = Vec::new();
    for name in names.iter().filter(|name| **name != id.name()) {
        let Some(other) = BackupId::named(&id.database, name) else { continue };
        let indexes = place::list(io, other.indexes()).await?;
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
        place::delete(io, keys.to_vec()).await?;
    }
    Ok(true)
}

fn remaining(points: &[String]) -> u64 {
    let shards: BTreeSet<ObjectId> =
        points.iter().filter_map(|name| place::shard_of_point(name)).collect();
    shards.len() as u64 + 1
}

fn is_of_shard(point: &str, shard: &ObjectId) -> bool {
    place::shard_of_point(point).as_ref() == Some(shard)
}

fn named_in(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}
