//! Resolves a query's databases and policies by their names, and determines the shards with their
//! points.

use crate::coordinator::grants::Principal;
use crate::coordinator::load_schemas::{Load, Loaded, Want};
use crate::model::ids::ObjectId;
use crate::model::shard_map::Policy;
use crate::model::time::TimeRange;
use crate::protocol::shard::Stamp;
use crate::query::source::SourceName;

#[derive(Debug)]
pub(super) struct QuerySource {
    pub(super) database: String,
    pub(super) want: Want,
}

impl QuerySource {
    pub(super) fn load(&self, from_owner: bool, principal: &Principal) -> Load {
        let load = match from_owner {
            true => Load::from_owner(&self.database, self.want.clone()),
            false => Load::cached(&self.database, self.want.clone()),
        };
        load.for_caller(principal)
    }
}

pub(super) struct SelectedPolicy<'l> {
    /// The name, as spelled in the statement.
    pub(super) name: SourceName,
    pub(super) loaded: &'l Loaded,
    pub(super) policy: &'l Policy,
}

pub(super) fn selected_policies<'l>(
    sources: &[QuerySource],
    loaded: &'l [Loaded],
) -> Vec<SelectedPolicy<'l>> {
    let selected = |(source, loaded): (&QuerySource, &'l Loaded)| {
        let (Want::Policy(name), (policy, _)) = (&source.want, loaded.policy()?) else {
            return None;
        };
        let name = SourceName { database: source.database.clone(), policy: name.clone() };
        Some(SelectedPolicy { name, loaded, policy })
    };
    sources.iter().zip(loaded).filter_map(selected).collect()
}

/// Returns every shard of `policy` that may contain rows within `time`, with the stamp of the
/// loaded state.
pub(in crate::coordinator) fn shards_of(
    loaded: &Loaded,
    policy: &Policy,
    time: TimeRange,
) -> Vec<(ObjectId, Stamp)> {
    let schema = loaded.schemas.iter().find(|(id, _)| *id == policy.id);
    let stamp = Stamp {
        policy: policy.id,
        generation: loaded.description.generation,
        schema_version: schema.map_or(0, |(_, schema)| schema.version),
        fresh: loaded.fresh,
        access: loaded.standing.access,
        meter: None,
    };
    let groups = policy.groups.iter().filter(|group| group.range.overlaps(&time));
    let stamped = groups.flat_map(|group| {
        let stamp = Stamp { meter: loaded.meter(group.shards.len()), ..stamp };
        group.shards.iter().map(move |shard| (shard.clone(), stamp))
    });
    stamped.collect()
}

pub(super) fn counts(streams: &[Vec<(ObjectId, Stamp)>]) -> Vec<u32> {
    // A policy has far fewer than 2^32 shards.
    streams.iter().map(|shards| shards.len() as u32).collect()
}
