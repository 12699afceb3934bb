//! Defines the rows of table `state`: the shard's state with its manifest, and the dropped
//! measurements.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::fence::Fence;
use super::manifest::Manifest;
use super::quiet_slots::SlotWrites;
use super::request::{Counters, Refusal};
use crate::protocol::daily_usage::DailyUsage;
use crate::protocol::shard::ShardSettings;
use crate::store::row;
use crate::store::{Store, StoreResult, Table};
use tidemark_model::ids::MeasurementId;

pub(super) const STATE_KEY: u64 = 0;
pub(super) const RETIRED_KEY: u64 = 1;

/// Development builds wrote state rows without a body before parts existed.
const WITHOUT_MANIFEST: &str =
    "an earlier development build wrote this row: export the database with that build";

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
    /// Frames up to this write sequence are in parts.
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
        if body.is_empty() {
            return Err(damaged(WITHOUT_MANIFEST));
        }
        let manifest = Manifest::decode(&body)
            .map_err(|error| Refusal::Damaged { block: format!("manifest: {error}") })?;
        Ok(Some((state, manifest)))
    }

    pub(super) fn write<S: Store>(&self, store: &S, manifest: &Manifest) -> StoreResult<()> {
        store.put(Table::State, STATE_KEY, &row::encode(self)?, &manifest.encode())
    }
}

/// Every flush rewrites the state row. The list has a separate row, because it can have ten
/// thousand entries.
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
