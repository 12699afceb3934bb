//! Stores the rows of frames as columns in memory. The memtable is a cache of the WAL and can be
//! dropped and replayed at any time.
//!
//! Each measurement has a table of its series, and its rows in the order of writing. Rows are
//! sorted when they are read or flushed. Field values are stored in slabs, one for each set of
//! columns. A row therefore takes no space for columns without a value, and the memtable is about
//! as large as its decoded frames.

pub mod cursor;
pub mod table;

use std::collections::BTreeMap;

use crate::batch::FrameTable;
use table::MeasurementTable;
use tidemark_model::ids::MeasurementId;

/// The rows of all frames after the flushed head.
#[derive(Clone, Debug)]
pub struct Memtable {
    hash_seed: u64,
    tables: BTreeMap<MeasurementId, MeasurementTable>,
}

impl Memtable {
    /// Creates an empty memtable. `hash_seed` seeds the hash tables of tag values.
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

    /// Returns the measurement's rows, or `None` if it has no rows.
    pub fn table(&self, measurement: MeasurementId) -> Option<&MeasurementTable> {
        self.tables.get(&measurement)
    }

    /// Returns the measurements that have rows, in ascending order of their ids.
    pub fn tables(&self) -> impl Iterator<Item = (MeasurementId, &MeasurementTable)> {
        self.tables.iter().map(|(&id, table)| (id, table))
    }

    /// Returns the memory size, in bytes.
    pub fn bytes(&self) -> usize {
        self.tables.values().map(|table| 200 + table.bytes()).sum()
    }
}

#[cfg(test)]
mod tests;
