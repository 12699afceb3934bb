//! Reads the metadata of a shard from the manifest and the heads of its tables.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::attempts::Attempts;
use super::columns::Columns;
use super::flush_size::FlushSize;
use super::frame_summary::FrameSummary;
use super::manifest::{Manifest, PartId};
use super::pace::Pace;
use super::plan::Plan;
use super::request::{Counters, Refusal};
use super::series_count::SeriesCount;
use super::state::{self, State};
use super::table_rows::each_head;
use super::tombstone::Tombstone;
use crate::batch::frame::FrameHeader;
use crate::store::row;
use crate::store::usage_meter::UsageMeter;
use crate::store::{RowCounts, Store, StoreResult, Table};
use crate::wal::{self, Wal};
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// From this key on, table `tombstone` contains one description of each damaged frame or row,
/// followed by the damaged rows.
pub(super) const ASIDE_KEY: u64 = 1 << 40;
/// The distance between the keys of two descriptions. A frame has at most 14 rows.
pub(super) const ASIDE_KEYS: u64 = 64;

/// The number of decoded bytes that a series of the log counts as: the memory of its tag codes,
/// entries in two hash tables, and a text. Ten values have the same size, and sorting and writing a
/// series takes about as long as ten values.
const SERIES_BYTES: u64 = 80;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Damage {
    /// The name in query errors and diagnostics.
    pub block: String,
    /// `None` means that the measurements and times are unknown.
    pub(crate) touches: Option<Vec<(MeasurementId, TimeRange)>>,
}

impl Damage {
    pub(super) fn concerns(&self, measurement: MeasurementId, time: &TimeRange) -> bool {
        self.touches.as_ref().is_none_or(|touches| {
            touches.iter().any(|(touched, range)| *touched == measurement && range.overlaps(time))
        })
    }
}

/// After an error of the store, the metadata is read again, because the failed write may have
/// succeeded.
pub(super) struct Loaded {
    pub state: State,
    /// The usage, including the events since the last save of the state.
    pub meter: UsageMeter,
    pub manifest: Manifest,
    /// The upper half of part ids and value numbers. A new number is drawn when the object loads.
    pub salt: u32,
    pub full_bytes: u64,
    /// The shard rejects frames of these measurements and hides their rows.
    pub retired: BTreeSet<MeasurementId>,
    pub wal: Wal,
    /// The number is too low until a memtable has counted the series.
    pub(crate) log_series: u64,
    pub(crate) log_rows: u64,
    pub series: SeriesCount,
    pub columns: Columns,
    pub tombstones: BTreeMap<u64, Tombstone>,
    /// Damaged rows that were copied to table `tombstone`, and unreadable tombstones.
    pub damaged: Vec<Damage>,
    pub(crate) next_aside: u64,
    pub attempts: Attempts,
    pub pace: Pace,
    pub schema_version: u64,
    pub plan: RefCell<Option<Rc<Plan>>>,
    /// Whether the stored manifest contains the running job. A job that fits into one event is not
    /// stored.
    pub(crate) job_is_stored: bool,
    /// Parts with a damaged block are excluded from merges.
    pub(crate) unmergeable: BTreeSet<PartId>,
    counts_before: RowCounts,
}

impl Loaded {
    /// Returns `None` if the shard is not open.
    pub(super) fn read<S: Store>(
        store: &S,
        salt: u32,
        full_bytes: u64,
        event_ns: i64,
    ) -> Result<Option<Self>, Refusal> {
        if !store.is_open()? {
            return Ok(None);
        }
        let counts_before = store.row_counts();
        let Some((state, manifest)) = State::read(store)? else { return Ok(None) };
        let mut meter = UsageMeter::continued(state.usage.clone(), counts_before);
        meter.begin_event(counts_before, event_ns);
        let mut loaded = Self {
            meter,
            schema_version: state.schema_version,
            state,
            manifest,
            salt,
            full_bytes,
            retired: state::read_retired(store)?,
            wal: Wal::default(),
            log_series: 0,
            log_rows: 0,
            series: SeriesCount::default(),
            columns: Columns::default(),
            tombstones: BTreeMap::new(),
            damaged: Vec::new(),
            next_aside: ASIDE_KEY,
            attempts: Attempts::default(),
            pace: Pace::default(),
            counts_before,
            plan: RefCell::default(),
            job_is_stored: true,
            unmergeable: BTreeSet::new(),
        };
        loaded.read_tombstones(store)?;
        loaded.attempts = Attempts::read(store)?;
        let taken = loaded.tombstones.values().map(|tombstone| tombstone.sequence).collect();
        loaded.wal = wal::replay::load(store, loaded.state.head, &taken)?;
        for (&sequence, frame) in loaded.wal.frames() {
            loaded.schema_version = loaded.schema_version.max(frame.schema_version);
            let touch = FrameSummary::decode(&frame.touch);
            let (rows, aux) = touch.map_or((0, 0), |touch| (touch.rows, touch.other_rows));
            loaded.log_rows = loaded.log_rows.saturating_add(rows);
            if sequence > loaded.state.counters.counted {
                // The object restarted after the frame was stored and before the counters were
                // saved.
                let counters = &mut loaded.state.counters;
                counters.points += rows;
                counters.frames += 1;
                counters.rows_written += u64::from(frame.parts) + aux;
                loaded.meter.add_earlier_request(u64::from(frame.parts) + aux);
            }
        }
        Ok(Some(loaded))
    }

    fn read_tombstones<S: Store>(&mut self, store: &S) -> StoreResult<()> {
        each_head(store, Table::Tombstone, 0, |key, head| {
            if key >= ASIDE_KEY {
                self.next_aside = self.next_aside.max(key - key % ASIDE_KEYS + ASIDE_KEYS);
                if key % ASIDE_KEYS == 0 {
                    let unreadable = |reason| Damage {
                        block: format!("row set aside as {key}: {reason}"),
                        touches: None,
                    };
                    self.damaged.push(row::decode(&head).unwrap_or_else(unreadable));
                }
                return;
            }
            match row::decode(&head) {
                Ok(tombstone) => {
                    self.tombstones.insert(key, tombstone);
                }
                Err(reason) => self
                    .damaged
                    .push(Damage { block: format!("tombstone {key}: {reason}"), touches: None }),
            }
        })
    }

    /// Returns `None` if a frame may affect everything.
    pub(super) fn touched(&self) -> Option<Vec<(MeasurementId, TimeRange)>> {
        let of = |frame: &wal::Frame| FrameSummary::decode(&frame.touch)?.tables;
        let tables: Option<Vec<_>> = self.wal.frames().values().map(of).collect();
        Some(tables?.into_iter().flatten().collect())
    }

    pub(super) fn flush_size(&self) -> FlushSize {
        let series_bytes = self.log_series.saturating_mul(SERIES_BYTES);
        FlushSize {
            bytes: self.wal.bytes(),
            decoded_bytes: self.wal.decoded_bytes().saturating_add(series_bytes),
        }
    }

    /// Returns the name of a damaged block that may contain rows of `measurement` within `time`.
    pub(super) fn damage(&self, measurement: MeasurementId, time: &TimeRange) -> Option<String> {
        let in_wal = self.wal.damaged().iter().map(wal_damage);
        let concerns = |damage: &Damage| damage.concerns(measurement, time);
        in_wal.chain(self.damaged.iter().cloned()).find(concerns).map(|damage| damage.block)
    }

    pub(super) fn damaged_blocks(&self) -> Vec<String> {
        let in_wal = self.wal.damaged().iter().map(|damage| damage.block.clone());
        in_wal.chain(self.damaged.iter().map(|damage| damage.block.clone())).collect()
    }

    pub(super) fn counters<S: Store>(&self, store: &S) -> Counters {
        let since = store.row_counts().since(self.counts_before);
        let saved = self.state.counters;
        Counters {
            rows_read: saved.rows_read + since.read,
            rows_written: saved.rows_written + since.written,
            counted: self.wal.next_sequence() - 1,
            ..saved
        }
    }

    /// The commit saved [`Loaded::counters`] with these row counts of the store.
    pub(super) fn commit(&mut self, state: State, manifest: Manifest, counts: RowCounts) {
        self.state = state;
        self.job_is_stored = manifest.job().is_some();
        self.manifest = manifest;
        self.counts_before = counts;
        self.forget_plan();
    }
}

pub(super) fn wal_damage(damage: &wal::Damage) -> Damage {
    let bytes = damage.touch.as_deref();
    let touch = match damage.sequence {
        Some(_) => bytes.and_then(FrameSummary::decode),
        // Without a head, only the frame header at the start of the body may be readable.
        None => bytes.and_then(|frame| Some(FrameSummary::of(&FrameHeader::read(frame).ok()?))),
    };
    let touches = touch.and_then(|touch| touch.tables);
    Damage { block: damage.block.clone(), touches }
}
