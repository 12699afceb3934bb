//! The rows that say what a shard is: its state beside the manifest, and what was dropped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::fence::Fence;
use super::manifest::Manifest;
use super::request::{Counters, Refusal};
use super::slot_writes::SlotWrites;
use crate::model::ids::MeasurementId;
use crate::protocol::shard::ShardSettings;
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// The key of the state row.
pub(super) const STATE_KEY: u64 = 0;
/// The key of the row of retired measurements.
pub(super) const RETIRED_KEY: u64 = 1;

/// Of a state row without a body: shards had one before there were parts.
const WITHOUT_MANIFEST: &str =
    "it was written by an earlier development build: export it with that build";

/// The head of the state row, whose body is the manifest. Written when the shard is opened or
/// configured, and with every change of its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Without `retired`, which is a row of its own.
    pub settings: ShardSettings,
    /// Refuses everything but being wiped.
    pub closed: bool,
    /// Of the last split that this shard was a source of.
    #[serde(default)]
    pub fence: Fence,
    /// Frames up to this write sequence are in parts.
    pub head: u64,
    /// The highest schema version that a flushed frame carried.
    pub schema_version: u64,
    pub counters: Counters,
    #[serde(default)]
    pub slot_writes: SlotWrites,
    /// Of a shard that a backup has filled: one more than the checksum of its point; else 0.
    #[serde(default)]
    pub restored: u64,
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
        }
    }

    pub(super) fn read<S: Store>(store: &S) -> Result<Option<(Self, Manifest)>, Refusal> {
        let Some((head, body)) = store.head_and_body(Table::State, STATE_KEY)? else {
            return Ok(None);
        };
        let damaged = |why: &str| Refusal::Damaged { block: format!("state row: {why}") };
        let state = row::decode(&head).map_err(damaged)?;
        if body.is_empty() {
            return Err(damaged(WITHOUT_MANIFEST));
        }
        let manifest = Manifest::decode(&body)
            .map_err(|error| Refusal::Damaged { block: format!("manifest: {error}") })?;
        Ok(Some((state, manifest)))
    }

    pub(super) fn write<S: Store>(&self, store: &S, manifest: &Manifest) -> Result<(), StoreError> {
        store.put(Table::State, STATE_KEY, &row::encode(self)?, &manifest.encode())
    }
}

/// Measurements that were dropped. Up to ten thousand: what every flush writes is without them.
pub(super) fn read_retired<S: Store>(store: &S) -> Result<BTreeSet<MeasurementId>, Refusal> {
    let Some(bytes) = store.head(Table::State, RETIRED_KEY)? else { return Ok(BTreeSet::new()) };
    let damaged = |why| Refusal::Damaged { block: format!("retired measurements: {why}") };
    let retired: Vec<MeasurementId> = row::decode(&bytes).map_err(damaged)?;
    Ok(retired.into_iter().collect())
}

/// Takes the place of what was stored.
pub(super) fn write_retired<S: Store>(
    store: &S,
    retired: &BTreeSet<MeasurementId>,
) -> Result<(), StoreError> {
    let retired: Vec<&MeasurementId> = retired.iter().collect();
    store.put(Table::State, RETIRED_KEY, &row::encode(&retired)?, b"")
}
