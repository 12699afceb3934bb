//! The rows that say what a shard is: one state row, and the column types of each measurement.

use serde::{Deserialize, Serialize};

use super::fence::Fence;
use super::request::{Counters, Refusal};
use crate::batch::frame::TableHeader;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::sorted_map::SortedMap;
use crate::model::sorted_set::SortedSet;
use crate::model::value::FieldType;
use crate::protocol::shard::ShardSettings;
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// The key of the state row.
const STATE_KEY: u64 = 0;
/// The key of the row of retired measurements.
const RETIRED_KEY: u64 = 1;
/// Columns whose types are remembered from one frame to the next, about 50 bytes each.
const COLUMNS_REMEMBERED_MAX: usize = 50_000;

/// The state row. Written when the shard is opened or configured, and by every flush and
/// compaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Without `retired`, which is a row of its own.
    pub settings: ShardSettings,
    /// Refuses everything but being wiped.
    pub closed: bool,
    /// Of the last split that this shard was a source of.
    #[serde(default)]
    pub fence: Fence,
    /// Frames up to this write sequence are in segments.
    pub head: u64,
    /// The highest schema version that a flushed frame carried.
    pub schema_version: u64,
    /// Keys of table `segment` from here on are free.
    pub next_value: u64,
    /// Keys of table `directory` from here on are free.
    pub next_directory: u64,
    pub counters: Counters,
}

impl State {
    pub(super) fn new(settings: ShardSettings) -> Self {
        Self {
            settings: ShardSettings { retired: Vec::new(), ..settings },
            closed: false,
            fence: Fence::default(),
            head: 0,
            schema_version: 0,
            next_value: 0,
            next_directory: 0,
            counters: Counters::default(),
        }
    }

    pub(super) fn read<S: Store>(store: &S) -> Result<Option<Self>, Refusal> {
        match store.head(Table::State, STATE_KEY)? {
            None => Ok(None),
            Some(bytes) => row::decode(&bytes)
                .map(Some)
                .map_err(|why| Refusal::Damaged { block: format!("state row: {why}") }),
        }
    }

    pub(super) fn write<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        store.put(Table::State, STATE_KEY, &row::encode(self)?, b"")
    }
}

/// Measurements that were dropped. Up to ten thousand: what every flush writes is without them.
pub(super) fn read_retired<S: Store>(store: &S) -> Result<SortedSet<MeasurementId>, Refusal> {
    let Some(bytes) = store.head(Table::State, RETIRED_KEY)? else { return Ok(SortedSet::new()) };
    let damaged = |why| Refusal::Damaged { block: format!("retired measurements: {why}") };
    let retired: Vec<MeasurementId> = row::decode(&bytes).map_err(damaged)?;
    Ok(retired.into_iter().collect())
}

/// Takes the place of what was stored.
pub(super) fn write_retired<S: Store>(
    store: &S,
    retired: &SortedSet<MeasurementId>,
) -> Result<(), StoreError> {
    let retired: Vec<&MeasurementId> = retired.iter().collect();
    store.put(Table::State, RETIRED_KEY, &row::encode(&retired)?, b"")
}

/// Types of the columns that this shard has seen, per measurement. Never unlearned: ids are not
/// reused, so a frame that disagrees was made from a schema that was never valid here.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnTypes {
    known: SortedMap<MeasurementId, SortedMap<ColumnId, FieldType>>,
    /// Of all that is known.
    columns: usize,
    /// Measurements with types that are not stored yet.
    unwritten: SortedSet<MeasurementId>,
}

impl ColumnTypes {
    /// Checks a frame's columns against what is known. Says whether it has any that is new.
    pub(super) fn check<S: Store>(
        &mut self,
        store: &S,
        tables: &[TableHeader],
    ) -> Result<bool, Refusal> {
        let mut any_new = false;
        for table in tables {
            let types = self.of(store, table.measurement)?;
            for &(column, field_type) in &table.fields {
                match types.get(&column) {
                    None => any_new = true,
                    Some(&known) if known != field_type => return Err(conflict(table, column)),
                    Some(_) => {}
                }
            }
        }
        Ok(any_new)
    }

    /// Takes over the columns of a frame that was checked, to be stored with it. Answers how many
    /// rows those are.
    ///
    /// # Errors
    /// [`Refusal::TypeConflict`] when the frame contradicts itself: then part of it was taken over.
    pub(super) fn learn<S: Store>(
        &mut self,
        store: &S,
        tables: &[TableHeader],
    ) -> Result<u64, Refusal> {
        for table in tables {
            let types = self.of(store, table.measurement)?;
            let before = types.len();
            for &(column, field_type) in &table.fields {
                let known = types.insert(column, field_type);
                if known.is_some_and(|known| known != field_type) {
                    return Err(conflict(table, column));
                }
            }
            let new = types.len() - before;
            if new > 0 {
                self.columns += new;
                self.unwritten.insert(table.measurement);
            }
        }
        Ok(self.unwritten.len() as u64)
    }

    /// Writes what is new, a row for each measurement. Inside the frame's transaction.
    pub(super) fn write_new<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        for measurement in self.unwritten.iter() {
            let types: Vec<_> = self.known.get(measurement).into_iter().flatten().collect();
            store.put(Table::Schema, u64::from(measurement.0), &row::encode(&types)?, b"")?;
        }
        Ok(())
    }

    /// Whether a stored record can be read; why not.
    pub(super) fn check_row(head: &[u8]) -> Result<(), &'static str> {
        decode_types(head).map(|_| ())
    }

    /// After a frame, and what is new with it, was committed.
    pub(super) fn written(&mut self) {
        self.unwritten = SortedSet::new();
        if self.columns > COLUMNS_REMEMBERED_MAX {
            self.known = SortedMap::new();
            self.columns = 0;
        }
    }

    fn of<S: Store>(
        &mut self,
        store: &S,
        measurement: MeasurementId,
    ) -> Result<&mut SortedMap<ColumnId, FieldType>, Refusal> {
        let columns = &mut self.columns;
        self.known.entry(measurement).or_try_insert_with(|| {
            let Some(bytes) = store.head(Table::Schema, u64::from(measurement.0))? else {
                return Ok(SortedMap::new());
            };
            let types = decode_types(&bytes).map_err(|why| Refusal::Damaged {
                block: format!("columns of measurement {}: {why}", measurement.0),
            })?;
            *columns += types.len();
            Ok(types.into_iter().collect())
        })
    }
}

fn conflict(table: &TableHeader, column: ColumnId) -> Refusal {
    Refusal::TypeConflict { measurement: table.measurement, column }
}

fn decode_types(bytes: &[u8]) -> Result<Vec<(ColumnId, FieldType)>, &'static str> {
    row::decode(bytes)
}
