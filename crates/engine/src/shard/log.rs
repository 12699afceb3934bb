//! Keeps the frames that are not flushed: the WAL, its memtable, and counts of its rows and series.
//! A query reads the log only if a frame's summary matches the query. The size of the log decides
//! when the shard flushes.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::budget::{Budget, MemtableCache};
use super::columns::Columns;
use super::frame_summary::FrameSummary;
use super::refusal::Refusal;
use super::tombstone::{HiddenSeries, without};
use crate::batch::FrameTable;
use crate::batch::column::Column;
use crate::batch::frame::{self, FrameError, FrameHeader};
use crate::batch::slabs::SLAB_COLUMN_BYTES;
use crate::memtable::Memtable;
use crate::store::{Store, StoreResult};
use crate::wal::{Frame, NewFrame, Wal};
use tidemark_model::ids::MeasurementId;
use tidemark_model::series_sketch::SeriesSketch;
use tidemark_model::time::TimeRange;

/// A frame whose tables can be decoded.
pub(super) struct DecodedFrame<'a> {
    frame: &'a [u8],
    pub header: FrameHeader,
    decoded_bytes: u64,
    /// `None` if the decoded tables exceed `FLUSH_WANTED.decoded_bytes`. The append then drops the
    /// memtable, so the next flush or read decodes the frame from the log.
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
        frame::decode_after(&header, frame, |table| {
            seed.iter().for_each(|&seed| count_series(&table, seed, &mut series));
            decoded_bytes += table_bytes(&table);
            match &mut tables {
                Some(tables) if decoded_bytes <= FLUSH_WANTED.decoded_bytes => tables.push(table),
                tables => *tables = None,
            }
        })?;
        Ok(Self { frame, header, decoded_bytes, tables, series })
    }

    pub(super) fn size(&self) -> FlushSize {
        FlushSize { bytes: self.frame.len() as u64, decoded_bytes: self.decoded_bytes }
    }
}

/// The frames that are not flushed.
pub(super) struct Log {
    /// The WAL. Only this file appends to the WAL. Other files read it and delete its unused rows.
    pub(super) wal: Wal,
    /// The rows of all frames of the WAL, unless the memtable was evicted.
    pub(super) memtable: Rc<MemtableCache>,
    budget: Rc<Budget>,
    /// The number of series in the log. The number is too low until a memtable has counted the
    /// series.
    series: u64,
    /// The largest number of columns in a frame for each measurement that was written since the
    /// object was loaded.
    columns_of: BTreeMap<MeasurementId, usize>,
    /// The bytes that these measurements and columns count as.
    tables_bytes: usize,
    pub(super) rows: u64,
    /// The sketch of the series in the log. `None` until the sketch is requested or a write has a
    /// series quota. After that, each appended frame is added to the sketch.
    pub(super) sketch: Option<SeriesSketch>,
    /// The highest schema version of a frame or of an earlier log.
    pub(super) schema_version: u64,
}

impl Log {
    pub(super) fn new(wal: Wal, budget: &Rc<Budget>, schema_version: u64) -> Self {
        let memtable = budget.new_memtable();
        let frames = wal.frames().values();
        let schema_version =
            frames.clone().map(|frame| frame.schema_version).fold(schema_version, u64::max);
        let rows = frames.filter_map(|frame| FrameSummary::decode(&frame.summary));
        let rows = rows.fold(0, |sum: u64, summary| sum.saturating_add(summary.rows));
        let budget = Rc::clone(budget);
        Self {
            wal,
            memtable,
            budget,
            series: 0,
            columns_of: BTreeMap::new(),
            tables_bytes: 0,
            rows,
            sketch: None,
            schema_version,
        }
    }

    pub(super) fn size(&self) -> FlushSize {
        let series_bytes = self.series.saturating_mul(frame::SERIES_BYTES as u64);
        FlushSize {
            bytes: self.wal.bytes(),
            decoded_bytes: self
                .wal
                .decoded_bytes()
                .saturating_add(series_bytes)
                .saturating_add(self.tables_bytes as u64),
        }
    }

    /// Returns the measurements and times of the frames, or `None` if a frame may affect
    /// everything.
    pub(super) fn changed_ranges(&self) -> Option<Vec<(MeasurementId, TimeRange)>> {
        let of = |frame: &Frame| FrameSummary::decode(&frame.summary)?.tables;
        let tables: Option<Vec<_>> = self.wal.frames().values().map(of).collect();
        Some(tables?.into_iter().flatten().collect())
    }

    /// Frees memory of other shards for `more` bytes of this shard.
    pub(super) fn make_room(&self, more: u64) {
        self.budget.make_room(&self.memtable, more as usize);
    }

    /// Writes a frame and the new columns in one transaction.
    pub(super) fn append<S: Store>(
        &mut self,
        store: &S,
        frame: &DecodedFrame<'_>,
        columns: &Columns,
        schema_version: u64,
    ) -> StoreResult<()> {
        if frame.tables.is_none() {
            self.memtable.take();
        }
        self.make_room(frame.decoded_bytes);
        let other_rows = columns.new_rows();
        let write_columns = || columns.write_new(store);
        let write_other_rows: Option<&dyn Fn() -> StoreResult<()>> =
            if other_rows > 0 { Some(&write_columns) } else { None };
        let was_empty = self.wal.frames().is_empty();
        let new = NewFrame {
            sequence: self.wal.next_sequence(),
            frame: frame.frame,
            summary: &FrameSummary { other_rows, ..FrameSummary::of(&frame.header) }.encode(),
            decoded_bytes: frame.decoded_bytes,
            schema_version,
        };
        self.wal.append(store, &new, write_other_rows)?;
        self.rows = self.rows.saturating_add(frame.header.rows());
        for table in &frame.header.tables {
            let known = self.columns_of.entry(table.measurement).or_insert_with(|| {
                self.tables_bytes += frame::TABLE_BYTES;
                0
            });
            let more = table.fields.len().saturating_sub(*known);
            *known += more;
            self.tables_bytes += more * frame::COLUMN_BYTES;
        }
        self.sketch.iter_mut().for_each(|log| log.merge(&frame.series));
        self.schema_version = self.schema_version.max(schema_version);
        let memtable = match self.memtable.take() {
            None if was_empty => Some(self.new_memtable()),
            memtable => memtable,
        };
        if let Some((mut memtable, tables)) = memtable.zip(frame.tables.as_ref()) {
            tables.iter().for_each(|table| memtable.append(table));
            self.series = memtable.series();
            self.memtable.put(memtable);
            if self.budget.is_exceeded() {
                // The budget is exceeded after the eviction of all other memtables. The next read
                // loads this memtable again.
                self.memtable.take();
            }
        }
        Ok(())
    }

    /// Skips the next sequence, which a tombstone uses. The next use of the memtable replays the
    /// log without the hidden rows.
    pub(super) fn skip_sequence(&mut self) {
        self.wal.skip();
        self.memtable.take();
    }

    /// Empties the log after its rows were written to parts.
    pub(super) fn release(&mut self) {
        self.wal.release();
        (self.series, self.rows, self.sketch) = (0, 0, None);
        (self.columns_of, self.tables_bytes) = (BTreeMap::new(), 0);
        self.memtable.put(self.new_memtable());
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

    fn new_memtable(&self) -> Memtable {
        Memtable::new(self.budget.hash_seed())
    }

    /// Returns the memtable, or replays the log without the rows that `hidden` returns. The caller
    /// puts the memtable back after its use.
    pub(super) fn take_memtable<S: Store>(
        &mut self,
        store: &S,
        hidden: impl Fn(u64, &FrameTable) -> Result<Vec<HiddenSeries>, Refusal>,
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
            let added = match decoded_bytes > FLUSH_WANTED.decoded_bytes {
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

/// The size of a log or frame. Both fields limit the duration of a flush.
#[derive(Clone, Copy)]
pub(super) struct FlushSize {
    pub bytes: u64,
    pub decoded_bytes: u64,
}

/// The size at which the alarm flushes.
pub(super) const FLUSH_WANTED: FlushSize = FlushSize { bytes: 3_600_000, decoded_bytes: 8_000_000 };
/// The size that the log must not reach: an append first flushes the log if the log would reach
/// this size with the new frame. Writes that arrive during the flush wait. The log therefore
/// contains fewer than 1.5 million values (12 MB at 8 bytes each). A single frame has at most
/// `FRAME_DECODED_BYTES_MAX` bytes, unless an earlier release wrote the frame.
pub(super) const FLUSH_FORCED: FlushSize =
    FlushSize { bytes: 4_000_000, decoded_bytes: 12_000_000 };

/// The minimum number of bytes that a value counts as. A flush takes as long for a boolean as for
/// an integer.
const VALUE_BYTES_MIN: usize = 8;

impl FlushSize {
    pub(super) fn reaches(&self, limit: &Self) -> bool {
        self.bytes >= limit.bytes || self.decoded_bytes >= limit.decoded_bytes
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            decoded_bytes: self.decoded_bytes.saturating_add(other.decoded_bytes),
        }
    }
}

/// Returns the size of a decoded table in bytes, with at least `VALUE_BYTES_MIN` per value.
fn table_bytes(table: &FrameTable) -> u64 {
    let bytes = |column: &Column| column.bytes().max(column.values.len() * VALUE_BYTES_MIN);
    let fields: usize = table.block.fields.iter().map(bytes).sum();
    (table.block.rows() * 12 + fields + table.field_ids.len() * SLAB_COLUMN_BYTES) as u64
}

/// Returns the hashes of a table's series.
pub(super) fn series_hashes(table: &FrameTable, seed: u64) -> Vec<u64> {
    table.block.series.hashes(seed, table.measurement, &table.tag_ids)
}

/// Adds the series of a table to `sketch`.
pub(super) fn count_series(table: &FrameTable, seed: u64, sketch: &mut SeriesSketch) {
    series_hashes(table, seed).into_iter().for_each(|hash| sketch.add(hash));
}
