//! Appends a frame to the WAL and then to the memtable. The shard replies after both.

use super::Shard;
use super::loaded::Loaded;
use super::log::{DecodedFrame, FLUSH_FORCED, FlushSize};
use super::refusal::Refusal;
use crate::batch::frame::{FRAME_DECODED_BYTES_MAX, FrameHeader};
use crate::protocol::quota::SeriesExceeded;
use crate::protocol::shard::{Stamp, ToShard};
use crate::store::Store;
use tidemark_model::bug;

/// The maximum number of parts, because every query and every manifest change processes all parts.
/// A shard with more parts rejects writes until merges have reduced the number.
const PARTS_MAX: usize = 1_500;

/// The reply to an accepted write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendReply {
    /// The number of storage bytes in use. If this number exceeds `SHARD_SPLIT_BYTES`, the shard's
    /// group is split.
    pub bytes_stored: u64,
    /// The hashes of rejected series, and the exceeded quota.
    pub rejected: Option<(SeriesExceeded, Vec<u64>)>,
}

impl<S: Store> Shard<S> {
    /// Stores a frame completely or not at all. Before that, removes the rows of new series that
    /// exceed the series quota.
    pub fn append(
        &mut self,
        frame: &[u8],
        stamp: &Stamp,
        now_ns: i64,
    ) -> Result<AppendReply, Refusal> {
        self.check_stamp(stamp)?;
        let Some(trimmed) = self.trim_to_series_quota(frame, stamp)? else {
            let bytes_stored = self.store_frame(frame, stamp, now_ns)?;
            return Ok(AppendReply { bytes_stored, rejected: None });
        };
        let bytes_stored = match trimmed.frame {
            Some(frame) => self.store_frame(&frame, stamp, now_ns)?,
            None => self.store.bytes()?,
        };
        Ok(AppendReply { bytes_stored, rejected: Some((trimmed.over, trimmed.rejected)) })
    }

    /// Returns the number of storage bytes in use.
    fn store_frame(&mut self, frame: &[u8], stamp: &Stamp, now_ns: i64) -> Result<u64, Refusal> {
        let header = FrameHeader::read(frame)?;
        let (bytes, has_new_columns) = self.check_frame(&header)?;
        self.check_storage_quota(stamp, bytes)?;
        // Decoding the frame before it is stored guarantees that a replay of the log can decode it
        // again.
        let loaded = self.load()?;
        let seed = loaded.log.sketch.as_ref().map(|_| loaded.series_seed());
        let frame = DecodedFrame::decode(frame, header, seed)?;
        self.merge_if_too_many_parts(now_ns)?;
        self.flush_before(&frame.size(), now_ns)?;
        let loaded = self.load()?;
        loaded.pace.appended(now_ns);
        let appended = loaded.append(&frame, stamp.schema_version, has_new_columns);
        appended.map_err(|refusal| self.discard_state(refusal))?;
        // The code computes the new size, because reading the size from the store takes as long as
        // the append to the memtable.
        Ok(bytes.saturating_add(frame.size().bytes))
    }

    /// Returns the stored bytes, and whether the frame has new columns.
    fn check_frame(&mut self, header: &FrameHeader) -> Result<(u64, bool), Refusal> {
        let loaded = self.load()?;
        let bytes = loaded.store.bytes()?;
        let settings = &loaded.state().settings;
        for table in &header.tables {
            if loaded.deletions.retired.contains(&table.measurement) {
                return Err(Refusal::RetiredMeasurement { measurement: table.measurement });
            }
            let range = &settings.range;
            if !range.contains(table.min_time_ns) || !range.contains(table.max_time_ns) {
                return Err(Refusal::OutOfRange);
            }
            if loaded.state().fence.refuses(table.max_time_ns) {
                return Err(Refusal::Changing);
            }
        }
        let has_new_columns = loaded.columns.check(&*loaded.store, &header.tables)?;
        let parts = loaded.manifest().parts().len();
        if parts > PARTS_MAX {
            return Err(Refusal::Behind { parts: parts as u64 });
        }
        let limit = loaded.full_bytes;
        if bytes >= limit {
            return Err(Refusal::Full { bytes, limit });
        }
        Ok((bytes, has_new_columns))
    }

    /// Flushes the log if it may have no room for the frame of a write. Returns whether it was
    /// flushed. The write then continues in another step, so that other events run in between. The
    /// write repeats a flush that fails, and returns its error.
    pub(super) fn make_room_for(&mut self, message: &ToShard, now_ns: i64) -> bool {
        let ToShard::Append { stamp, frame } = message else { return false };
        let decoded_bytes = FRAME_DECODED_BYTES_MAX as u64;
        let largest = FlushSize { bytes: frame.len() as u64, decoded_bytes };
        let flushed = bug::catch(|| {
            self.check_stamp(stamp)?;
            self.flush_before(&largest, now_ns)
        });
        let flushed = flushed.unwrap_or_else(|bug| Err(self.discard_state(bug.into())));
        flushed.unwrap_or_default()
    }

    /// Flushes the log if it has no room for the frame. Returns whether it was flushed.
    fn flush_before(&mut self, frame: &FlushSize, now_ns: i64) -> Result<bool, Refusal> {
        let log = &self.load()?.log;
        let is_full = log.size().plus(frame).reaches(&FLUSH_FORCED);
        if !is_full || log.wal.frames().is_empty() {
            return Ok(false);
        }
        self.flush(now_ns).map(|()| true)
    }
}

impl<S: Store> Loaded<S> {
    /// Appends the frame to the log and to the memtable. After an error, the stored state is
    /// unknown.
    fn append(
        &mut self,
        frame: &DecodedFrame<'_>,
        schema_version: u64,
        has_new_columns: bool,
    ) -> Result<(), Refusal> {
        if has_new_columns {
            self.columns.add_columns(&*self.store, &frame.header.tables)?;
        }
        self.log.append(&*self.store, frame, &self.columns, schema_version)?;
        self.columns.on_write();
        self.count_frame(frame.header.rows());
        Ok(())
    }
}
