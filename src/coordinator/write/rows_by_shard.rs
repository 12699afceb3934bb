//! Groups the rows of a batch by shard.

use std::collections::BTreeMap;

use crate::batch::MeasurementBatch;
use crate::batch::selection::Selection;
use crate::batch::shard_rows::split_by_shard;
use crate::model::ids::ObjectId;
use crate::model::shard_map::Policy;

/// A shard with its rows of each measurement, in the order of the batch.
pub type Target = (ObjectId, Vec<Selection>);

/// Distributes the `pending` rows of each measurement among the policy's shards, in the order of
/// the shards. Returns `None` if a row belongs to no group, because the shard map is stale.
pub fn targets(
    policy: &Policy,
    batch: &[MeasurementBatch],
    pending: &[Selection],
) -> Option<Vec<Target>> {
    let mut targets: BTreeMap<(usize, usize), Vec<Selection>> = BTreeMap::new();
    for (position, (measurement, rows)) in batch.iter().zip(pending).enumerate() {
        let (keys, block) = (&measurement.tag_keys, &measurement.block);
        let split = split_by_shard(&measurement.name, keys, block, rows, &policy.groups);
        if !split.outside.is_empty() {
            return None;
        }
        for part in split.parts {
            let nothing = || vec![Selection::Rows(Vec::new()); batch.len()];
            let tables = targets.entry((part.group, part.shard)).or_insert_with(nothing);
            if let Some(slot) = tables.get_mut(position) {
                *slot = part.rows;
            }
        }
    }
    let target = |((group, shard), tables): ((usize, usize), _)| {
        Some((policy.groups.get(group)?.shards.get(shard)?.clone(), tables))
    };
    targets.into_iter().map(target).collect()
}

pub(super) fn selection(rows: Vec<u32>, total: usize) -> Selection {
    if rows.len() == total { Selection::All } else { Selection::Rows(rows) }
}
