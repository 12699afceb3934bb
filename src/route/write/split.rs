//! Rows to the shards that keep them.

use crate::batch::MeasurementBatch;
use crate::batch::selection::Selection;
use crate::model::ids::ObjectId;
use crate::model::series::series_hash;
use crate::model::shard_map::{Policy, ShardGroup};

/// For each shard of a policy, which rows of each measurement of a batch it keeps.
#[derive(Debug)]
pub struct Split {
    /// The shard and, per measurement in the order of the batch, its rows.
    pub targets: Vec<(ObjectId, Vec<Selection>)>,
}

/// Splits the `pending` rows of each measurement over the policy's shards. Every valid time lies in
/// some group.
pub fn split(policy: &Policy, batch: &[MeasurementBatch], pending: &[Selection]) -> Split {
    let shards: Vec<&ObjectId> = policy.groups.iter().flat_map(|group| &group.shards).collect();
    if let [shard] = shards.as_slice() {
        return Split { targets: vec![((*shard).clone(), pending.to_vec())] };
    }
    let empty = |_: &MeasurementBatch| Selection::Rows(Vec::new());
    let mut targets: Vec<(ObjectId, Vec<Selection>)> = shards
        .into_iter()
        .map(|shard| (shard.clone(), batch.iter().map(empty).collect()))
        .collect();
    for (position, (measurement, rows)) in batch.iter().zip(pending).enumerate() {
        for (target, rows) in rows_of_targets(policy, measurement, rows).into_iter().enumerate() {
            let slot = targets.get_mut(target).and_then(|(_, tables)| tables.get_mut(position));
            if let Some(slot) = slot {
                *slot = Selection::Rows(rows);
            }
        }
    }
    Split { targets }
}

/// Rows per shard, shards counted through all groups.
fn rows_of_targets(policy: &Policy, batch: &MeasurementBatch, rows: &Selection) -> Vec<Vec<u32>> {
    let hashes = series_hashes(batch);
    let mut starts = Vec::with_capacity(policy.groups.len());
    let mut shards = 0;
    for group in &policy.groups {
        starts.push(shards);
        shards += group.shards.len();
    }
    let mut targets = vec![Vec::new(); shards];
    let group_of = |time_ns: i64| {
        let after = policy.groups.partition_point(|group| group.range.start_ns <= time_ns);
        after.checked_sub(1)
    };
    for row in rows.to_rows(batch.block.rows()) {
        let time_ns = batch.block.times_ns.get(row as usize).copied().unwrap_or_default();
        let series = batch.block.row_series.get(row as usize).copied().unwrap_or_default();
        let hash = hashes.get(series as usize).copied().unwrap_or_default();
        let Some(number) = group_of(time_ns) else { continue };
        let shard = policy.groups.get(number).map_or(0, |group: &ShardGroup| group.shard_of(hash));
        let target = starts.get(number).map_or(0, |start| start + shard);
        if let Some(rows) = targets.get_mut(target) {
            rows.push(row);
        }
    }
    targets
}

/// The routing hash of each series of the batch.
fn series_hashes(batch: &MeasurementBatch) -> Vec<u64> {
    let mut tags: Vec<_> = batch.tag_keys.iter().zip(&batch.block.series.tags).collect();
    tags.sort_by_key(|(key, _)| key.as_str());
    let hash = |series: u32| {
        let pairs = tags.iter().map(|(key, tag)| (key.as_str(), tag.get(series as usize)));
        series_hash(&batch.name, pairs.filter(|(_, value)| !value.is_empty()))
    };
    (0..batch.block.series.len).map(hash).collect()
}
