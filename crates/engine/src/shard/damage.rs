//! Keeps damaged rows in table `tombstone`. From the key `DAMAGE_KEY_MIN` upwards, the table
//! contains a description of each damaged frame or row. The copies of the damaged rows follow each
//! description.

use serde::{Deserialize, Serialize};

use super::frame_summary::FrameSummary;
use crate::batch::frame::FrameHeader;
use crate::store::{Store, StoreResult, Table, row};
use crate::wal;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// The first key of a description in table `tombstone`.
pub(super) const DAMAGE_KEY_MIN: u64 = 1 << 40;
/// The distance between the keys of two descriptions. A frame has at most 14 rows.
const DAMAGE_KEY_STEP: u64 = 64;

/// A damaged frame or row, and the data that it may have contained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Damage {
    /// The name in query errors and diagnostics.
    pub block: String,
    /// `None` means that the measurements and times are unknown.
    ranges: Option<Vec<(MeasurementId, TimeRange)>>,
}

impl Damage {
    pub(super) fn of_log(damage: &wal::Damage) -> Self {
        let bytes = damage.evidence.as_deref();
        let summary = match damage.sequence {
            Some(_) => bytes.and_then(FrameSummary::decode),
            // Without a head, only the frame header at the start of the body may be readable.
            None => bytes.and_then(|frame| Some(FrameSummary::of(&FrameHeader::read(frame).ok()?))),
        };
        let ranges = summary.and_then(|summary| summary.tables);
        Self { block: damage.block.clone(), ranges }
    }

    pub(super) fn concerns(&self, measurement: MeasurementId, time: &TimeRange) -> bool {
        self.ranges.as_ref().is_none_or(|ranges| {
            ranges.iter().any(|(changed, range)| *changed == measurement && range.overlaps(time))
        })
    }
}

/// Whether a key of table `tombstone` belongs to a copy of a damaged row.
pub(super) fn is_copy(key: u64) -> bool {
    key >= DAMAGE_KEY_MIN && !key.is_multiple_of(DAMAGE_KEY_STEP)
}

/// The damage that table `tombstone` records. [`wal::Wal::damaged`] lists the damage in the current
/// log.
pub(super) struct DamagedRows {
    pub(super) known: Vec<Damage>,
    next_key: u64,
}

impl DamagedRows {
    pub(super) fn new() -> Self {
        Self { known: Vec::new(), next_key: DAMAGE_KEY_MIN }
    }

    /// Adds a row of table `tombstone` whose key is at least `DAMAGE_KEY_MIN`.
    pub(super) fn add_row(&mut self, key: u64, head: &[u8]) {
        self.next_key = self.next_key.max(key - key % DAMAGE_KEY_STEP + DAMAGE_KEY_STEP);
        if !is_copy(key) {
            match row::decode(head) {
                Ok(damage) => self.known.push(damage),
                Err(reason) => self
                    .add(format!("description of damage, row {key} of table tombstone: {reason}")),
            }
        }
    }

    /// Adds a damaged block that may have contained any rows.
    pub(super) fn add(&mut self, block: String) {
        self.known.push(Damage { block, ranges: None });
    }

    /// Copies the damaged rows of the log. The caller must call this function in the transaction of
    /// the flush, and then [`DamagedRows::on_copy`].
    pub(super) fn copy<S: Store>(&self, store: &S, damaged: &[wal::Damage]) -> StoreResult<()> {
        for (key, raw) in (self.next_key..).step_by(DAMAGE_KEY_STEP as usize).zip(damaged) {
            store.put(Table::Tombstone, key, &row::encode(&Damage::of_log(raw))?, b"")?;
            for (part, &log_key) in (1..DAMAGE_KEY_STEP).zip(&raw.keys) {
                let head = store.head(Table::Wal, log_key)?.unwrap_or_default();
                let body = store.body(Table::Wal, log_key)?.unwrap_or_default();
                store.put(Table::Tombstone, key + part, &head, &body)?;
            }
        }
        Ok(())
    }

    pub(super) fn on_copy(&mut self, damaged: &[wal::Damage]) {
        self.next_key += damaged.len() as u64 * DAMAGE_KEY_STEP;
        self.known.extend(damaged.iter().map(Damage::of_log));
    }
}
