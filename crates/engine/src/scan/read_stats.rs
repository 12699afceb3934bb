//! Counts the costs of a scan.

use serde::{Deserialize, Serialize};

/// The costs of a scan so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadStats {
    /// The number of blocks that were read and decoded.
    pub blocks_read: u64,
    /// The number of blocks that were skipped because of their time range or tags.
    pub blocks_pruned: u64,
    /// The encoded size of decoded blocks, in bytes.
    pub bytes_decoded: u64,
    /// The number of visited rows, including rows with cached results.
    pub rows_scanned: u64,
    /// The number of visited rows whose results came from the cache.
    #[serde(default)]
    pub rows_kept: u64,
    /// The number of storage rows billed as read, including the rows read to load a cold shard.
    pub rows_read: u64,
    /// The number of matching series.
    #[serde(default)]
    pub series: u64,
    /// The number of parts that contain the measurement and may have rows inside the range.
    #[serde(default)]
    pub files: u64,
    /// The number of the measurement's pages in the parts that `files` counts.
    #[serde(default)]
    pub blocks: u64,
    /// The size of the measurement's blocks in the parts that `files` counts, in bytes.
    #[serde(default)]
    pub block_bytes: u64,
    /// The number of the measurement's rows in the memtable.
    #[serde(default)]
    pub cached_rows: u64,
    /// The number of decoded values and row times. For a summary, the number of series keys read.
    #[serde(default)]
    pub cells: u64,
    /// The cost of filtering, in cells: evaluating the condition on rows, skipping series that the
    /// condition excludes, and skipping series that deletes hide. The reader counts only the hidden
    /// series, and the scan adds the rest. Only the shard uses this field, so messages omit it.
    #[serde(skip)]
    pub filter_cells: u64,
}

impl ReadStats {
    /// Returns the shard's work. Each row read without a cached result, each decoded byte and each
    /// cell of the filter counts as one unit.
    pub fn work(&self) -> u64 {
        self.rows_scanned.saturating_sub(self.rows_kept) + self.bytes_decoded + self.filter_cells
    }

    /// Adds the costs of a further page of a plan (EXPLAIN).
    pub fn add_plan(&mut self, page: &Self) {
        self.series += page.series;
        self.cached_rows += page.cached_rows;
        self.files += page.files;
        self.blocks += page.blocks;
        self.block_bytes += page.block_bytes;
    }

    /// Adds the costs of a further page. Replaces the fields that describe the scan as a whole.
    pub fn add_page(&mut self, page: &Self) {
        *self = Self {
            blocks_read: self.blocks_read + page.blocks_read,
            blocks_pruned: self.blocks_pruned + page.blocks_pruned,
            bytes_decoded: self.bytes_decoded + page.bytes_decoded,
            rows_scanned: self.rows_scanned + page.rows_scanned,
            rows_kept: self.rows_kept + page.rows_kept,
            rows_read: self.rows_read + page.rows_read,
            cells: self.cells + page.cells,
            filter_cells: self.filter_cells + page.filter_cells,
            ..*page
        };
    }
}
