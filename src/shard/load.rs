//! What a shard knows after reading the manifest and the heads of its tables.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::answers::Answers;
use super::attempts::Attempts;
use super::columns::Columns;
use super::flush_size::FlushSize;
use super::manifest::{Manifest, PartId};
use super::pace::Pace;
use super::plan::Plan;
use super::request::{Counters, Refusal};
use super::series_count::SeriesCount;
use super::state::{self, State};
use super::table_rows::each_head;
use super::tombstone::Tombstone;
use super::touch::Touch;
use crate::batch::frame::FrameHeader;
use crate::model::ids::MeasurementId;
use crate::model::time::TimeRange;
use crate::store::row;
use crate::store::{RowCounts, Store, StoreError, Table};
use crate::wal::{self, Wal};

/// Keys of table `tombstone` from here on are of what was set aside as damaged: one row that says
/// what is damaged, then its raw rows.
pub(super) const ASIDE_KEY: u64 = 1 << 40;
/// Distance between the keys of two things set aside. A frame has at most 14 rows.
pub(super) const ASIDE_KEYS: u64 = 64;

/// Memory of a series in the memtable: its tags' codes, its places in two hash tables, a text. And
/// it takes as long to sort and to write as some ten values.
const SERIES_BYTES: u64 = 80;

/// Stored data that cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Damage {
    /// Which, in the words that queries and diagnostics use.
    pub block: String,
    /// Measurements and times that it may hold; `None` when that is not known.
    pub touches: Option<Vec<(MeasurementId, TimeRange)>>,
}

impl Damage {
    /// Whether an answer about these rows could be wrong without it.
    pub(super) fn concerns(&self, measurement: MeasurementId, time: &TimeRange) -> bool {
        self.touches.as_ref().is_none_or(|touches| {
            touches.iter().any(|(touched, range)| *touched == measurement && range.overlaps(time))
        })
    }
}

/// An open shard's metadata. After an error of the store it is dropped and read again: whether the
/// failed write happened is not known.
pub(super) struct Loaded {
    pub state: State,
    pub manifest: Manifest,
    /// Drawn for this life of the object: part ids and value numbers begin with it.
    pub salt: u32,
    /// `SHARD_FULL_BYTES`.
    pub full_bytes: u64,
    /// Measurements that were dropped: their frames are refused, their rows are none.
    pub retired: BTreeSet<MeasurementId>,
    pub wal: Wal,
    /// Series of the rows in the log; fewer where no memtable has counted them.
    pub log_series: u64,
    /// Rows in the log.
    pub log_rows: u64,
    /// See [`Loaded::series`].
    pub series: SeriesCount,
    pub columns: Columns,
    pub tombstones: BTreeMap<u64, Tombstone>,
    /// Set aside earlier, and rows of tombstones that are unreadable.
    pub damaged: Vec<Damage>,
    pub next_aside: u64,
    pub attempts: Attempts,
    /// Of the frames appended since the object was loaded.
    pub pace: Pace,
    /// The highest schema version that any frame carried.
    pub schema_version: u64,
    /// See [`Loaded::plan`].
    pub plan: RefCell<Option<Rc<Plan>>>,
    pub(super) answers: Answers,
    /// Whether the running job is in the stored manifest. One that fits an event never is.
    pub job_is_stored: bool,
    /// Parts in which a block was found damaged: left as they are.
    pub unmergeable: BTreeSet<PartId>,
    counts_before: RowCounts,
}

impl Loaded {
    /// Reads the manifest and the heads; `None` when the shard is not open. `salt` was drawn for
    /// this life of the object.
    pub(super) fn read<S: Store>(
        store: &S,
        salt: u32,
        full_bytes: u64,
    ) -> Result<Option<Self>, Refusal> {
        if !store.is_open()? {
            return Ok(None);
        }
        let counts_before = store.row_counts();
        let Some((state, manifest)) = State::read(store)? else { return Ok(None) };
        let mut loaded = Self {
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
            answers: Answers::default(),
            job_is_stored: true,
            unmergeable: BTreeSet::new(),
        };
        loaded.read_tombstones(store)?;
        loaded.attempts = Attempts::read(store)?;
        let taken = loaded.tombstones.values().map(|tombstone| tombstone.sequence).collect();
        loaded.wal = wal::replay::load(store, loaded.state.head, &taken)?;
        for (&sequence, frame) in loaded.wal.frames() {
            loaded.schema_version = loaded.schema_version.max(frame.schema_version);
            let touch = Touch::decode(&frame.touch);
            let (rows, beside) = touch.map_or((0, 0), |touch| (touch.rows, touch.beside_rows));
            loaded.log_rows = loaded.log_rows.saturating_add(rows);
            if sequence > loaded.state.counters.counted {
                // Written after the counters were last saved, by a life of the object that is over.
                let counters = &mut loaded.state.counters;
                counters.points += rows;
                counters.frames += 1;
                counters.rows_written += u64::from(frame.parts) + beside;
            }
        }
        Ok(Some(loaded))
    }

    fn read_tombstones<S: Store>(&mut self, store: &S) -> Result<(), StoreError> {
        each_head(store, Table::Tombstone, 0, |key, head| {
            if key >= ASIDE_KEY {
                self.next_aside = self.next_aside.max(key - key % ASIDE_KEYS + ASIDE_KEYS);
                if key % ASIDE_KEYS == 0 {
                    let unreadable = |why| Damage {
                        block: format!("row set aside as {key}: {why}"),
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
                Err(why) => self
                    .damaged
                    .push(Damage { block: format!("tombstone {key}: {why}"), touches: None }),
            }
        })
    }

    /// What the frames above the head touch; `None` if one of them may touch everything.
    pub(super) fn touched(&self) -> Option<Vec<(MeasurementId, TimeRange)>> {
        let of = |frame: &wal::Frame| Touch::decode(&frame.touch)?.tables;
        let tables: Option<Vec<_>> = self.wal.frames().values().map(of).collect();
        Some(tables?.into_iter().flatten().collect())
    }

    /// What a flush would have to do now.
    pub(super) fn flush_size(&self) -> FlushSize {
        let series_bytes = self.log_series.saturating_mul(SERIES_BYTES);
        FlushSize {
            bytes: self.wal.bytes(),
            decoded_bytes: self.wal.decoded_bytes().saturating_add(series_bytes),
        }
    }

    /// What cannot be read and may hold rows of `measurement` inside `time`.
    pub(super) fn damage(&self, measurement: MeasurementId, time: &TimeRange) -> Option<String> {
        let in_wal = self.wal.damaged().iter().map(wal_damage);
        let concerns = |damage: &Damage| damage.concerns(measurement, time);
        in_wal.chain(self.damaged.iter().cloned()).find(concerns).map(|damage| damage.block)
    }

    /// Every damage that is known, in words.
    pub(super) fn damaged_blocks(&self) -> Vec<String> {
        let in_wal = self.wal.damaged().iter().map(|damage| damage.block.clone());
        in_wal.chain(self.damaged.iter().map(|damage| damage.block.clone())).collect()
    }

    /// The counters as of now.
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

    /// Takes over a committed state and manifest, in which [`Loaded::counters`] were saved when the
    /// store had counted `counts`.
    pub(super) fn commit(&mut self, state: State, manifest: Manifest, counts: RowCounts) {
        self.state = state;
        self.job_is_stored = manifest.job().is_some();
        self.manifest = manifest;
        self.counts_before = counts;
        self.forget_plan();
    }
}

/// A damaged frame of the WAL in the shard's terms.
pub(super) fn wal_damage(damage: &wal::Damage) -> Damage {
    let bytes = damage.touch.as_deref();
    let touch = match damage.sequence {
        Some(_) => bytes.and_then(Touch::decode),
        // Of a row without a head there is only how its body begins.
        None => bytes.and_then(|frame| Some(Touch::of(&FrameHeader::read(frame).ok()?))),
    };
    let touches = touch.and_then(|touch| touch.tables);
    Damage { block: damage.block.clone(), touches }
}
