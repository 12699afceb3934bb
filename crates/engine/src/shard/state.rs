//! The rows of table `state`: the settings and counters of a shard with its manifest, and the ids of
//! dropped measurements.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::refusal::Refusal;
use super::slots::SlotWrites;
use crate::protocol::daily_usage::DailyUsage;
use crate::protocol::shard::{Counters, ShardSettings};
use crate::store::{Store, StoreResult, Table, row};
use tidemark_model::ids::MeasurementId;

pub(super) const STATE_KEY: u64 = 0;
pub(super) const RETIRED_KEY: u64 = 1;

/// The head of the state row. Opening and configuring the shard and every change of the parts write
/// this row, whose body is the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// `retired` is empty here, because a separate row contains the list.
    pub settings: ShardSettings,
    /// A closed shard rejects every operation except a wipe.
    pub closed: bool,
    /// The fence of the last split from this shard.
    #[serde(default)]
    pub fence: Fence,
    /// The flushed head: frames up to this write sequence are in parts.
    pub head: u64,
    pub schema_version: u64,
    pub counters: Counters,
    #[serde(default)]
    pub(crate) slot_writes: SlotWrites,
    /// The checksum of the restored snapshot plus one, or 0 if the shard was not restored from a
    /// backup.
    #[serde(default)]
    pub restored: u64,
    /// The usage up to the last change of this row.
    #[serde(default)]
    pub usage: DailyUsage,
}

impl State {
    pub(super) fn new(settings: ShardSettings) -> Self {
        Self {
            settings: ShardSettings { retired: Vec::new(), ..settings },
            closed: false,
            fence: Fence::default(),
            head: 0,
            schema_version: 0,
            counters: Counters::default(),
            slot_writes: SlotWrites::default(),
            restored: 0,
            usage: DailyUsage::default(),
        }
    }

    pub(super) fn count_frame(&mut self, rows: u64) {
        self.counters.frames += 1;
        self.counters.points += rows;
    }

    pub(super) fn read<S: Store>(store: &S) -> Result<Option<(Self, Manifest)>, Refusal> {
        let Some((head, body)) = store.head_and_body(Table::State, STATE_KEY)? else {
            return Ok(None);
        };
        let damaged = |reason: &str| Refusal::Damaged { block: format!("state row: {reason}") };
        let state = row::decode(&head).map_err(damaged)?;
        let manifest = Manifest::decode(&body)
            .map_err(|error| Refusal::Damaged { block: format!("manifest: {error}") })?;
        Ok(Some((state, manifest)))
    }

    pub(super) fn write<S: Store>(&self, store: &S, manifest: &Manifest) -> StoreResult<()> {
        store.put(Table::State, STATE_KEY, &row::encode(self)?, &manifest.encode())
    }
}

/// Reads the ids of the dropped measurements. The list has a separate row, because every flush
/// writes the state row again, and the list can have `DROPPED_MEASUREMENTS_MAX` (100,000) entries.
pub(super) fn read_retired<S: Store>(store: &S) -> Result<BTreeSet<MeasurementId>, Refusal> {
    let Some(bytes) = store.head(Table::State, RETIRED_KEY)? else { return Ok(BTreeSet::new()) };
    let damaged = |reason| Refusal::Damaged { block: format!("retired measurements: {reason}") };
    let retired: Vec<MeasurementId> = row::decode(&bytes).map_err(damaged)?;
    Ok(retired.into_iter().collect())
}

pub(super) fn write_retired<S: Store>(
    store: &S,
    retired: &BTreeSet<MeasurementId>,
) -> StoreResult<()> {
    let retired: Vec<&MeasurementId> = retired.iter().collect();
    store.put(Table::State, RETIRED_KEY, &row::encode(&retired)?, b"")
}

/// The time from which a shard rejects writes and deletes while a split copies its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fence {
    pub split: u64,
    /// The first rejected time, or `None` after the fence was lifted.
    pub from_ns: Option<i64>,
}

impl Fence {
    pub(super) fn refuses(&self, time_ns: i64) -> bool {
        self.from_ns.is_some_and(|from_ns| time_ns >= from_ns)
    }
}

/// A changed state that is not stored yet.
pub(super) struct Draft {
    pub state: State,
    pub manifest: Manifest,
}
