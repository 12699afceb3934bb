//! Frames to columns in memory: a cache of the WAL that can be dropped and replayed at any time.
//!
//! Per measurement a table of series and the rows in the order of writing, sorted when read or
//! flushed. Field values lie in slabs, one per set of columns: no row is widened to the columns of
//! others, so that it holds about what its frames take once decoded.
//! Which frames are in it, and when it is dropped, is the shard's business.

pub mod cursor;
pub mod hash_index;
pub mod table;

use std::collections::BTreeMap;

use crate::batch::FrameTable;
use crate::model::ids::MeasurementId;
use table::MeasurementTable;

/// The rows of every frame above the flushed head.
#[derive(Clone, Debug)]
pub struct Memtable {
    hash_seed: u64,
    tables: BTreeMap<MeasurementId, MeasurementTable>,
}

impl Memtable {
    /// No rows. `hash_seed` seeds the tables over tag values.
    pub fn new(hash_seed: u64) -> Self {
        Self { hash_seed, tables: BTreeMap::new() }
    }

    /// Appends one measurement's rows.
    pub fn append(&mut self, table: &FrameTable) {
        if table.block.rows() > 0 {
            let seed = self.hash_seed;
            self.tables
                .entry(table.measurement)
                .or_insert_with(|| MeasurementTable::new(seed))
                .append(table);
        }
    }

    /// One measurement's rows, if there are any.
    pub fn table(&self, measurement: MeasurementId) -> Option<&MeasurementTable> {
        self.tables.get(&measurement)
    }

    /// Every measurement with rows, ascending by id.
    pub fn tables(&self) -> impl Iterator<Item = (MeasurementId, &MeasurementTable)> {
        self.tables.iter().map(|(&id, table)| (id, table))
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.tables.values().map(|table| 200 + table.bytes()).sum()
    }
}

#[cfg(test)]
mod tests;
