//! Appends a frame to the WAL and then to the memtable. The shard replies after both.

use super::Shard;
use super::budget::Evictable;
use super::flush_size::{ENOUGH, FORCED, FlushSize, table_bytes};
use super::frame_summary::FrameSummary;
use super::request::{AppendReply, Refusal};
use crate::batch::FrameTable;
use crate::batch::frame::{self, FrameHeader};
use crate::protocol::shard::Stamp;
use crate::store::{Store, StoreError, StoreResult};
use crate::wal::NewFrame;
use tidemark_model::series_sketch::SeriesSketch;

/// The maximum number of parts, because every query and every manifest change processes all parts.
/// A shard with more parts rejects writes until merges have reduced the number.
const PARTS_MAX: usize = 1_500;

impl<S: Store> Shard<S> {
    /// Stores a frame completely or not at all. If the series quota is exceeded, the shard first
    /// removes the rows of new series from the frame.
    pub fn append(
        &mut self,
        frame: &[u8],
        stamp: &Stamp,
        now_ns: i64,
    ) -> Result<AppendReply, Refusal> {
        self.current(stamp)?;
        let Some(trimmed) = self.over_series(frame, stamp)? else {
            return self.keep(frame, stamp, now_ns);
        };
        let kept = match trimmed.frame {
            Some(frame) => self.keep(&frame, stamp, now_ns)?,
            None => AppendReply {
                bytes_stored: self.store.bytes()?,
                sequence: self.load()?.wal.next_sequence() - 1,
                rows: 0,
                rejected: None,
            },
        };
        Ok(AppendReply { rejected: Some((trimmed.over, trimmed.rejected)), ..kept })
    }

    fn keep(&mut self, frame: &[u8], stamp: &Stamp, now_ns: i64) -> Result<AppendReply, Refusal> {
        let invalid = |error: frame::FrameError| Refusal::Malformed(error.to_string());
        let header = FrameHeader::read(frame).map_err(invalid)?;
        let (bytes, any_new) = self.admit(&header)?;
        self.admit_stored(stamp, bytes)?;
        // This check guarantees that an acknowledged frame can be replayed.
        let (mut tables, mut decoded_bytes) = (Vec::new(), 0);
        let (mut series, loaded) = (SeriesSketch::default(), self.load()?);
        let each = |table: FrameTable| {
            if loaded.series.counts_frames() {
                loaded.count_series(&table, &mut series);
            }
            decoded_bytes += table_bytes(&table);
            // If the frame is large enough to cause a flush, the flush reads the frame from the
            // log.
            match decoded_bytes <= ENOUGH.decoded_bytes {
                true => tables.push(table),
                false => tables = Vec::new(),
            }
        };
        frame::decode_each(frame, each).map_err(invalid)?;
        let is_large = decoded_bytes > ENOUGH.decoded_bytes;
        self.merge_if_too_many_parts(now_ns)?;
        let bytes_added = frame.len() as u64;
        self.flush_before(&FlushSize { bytes: bytes_added, decoded_bytes }, now_ns)?;
        if is_large {
            self.cache.clear();
        }
        self.budget.make_room(&self.evictable(), decoded_bytes as usize);

        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let sequence = loaded.wal.next_sequence();
        let new_rows = match any_new {
            true => loaded.columns.add_columns(&self.store, &header.tables),
            false => Ok(0),
        };
        let other_rows = match new_rows {
            Ok(rows) => rows,
            Err(refusal) => return Err(self.lost(refusal)),
        };
        let touch = &FrameSummary { other_rows, ..FrameSummary::of(&header) }.encode();
        let schema_version = stamp.schema_version;
        let new = NewFrame { sequence, frame, touch, decoded_bytes, schema_version };
        let was_empty = loaded.wal.next_sequence() == loaded.state.head + 1;
        let columns = || loaded.columns.write_new(&self.store);
        let aux: Option<&dyn Fn() -> StoreResult<()>> =
            if other_rows > 0 { Some(&columns) } else { None };
        if let Err(error) = loaded.wal.append(&self.store, &new, aux) {
            return Err(self.lost(error.into()));
        }
        loaded.columns.written();
        loaded.log_rows = loaded.log_rows.saturating_add(header.rows());
        loaded.series.append(&series);
        loaded.schema_version = loaded.schema_version.max(schema_version);
        loaded.pace.appended(now_ns);
        loaded.state.counters.frames += 1;
        loaded.state.counters.points += header.rows();
        if !is_large {
            self.remember(&tables, was_empty);
        }
        // The code computes the new size, because reading the size from the store takes as long as
        // the append to the memtable.
        let bytes_stored = bytes.saturating_add(bytes_added);
        Ok(AppendReply { bytes_stored, sequence, rows: header.rows(), rejected: None })
    }

    fn admit(&mut self, header: &FrameHeader) -> Result<(u64, bool), Refusal> {
        let bytes = self.store.bytes()?;
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let settings = &loaded.state.settings;
        for table in &header.tables {
            if loaded.retired.contains(&table.measurement) {
                return Err(Refusal::RetiredMeasurement { measurement: table.measurement });
            }
            let range = &settings.range;
            if !range.contains(table.min_time_ns) || !range.contains(table.max_time_ns) {
                return Err(Refusal::OutOfRange);
            }
            if loaded.state.fence.refuses(table.max_time_ns) {
                return Err(Refusal::Changing);
            }
        }
        let any_new = loaded.columns.check(&self.store, &header.tables)?;
        let parts = loaded.manifest.parts().len();
        if parts > PARTS_MAX {
            return Err(Refusal::Behind { parts: parts as u64 });
        }
        if bytes >= self.full_bytes {
            return Err(Refusal::Full { bytes, limit: self.full_bytes });
        }
        Ok((bytes, any_new))
    }

    fn flush_before(&mut self, frame: &FlushSize, now_ns: i64) -> Result<(), Refusal> {
        let loaded = self.loaded.as_ref().ok_or(Refusal::Stale)?;
        let is_full = loaded.flush_size().plus(frame).reaches(&FORCED);
        if is_full && !loaded.wal.frames().is_empty() { self.flush(now_ns) } else { Ok(()) }
    }

    /// The memtable must contain all frames of the log or none.
    fn remember(&mut self, tables: &[FrameTable], was_empty: bool) {
        let memtable = match self.cache.take_memtable() {
            None if was_empty => Some(self.new_memtable()),
            memtable => memtable,
        };
        if let Some(mut memtable) = memtable {
            tables.iter().for_each(|table| memtable.append(table));
            let series = memtable.tables().map(|(_, table)| u64::from(table.series().len)).sum();
            self.loaded.iter_mut().for_each(|loaded| loaded.log_series = series);
            self.cache.put_memtable(memtable);
            if self.budget.is_exceeded() {
                // The budget is exceeded after the eviction of all other memtables. The next read
                // loads this memtable again.
                self.cache.evict();
            }
        }
    }

    /// Drops the state in memory after a failed write, because the stored state is unknown.
    pub(super) fn lost(&mut self, refusal: Refusal) -> Refusal {
        self.loaded = None;
        self.running = None;
        self.cache.clear();
        match refusal {
            Refusal::Store(StoreError::Full) => {
                let bytes = self.store.bytes().unwrap_or_default();
                Refusal::Full { bytes, limit: self.full_bytes.min(bytes) }
            }
            refusal => refusal,
        }
    }
}
