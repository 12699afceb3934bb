//! What a scan reads. The shard implements it over memtable and parts at rest, tests over
//! vectors.

use std::ops::Range;
use std::rc::Rc;

use crate::batch::column::Column;
use crate::batch::series_table::SeriesTable;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;

/// Rows of one measurement with their series: the memtable's, or those of one block of series of a
/// group at rest. What the shard calls a part (a sorted run at rest) is many of these.
#[derive(Clone, Debug)]
pub struct Part {
    /// Every row of the part lies inside.
    pub time: TimeRange,
    /// Ids of `series.tags`, in the same order.
    pub tag_ids: Rc<[ColumnId]>,
    /// The part's series. One series stands once.
    pub series: Rc<SeriesTable>,
    /// Field columns of which the part may hold values.
    pub field_ids: Rc<[ColumnId]>,
    /// About how many rows of the measurement it holds. Only sizes the steps of a scan.
    pub rows: u64,
    /// Whether tombstones may hide rows: a summary then counts a series as alive only if
    /// [`Source::runs`] finds a row of it.
    pub tombstones: bool,
}

/// Decoded rows: times ascending and distinct within one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Times, nanoseconds.
    pub times_ns: Vec<i64>,
    /// The requested columns that the part has, each as long as `times_ns`.
    pub columns: Vec<(ColumnId, Column)>,
}

/// The rows of one series inside a shared decoded block.
#[derive(Clone, Debug)]
pub struct Run {
    /// The block; other series may lie outside `rows`.
    pub block: Rc<Rows>,
    /// Positions of this series' rows.
    pub rows: Range<usize>,
}

impl Run {
    /// The last of its rows alone.
    #[must_use]
    pub fn last_row(mut self) -> Self {
        self.rows.start = self.rows.end.saturating_sub(1).max(self.rows.start);
        self
    }
}

/// The last row inside `time` of runs that ascend.
pub fn latest(runs: Vec<Run>, time: TimeRange) -> Option<Run> {
    runs.into_iter().rev().find_map(|run| run.trim(time)).map(Run::last_row)
}

/// Why data could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A stored block fails its checksum or cannot be decoded. It is never skipped.
    #[error("damaged block: {block}")]
    Damaged {
        /// Which, in words that SHOW DIAGNOSTICS and verify use too.
        block: String,
    },
    /// The store failed.
    #[error("{0}")]
    Storage(String),
}

/// What reading has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReadStats {
    /// Blocks read and decoded.
    pub blocks_read: u64,
    /// Blocks skipped by their time range or tags.
    pub blocks_pruned: u64,
    /// Encoded bytes decoded.
    pub bytes_decoded: u64,
    /// Rows looked at by the scan.
    pub rows_scanned: u64,
    /// Storage rows billed as read, those that woke a cold shard included.
    pub rows_read: u64,
    /// Series that match.
    #[serde(default)]
    pub series: u64,
    /// Parts at rest that have the measurement and may hold rows inside the range.
    #[serde(default)]
    pub files: u64,
    /// Pages of their groups.
    #[serde(default)]
    pub blocks: u64,
    /// Bytes of those pages' blocks.
    #[serde(default)]
    pub block_bytes: u64,
    /// Rows of the measurement in memory.
    #[serde(default)]
    pub cached_rows: u64,
}

impl ReadStats {
    /// Adds what a further page cost; what the scan as a whole may touch is no sum.
    pub fn add_page(&mut self, page: &Self) {
        let Self { blocks_read, blocks_pruned, bytes_decoded, rows_scanned, rows_read, .. } = *self;
        *self = Self {
            blocks_read: blocks_read + page.blocks_read,
            blocks_pruned: blocks_pruned + page.blocks_pruned,
            bytes_decoded: bytes_decoded + page.bytes_decoded,
            rows_scanned: rows_scanned + page.rows_scanned,
            rows_read: rows_read + page.rows_read,
            ..*page
        };
    }
}

/// Where in a group at rest a block of its series stands, and the tag values of the first and the
/// last of them.
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// Which group: all blocks of one have one number, and no two groups share it.
    pub group: usize,
    /// Ids of the tags in the measurement's tag order; series are in order of their values, tag by
    /// tag.
    pub tag_ids: &'a [ColumnId],
    /// Of the first series.
    pub first: &'a [String],
    /// Of the last series.
    pub last: &'a [String],
}

/// Says which blocks of series are of use, so that the others are neither decoded nor kept.
pub trait Wanted {
    /// Whether series between these may be wanted; blocks of a group are asked about in order.
    fn may_have(&mut self, extent: &Extent<'_>) -> bool;

    /// Whether one of these is.
    fn has(&mut self, tag_ids: &[ColumnId], series: &SeriesTable) -> bool;
}

/// Asks for all series.
#[derive(Clone, Copy, Debug)]
pub struct Everything;

impl Wanted for Everything {
    fn may_have(&mut self, _: &Extent<'_>) -> bool {
        true
    }

    fn has(&mut self, _: &[ColumnId], _: &SeriesTable) -> bool {
        true
    }
}

/// A shard's data for one scan.
pub trait Source {
    /// The parts of a measurement that may hold rows inside `time`, by ascending write sequence:
    /// where two parts have the same series, time and field, the later part wins.
    ///
    /// # Errors
    /// [`SourceError`] when a part's series cannot be read.
    fn parts(
        &mut self,
        measurement: MeasurementId,
        time: TimeRange,
    ) -> Result<Vec<Part>, SourceError>;

    /// [`Source::parts`], without those that have no series that is wanted; some may be among them.
    ///
    /// # Errors
    /// As [`Source::parts`].
    fn parts_with(
        &mut self,
        measurement: MeasurementId,
        time: TimeRange,
        wanted: &mut dyn Wanted,
    ) -> Result<Vec<Part>, SourceError> {
        let _ = wanted;
        self.parts(measurement, time)
    }

    /// Runs of series `series` of part `part` (its position in the last answer of `parts`) that may
    /// hold rows inside `time`, ascending in time and not overlapping; only `columns` are decoded.
    /// Rows outside `time` may be among them; deleted rows are not.
    ///
    /// # Errors
    /// [`SourceError`] when a block that is needed cannot be read.
    fn runs(
        &mut self,
        part: usize,
        series: u32,
        time: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Vec<Run>, SourceError>;

    /// The latest row of a series of a part inside `time`, if there is one.
    ///
    /// # Errors
    /// As [`Source::runs`].
    fn newest(
        &mut self,
        part: usize,
        series: u32,
        time: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Option<Run>, SourceError> {
        Ok(latest(self.runs(part, series, time, columns)?, time))
    }

    /// What reading has cost since the source was made. A scan ends its page with a resume key
    /// when `bytes_decoded` passes its budget.
    fn stats(&self) -> ReadStats;
}
