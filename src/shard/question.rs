//! Questions: pages of the answers to queries, from memtable and parts.

use super::Shard;
use super::read::ShardReader;
use super::request::Refusal;
use super::values::refusal;
use crate::memtable::Memtable;
use crate::model::ids::MeasurementId;
use crate::model::limits::{PIECE_BYTES_MAX, PIECE_BYTES_MIN};
use crate::protocol::shard::Stamp;
use crate::scan::error::ScanError;
use crate::scan::page::{ScanPage, SummaryPage};
use crate::scan::reader::{ReadStats, Reader};
use crate::scan::request::{ScanRequest, SummaryRequest};
use crate::scan::{PageLimits, SummaryLimits, explain, scan, summarise};
use crate::store::Store;

/// Encoded bytes decoded by one event: the log, if it is replayed, and one page.
const DECODED_BYTES_MAX: u64 = 8_000_000;
/// Of that, what rows that are read together may pass it by.
const BATCH_BYTES: u64 = 2_000_000;
/// Series keys that a page of a summary looks at: about 25 ms.
const SUMMARY_KEYS_MAX: u64 = 200_000;

impl<S: Store> Shard<S> {
    /// One piece of a scan.
    ///
    /// # Errors
    /// [`Refusal::Stale`], [`Refusal::Invalid`], [`Refusal::Damaged`], [`Refusal::Store`].
    pub fn scan(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ScanPage, Refusal> {
        // Loading the object and replaying its log are part of what the page costs.
        let before = self.store.row_counts();
        let limits = self.limits(stamp, request.piece_bytes)?;
        let mut page =
            self.ask(stamp, &[request.measurement], |reader| scan(reader, request, limits))?;
        page.stats.rows_read = self.store.row_counts().since(before).read;
        Ok(page)
    }

    /// What a scan would read.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn explain(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ReadStats, Refusal> {
        self.ask(stamp, &[request.measurement], |reader| explain(reader, request))
    }

    /// One page of what exists.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn summary(
        &mut self,
        request: &SummaryRequest,
        stamp: &Stamp,
    ) -> Result<SummaryPage, Refusal> {
        let PageLimits { bytes, decoded_bytes, .. } = self.limits(stamp, request.piece_bytes)?;
        let limits = SummaryLimits { bytes, decoded_bytes, keys: SUMMARY_KEYS_MAX };
        self.ask(stamp, &request.measurements, |reader| summarise(reader, request, limits))
    }

    /// What a page may take, once the log was replayed if it was not in memory: what that decoded
    /// is part of what one event may.
    fn limits(&mut self, stamp: &Stamp, piece_bytes: u32) -> Result<PageLimits, Refusal> {
        self.current(stamp)?;
        let is_cold = !self.cache.has_memtable();
        let memtable = self.memtable()?;
        self.cache.put_memtable(memtable);
        let log_bytes = self.loaded.as_ref().map_or(0, |loaded| loaded.wal.bytes());
        let replayed_bytes = if is_cold { log_bytes } else { 0 };
        let decoded_bytes = (DECODED_BYTES_MAX - BATCH_BYTES).saturating_sub(replayed_bytes).max(1);
        let bytes = piece_bytes.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX) as usize;
        Ok(PageLimits { bytes, decoded_bytes, tile: self.limits.tile })
    }

    /// Puts a question about these measurements to the shard's rows.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn ask<T>(
        &mut self,
        stamp: &Stamp,
        measurements: &[MeasurementId],
        ask: impl FnOnce(&dyn Reader) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let known = self.current(stamp)?.schema_version;
        if !stamp.fresh && stamp.schema_version < known {
            return Err(Refusal::Stale);
        }
        let memtable = self.memtable()?;
        let answer = self.ask_with(&memtable, measurements, ask);
        self.cache.put_memtable(memtable);
        self.budget.make_room(&self.evictable(), 0);
        answer
    }

    fn ask_with<T>(
        &mut self,
        memtable: &Memtable,
        measurements: &[MeasurementId],
        ask: impl FnOnce(&dyn Reader) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let tag_orders = loaded.tag_orders(&*self.store, memtable, measurements)?;
        let hidden = loaded.hidden_of_merge(&*self.store)?;
        let data = (&*loaded, hidden);
        let reader = ShardReader::new(&*self.store, &self.reads, data, memtable, tag_orders)
            .keeping_answers(self.limits.answer_cells);
        let answer = ask(&reader);
        loaded.answers.write(&*self.store);
        answer.map_err(|error| match error {
            ScanError::Read(error) => refusal(error),
            ScanError::Reordered => Refusal::Stale,
            error => Refusal::Invalid(error.to_string()),
        })
    }
}
