//! The rows that say what a shard is: one state row, and the column types of each measurement.

use serde::{Deserialize, Serialize};

use super::request::{Counters, Refusal};
use super::split::Fence;
use crate::batch::frame::TableHeader;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::sorted_map::SortedMap;
use crate::model::value::FieldType;
use crate::protocol::shard::ShardSettings;
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// The key of the state row.
const STATE_KEY: u64 = 0;
/// Columns whose types are remembered beyond those not yet stored, about 50 bytes each.
const COLUMNS_REMEMBERED_MAX: usize = 50_000;

/// The state row. Written when the shard is opened or configured, and by every flush and
/// compaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
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
            settings,
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

/// Types of the columns that this shard has seen, per measurement. Never unlearned: ids are not
/// reused, so a frame that disagrees was made from a schema that was never valid here.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnTypes {
    known: SortedMap<MeasurementId, Record>,
}

#[derive(Clone, Debug, Default)]
struct Record {
    types: SortedMap<ColumnId, FieldType>,
    /// Has types that are only in the WAL; the next flush stores them.
    is_new: bool,
}

impl ColumnTypes {
    /// Checks a frame's columns against what is known.
    pub(super) fn check<S: Store>(
        &mut self,
        store: &S,
        tables: &[TableHeader],
    ) -> Result<(), Refusal> {
        for table in tables {
            let record = self.record(store, table.measurement)?;
            for &(column, field_type) in &table.fields {
                if record.types.get(&column).is_some_and(|&known| known != field_type) {
                    return Err(Refusal::TypeConflict { measurement: table.measurement, column });
                }
            }
        }
        Ok(())
    }

    /// Takes over the columns of a frame that is in the WAL.
    pub(super) fn learn<S: Store>(
        &mut self,
        store: &S,
        tables: &[TableHeader],
    ) -> Result<(), Refusal> {
        for table in tables {
            let record = self.record(store, table.measurement)?;
            for &(column, field_type) in &table.fields {
                if record.types.insert(column, field_type).is_none() {
                    record.is_new = true;
                }
            }
        }
        Ok(())
    }

    /// Writes the records that have something new, each billed as a row.
    pub(super) fn write_new<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        for (measurement, record) in self.known.iter().filter(|(_, record)| record.is_new) {
            let types: Vec<_> = record.types.iter().collect();
            store.put(Table::Schema, u64::from(measurement.0), &row::encode(&types)?, b"")?;
        }
        Ok(())
    }

    /// Whether a stored record can be read; why not.
    pub(super) fn check_row(head: &[u8]) -> Result<(), &'static str> {
        decode_types(head).map(|_| ())
    }

    /// After [`ColumnTypes::write_new`] was committed.
    pub(super) fn written(&mut self) {
        let columns: usize = self.known.values().map(|record| record.types.len()).sum();
        if columns > COLUMNS_REMEMBERED_MAX {
            self.known.clear();
        }
        self.known.values_mut().for_each(|record| record.is_new = false);
    }

    fn record<S: Store>(
        &mut self,
        store: &S,
        measurement: MeasurementId,
    ) -> Result<&mut Record, Refusal> {
        self.known.entry(measurement).or_try_insert_with(|| {
            let types = match store.head(Table::Schema, u64::from(measurement.0))? {
                None => SortedMap::new(),
                Some(bytes) => decode_types(&bytes)
                    .map_err(|why| Refusal::Damaged {
                        block: format!("columns of measurement {}: {why}", measurement.0),
                    })?
                    .into_iter()
                    .collect(),
            };
            Ok(Record { types, is_new: false })
        })
    }
}

fn decode_types(bytes: &[u8]) -> Result<Vec<(ColumnId, FieldType)>, &'static str> {
    row::decode(bytes)
}
