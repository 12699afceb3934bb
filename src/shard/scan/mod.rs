//! Pages of the answers to queries, from memtable and parts.

mod decoded;
mod memtable_rows;
mod source;
mod stored_parts;

use self::source::ShardSource;
use self::stored_parts::ROW_BYTES;
use super::Shard;
use super::request::Refusal;
use crate::model::limits::PAGE_BYTES_MAX;
use crate::protocol::shard::Stamp;
use crate::scan::error::ScanError;
use crate::scan::page::{ScanPage, SummaryPage};
use crate::scan::request::{ScanRequest, SummaryRequest};
use crate::scan::source::{ReadStats, Source, SourceError};
use crate::scan::{PageLimits, SummaryLimits, explain, scan, summarise};
use crate::store::Store;

/// Encoded bytes decoded by one event: the log, if it is replayed, and one page.
const DECODED_BYTES_MAX: u64 = 8_000_000;
/// Of that, what a step of a scan decodes.
const STEP_BYTES: u64 = ROW_BYTES << 19;
/// Series keys that a page of a summary looks at: about 25 ms.
const SUMMARY_KEYS_MAX: u64 = 200_000;

impl<S: Store> Shard<S> {
    /// One page of a scan.
    ///
    /// # Errors
    /// [`Refusal::Stale`], [`Refusal::Invalid`], [`Refusal::Damaged`], [`Refusal::Store`].
    pub fn scan(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ScanPage, Refusal> {
        // Loading the object and replaying its log are part of what the page costs.
        let before = self.store.row_counts();
        let limits = self.limits(stamp)?;
        let mut page = self.read(stamp, |source| scan(source, request, limits))?;
        page.stats.rows_read = self.store.row_counts().since(before).read;
        Ok(page)
    }

    /// What a scan would read.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn explain(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ReadStats, Refusal> {
        self.read(stamp, |source| explain(source, request))
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
        let PageLimits { bytes, decoded_bytes } = self.limits(stamp)?;
        let limits = SummaryLimits { bytes, decoded_bytes, keys: SUMMARY_KEYS_MAX };
        self.ask(stamp, |reader| summarise(reader, request, limits))
    }

    /// What a page may take, once the log was replayed if it was not in memory: what that decoded
    /// is part of what one event may.
    fn limits(&mut self, stamp: &Stamp) -> Result<PageLimits, Refusal> {
        self.current(stamp)?;
        let is_cold = !self.cache.has_memtable();
        let memtable = self.memtable()?;
        self.cache.put_memtable(memtable);
        let log_bytes = self.loaded.as_ref().map_or(0, |loaded| loaded.wal.bytes());
        let replayed_bytes = if is_cold { log_bytes } else { 0 };
        let decoded_bytes = (DECODED_BYTES_MAX - STEP_BYTES).saturating_sub(replayed_bytes).max(1);
        Ok(PageLimits { bytes: PAGE_BYTES_MAX, decoded_bytes })
    }

    /// Runs `ask` over the shard's data.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn read<T>(
        &mut self,
        stamp: &Stamp,
        ask: impl FnOnce(&mut dyn Source) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let known = self.current(stamp)?.schema_version;
        if !stamp.fresh && stamp.schema_version < known {
            return Err(Refusal::Stale);
        }
        let memtable = self.memtable()?;
        let loaded = self.loaded.as_ref().ok_or(Refusal::Stale)?;
        let mut source = ShardSource::new(&*self.store, &self.cache, loaded, memtable);
        let answer = ask(&mut source);
        let memtable = source.memtable;
        self.cache.put_memtable(memtable);
        self.budget.make_room(&self.evictable(), 0);
        answer.map_err(|error| match error {
            ScanError::Source(SourceError::Damaged { block }) => Refusal::Damaged { block },
            ScanError::Source(SourceError::Storage(why)) => {
                Refusal::Store(crate::store::StoreError::Failed(why))
            }
            error => Refusal::Invalid(error.to_string()),
        })
    }
}
