//! Keeps the tombstones and the dropped measurements.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::columns::Columns;
use super::damage::{ASIDE_KEY, DamagedRows};
use super::request::{Deletion, Refusal};
use super::state;
use super::table_rows::each_head;
use super::tombstone::{HiddenRows, Tombstone, condition, hidden_rows};
use crate::batch::FrameTable;
use crate::merge::condition::Condition;
use crate::merge::hide;
use crate::store::row;
use crate::store::{Store, Table};
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// The rows that are hidden until merges remove them.
pub(super) struct Deletions {
    tombstones: BTreeMap<u64, Tombstone>,
    retired: BTreeSet<MeasurementId>,
}

impl Deletions {
    /// Also reads the descriptions of damaged rows, which are in the same table.
    pub(super) fn read<S: Store>(store: &S, damaged: &mut DamagedRows) -> Result<Self, Refusal> {
        let retired = state::read_retired(store)?;
        let mut tombstones = BTreeMap::new();
        each_head(store, Table::Tombstone, 0, |key, head| {
            if key >= ASIDE_KEY {
                return damaged.add_row(key, &head);
            }
            match row::decode(&head) {
                Ok(tombstone) => drop(tombstones.insert(key, tombstone)),
                Err(reason) => damaged.add(format!("tombstone {key}: {reason}")),
            }
        })?;
        Ok(Self { tombstones, retired })
    }

    /// Returns the tombstones by key, in the order of their sequences.
    pub(super) fn tombstones(&self) -> &BTreeMap<u64, Tombstone> {
        &self.tombstones
    }

    /// Returns the highest sequence of a tombstone, or 0.
    pub(super) fn last_sequence(&self) -> u64 {
        self.tombstones.values().map(|tombstone| tombstone.sequence).max().unwrap_or_default()
    }

    pub(super) fn add(&mut self, key: u64, tombstone: Tombstone) {
        self.tombstones.insert(key, tombstone);
    }

    pub(super) fn remove(&mut self, key: u64) {
        self.tombstones.remove(&key);
    }

    /// The shard rejects frames of these measurements and hides their rows.
    pub(super) fn retired(&self) -> &BTreeSet<MeasurementId> {
        &self.retired
    }

    pub(super) fn retire(&mut self, retired: BTreeSet<MeasurementId>) {
        self.retired = retired;
    }

    /// Returns the rows of a frame that deletes hide, and the rows that a split has moved: those
    /// from `end_ns` on.
    pub(super) fn hidden_of_frame(
        &self,
        sequence: u64,
        table: &FrameTable,
        end_ns: i64,
    ) -> Result<Vec<HiddenRows>, Refusal> {
        let open = self.tombstones.values().filter(|tombstone| sequence < tombstone.before);
        let deletions = open.flat_map(|t| t.touching(table.measurement, TimeRange::ALL));
        hidden_rows(deletions, table, end_ns)
    }

    pub(super) fn hidden_of_merge<S: Store>(
        &self,
        store: &S,
        columns: &mut Columns,
    ) -> Result<Rc<hide::HiddenRows>, Refusal> {
        let mut tombstones = Vec::new();
        for Tombstone { sequence, before, deletions } in self.tombstones.values() {
            for Deletion { measurement, predicate, time } in deletions {
                let condition = match predicate {
                    None => Condition::Constant(true),
                    Some(predicate) => {
                        condition(predicate, columns.tag_order(store, *measurement)?)?
                    }
                };
                tombstones.push(hide::Tombstone {
                    sequence: *sequence,
                    before: *before,
                    measurement: *measurement,
                    time: *time,
                    condition,
                });
            }
        }
        Ok(Rc::new(hide::HiddenRows::new(tombstones, self.retired.clone())))
    }
}
