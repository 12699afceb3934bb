//! Reports the quotas of a database's callers, and the use of the quotas in the current minute.

use super::series::{Cell, series};
use super::{DatabaseFigures, shards};
use crate::model::quota::{Rate, Rates};
use crate::protocol::shard::Stats;
use crate::query::result::SeriesChunk;

pub(super) fn chunks(found: &DatabaseFigures) -> Vec<SeriesChunk> {
    let quotas = &found.loaded.description.quotas;
    let of_database = |key: &'static str, name: &str| {
        let own = [(key, name.to_owned())].into_iter().filter(|(key, _)| !key.is_empty());
        [("database", found.name.clone())].into_iter().chain(own).collect::<Vec<_>>()
    };
    let columns = ["limit", "allowed", "used"];
    let mut rows = rates(found, &quotas.rates, 0);
    if let Some(allowed) = quotas.stored_bytes {
        let used = fullest_group(found, |stats| stats.bytes_stored);
        rows.push(vec!["stored_bytes".into(), allowed.into(), used.into()]);
    }
    if let Some(allowed) = quotas.series {
        let used = fullest_group(found, |stats| stats.series);
        rows.push(vec!["series".into(), allowed.into(), used.into()]);
    }
    let mut chunks = Vec::new();
    if !rows.is_empty() {
        chunks.push(series("quota", &of_database("", ""), &columns, rows));
    }
    chunks.extend(quotas.callers.iter().map(|quota| {
        let tags = of_database(if quota.user { "user" } else { "token" }, &quota.name);
        series("quota", &tags, &columns, rates(found, &quota.rates, quota.id))
    }));
    chunks
}

/// `caller` 0 means all callers together.
fn rates(found: &DatabaseFigures, rates: &Rates, caller: u64) -> Vec<Vec<Cell>> {
    let row = |rate: Rate| {
        let allowed = rates.of(rate)?;
        let of_shard = |stats: &Stats| {
            let used = stats.used.iter().find(|used| used.caller == caller);
            used.map_or(0, |used| used.of(rate))
        };
        // Each shard counts the requests of its whole group.
        let used = average_of_group(found, of_shard);
        Some(vec![rate.name().into(), allowed.into(), used.into()])
    };
    Rate::ALL.into_iter().filter_map(row).collect()
}

/// Returns the highest sum over the shards of one group, because limits apply to each group.
fn fullest_group(found: &DatabaseFigures, of_shard: impl Fn(&Stats) -> u64) -> u64 {
    groups(found, of_shard).map(|(sum, _)| sum).max().unwrap_or(0)
}

fn average_of_group(found: &DatabaseFigures, of_shard: impl Fn(&Stats) -> u64) -> u64 {
    groups(found, of_shard).map(|(sum, shards)| sum.div_ceil(shards)).max().unwrap_or(0)
}

/// Returns the sum over each group's shards, and the number of these shards.
fn groups(
    found: &DatabaseFigures,
    of_shard: impl Fn(&Stats) -> u64,
) -> impl Iterator<Item = (u64, u64)> {
    let mut sums: Vec<(u64, u64, u64)> = Vec::new();
    for (shard, stats) in shards(&found.loaded).zip(&found.shards) {
        let value = stats.as_ref().map_or(0, &of_shard);
        match sums.last_mut().filter(|(group, ..)| *group == shard.group.id) {
            Some((_, sum, shards)) => (*sum, *shards) = (sum.saturating_add(value), *shards + 1),
            None => sums.push((shard.group.id, value, 1)),
        }
    }
    sums.into_iter().map(|(_, sum, shards)| (sum, shards))
}
