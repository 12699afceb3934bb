//! Keeps the frames that are not flushed: the WAL, its memtable, and counts of its rows and series.

use std::rc::Rc;

use super::budget::{Budget, Evictable};
use super::cache::Cache;
use super::columns::Columns;
use super::flush_size::{ENOUGH, FlushSize, table_bytes};
use super::frame_summary::FrameSummary;
use super::request::Refusal;
use super::series_quota::count_series;
use super::tombstone::{HiddenRows, without};
use crate::batch::FrameTable;
use crate::batch::frame::{self, FrameError, FrameHeader};
use crate::memtable::Memtable;
use crate::store::{Store, StoreResult};
use crate::wal::{Frame, NewFrame, Wal};
use tidemark_model::ids::MeasurementId;
use tidemark_model::series_sketch::SeriesSketch;
use tidemark_model::time::TimeRange;

/// The number of decoded bytes that a series of the log counts as: the memory of its tag codes,
/// entries in two hash tables, and a text. Ten values have the same size, and sorting and writing a
/// series takes about as long as ten values.
const SERIES_BYTES: u64 = 80;

/// A frame whose tables can be decoded.
pub(super) struct DecodedFrame<'a> {
    frame: &'a [u8],
    pub header: FrameHeader,
    decoded_bytes: u64,
    /// `None` for a frame that is large enough to cause a flush, because the flush reads the frame
    /// from the log.
    tables: Option<Vec<FrameTable>>,
    series: SeriesSketch,
}

impl<'a> DecodedFrame<'a> {
    /// Counts the frame's series if `seed` is the seed of the series' hashes.
    pub(super) fn decode(
        frame: &'a [u8],
        header: FrameHeader,
        seed: Option<u64>,
    ) -> Result<Self, FrameError> {
        let (mut decoded_bytes, mut tables) = (0, Some(Vec::new()));
        let mut series = SeriesSketch::default();
        frame::decode_each(frame, |table| {
            seed.iter().for_each(|&seed| count_series(&table, seed, &mut series));
            decoded_bytes += table_bytes(&table);
            match &mut tables {
                Some(tables) if decoded_bytes <= ENOUGH.decoded_bytes => tables.push(table),
                tables => *tables = None,
            }
        })?;
        Ok(Self { frame, header, decoded_bytes, tables, series })
    }

    pub(super) fn size(&self) -> FlushSize {
        FlushSize { bytes: self.frame.len() as u64, decoded_bytes: self.decoded_bytes }
    }
}

/// The memtable contains all frames of the WAL, or is absent.
pub(super) struct Log {
    wal: Wal,
    memtable: Rc<Cache>,
    budget: Rc<Budget>,
    /// The number is too low until a memtable has counted the series.
    series: u64,
    rows: u64,
    /// `None` until the sketch is requested or a write has a quota.
    sketch: Option<SeriesSketch>,
    schema_version: u64,
}

impl Log {
    pub(super) fn new(wal: Wal, budget: &Rc<Budget>, schema_version: u64) -> Self {
        let memtable = Rc::new(Cache::default());
        let holder: Rc<dyn Evictable> = Rc::<Cache>::clone(&memtable);
        budget.register(Rc::downgrade(&holder));
        let frames = wal.frames().values();
        let schema_version =
            frames.clone().map(|frame| frame.schema_version).fold(schema_version, u64::max);
        let rows = frames.filter_map(|frame| FrameSummary::decode(&frame.touch));
        let rows = rows.fold(0, |sum: u64, touch| sum.saturating_add(touch.rows));
        let budget = Rc::clone(budget);
        Self { wal, memtable, budget, series: 0, rows, sketch: None, schema_version }
    }

    pub(super) fn wal(&self) -> &Wal {
        &self.wal
    }

    /// Returns the highest schema version of a frame or of an earlier log.
    pub(super) fn schema_version(&self) -> u64 {
        self.schema_version
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn size(&self) -> FlushSize {
        let series_bytes = self.series.saturating_mul(SERIES_BYTES);
        FlushSize {
            bytes: self.wal.bytes(),
            decoded_bytes: self.wal.decoded_bytes().saturating_add(series_bytes),
        }
    }

    /// Returns the measurements and times of the frames, or `None` if a frame may affect everything.
    pub(super) fn touched(&self) -> Option<Vec<(MeasurementId, TimeRange)>> {
        let of = |frame: &Frame| FrameSummary::decode(&frame.touch)?.tables;
        let tables: Option<Vec<_>> = self.wal.frames().values().map(of).collect();
        Some(tables?.into_iter().flatten().collect())
    }

    pub(super) fn sketch(&self) -> Option<&SeriesSketch> {
        self.sketch.as_ref()
    }

    /// Later frames are added to the sketch.
    pub(super) fn set_sketch(&mut self, sketch: SeriesSketch) {
        self.sketch = Some(sketch);
    }

    /// Frees memory of other shards for `more` bytes of this shard.
    pub(super) fn make_room(&self, more: u64) {
        let user: Rc<dyn Evictable> = Rc::<Cache>::clone(&self.memtable);
        self.budget.make_room(&user, more as usize);
    }

    /// Writes a frame and the new columns in one transaction, and returns the frame's sequence.
    pub(super) fn append<S: Store>(
        &mut self,
        store: &S,
        frame: &DecodedFrame<'_>,
        columns: &Columns,
        schema_version: u64,
    ) -> StoreResult<u64> {
        if frame.tables.is_none() {
            self.memtable.evict();
        }
        self.make_room(frame.decoded_bytes);
        let other_rows = columns.new_rows();
        let write_columns = || columns.write_new(store);
        let beside: Option<&dyn Fn() -> StoreResult<()>> =
            if other_rows > 0 { Some(&write_columns) } else { None };
        let was_empty = self.wal.frames().is_empty();
        let sequence = self.wal.next_sequence();
        let new = NewFrame {
            sequence,
            frame: frame.frame,
            touch: &FrameSummary { other_rows, ..FrameSummary::of(&frame.header) }.encode(),
            decoded_bytes: frame.decoded_bytes,
            schema_version,
        };
        self.wal.append(store, &new, beside)?;
        self.rows = self.rows.saturating_add(frame.header.rows());
        self.sketch.iter_mut().for_each(|log| log.merge(&frame.series));
        self.schema_version = self.schema_version.max(schema_version);
        let memtable = match self.memtable.take() {
            None if was_empty => Some(self.new_memtable()),
            memtable => memtable,
        };
        if let Some((mut memtable, tables)) = memtable.zip(frame.tables.as_ref()) {
            tables.iter().for_each(|table| memtable.append(table));
            let tables = memtable.tables();
            self.series = tables.map(|(_, table)| u64::from(table.series().len)).sum();
            self.memtable.put(memtable);
            if self.budget.is_exceeded() {
                // The budget is exceeded after the eviction of all other memtables. The next read
                // loads this memtable again.
                self.memtable.evict();
            }
        }
        Ok(sequence)
    }

    /// Skips the next sequence, which a tombstone uses. The next use of the memtable replays the log
    /// without the hidden rows.
    pub(super) fn skip_sequence(&mut self) {
        self.wal.skip();
        self.memtable.evict();
    }

    /// Ends the log after its rows were written to parts.
    pub(super) fn release(&mut self) {
        self.wal.release(self.wal.next_sequence() - 1);
        (self.series, self.rows, self.sketch) = (0, 0, None);
        self.memtable.put(self.new_memtable());
    }

    /// Deletes the rows of flushed frames.
    pub(super) fn delete_dead<S: Store>(&mut self, store: &S) -> StoreResult<()> {
        self.wal.delete_dead(store)
    }

    /// Calls `each` with the sequence and the bytes of each undamaged frame.
    pub(super) fn each_frame<S: Store>(
        &mut self,
        store: &S,
        mut each: impl FnMut(&mut Wal, u64, &[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let sequences: Vec<u64> = self.wal.frames().keys().copied().collect();
        for sequence in sequences {
            if let Some(bytes) = self.wal.read(store, sequence)? {
                each(&mut self.wal, sequence, &bytes)?;
            }
        }
        Ok(())
    }

    pub(super) fn memtable(&self) -> &Cache {
        &self.memtable
    }

    fn new_memtable(&self) -> Memtable {
        Memtable::new(self.budget.hash_seed())
    }

    /// Returns the memtable, or replays the log without the rows that `hidden` returns. The caller
    /// puts the memtable back after its use.
    pub(super) fn take_memtable<S: Store>(
        &mut self,
        store: &S,
        hidden: impl Fn(u64, &FrameTable) -> Result<Vec<HiddenRows>, Refusal>,
    ) -> Result<Memtable, Refusal> {
        if let Some(memtable) = self.memtable.take() {
            return Ok(memtable);
        }
        let mut memtable = self.new_memtable();
        self.make_room(self.wal.decoded_bytes());
        self.each_frame(store, |wal, sequence, bytes| {
            let mut failure = None;
            let mut add = |table: FrameTable| match hidden(sequence, &table) {
                Ok(hidden) => memtable.append(&without(table, &hidden)),
                Err(error) => failure = Some(error),
            };
            let frames = wal.frames();
            let decoded_bytes = frames.get(&sequence).map_or(0, |frame| frame.decoded_bytes);
            // If any table of a frame is damaged, no row of the frame is added. For a large frame,
            // a first pass therefore decodes all tables without keeping them.
            let added = match decoded_bytes > ENOUGH.decoded_bytes {
                true => frame::decode_each(bytes, drop)
                    .and_then(|()| frame::decode_each(bytes, &mut add)),
                false => frame::decode(bytes).map(|tables| tables.into_iter().for_each(&mut add)),
            };
            if let Err(error) = added {
                wal.mark_damaged(sequence, &error.to_string());
            }
            failure.map_or(Ok(()), Err)
        })?;
        Ok(memtable)
    }
}
