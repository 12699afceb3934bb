//! Executes queries: returns pages of results from the memtable and parts.

use super::Shard;
use super::read::ShardReader;
use super::request::Refusal;
use super::values::refusal;
use crate::memtable::Memtable;
use crate::protocol::shard::Stamp;
use crate::scan::error::ScanError;
use crate::scan::page::{ScanPage, SummaryPage};
use crate::scan::reader::Reader;
use crate::scan::request::{ScanRequest, SummaryRequest};
use crate::scan::{PageLimits, SummaryLimits, explain, scan, summarise};
use crate::store::Store;
use tidemark_model::ids::MeasurementId;
use tidemark_model::limits::{PIECE_BYTES_MAX, PIECE_BYTES_MIN};

/// The maximum number of encoded bytes that an event decodes for one page and a replay of the log.
const DECODED_BYTES_MAX: u64 = 8_000_000;
/// A part of `DECODED_BYTES_MAX`, reserved for a last batch that exceeds the limit of the page.
const BATCH_BYTES: u64 = 2_000_000;
/// The maximum number of keys that a page of a summary reads. Reading these keys takes about 25 ms.
const SUMMARY_KEYS_MAX: u64 = 200_000;

impl<S: Store> Shard<S> {
    /// Returns one page of a scan.
    pub fn scan(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ScanPage, Refusal> {
        // The page's cost includes loading the object and replaying the log.
        let before = self.store.row_counts();
        let limits = self.limits(stamp, request.piece_bytes)?;
        let mut page = self
            .with_reader(stamp, &[request.measurement], |reader| scan(reader, request, limits))?;
        page.stats.rows_read = self.store.row_counts().since(before).read;
        Ok(page)
    }

    /// Returns one page of the statistics that a scan would have, without running the scan.
    pub fn explain(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ScanPage, Refusal> {
        self.with_reader(stamp, &[request.measurement], |reader| explain(reader, request))
    }

    /// Returns one page of a summary. A summary lists names of columns, tag values or series.
    pub fn summary(
        &mut self,
        request: &SummaryRequest,
        stamp: &Stamp,
    ) -> Result<SummaryPage, Refusal> {
        let PageLimits { bytes, decoded_bytes, .. } = self.limits(stamp, request.piece_bytes)?;
        let limits = SummaryLimits { bytes, decoded_bytes, keys: SUMMARY_KEYS_MAX };
        self.with_reader(stamp, &request.measurements, |reader| summarise(reader, request, limits))
    }

    /// The bytes that a replay of the log decodes count towards the limit of the event.
    fn limits(&mut self, stamp: &Stamp, piece_bytes: u32) -> Result<PageLimits, Refusal> {
        let loaded = self.current(stamp)?;
        let is_cold = !loaded.log.memtable().has_memtable();
        let memtable = loaded.take_memtable()?;
        loaded.log.memtable().put(memtable);
        let replayed_bytes = if is_cold { loaded.log.wal().bytes() } else { 0 };
        let decoded_bytes = (DECODED_BYTES_MAX - BATCH_BYTES).saturating_sub(replayed_bytes).max(1);
        let bytes = piece_bytes.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX) as usize;
        Ok(PageLimits { bytes, decoded_bytes, tile: self.limits.tile })
    }

    /// Runs a read function on the shard's rows of these measurements.
    pub fn with_reader<T>(
        &mut self,
        stamp: &Stamp,
        measurements: &[MeasurementId],
        read: impl FnOnce(&dyn Reader) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let loaded = self.current(stamp)?;
        if !stamp.fresh && stamp.schema_version < loaded.log.schema_version() {
            return Err(Refusal::Stale);
        }
        let memtable = loaded.take_memtable()?;
        let answer = self.read_with(&memtable, measurements, read);
        let log = &self.load()?.log;
        log.memtable().put(memtable);
        log.make_room(0);
        answer
    }

    fn read_with<T>(
        &mut self,
        memtable: &Memtable,
        measurements: &[MeasurementId],
        read: impl FnOnce(&dyn Reader) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let tag_orders = loaded.tag_orders(memtable, measurements)?;
        let hidden = loaded.hidden_of_merge()?;
        let reader = ShardReader::new(&self.reads, loaded, hidden, memtable, tag_orders);
        read(&reader).map_err(|error| match error {
            ScanError::Read(error) => refusal(error),
            ScanError::Reordered => Refusal::Stale,
            error => Refusal::Invalid(error.to_string()),
        })
    }
}
